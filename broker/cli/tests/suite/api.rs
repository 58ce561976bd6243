//! The HTTP API as `curl` sees it: devices, events, commands, shadows, and what is not one's own.

use std::process::Command;
use std::time::{Duration, Instant};

use mooring_sim::{Credentials, SimOptions};
use serde_json::Value;
use tokio::sync::watch;

use crate::mqtt::Client;
use crate::server::{Device, Home, Server, text};

/// A person with a token.
struct Person<'a> {
    home: &'a Home,
    server: &'a Server,
    token: String,
}

impl<'a> Person<'a> {
    fn new(home: &'a Home, server: &'a Server, name: &str) -> Self {
        home.run(&["user", "create", name]);
        Self { home, server, token: first_line(&home.run(&["token", "create", "--user", name])) }
    }

    fn operator(home: &'a Home, server: &'a Server) -> Self {
        Self { home, server, token: first_line(&home.run(&["token", "create", "--operator"])) }
    }

    fn claim(&self, device: &Device) {
        let body = format!("{{\"device_id\":\"{}\",\"claim_code\":\"{}\"}}", device.id, device.claim_code);
        let (status, answer) = self.curl("/v1/claims", &["--json", &body]);
        assert_eq!(status, 201, "{answer}");
    }

    fn get(&self, path: &str) -> (u16, Value) {
        self.curl(path, &[])
    }

    /// Status and body of a request.
    fn curl(&self, path: &str, arguments: &[&str]) -> (u16, Value) {
        let output = Command::new("curl")
            .args(["--silent", "--show-error", "--cacert"])
            .arg(self.home.root_certificate())
            .args(["-H", &format!("Authorization: Bearer {}", self.token), "-w", "\n%{http_code}"])
            .args(arguments)
            .arg(format!("https://localhost:{}{path}", self.server.https))
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", text(&output));
        let said = String::from_utf8(output.stdout).unwrap();
        let (body, status) = said.rsplit_once('\n').unwrap();
        (status.parse().unwrap(), serde_json::from_str(body).unwrap_or(Value::Null))
    }

