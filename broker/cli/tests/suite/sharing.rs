//! Sharing: whom an owner lets in, what they may, and how it ends.

use serde_json::{Value, json};

use crate::mqtt::Client;
use crate::people::{Person, in_an_hour};
use crate::server::Home;

#[test]
fn a_guest_sees_and_a_member_commands_and_neither_shares() {
    let home = Home::new();
    let server = home.start();
    let device = home.make_device();
    let [erika, otto, tina] = ["erika", "otto", "tina"].map(|name| Person::new(&home, &server, name));
    erika.claim(&device);
    otto.accept(&erika.invite(&device, json!({"role": "guest"})));
    tina.accept(&erika.invite(&device, json!({"role": "member"})));
    let path = format!("/v1/devices/{}", device.id);
    for (person, part, commands) in [(&erika, "owner", 409), (&otto, "guest", 403), (&tina, "member", 409)] {
        assert_eq!(person.get(&path).expect(200)["part"], part);
        assert_eq!(person.get("/v1/devices").expect(200)["items"][0]["part"], part);
        // The device is away: whoever may command it is told that, and nobody else.
        assert_eq!(person.post(&format!("{path}/commands/start"), json!({})).status, commands, "{part}");
    }
    let wish = ["Content-Type: application/merge-patch+json"];
    assert_eq!(tina.call("PATCH", &format!("{path}/shadow/desired"), Some("{\"a\":1}"), &wish).status, 200);
    assert_eq!(otto.call("PATCH", &format!("{path}/shadow/desired"), Some("{\"a\":2}"), &wish).status, 403);
    for person in [&otto, &tina] {
        for answer in [
            person.post(&format!("{path}/invites"), json!({"role": "guest"})),
            person.post(&format!("{path}/transfer"), json!({})),
            person.post(&format!("{path}/release"), json!({})),
            person.patch(&path, json!({"name": "Mine"})),
            person.get(&format!("{path}/grants")),
            person.get(&format!("{path}/accesses")),
        ] {
            assert_eq!(answer.status, 403, "{}", answer.body);
        }
    }
}

