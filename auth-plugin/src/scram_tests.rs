//! The exchange of RFC 7677, section 3, and what departs from it.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use mooring_certs::TrustDomain;

use super::*;
use crate::clock::system_clock;
use crate::rights::AnonymousPolicy;

const NAME: &str = "user";
const PASSWORD: &str = "pencil";
const FIRST: &str = "n,,n=user,r=rOprNGfwEbeRWgbNEkqO";
const CHALLENGE: &str = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
const FINAL: &str =
    "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
const VERIFIER: &str = "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";

fn credential() -> ScramCredential {
    let salt = STANDARD.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
    ScramCredential::derive(PASSWORD, &salt, NonZeroU32::new(4096).unwrap())
}

fn users() -> Arc<ScramUsers> {
    Arc::new(ScramUsers::parse(&format!("# people\n\n{NAME}:{}\n", credential())).unwrap())
}

fn rights() -> Arc<Rights> {
    Arc::new(Rights::new(&TrustDomain::parse("test.local").unwrap(), AnonymousPolicy::Deny, system_clock()))
}

fn scram() -> Scram {
    Scram {
        users: users(),
        rights: rights(),
        address: "192.0.2.1:1".into(),
        listener: "mqtts".into(),
        nonce: || Some("%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0".to_owned()),
        asked: None,
    }
}

fn step(exchange: &mut Scram, message: &str) -> ExchangeStep {
    match pin!(exchange.step(Some(message.as_bytes()))).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(step) => step,
        Poll::Pending => panic!("it waits for nothing"),
    }
}

fn challenge(step: ExchangeStep) -> String {
    match step {
        ExchangeStep::Continue(data) => String::from_utf8(data.into()).unwrap(),
        other => panic!("{other:?}"),
    }
}

fn is_refused(step: &ExchangeStep) -> bool {
    matches!(step, ExchangeStep::Refuse(Refusal { reason: ReasonCode::NotAuthorized, .. }))
}

#[test]
fn the_exchange_of_the_rfc() {
    let mut exchange = scram();
    assert_eq!(challenge(step(&mut exchange, FIRST)), CHALLENGE);
    match step(&mut exchange, FINAL) {
        ExchangeStep::Done { principal, data } => {
            assert_eq!(principal.identity.as_str(), "user:user");
            assert_eq!(data.as_deref(), Some(VERIFIER.as_bytes()));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_wrong_proof_is_refused() {
    let mut exchange = scram();
    step(&mut exchange, FIRST);
    assert!(is_refused(&step(&mut exchange, &FINAL.replace("p=dH", "p=dI"))));
}

#[test]
fn another_nonce_or_binding_is_refused() {
    for (from, to) in [("c=biws", "c=eSws"), ("k0,p=", "k1,p="), ("c=biws,", ""), (",p=", ",q=")] {
        let mut exchange = scram();
        step(&mut exchange, FIRST);
        assert!(is_refused(&step(&mut exchange, &FINAL.replace(from, to))), "{from}");
    }
}

#[test]
fn a_first_message_that_asks_for_more_is_refused() {
    for message in [
        "",
        "n",
        "p=tls-unique,,n=user,r=x",
        "n,a=other,n=user,r=x",
        "n,,m=1,n=user,r=x",
        "n,,n=,r=x",
        "n,,n=user,r=",
        "n,,n=a=b,r=x",
    ] {
        assert!(is_refused(&step(&mut scram(), message)), "{message:?}");
    }
}

#[test]
fn an_unknown_user_is_told_apart_by_nothing() {
    let first = "n,,n=nobody,r=rOprNGfwEbeRWgbNEkqO";
    let told = challenge(step(&mut scram(), first));
    assert_eq!(told, challenge(step(&mut scram(), first)), "the same at each try, and after a restart");
    assert_eq!(told.len(), CHALLENGE.len());
    assert_ne!(told, challenge(step(&mut scram(), "n,,n=nobodyelse,r=rOprNGfwEbeRWgbNEkqO")));
    let mut exchange = scram();
    step(&mut exchange, first);
    assert!(is_refused(&step(&mut exchange, FINAL)));
}

#[test]
fn a_blocked_user_is_refused_with_the_right_password() {
    let mut exchange = scram();
    exchange.rights.block(Identity::new("user:user"));
    step(&mut exchange, FIRST);
    assert!(is_refused(&step(&mut exchange, FINAL)));
}

#[test]
fn names_are_unescaped() {
    assert_eq!(unescape("a=2Cb=3Dc").as_deref(), Some("a,b=c"));
    assert_eq!(unescape("plain").as_deref(), Some("plain"));
    assert_eq!(unescape("a=2cb"), None);
}

#[test]
fn credentials_are_written_as_they_are_read() {
    let credential = ScramCredential::generate("secret").unwrap();
    assert_eq!(ScramCredential::parse(&credential.to_string()), Some(credential));
}

#[test]
fn a_file_says_where_it_is_wrong_and_leaves_what_was() {
    let users = users();
    let twice = format!("a:{0}\na:{0}", credential());
    for (text, line) in [("name", 1), ("# x\nname:secret", 2), (twice.as_str(), 2), (":x", 1)] {
        assert_eq!(users.replace(text).unwrap_err().line, line, "{text}");
    }
    assert!(users.find(NAME).1);
    assert_eq!(users.replace("").unwrap(), [Identity::new("user:user")]);
    assert!(!users.find(NAME).1);
}
