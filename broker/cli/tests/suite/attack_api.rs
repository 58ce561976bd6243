//! Attacks on the API: others' ids, guessed codes, rights that grow, rights that are over, and requests that are too large, too slow or too deep.

use std::collections::HashMap;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mooring_api::{RouteRule, Rule, route_rules};
use mooring_protocol::{Connect, Packet};
use rustls::{ClientConnection, StreamOwned};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::mqtt::{Client, tls_config};
use crate::people::{Answer, Person, in_an_hour};
use crate::server::{Device, Home, Server};

/// A listener that takes tokens as passwords.
pub(crate) const PASSWORDS: &str = r#"
[[listeners]]
name = "passwords"
bind = "127.0.0.1:0"
client_certificate = "none"
allow_password = true
"#;

type TlsStream = StreamOwned<ClientConnection, TcpStream>;

/// A connection with TLS to one of a server's ports.
fn tls(home: &Home, port: u16) -> TlsStream {
    let pem = std::fs::read_to_string(home.root_certificate()).unwrap();
    let config = tls_config(&pem, None);
    let socket = TcpStream::connect(("127.0.0.1", port)).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    StreamOwned::new(ClientConnection::new(Arc::new(config), "localhost".try_into().unwrap()).unwrap(), socket)
}

/// MQTT with a token as the password.
pub(crate) fn connect(home: &Home, server: &Server, token: &str) -> std::io::Result<Client<TlsStream>> {
    let connect = Connect { password: Some(token.as_bytes()), ..Connect::new("app") };
    Client::start_as(tls(home, server.port_of("passwords")), &connect)
}

/// Erika has a device, a room, an organisation, an open invite, and a guest; Otto has nothing of it.
struct Case<'a> {
    erika: Person<'a>,
    otto: Person<'a>,
    device: Device,
    /// By the names of parameters in paths: what is Erika's.
    ids: HashMap<&'static str, String>,
}

impl<'a> Case<'a> {
    fn new(home: &'a Home, server: &'a Server) -> Self {
        let device = home.make_device();
        let [erika, otto, tina] = ["erika", "otto", "tina"].map(|name| Person::new(home, server, name));
        erika.claim(&device);
        let id = |body: &Value, key: &str| body[key].as_str().unwrap().to_owned();
        let grant = tina.accept(&erika.invite(&device, json!({"role": "guest"})));
        let open = erika.post(&format!("/v1/devices/{}/invites", device.id), json!({"role": "guest"})).expect(201);
        let room = erika.post("/v1/rooms", json!({"name": "Cellar"})).expect(201);
        let organisation = erika.post("/v1/organisations", json!({"name": "Washers"})).expect(201);
        let members = format!("/v1/organisations/{}/members", id(&organisation, "id"));
        let member = erika.get(&members).expect(200)["items"][0]["user"].as_str().unwrap().to_owned();
        let ids = HashMap::from([
            ("device_id", device.id.clone()),
            ("room_id", id(&room, "id")),
            ("organisation_id", id(&organisation, "id")),
            ("invite_id", id(&open, "id")),
            ("grant_id", id(&grant, "grant")),
            ("user_id", member),
            ("name", "start".to_owned()),
        ]);
        Self { erika, otto, device, ids }
    }

    /// The path with Erika's ids in it, or with ids that nobody has.
    fn path(&self, route: &RouteRule, erikas: bool) -> String {
        let mut path = String::new();
        for (at, part) in route.path.split(['{', '}']).enumerate() {
            let known = self.ids.get(part).filter(|_| erikas || part == "name").cloned();
            path += &if at % 2 == 0 { part.to_owned() } else { known.unwrap_or_else(|| Uuid::now_v7().to_string()) };
        }
        path
    }
}

/// A request with the body that the description has as an example.
fn ask(person: &Person<'_>, route: &RouteRule, path: &str, description: &Value) -> Answer {
    let operation = &description["paths"][&route.path][route.method.to_lowercase()];
    let query = operation["parameters"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|parameter| parameter["in"] == "query" && parameter["required"] == true);
    let query: Vec<String> = query
        .map(|parameter| {
            format!("{}={}", parameter["name"].as_str().unwrap(), parameter["example"].as_str().unwrap_or("/a"))
        })
        .collect();
    let path = if query.is_empty() { path.to_owned() } else { format!("{path}?{}", query.join("&")) };
    let body = operation["requestBody"]["content"].as_object().and_then(|content| content.iter().next());
    match body {
        Some((kind, content)) => {
            let example = &content["example"];
            assert!(!example.is_null() || !kind.ends_with("json"), "{} {} has no example", route.method, route.path);
            person.call(&route.method, &path, Some(&example.to_string()), &[&format!("Content-Type: {kind}")])
        }
        None => person.call(&route.method, &path, None, &[]),
    }
}

