//! Servers that are wrong on purpose: the suite must notice.

#![expect(clippy::expect_used, reason = "a test whose toy does not start fails")]

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use mooring_conformance::{Options, Outcome, Report, run};

/// What a toy answers to a packet, by its first byte and body; `None` closes the connection.
type Answer = fn(u8, &[u8]) -> Option<Vec<u8>>;

/// Serves until the test process ends.
fn serve(answer: Answer) -> String {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    let target = listener.local_addr().expect("its address").to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || talk(stream, answer));
        }
    });
    target
}

fn talk(mut stream: TcpStream, answer: Answer) -> Option<()> {
    loop {
        // The toys get short packets only.
        let mut header = [0; 2];
        stream.read_exact(&mut header).ok()?;
        let mut body = vec![0; usize::from(header[1])];
        stream.read_exact(&mut body).ok()?;
        stream.write_all(&answer(header[0], &body)?).ok()?;
    }
}

fn judge(answer: Answer, filter: &str) -> Report {
    let mut options = Options::new(serve(answer));
    options.filter = Some(filter.into());
    options.answer = Duration::from_millis(500);
    options.patience = Duration::from_millis(50);
    run(&options, &mut |_| {}).expect("the suite runs")
}

fn outcome<'r>(report: &'r Report, id: &str) -> &'r Outcome {
    &report.results.iter().find(|result| result.id == id).expect("the case ran").outcome
}

/// Answers everything with CONNACK.
fn connack_to_all(_: u8, _: &[u8]) -> Option<Vec<u8>> {
    Some(vec![0x20, 2, 0, 0])
}

/// Serves CONNECT, SUBSCRIBE and PINGREQ of 3.1.1, and forgets every PUBLISH.
fn forgetful(first: u8, body: &[u8]) -> Option<Vec<u8>> {
    match first >> 4 {
        1 => Some(vec![0x20, 2, 0, 0]),
        8 => Some(vec![0x90, 3, body[0], body[1], 0]),
        12 => Some(vec![0xD0, 0]),
        3 => Some(Vec::new()),
        _ => None,
    }
}

/// Acknowledges QoS 1 with a packet identifier of its own, and claims a session that it does not have.
fn liar(first: u8, body: &[u8]) -> Option<Vec<u8>> {
    match first >> 4 {
        1 => Some(vec![0x20, 2, 1, 0]),
        3 => Some(vec![0x40, 2, 0x77, 0x77]),
        _ => forgetful(first, body),
    }
}

#[test]
fn a_server_that_answers_all_with_connack_is_caught() {
    let report = judge(connack_to_all, "v3/control/ping");
    assert!(matches!(outcome(&report, "v3/control/ping"), Outcome::Fail(_)), "{report}");
    assert!(judge(connack_to_all, "v3/connect/second").failed());
    assert!(judge(connack_to_all, "v3/connect/first-pingreq").failed());
}

#[test]
fn a_server_that_forgets_messages_is_caught_for_that_alone() {
    let ping = judge(forgetful, "v3/control/ping");
    assert!(matches!(outcome(&ping, "v3/control/ping"), Outcome::Pass), "{ping}");
    let report = judge(forgetful, "v3/qos/");
    assert!(matches!(outcome(&report, "v3/qos/puback"), Outcome::Fail(_)), "{report}");
    let report = judge(forgetful, "v3/publish/topic-matches");
    assert!(report.failed(), "{report}");
}

#[test]
fn a_server_that_lies_is_caught() {
    assert!(judge(liar, "v3/qos/puback").failed());
    assert!(judge(liar, "v3/session/clean-present").failed());
    assert!(judge(liar, "v3/session/new-present").failed());
}

#[test]
fn a_failure_says_what_was_expected_and_what_came() {
    let report = judge(liar, "v3/qos/puback");
    let Outcome::Fail(failure) = outcome(&report, "v3/qos/puback") else { panic!("{report}") };
    assert_eq!(failure.expected, "a PUBACK for packet identifier 1");
    assert_eq!(failure.got, "PUBACK id 30583 code 0x00");
    assert_eq!(failure.got_hex, "40 02 77 77");
    assert!(failure.at.starts_with("cases/"), "{}", failure.at);
    assert!(report.to_json().contains("\"outcome\": \"fail\""));
}

#[test]
fn nobody_at_the_target_is_an_error() {
    let port = TcpListener::bind(("127.0.0.1", 0)).and_then(|listener| listener.local_addr()).expect("a port").port();
    let options = Options::new(format!("127.0.0.1:{port}"));
    assert!(run(&options, &mut |_| {}).is_err());
}
