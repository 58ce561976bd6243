//! Enhanced authentication: what CONNACK says, and authenticating again.

use mooring_core::{ExchangeStep, Identity, Refusal};
use mooring_protocol::{Auth, Connect, Packet, ReasonCode};

use crate::bench::{Bench, Client, principal, publish, v5, v311};

const METHOD: &str = "SCRAM-SHA-256";

fn with_method(client_id: &str) -> Connect<'_> {
    let mut connect = v5(client_id);
    connect.properties.authentication_method = Some(METHOD);
    connect
}

fn authenticated(bench: &mut Bench) -> Client {
    let client = bench.connect_exchanged(&with_method("a"), "v=last");
    bench.expect(client, &["CONNACK Success method=SCRAM-SHA-256 data=v=last"]);
    client
}

fn auth(reason: ReasonCode, data: &str) -> Packet<'_> {
    Auth::new(reason, METHOD, Some(data.as_bytes())).into()
}

fn refusal() -> ExchangeStep {
    ExchangeStep::Refuse(Refusal { reason: ReasonCode::NotAuthorized, why: "a wrong proof".into() })
}

#[test]
fn a_client_authenticates_again_while_all_else_goes_on() {
    let mut bench = Bench::new();
    let client = authenticated(&mut bench);
    bench.send(client, auth(ReasonCode::ReAuthenticate, "first"));
    let input = bench.exchange_input().unwrap();
    assert!(input.begins && *input.method == *METHOD && input.data.as_deref() == Some(b"first"));
    bench.send(client, publish(1, 1, "t", "x"));
    bench.expect(client, &["PUBACK #1 NoMatchingSubscribers"]);
    bench.exchange_step(&input, ExchangeStep::Continue((*b"challenge").into()));
    bench.expect(client, &["AUTH ContinueAuthentication method=SCRAM-SHA-256 data=challenge"]);
    bench.send(client, auth(ReasonCode::ContinueAuthentication, "final"));
    let input = bench.exchange_input().unwrap();
    assert!(!input.begins && input.data.as_deref() == Some(b"final"));
    bench.exchange_step(&input, ExchangeStep::Done { principal: principal(None), data: Some((*b"done").into()) });
    bench.expect(client, &["AUTH Success method=SCRAM-SHA-256 data=done"]);
    bench.send(client, auth(ReasonCode::ReAuthenticate, "once more"));
    assert!(bench.exchange_input().unwrap().begins);
}

#[test]
fn a_failure_ends_the_connection() {
    let mut bench = Bench::new();
    let client = authenticated(&mut bench);
    bench.send(client, auth(ReasonCode::ReAuthenticate, "first"));
    let input = bench.exchange_input().unwrap();
    bench.exchange_step(&input, refusal());
    bench.expect(client, &["DISCONNECT NotAuthorized"]);
    assert!(!bench.is_open(client));
    // An answer to a connection that is gone is nobody's.
    bench.exchange_step(&input, refusal());
}

#[test]
fn nobody_becomes_somebody_else() {
    let mut bench = Bench::new();
    let client = authenticated(&mut bench);
    bench.send(client, auth(ReasonCode::ReAuthenticate, "first"));
    let input = bench.exchange_input().unwrap();
    let mut other = principal(None);
    other.identity = Identity::new("somebody else");
    bench.exchange_step(&input, ExchangeStep::Done { principal: other, data: None });
    bench.expect(client, &["DISCONNECT NotAuthorized"]);
}

#[track_caller]
fn check_refused(packets: &[Packet<'_>], expected: &str) {
    let mut bench = Bench::new();
    let client = authenticated(&mut bench);
    for packet in packets {
        bench.send(client, packet.clone());
    }
    bench.expect(client, &[expected]);
    assert!(!bench.is_open(client));
}

#[test]
fn auth_out_of_turn_is_a_protocol_error() {
    check_refused(&[auth(ReasonCode::ContinueAuthentication, "x")], "DISCONNECT ProtocolError");
    check_refused(&[auth(ReasonCode::Success, "x")], "DISCONNECT ProtocolError");
    let again = auth(ReasonCode::ReAuthenticate, "x");
    check_refused(&[again.clone(), again.clone()], "DISCONNECT ProtocolError");
    check_refused(&[again, auth(ReasonCode::ContinueAuthentication, "x")], "DISCONNECT ProtocolError");
}

#[test]
fn the_method_stays_that_of_connect() {
    let other = Auth::new(ReasonCode::ReAuthenticate, "SCRAM-SHA-1", None);
    check_refused(&[other.into()], "DISCONNECT BadAuthenticationMethod");
    let mut nameless = Auth::new(ReasonCode::ReAuthenticate, METHOD, None);
    nameless.properties.authentication_method = None;
    check_refused(&[nameless.into()], "DISCONNECT ProtocolError");
}

#[test]
fn auth_needs_a_method_at_connect() {
    let mut bench = Bench::new();
    let client = bench.open(&v5("a"));
    bench.send(client, auth(ReasonCode::ReAuthenticate, "x"));
    bench.expect(client, &["DISCONNECT ProtocolError"]);
    // The codec has no AUTH for earlier versions.
    let mut bytes = vec![];
    let packet = auth(ReasonCode::ReAuthenticate, "x");
    assert!(mooring_protocol::encode(&packet, v311("a", true).version, &mut bytes).is_err());
}