#[test]
fn attack_idor_over_every_route() {
    let home = Home::new();
    let server = home.start();
    let case = Case::new(&home, &server);
    let description = case.otto.get("/api/openapi.json").body;
    let without_ids = |body: &Value, path: &str| {
        let ids = path.split('/').filter(|part| part.parse::<Uuid>().is_ok());
        ids.fold(body.to_string(), |text, id| text.replace(id, "<id>"))
    };
    let mut asked = 0;
    for route in route_rules() {
        let names_something = matches!(route.rule, Rule::Device(_) | Rule::Thing);
        if !names_something {
            continue;
        }
        let (theirs, nobodys) = (case.path(&route, true), case.path(&route, false));
        let (found, missing) =
            (ask(&case.otto, &route, &theirs, &description), ask(&case.otto, &route, &nobodys, &description));
        let place = format!("{} {}", route.method, route.path);
        assert_eq!((found.status, missing.status), (404, 404), "{place}: {} {}", found.body, missing.body);
        assert_eq!(without_ids(&found.body, &theirs), without_ids(&missing.body, &nobodys), "{place}");
        asked += 1;
    }
    assert!(asked > 25, "{asked} routes name something");
    // And nothing has happened to what is Erika's.
    let path = format!("/v1/devices/{}", case.device.id);
    assert_eq!(case.erika.get(&path).expect(200)["name"], Value::Null);
    assert_eq!(case.erika.get(&format!("{path}/grants")).expect(200)["items"][0]["active"], true);
    assert_eq!(case.erika.get(&format!("{path}/invites")).expect(200)["items"][1]["status"], "open");
    assert_eq!(case.erika.get("/v1/rooms").expect(200)["items"][0]["name"], "Cellar");
}

#[test]
fn attack_every_route_without_a_token_or_with_a_persons_where_operators_are_meant() {
    let home = Home::new();
    let server = home.start();
    let case = Case::new(&home, &server);
    let nobody = Person::nobody(&home, &server);
    let description = nobody.get("/api/openapi.json").body;
    for route in route_rules() {
        let path = case.path(&route, true);
        if !matches!(route.rule, Rule::Public | Rule::Proof) {
            assert_eq!(ask(&nobody, &route, &path, &description).status, 401, "{route:?}");
        }
        if route.rule == Rule::Operator {
            assert_eq!(ask(&case.erika, &route, &path, &description).status, 403, "{route:?}");
        }
    }
}

#[test]
fn attack_a_token_with_one_scope_on_the_routes_of_others() {
    let home = Home::new();
    let server = home.start();
    let case = Case::new(&home, &server);
    let made = home.run(&["token", "create", "--user", "erika", "--scope", "devices:read"]);
    let reader = Person { token: made.lines().next().unwrap().to_owned(), ..Person::nobody(&home, &server) };
    let description = reader.get("/api/openapi.json").body;
    for route in route_rules().into_iter().filter(|route| route.scopes.iter().any(|scope| *scope != "devices:read")) {
        let answer = ask(&reader, &route, &case.path(&route, true), &description);
        assert_eq!(answer.status, 403, "{route:?}: {}", answer.body);
    }
}

#[test]
fn attack_claim_codes_by_guessing() {
    let home = Home::new();
    let server = home.start();
    let device = home.make_device();
    let (mallory, helper) = (Person::new(&home, &server, "mallory"), Person::new(&home, &server, "helper"));
    let guess = |person: &Person<'_>, number: u32| {
        let code = format!("0000-0000-0000-{number:04}");
        person.post("/v1/claims", json!({"device_id": device.id, "claim_code": code}))
    };
    for number in 0..10 {
        assert_eq!(guess(&mallory, number).status, 403);
    }
    let refused = guess(&mallory, 10);
    assert_eq!(refused.status, 429, "{}", refused.body);
    assert!(refused.header("retry-after").unwrap().parse::<u64>().unwrap() > 0);
    // Another account helps nothing: the device has a budget, too.
    assert_eq!(guess(&helper, 11).status, 429);
    // A device that does not exist gets the answer of a wrong code.
    let code = json!({"device_id": Uuid::now_v7(), "claim_code": device.claim_code});
    let unknown = helper.post("/v1/claims", code).expect(403);
    assert_eq!(unknown["type"], "/problems/claim-refused");
}