    /// Repeats a request until its answer is as wanted.
    fn wait_for(&self, path: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let began = Instant::now();
        loop {
            let (_, body) = self.get(path);
            if wanted(&body) {
                return body;
            }
            assert!(began.elapsed() < Duration::from_secs(30), "{path}: {body}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap().to_owned()
}

/// A simulated washing machine, running. It stops with the test.
pub(crate) struct Washer {
    _stop: watch::Sender<bool>,
    _runtime: tokio::runtime::Runtime,
}

pub(crate) fn start_washer(home: &Home, server: &Server, device: &Device, credentials: Credentials) -> Washer {
    let options = SimOptions {
        device_id: device.id.clone(),
        enrolment_secret: String::new(),
        api: String::new(),
        mqtt: format!("127.0.0.1:{}", server.mqtts),
        server_name: "localhost".to_owned(),
        root_pem: std::fs::read_to_string(home.root_certificate()).unwrap(),
        telemetry_interval: Duration::from_millis(50),
        speed: 1.0,
    };
    let (stop, stopped) = watch::channel(false);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    runtime.spawn(async move { mooring_sim::run(&options, &credentials, stopped).await });
    Washer { _stop: stop, _runtime: runtime }
}

#[test]
fn without_a_good_token_there_is_no_answer() {
    let home = Home::new();
    let server = home.start();
    for token in ["", "mtk_wrong", "not a token at all", "mtk_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"] {
        let nobody = Person { home: &home, server: &server, token: token.to_owned() };
        for path in ["/v1/devices", "/v1/devices/01980000-0000-7000-8000-000000000001"] {
            assert_eq!(nobody.get(path).0, 401, "{path} with {token:?}");
        }
    }
}

#[test]
fn a_revoked_token_is_refused() {
    let home = Home::new();
    let server = home.start();
    let made = home.run(&["token", "create", "--operator"]);
    let operator = Person { home: &home, server: &server, token: first_line(&made) };
    assert_eq!(operator.get("/v1/devices").0, 200);
    home.run(&["token", "revoke", made.split_whitespace().last().unwrap()]);
    assert_eq!(operator.get("/v1/devices").0, 401);
}

#[test]
fn somebody_elses_device_looks_like_one_that_does_not_exist() {
    let home = Home::new();
    let server = home.start();
    let device = home.make_device();
    let (erika, otto) = (Person::new(&home, &server, "erika"), Person::new(&home, &server, "otto"));
    erika.claim(&device);
    assert_eq!(erika.get(&format!("/v1/devices/{}", device.id)).0, 200);
    assert_eq!(erika.get("/v1/devices").1["items"][0]["id"], device.id.as_str());
    assert_eq!(otto.get("/v1/devices").1["items"], Value::Array(vec![]));
    let nobodys = "01980000-0000-7000-8000-000000000001";
    let command = ["--json", "{}"];
    let wish = ["-X", "PATCH", "-H", "Content-Type: application/json", "--data", "{}"];
    for (path, arguments) in
        [("", &[][..]), ("/events", &[]), ("/commands/start", &command), ("/shadow/desired", &wish)]
    {
        let theirs = otto.curl(&format!("/v1/devices/{}{path}", device.id), arguments);
        let missing = otto.curl(&format!("/v1/devices/{nobodys}{path}"), arguments);
        assert_eq!((theirs.0, missing.0), (404, 404), "{path}: {}", theirs.1);
        let without_id = |body: &Value, id: &str| body.to_string().replace(id, "<id>");
        assert_eq!(without_id(&theirs.1, &device.id), without_id(&missing.1, nobodys), "{path}");
    }
}

#[test]
fn a_token_does_what_its_scopes_say_and_no_more() {
    let home = Home::new();
    let server = home.start();
    let device = home.make_device();
    let erika = Person::new(&home, &server, "erika");
    erika.claim(&device);
    let token = first_line(&home.run(&["token", "create", "--user", "erika", "--scope", "devices:read"]));
    let reader = Person { home: &home, server: &server, token };
    assert_eq!(reader.get(&format!("/v1/devices/{}", device.id)).0, 200);
    assert_eq!(reader.curl(&format!("/v1/devices/{}/commands/start", device.id), &["--json", "{}"]).0, 403);
    assert_eq!(
        reader.curl("/v1/claims", &["--json", &format!("{{\"device_id\":\"{}\",\"claim_code\":\"x\"}}", device.id)]).0,
        403
    );
}

#[test]
fn a_command_brings_the_devices_answer_back() {
    let home = Home::new();
    let server = home.start();
    let device = home.make_device();
    let erika = Person::new(&home, &server, "erika");
    erika.claim(&device);
    let path = format!("/v1/devices/{}", device.id);
    let (status, answer) = erika.curl(&format!("{path}/commands/start"), &["--json", "{}"]);
    assert_eq!((status, answer["type"].as_str()), (409, Some("/problems/device-not-reachable")), "{answer}");
    let credentials = home.enrol(&server, &device, "device");
    let _washer = start_washer(&home, &server, &device, credentials);
    erika.wait_for(&path, |device| device["shadow"]["reported"]["phase"] == "idle");
    let arguments = r#"{"arguments": {"program": "wool"}, "timeout_ms": 30000}"#;
    let (status, answer) = erika.curl(&format!("{path}/commands/set-program"), &["--json", arguments]);
    assert_eq!(status, 200, "{answer}");
    assert_eq!(answer["status"], "answered");
    assert_eq!(answer["result"]["state"]["program"], "wool", "{answer}");
    assert!(answer["round_trip_ms"].as_f64().unwrap() > 0.0);
    // A device that can't do it says why, and that is an answer, too.
    let (status, answer) = erika.curl(&format!("{path}/commands/explode"), &["--json", "{}"]);
    assert_eq!((status, &answer["result"]["ok"]), (200, &Value::Bool(false)), "{answer}");
    let request = answer["request"].as_str().unwrap();
    let kept = erika.wait_for(&format!("/v1/commands/{request}"), |command| command["status"] == "answered");
    assert_eq!(kept["name"], "explode");
}

#[test]
fn a_wish_reaches_the_device_and_its_report_comes_back() {
    let home = Home::new();
    let server = home.start();
    let device = home.make_device();
    let erika = Person::new(&home, &server, "erika");
    erika.claim(&device);
    let path = format!("/v1/devices/{}", device.id);
    let wish = |version: &str, body: &str| {
        let arguments = ["-X", "PATCH", "-H", "Content-Type: application/json", "-H", version, "--data", body];
        erika.curl(&format!("{path}/shadow/desired"), &arguments)
    };
    let (status, desired) = wish("X-None: 1", r#"{"program": "wool"}"#);
    assert_eq!((status, desired["version"].as_u64()), (200, Some(1)), "{desired}");
    assert_eq!(wish("If-Match: \"7\"", r#"{"program": "quick-30"}"#).0, 412);
    assert_eq!(wish("If-Match: \"1\"", r#"{"spin": 800}"#).1["state"]["program"], "wool");
    assert_eq!(wish("If-Match: 1x", "{}").0, 400);
    // The device was away: the wish waits for it, retained.
    let credentials = home.enrol(&server, &device, "device");
    let _washer = start_washer(&home, &server, &device, credentials);
    let shown = erika.wait_for(&path, |device| device["shadow"]["reported"]["program"] == "wool");
    assert_eq!(shown["shadow"]["desired"]["spin"], 800);
    assert_eq!(shown["presence"]["online"], true);
}

#[test]
fn events_are_found_by_kind_time_and_page() {
    let home = Home::new();
    let server = home.start();
    let device = home.make_device();
    let mut client = Client::connect(server.plain.unwrap(), "any").unwrap();
    for number in 0..5 {
        let payload = format!("{{\"n\":{number}}}");
        assert!(
            !client
                .publish_and_wait(&format!("devices/{}/telemetry", device.id), payload.as_bytes())
                .unwrap()
                .is_error()
        );
    }
    client.publish_and_wait(&format!("devices/{}/events/door", device.id), b"\xff").unwrap();
    let operator = Person::operator(&home, &server);
    let path = format!("/v1/devices/{}/events", device.id);
    operator.wait_for(&format!("{path}?kind=event"), |page| page["items"][0]["name"] == "door");
    assert_eq!(operator.get(&format!("{path}?kind=event")).1["items"][0]["payload_base64"], "/w==");
    let mut seen = Vec::new();
    let mut next = format!("{path}?kind=telemetry&order=oldest&limit=2");
    loop {
        let (status, page) = operator.get(&next);
        assert_eq!(status, 200, "{page}");
        seen.extend(page["items"].as_array().unwrap().iter().map(|event| event["payload"]["n"].as_u64().unwrap()));
        let Some(cursor) = page["next"].as_str() else { break };
        next = format!("{path}?kind=telemetry&order=oldest&limit=2&cursor={cursor}");
    }
    assert_eq!(seen, [0, 1, 2, 3, 4]);
    assert_eq!(operator.get(&format!("{path}?from=2100-01-01T00:00:00Z")).1["items"], Value::Array(vec![]));
    assert_eq!(operator.get(&format!("{path}?to=2000-01-01T00:00:00Z")).1["items"], Value::Array(vec![]));
    for query in ["from=yesterday", "kind=gossip", "order=random", "cursor=made-up", "limit=-1"] {
        let (status, problem) = operator.get(&format!("{path}?{query}"));
        assert_eq!(status, 400, "{query}: {problem}");
        assert!(problem["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{query}: {problem}");
    }
}

#[test]
fn a_path_or_method_that_does_not_exist_is_a_problem_and_the_description_lists_the_others() {
    let home = Home::new();
    let server = home.start();
    let operator = Person::operator(&home, &server);
    assert_eq!(operator.get("/v2/devices").1["type"], "/problems/not-found");
    assert_eq!(operator.curl("/v1/devices", &["-X", "DELETE"]).0, 405);
    let (status, description) = operator.get("/api/openapi.json");
    assert_eq!(status, 200);
    assert!(description["paths"]["/v1/devices/{device_id}"].is_object());
}
