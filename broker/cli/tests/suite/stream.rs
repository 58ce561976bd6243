//! Streams: what one's devices say, as they say it, and from where one left off.

use std::time::Duration;

use serde_json::json;

use crate::mqtt::Client;
use crate::people::Person;
use crate::server::Home;

#[test]
fn a_stream_tells_what_happens_and_goes_on_where_it_was_left() {
    let home = Home::new();
    let server = home.start();
    let (device, other) = (home.make_device(), home.make_device());
    let erika = Person::new(&home, &server, "erika");
    erika.claim(&device);
    let mut client = Client::connect(server.plain.unwrap(), "any").unwrap();
    let mut say = |rest: &str, payload: &str| {
        client.publish_and_wait(&format!("devices/{}/{rest}", device.id), payload.as_bytes()).unwrap();
    };
    let stream = erika.watch(None);
    stream.next_of("open");
    say("telemetry", r#"{"t":1}"#);
    say("events/door", r#"{"open":true}"#);
    say("state/reported", r#"{"phase":"idle"}"#);
    say("logs", "\u{1}");
    let told: Vec<_> = (0..4).map(|_| stream.next()).collect();
    assert_eq!(
        told.iter().map(|event| event.kind.as_str()).collect::<Vec<_>>(),
        ["telemetry", "event", "state", "log"]
    );
    assert_eq!((&told[0].data["payload"], &told[0].data["device"]), (&json!({"t": 1}), &json!(device.id)));
    assert_eq!((&told[1].data["name"], &told[3].data["payload_base64"]), (&json!("door"), &json!("AQ==")));
    drop(stream);
    say("telemetry", r#"{"t":2}"#);
    let stream = erika.watch(Some(&told[1].id));
    let again: Vec<_> = (0..3).map(|_| stream.next()).collect();
    assert_eq!(again.iter().map(|event| event.kind.as_str()).collect::<Vec<_>>(), ["state", "log", "telemetry"]);
    assert_eq!(
        (&again[0].id, &again[2].data["payload"]),
        (&told[2].id, &json!({"t": 2})),
        "the same event has the same id"
    );
    stream.next_of("open");
    // A device that becomes one's own is heard from then on.
    erika.claim(&other);
    let topic = format!("devices/{}/telemetry", other.id);
    client.publish_and_wait(&topic, b"{\"t\":3}").unwrap();
    assert_eq!(stream.next_of("telemetry").data["device"], json!(other.id));
}

#[test]
fn a_stream_ends_with_its_token() {
    let home = Home::new();
    let server = home.start();
    let erika = Person::new(&home, &server, "erika");
    let mut stream = erika.watch(None);
    stream.next_of("open");
    home.run(&["token", "revoke", &erika.token_id, "--admin", &format!("127.0.0.1:{}", server.admin)]);
    let (events, took) = stream.end();
    assert_eq!(events.last().unwrap().data["reason"], "the token ended");
    assert!(took < Duration::from_secs(1), "{took:?}");
}

#[test]
fn a_person_has_so_many_streams_and_no_more() {
    let home = Home::new();
    let server = home.start();
    let erika = Person::new(&home, &server, "erika");
    let streams: Vec<_> = (0..8).map(|_| erika.watch(None)).inspect(|stream| drop(stream.next_of("open"))).collect();
    let refused = erika.get("/v1/stream");
    assert_eq!((refused.status, refused.header("retry-after")), (429, Some("5")));
    drop(streams);
    // Their places are free once the server has noticed that the clients are gone.
    let began = std::time::Instant::now();
    loop {
        let stream = erika.watch(None);
        if stream.opens() {
            break;
        }
        assert!(began.elapsed() < Duration::from_secs(30));
    }
    for last in ["x", "1", "1-x", "-1-1", "99999999999999999999-1"] {
        assert_eq!(erika.call("GET", "/v1/stream", None, &[&format!("Last-Event-ID: {last}")]).status, 400, "{last}");
    }
}