#[test]
fn attack_claim_race() {
    let home = Home::new();
    let server = home.start();
    let device = home.make_device();
    let people: Vec<_> = (0..6).map(|number| Person::new(&home, &server, &format!("racer-{number}"))).collect();
    let claim = json!({"device_id": device.id, "claim_code": device.claim_code});
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let racers: Vec<_> =
            people.iter().map(|person| scope.spawn(|| person.post("/v1/claims", claim.clone()))).collect();
        racers
            .into_iter()
            .map(|racer| racer.join().unwrap())
            .map(|answer| {
                assert!(!answer.body.to_string().contains("racer"), "it is not said whose it is: {}", answer.body);
                answer.status
            })
            .collect()
    });
    let won = statuses.iter().filter(|status| **status == 201).count();
    assert_eq!((won, statuses.iter().filter(|status| **status == 409).count()), (1, 5), "{statuses:?}");
    let owners = people.iter().filter(|person| person.get("/v1/devices").body["items"][0].is_object()).count();
    assert_eq!(owners, 1);
}

#[test]
fn attack_grants_that_grow() {
    let home = Home::new();
    let server = home.start();
    let device = home.make_device();
    let [erika, guest, technician] = ["erika", "guest", "technician"].map(|name| Person::new(&home, &server, name));
    erika.claim(&device);
    let path = format!("/v1/devices/{}", device.id);
    let invite = json!({"role": "technician", "scopes": ["telemetry"], "until": in_an_hour(), "reason": "It leaks."});
    let code = erika.invite(&device, invite);
    let granted = technician.accept(&code)["grant"].as_str().unwrap().to_owned();
    let of_guest = guest.accept(&erika.invite(&device, json!({"role": "guest"})))["grant"].as_str().unwrap().to_owned();
    // A guest who invites, and a technician who extends, or widens.
    assert_eq!(guest.post(&format!("{path}/invites"), json!({"role": "member"})).status, 403);
    let longer = "2026-12-31T00:00:00Z".replace("2026", &(time::OffsetDateTime::now_utc().year() + 1).to_string());
    for change in [json!({"until": longer}), json!({"scopes": ["telemetry", "logs"]})] {
        assert_eq!(technician.patch(&format!("/v1/grants/{granted}"), change.clone()).status, 403);
        assert_eq!(guest.patch(&format!("/v1/grants/{granted}"), change).status, 404);
    }
    assert_eq!(guest.patch(&format!("/v1/grants/{of_guest}"), json!({"scopes": ["telemetry"]})).status, 403);
    // The same code again, or the grant of another.
    assert_eq!(guest.post("/v1/invites/acceptance", json!({"code": code})).status, 403);
    assert_eq!(guest.delete(&format!("/v1/grants/{granted}")).status, 404);
    // Scopes that are no technician's, and ends that are none.
    for wrong in [
        json!({"role": "owner"}),
        json!({"role": "guest", "scopes": ["telemetry"]}),
        json!({"role": "technician", "scopes": ["commands:send"], "until": longer, "reason": "x"}),
        json!({"role": "technician", "scopes": ["command:+"], "until": longer, "reason": "x"}),
        json!({"role": "technician", "scopes": ["telemetry"], "reason": "x"}),
        json!({"role": "technician", "scopes": ["telemetry"], "until": "2020-01-01T00:00:00Z", "reason": "x"}),
        json!({"role": "technician", "scopes": ["telemetry"], "until": longer}),
    ] {
        let answer = erika.post(&format!("{path}/invites"), wrong.clone());
        assert_eq!(answer.status, 400, "{wrong}: {}", answer.body);
    }
    // Beyond the scopes.
    for rest in ["/shadow", "/commands", "/events?kind=log", "/events?kind=state", "/grants", "/accesses"] {
        assert_eq!(technician.get(&format!("{path}{rest}")).status, 403, "{rest}");
    }
    // Who gives a grant back has nothing more, and who was thrown out cannot come back by the label.
    assert_eq!(technician.delete(&format!("/v1/grants/{granted}")).status, 200);
    assert_eq!(technician.get(&path).status, 404);
    let claim = json!({"device_id": device.id, "claim_code": device.claim_code});
    assert_eq!(technician.post("/v1/claims", claim).status, 409);
}