#[test]
fn a_technician_sees_what_the_owner_chose_and_the_owner_sees_the_technician() {
    let home = Home::new();
    let server = home.start();
    let device = home.make_device();
    let (erika, otto) = (Person::new(&home, &server, "erika"), Person::new(&home, &server, "otto"));
    erika.claim(&device);
    let path = format!("/v1/devices/{}", device.id);
    let invite = json!({"role": "technician", "scopes": ["telemetry", "command:self-test"], "until": in_an_hour(), "reason": "It leaks."});
    let accepted = otto.accept(&erika.invite(&device, invite));
    let grant = accepted["grant"].as_str().unwrap();
    let shown = otto.get(&path).expect(200);
    assert_eq!(
        (&shown["part"], &shown["presence"], &shown["shadow"]),
        (&json!("technician"), &Value::Null, &Value::Null)
    );
    for (rest, status) in [
        ("/events", 200),
        ("/events?kind=telemetry", 200),
        ("/events?kind=log", 403),
        ("/history?fields=/t", 200),
        ("/shadow", 403),
        ("/commands", 403),
    ] {
        assert_eq!(otto.get(&format!("{path}{rest}")).status, status, "{rest}");
    }
    assert_eq!(otto.post(&format!("{path}/commands/self-test"), json!({})).status, 409);
    assert_eq!(otto.post(&format!("{path}/commands/start"), json!({})).status, 403);
    assert_eq!(otto.get("/v1/grants").expect(200)["items"][0]["id"], grant);
    let accesses = erika.get(&format!("{path}/accesses")).expect(200);
    let seen: Vec<_> =
        accesses["items"].as_array().unwrap().iter().map(|access| access["what"].as_str().unwrap()).collect();
    for what in ["device", "events", "events:telemetry", "history", "commands:self-test"] {
        assert!(seen.contains(&what), "{what} is not in {seen:?}");
    }
    assert!(
        accesses["items"].as_array().unwrap().iter().all(|access| access["name"] == "otto" && access["grant"] == grant)
    );
    let grants = erika.get(&format!("{path}/grants")).expect(200);
    assert_eq!((&grants["items"][0]["name"], &grants["items"][0]["reason"]), (&json!("otto"), &json!("It leaks.")));
    // Narrower, at once; of the version that was seen.
    let change = ["Content-Type: application/json", "If-Match: \"1\""];
    let narrower = Some(r#"{"scopes": ["presence"]}"#);
    let changed = erika.call("PATCH", &format!("/v1/grants/{grant}"), narrower, &change);
    assert_eq!((changed.status, changed.header("etag")), (200, Some("\"2\"")));
    assert_eq!(erika.call("PATCH", &format!("/v1/grants/{grant}"), narrower, &change).status, 412);
    assert_eq!(otto.get(&format!("{path}/history?fields=/t")).status, 403);
    assert!(otto.get(&path).expect(200)["presence"].is_object());
    erika.delete(&format!("/v1/grants/{grant}")).expect(200);
    assert_eq!(otto.get(&path).status, 404);
    assert_eq!(erika.get(&format!("{path}/grants")).expect(200)["items"][0]["active"], false);
}

#[test]
fn a_technician_on_mqtt_is_in_the_owners_sight_too() {
    let home = Home::with(crate::attack_api::PASSWORDS);
    let server = home.start();
    let device = home.make_device();
    let (erika, otto) = (Person::new(&home, &server, "erika"), Person::new(&home, &server, "otto"));
    erika.claim(&device);
    let invite = json!({"role": "technician", "scopes": ["logs"], "until": in_an_hour(), "reason": "It leaks."});
    otto.accept(&erika.invite(&device, invite));
    let mut client = crate::attack_api::connect(&home, &server, &otto.token).unwrap();
    client.subscribe(&format!("devices/{}/logs", device.id)).unwrap();
    let accesses = format!("/v1/devices/{}/accesses", device.id);
    erika.wait_for(&accesses, |accesses| accesses["items"][0]["what"] == "live:logs");
}

#[test]
fn an_organisation_sees_the_devices_that_were_granted_to_it() {
    let home = Home::new();
    let server = home.start();
    let device = home.make_device();
    let [erika, boss, hand] = ["erika", "boss", "hand"].map(|name| Person::new(&home, &server, name));
    erika.claim(&device);
    let organisation = boss.post("/v1/organisations", json!({"name": "Washers Ltd"})).expect(201);
    let path = format!("/v1/organisations/{}", organisation["id"].as_str().unwrap());
    let join = boss.post(&format!("{path}/invites"), json!({"role": "technician"})).expect(201);
    hand.accept(join["code"].as_str().unwrap());
    let invite = json!({"role": "technician", "scopes": ["telemetry"], "until": in_an_hour(), "reason": "Service", "organisation": true});
    let code = erika.invite(&device, invite);
    let refused = hand.post("/v1/invites/acceptance", json!({"code": code, "organisation": organisation["id"]}));
    assert_eq!(refused.status, 403, "who is no admin accepts nothing: {}", refused.body);
    boss.post("/v1/invites/acceptance", json!({"code": code, "organisation": organisation["id"]})).expect(201);
    let of_device = format!("/v1/devices/{}", device.id);
    for person in [&boss, &hand] {
        assert_eq!(person.get(&format!("{path}/devices")).expect(200)["items"][0]["id"], device.id.as_str());
        assert_eq!(person.get(&of_device).expect(200)["part"], "technician");
    }
    assert_eq!(erika.get(&format!("{of_device}/grants")).expect(200)["items"][0]["name"], "Washers Ltd");
    let accesses = erika.get(&format!("{of_device}/accesses")).expect(200);
    assert_eq!(accesses["items"][0]["organisation"], "Washers Ltd", "{accesses}");
    let members = boss.get(&format!("{path}/members")).expect(200);
    let hand_id =
        members["items"].as_array().unwrap().iter().find(|member| member["name"] == "hand").unwrap()["user"].clone();
    assert_eq!(boss.delete(&format!("{path}/members/{}", hand_id.as_str().unwrap())).status, 204);
    assert_eq!(hand.get(&of_device).status, 404);
    assert_eq!(hand.get(&format!("{path}/devices")).status, 404);
    assert_eq!(boss.get(&of_device).status, 200);
}

#[test]
fn a_device_that_changes_hands_takes_nothing_of_its_owner_along() {
    let home = Home::new();
    let server = home.start();
    let device = home.make_device();
    let [erika, otto, guest] = ["erika", "otto", "guest"].map(|name| Person::new(&home, &server, name));
    erika.claim(&device);
    let path = format!("/v1/devices/{}", device.id);
    guest.accept(&erika.invite(&device, json!({"role": "guest"})));
    erika.patch(&path, json!({"name": "Erika's washer"})).expect(200);
    let wish = ["Content-Type: application/merge-patch+json"];
    erika.call("PATCH", &format!("{path}/shadow/desired"), Some(r#"{"program":"wool"}"#), &wish).expect(200);
    let mut client = Client::connect(server.plain.unwrap(), "any").unwrap();
    client.publish_and_wait(&format!("devices/{}/telemetry", device.id), b"{\"t\":1}").unwrap();
    erika.wait_for(&format!("{path}/events"), |page| page["items"][0]["kind"] == "telemetry");
    let offer = erika.post(&format!("{path}/transfer"), json!({})).expect(201);
    let taken = otto.accept(offer["code"].as_str().unwrap());
    assert_eq!(taken["transfer"]["receipt"]["grants_ended"], 1, "{taken}");
    assert_eq!(taken["retained_purged"][0], format!("devices/{}/state/desired", device.id), "{taken}");
    let shown = otto.get(&path).expect(200);
    assert_eq!((&shown["name"], &shown["shadow"]["desired"]), (&Value::Null, &json!({})));
    assert_eq!(shown["last_telemetry_at"], Value::Null);
    assert_eq!(otto.get(&format!("{path}/events")).expect(200)["items"], json!([]));
    assert_eq!(otto.get(&format!("{path}/history?fields=/t")).expect(200)["series"][0]["buckets"], json!([]));
    assert_eq!(otto.get(&format!("{path}/grants")).expect(200)["items"], json!([]));
    for person in [&erika, &guest] {
        assert_eq!(person.get(&path).status, 404);
    }
    for person in [&erika, &otto] {
        assert_eq!(person.get("/v1/transfers").expect(200)["items"][0]["id"], taken["transfer"]["id"]);
    }
    // Given up, it can be claimed by its label again.
    otto.post(&format!("{path}/release"), json!({})).expect(200);
    guest.claim(&device);
}

#[test]
fn an_invite_by_mail_is_for_its_address_and_goes_to_the_outbox() {
    let home = Home::new();
    let server = home.start();
    let device = home.make_device();
    let (erika, otto) = (Person::new(&home, &server, "erika"), Person::new(&home, &server, "otto"));
    erika.claim(&device);
    let invite = json!({"role": "guest", "email": "otto@example.com"});
    let made = erika.post(&format!("/v1/devices/{}/invites", device.id), invite).expect(201);
    assert_eq!(made["mailed"], true);
    // Otto's account has no verified address: the code alone is not enough.
    let refused = otto.post("/v1/invites/acceptance", json!({"code": made["code"]})).expect(403);
    assert_eq!(refused["type"], "/problems/invite-for-another");
    let link = made["link"].as_str().unwrap();
    let began = std::time::Instant::now();
    let outbox = home.data_dir().join("outbox");
    loop {
        let mails = std::fs::read_dir(&outbox).into_iter().flatten().flatten();
        let texts: Vec<String> = mails.filter_map(|mail| std::fs::read_to_string(mail.path()).ok()).collect();
        if texts.iter().any(|text| text.contains(link) && text.contains("To: <otto@example.com>")) {
            break;
        }
        assert!(began.elapsed() < std::time::Duration::from_secs(30), "{texts:?}");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    assert_eq!(erika.delete(&format!("/v1/invites/{}", made["id"].as_str().unwrap())).status, 204);
    assert_eq!(erika.get(&format!("/v1/devices/{}/invites", device.id)).expect(200)["items"][0]["status"], "cancelled");
}

#[test]
fn history_is_in_buckets_and_a_post_with_a_key_is_done_once() {
    let home = Home::new();
    let server = home.start();
    let device = home.make_device();
    let erika = Person::new(&home, &server, "erika");
    erika.claim(&device);
    let path = format!("/v1/devices/{}", device.id);
    let mut client = Client::connect(server.plain.unwrap(), "any").unwrap();
    for number in [4, 2, 9] {
        let payload = format!("{{\"drum\":{{\"t\":{number}}}}}");
        client.publish_and_wait(&format!("devices/{}/telemetry", device.id), payload.as_bytes()).unwrap();
    }
    let wanted = |history: &Value| history["series"][0]["buckets"][0]["count"] == 3;
    let history = erika.wait_for(&format!("{path}/history?fields=/drum/t,/none&buckets=1"), wanted);
    let bucket = &history["series"][0]["buckets"][0];
    assert_eq!(
        (&bucket["min"], &bucket["max"], &bucket["mean"], &bucket["last"]),
        (&json!(2.0), &json!(9.0), &json!(5.0), &json!(9.0))
    );
    assert_eq!(history["series"][1]["buckets"], json!([]));
    for query in [
        "",
        "?fields=t",
        "?fields=/t&buckets=0",
        "?fields=/t&buckets=2001",
        "?fields=/t&from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z",
    ] {
        assert_eq!(erika.get(&format!("{path}/history{query}")).status, 400, "{query}");
    }
    let key = ["Content-Type: application/json", "Idempotency-Key: 0b6d2f7c-cellar"];
    let first = erika.call("POST", "/v1/rooms", Some(r#"{"name":"Cellar"}"#), &key);
    let again = erika.call("POST", "/v1/rooms", Some(r#"{"name":"Cellar"}"#), &key);
    assert_eq!((again.status, again.header("idempotency-replayed")), (201, Some("true")));
    assert_eq!((&first.body, first.header("etag")), (&again.body, again.header("etag")));
    assert_eq!(erika.call("POST", "/v1/rooms", Some(r#"{"name":"Bath"}"#), &key).status, 422);
    assert_eq!(erika.get("/v1/rooms").expect(200)["items"].as_array().unwrap().len(), 1);
    let room = first.body["id"].clone();
    assert_eq!(erika.patch(&path, json!({"room": room})).expect(200)["room"], room);
    assert_eq!(erika.patch(&path, json!({"room": null})).expect(200)["room"], Value::Null);
}

#[test]
fn an_operator_searches_tags_and_groups_devices_and_reads_the_audit_log() {
    let home = Home::new();
    let server = home.start();
    let (one, _other) = (home.make_device(), home.make_device());
    let (erika, operator) = (Person::new(&home, &server, "erika"), Person::operator(&home, &server));
    erika.claim(&one);
    home.run(&["device", "tag", &one.id, "beta", "site/a"]);
    let listed = home.run(&["device", "list", "--tag", "beta", "--json"]);
    assert_eq!((listed.lines().count(), listed.contains(&one.id)), (1, true), "{listed}");
    let found = operator.get("/v1/operator/devices?query=tag:beta%20claimed:yes").expect(200);
    assert_eq!((&found["items"][0]["id"], &found["items"][0]["tags"][1]), (&json!(one.id), &json!("site/a")));
    let group = operator.post("/v1/operator/groups", json!({"name": "Beta", "query": "tag:beta"})).expect(201);
    let devices = operator.get(&format!("/v1/operator/groups/{}/devices", group["id"].as_str().unwrap())).expect(200);
    assert_eq!(devices["items"].as_array().unwrap().len(), 1);
    assert_eq!(operator.get("/v1/operator/devices?query=colour:red").status, 400);
    let users = operator.get("/v1/operator/users?query=eri").expect(200);
    let user = users["items"][0]["id"].as_str().unwrap();
    operator.patch(&format!("/v1/operator/users/{user}"), json!({"disabled": true})).expect(200);
    assert_eq!(erika.get("/v1/devices").status, 401, "the account is shut");
    operator.patch(&format!("/v1/operator/users/{user}"), json!({"disabled": false})).expect(200);
    assert_eq!(erika.get("/v1/devices").status, 200);
    let audit = operator.get("/v1/operator/audit?limit=2").expect(200);
    assert_eq!(audit["items"][0]["action"], "user.enable", "{audit}");
    assert!(audit["next"].is_string());
    assert_eq!(erika.get("/v1/operator/audit").status, 403);
    home.run(&["user", "disable", "erika"]);
    assert!(home.run(&["user", "list", "--find", "erika"]).contains("shut"));
}