#[test]
fn attack_stream_and_mqtt_after_the_grant_ends() {
    let home = Home::with(PASSWORDS);
    let server = home.start();
    let device = home.make_device();
    let (erika, otto) = (Person::new(&home, &server, "erika"), Person::new(&home, &server, "otto"));
    erika.claim(&device);
    let invite = json!({"role": "technician", "scopes": ["telemetry", "command:start"], "until": in_an_hour(), "reason": "It leaks."});
    let granted = otto.accept(&erika.invite(&device, invite))["grant"].as_str().unwrap().to_owned();
    let topic = format!("devices/{}/telemetry", device.id);
    let mut plain = Client::connect(server.plain.unwrap(), "any").unwrap();
    let mut mqtt = connect(&home, &server, &otto.token).unwrap();
    mqtt.subscribe(&topic).unwrap();
    let mut stream = otto.watch(None);
    stream.next_of("open");
    plain.publish_and_wait(&topic, b"{\"n\":1}").unwrap();
    assert_eq!(stream.next_of("telemetry").data["payload"]["n"], 1);
    mqtt.receive(|packet| matches!(packet, Packet::Publish(_)).then_some(())).unwrap();
    let ended = Instant::now();
    erika.delete(&format!("/v1/grants/{granted}")).expect(200);
    let (events, _) = stream.end();
    assert!(ended.elapsed() < Duration::from_secs(1), "{:?}", ended.elapsed());
    assert_eq!(events.last().unwrap().data["reason"], "a grant ended");
    plain.publish_and_wait(&topic, b"{\"n\":2}").unwrap();
    mqtt.send(&Packet::PingReq).unwrap();
    let heard = mqtt.receive(|packet| match packet {
        Packet::Publish(publish) => Some(String::from_utf8_lossy(publish.payload).into_owned()),
        Packet::PingResp => Some(String::new()),
        _ => None,
    });
    assert_eq!(heard.unwrap(), "", "nothing is heard after the grant's end");
    let command = mqtt.publish_and_wait(&format!("devices/{}/commands/start", device.id), b"{}").unwrap();
    assert!(command.is_error(), "{command}");
}

#[test]
fn attack_stream_and_mqtt_after_the_date_of_the_grant() {
    let home = Home::with(PASSWORDS);
    let server = home.start();
    let device = home.make_device();
    let (erika, otto) = (Person::new(&home, &server, "erika"), Person::new(&home, &server, "otto"));
    erika.claim(&device);
    let until = time::OffsetDateTime::now_utc() + time::Duration::seconds(3);
    let until_text = until.format(&time::format_description::well_known::Rfc3339).unwrap();
    let invite = json!({"role": "technician", "scopes": ["telemetry"], "until": until_text, "reason": "It leaks."});
    otto.accept(&erika.invite(&device, invite));
    let mut stream = otto.watch(None);
    stream.next_of("open");
    let (events, _) = stream.end();
    let late = time::OffsetDateTime::now_utc() - until;
    assert_eq!(events.last().unwrap().data["reason"], "a grant ended");
    assert!(late < time::Duration::SECOND, "{late}");
    assert_eq!(otto.get(&format!("/v1/devices/{}", device.id)).status, 404);
}

#[test]
fn attack_bodies_that_are_too_large_too_slow_or_too_deep() {
    let home = Home::with("");
    let config = home.path().join("mooring.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, text.replace("[http]\n", "[http]\nbody_timeout_ms = 300\nbody_bytes_max = 4096\n"))
        .unwrap();
    let server = home.start();
    let erika = Person::new(&home, &server, "erika");
    let json = ["Content-Type: application/json"];
    let large = format!("{{\"name\":\"{}\"}}", "x".repeat(5000));
    assert_eq!(erika.call("POST", "/v1/rooms", Some(&large), &json).status, 413);
    let chunked = ["Content-Type: application/json", "Transfer-Encoding: chunked"];
    assert_eq!(erika.call("POST", "/v1/rooms", Some(&large), &chunked).status, 413, "its length was not declared");
    let deep = format!("{}1{}", "[".repeat(1000), "]".repeat(1000));
    let answer = erika.call("POST", "/v1/rooms", Some(&deep), &json);
    assert_eq!(answer.status, 400, "{}", answer.body);
    assert!(answer.body["detail"].as_str().unwrap().contains("deeper"), "{}", answer.body);
    // Half a body, and then nothing.
    let mut stream = tls(&home, server.https);
    let head = format!(
        "POST /v1/rooms HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{{",
        erika.token
    );
    let began = Instant::now();
    stream.write_all(head.as_bytes()).unwrap();
    let mut buffer = [0; 4096];
    let count = stream.read(&mut buffer).unwrap();
    let said = String::from_utf8_lossy(&buffer[..count]);
    assert!(said.starts_with("HTTP/1.1 408"), "{said}");
    assert!(began.elapsed() < Duration::from_secs(10));
    assert_eq!(erika.get("/v1/rooms").expect(200)["items"], json!([]));
}

#[test]
fn attack_headers_and_names_that_begin_other_headers() {
    let home = Home::new();
    let server = home.start();
    let device = home.make_device();
    let erika = Person::new(&home, &server, "erika");
    erika.claim(&device);
    let path = format!("/v1/devices/{}", device.id);
    for name in ["a\r\nSet-Cookie: x=y", "a\nb", "a\u{0}b", "\u{202e}resu"] {
        assert_eq!(erika.patch(&path, json!({"name": name})).status, 400, "{name:?}");
    }
    let mail = json!({"role": "guest", "email": "a@example.com\r\nBcc: all@example.com"});
    assert_eq!(erika.post(&format!("{path}/invites"), mail).status, 400);
    for id in ["a b", "<script>alert(1)</script>", &"x".repeat(500)] {
        let answer = erika.call("GET", "/v1/devices", None, &[&format!("X-Request-Id: {id}")]);
        assert_ne!(answer.header("x-request-id"), Some(id));
        assert!(!answer.head.contains("script"), "{}", answer.head);
    }
    let named = erika.call("GET", "/v1/devices", None, &["X-Request-Id: mine-1"]);
    assert_eq!(named.header("x-request-id"), Some("mine-1"));
    // An escape in a path is data, and no end of a line of the answer.
    let answer = erika.get("/v1/devices/%0d%0aX-Evil:%20yes");
    assert_eq!((answer.status, answer.header("x-evil")), (400, None));
    for (name, value) in [
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "DENY"),
        ("cache-control", "no-store"),
        ("referrer-policy", "no-referrer"),
        ("strict-transport-security", "max-age=31536000; includeSubDomains"),
    ] {
        assert_eq!(named.header(name), Some(value), "{name}");
    }
}

#[test]
fn attack_pages_of_origins_that_are_not_listed() {
    let home = Home::with("");
    let config = home.path().join("mooring.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(
        &config,
        text.replace("[http]\n", "[http]\ncors_origins = [\"https://app.example.com\"]\nrequests_per_token = 5\n"),
    )
    .unwrap();
    let server = home.start();
    let erika = Person::new(&home, &server, "erika");
    let from = |origin: &str, method: &str| {
        let nobody = Person::nobody(&home, &server);
        let headers = [format!("Origin: {origin}"), "Access-Control-Request-Method: POST".to_owned()];
        nobody.call(method, "/v1/rooms", None, &headers.each_ref().map(String::as_str))
    };
    let allowed = from("https://app.example.com", "OPTIONS");
    assert_eq!((allowed.status, allowed.header("access-control-allow-origin")), (204, Some("https://app.example.com")));
    for origin in ["https://app.example.com.evil.example", "https://evil.example", "null", "http://app.example.com"] {
        assert_eq!(from(origin, "OPTIONS").header("access-control-allow-origin"), None, "{origin}");
        assert_eq!(from(origin, "GET").header("access-control-allow-origin"), None, "{origin}");
    }
    let answers: Vec<_> = (0..6).map(|_| erika.get("/v1/rooms")).collect();
    assert_eq!(
        (answers[0].header("ratelimit-limit"), answers[0].header("ratelimit-remaining")),
        (Some("5"), Some("4"))
    );
    assert_eq!((answers[5].status, answers[5].header("ratelimit-remaining")), (429, Some("0")));
    assert!(answers[5].header("retry-after").is_some());
}
