//! `auth_on_register`.

use std::sync::Arc;

use mooring_auth::webhook::{WebhookConfig, WebhookMethod};
use mooring_auth::{AnonymousPolicy, Authenticators, CertificateAuthenticator, RevokedSet, Rights, system_clock};
use mooring_certs::TrustDomain;
use mooring_core::{Authenticate as _, ConnectAttempt, Identity, Principal, Refusal};
use mooring_protocol::{Connect, ReasonCode, TopicName, Will};
use serde_json::json;

use crate::hooks::{Hooks, Script, ok, says};

struct Door {
    hooks: Hooks,
    rights: Arc<Rights>,
    authenticate: Authenticators,
}

impl Door {
    async fn new(change: impl FnOnce(&mut WebhookConfig)) -> Self {
        let hooks = Hooks::start().await;
        let trust_domain = TrustDomain::default();
        let rights = Arc::new(Rights::new(&trust_domain, AnonymousPolicy::Deny, system_clock()));
        let revoked = Arc::new(RevokedSet::new());
        let certificates = CertificateAuthenticator::new(trust_domain, revoked, Arc::clone(&rights), system_clock());
        let method = WebhookMethod::new(hooks.webhook(change), Arc::clone(&rights));
        let authenticate = Authenticators::new(certificates, vec![Box::new(method)], ["passwords".into()]);
        Self { hooks, rights, authenticate }
    }

    async fn knock(&self) -> Result<Principal, Refusal> {
        self.knock_with(|_| {}).await
    }

    async fn knock_with<'a>(&self, change: impl FnOnce(&mut Connect<'a>)) -> Result<Principal, Refusal> {
        let mut connect = Connect::new("washer");
        (connect.username, connect.password) = (Some("ana"), Some(b"open sesame".as_slice()));
        change(&mut connect);
        let attempt = ConnectAttempt {
            connect: &connect,
            peer_certificate: None,
            address: "192.0.2.1:5000",
            listener: "passwords",
            allow_anonymous: true,
        };
        self.authenticate.authenticate(attempt).await
    }

    #[track_caller]
    fn refused(result: Result<Principal, Refusal>, reason: ReasonCode, says: &str) {
        let refusal = result.expect_err("the CONNECT is refused");
        assert_eq!(refusal.reason, reason, "{}", refusal.why);
        assert!(refusal.why.contains(says), "{}", refusal.why);
    }
}

#[tokio::test]
async fn the_webhook_is_asked_as_vernemq_asks_it() {
    let door = Door::new(|_| {}).await;
    let principal = door.knock().await.unwrap();
    assert_eq!(principal.identity, Identity::new("hook:ana"));
    let expected = json!({
        "peer_addr": "192.0.2.1", "peer_port": 5000, "username": "ana", "password": "open sesame",
        "mountpoint": "", "client_id": "washer", "clean_session": true,
    });
    assert_eq!(door.hooks.take_asked(), [("auth_on_register".to_owned(), expected)]);
}

#[tokio::test]
async fn what_it_says_decides() {
    let door = Door::new(|_| {}).await;
    door.hooks.set(says(r#"{"result": {"error": "not_allowed"}}"#));
    Door::refused(door.knock().await, ReasonCode::BadUserNameOrPassword, "not_allowed");
    door.hooks.set(says(r#"{"result": "next"}"#));
    Door::refused(door.knock().await, ReasonCode::BadUserNameOrPassword, "not known");
    door.hooks.set(says(r#"{"result": "ok", "modifiers": {"max_inflight_messages": 10}}"#));
    assert!(door.knock().await.is_ok());
    door.rights.block(Identity::new("hook:ana"));
    Door::refused(door.knock().await, ReasonCode::BadUserNameOrPassword, "blocked");
}

#[tokio::test]
async fn attack_a_webhook_that_makes_somebody_else_of_a_client() {
    let door = Door::new(|_| {}).await;
    for name in ["client_id", "subscriber_id", "mountpoint", "username"] {
        door.hooks.set(Script::Answer(200, "", format!(r#"{{"result": "ok", "modifiers": {{"{name}": "x"}}}}"#)));
        Door::refused(door.knock().await, ReasonCode::ImplementationSpecificError, name);
    }
}

#[tokio::test]
async fn attack_webhook_down_or_silent_or_babbling() {
    let door = Door::new(|config| config.timeout_ms = 200).await;
    for script in [
        Script::Answer(500, "", r#"{"result": "ok"}"#.to_owned()),
        Script::Answer(302, "location: /elsewhere\r\n", String::new()),
        says("<html>ok</html>"),
        says(&format!(r#"{{"result": "ok", "padding": "{}"}}"#, "x".repeat(100_000))),
        Script::Silent,
        Script::HangUp,
    ] {
        door.hooks.set(script);
        Door::refused(door.knock().await, ReasonCode::ServerUnavailable, "can't be asked");
    }
    let Door { hooks, authenticate, rights } = door;
    hooks.stop().await;
    let door = Door { hooks: Hooks::start().await, authenticate, rights };
    Door::refused(door.knock().await, ReasonCode::ServerUnavailable, "can't be asked");
}

#[tokio::test]
async fn who_fails_too_often_is_left_alone_until_a_probe_succeeds() {
    let door = Door::new(|config| (config.failures_max, config.pause_ms) = (2, 200)).await;
    door.hooks.set(Script::HangUp);
    for _ in 0..2 {
        Door::refused(door.knock().await, ReasonCode::ServerUnavailable, "failed");
    }
    let asked = door.hooks.take_asked().len();
    assert!(asked >= 2);
    door.hooks.set(ok(""));
    Door::refused(door.knock().await, ReasonCode::ServerUnavailable, "too often");
    assert!(door.hooks.take_asked().is_empty());
    while door.knock().await.is_err() {
        tokio::task::yield_now().await;
    }
    assert_eq!(door.hooks.take_asked().len(), 1, "one question was the probe");
    assert!(door.knock().await.is_ok());
}

#[tokio::test]
async fn an_answer_that_allows_is_kept_as_long_as_it_says() {
    let door = Door::new(|_| {}).await;
    door.hooks.set(ok("cache-control: private, max-age=3600\r\n"));
    assert!(door.knock().await.is_ok() && door.knock().await.is_ok());
    assert_eq!(door.hooks.take_asked().len(), 1);
    // Another password is another question.
    door.hooks.set(says(r#"{"result": {"error": "wrong"}}"#));
    let wrong = door.knock_with(|connect| connect.password = Some(b"guess")).await;
    Door::refused(wrong, ReasonCode::BadUserNameOrPassword, "wrong");
    // No denial is kept.
    door.hooks.set(ok(""));
    assert!(door.knock_with(|connect| connect.password = Some(b"guess")).await.is_ok());
}

#[tokio::test]
async fn connections_are_used_again() {
    let door = Door::new(|_| {}).await;
    for _ in 0..10 {
        door.knock().await.unwrap();
    }
    assert_eq!((door.hooks.take_asked().len(), door.hooks.connections()), (10, 1));
}

#[tokio::test]
async fn attack_will_on_a_topic_that_the_webhook_refuses() {
    let door = Door::new(|_| {}).await;
    let will = || Will {
        topic: TopicName::parse("a/will").unwrap(),
        payload: b"gone",
        qos: mooring_protocol::QoS::AtLeastOnce,
        retain: true,
        properties: Default::default(),
    };
    assert!(door.knock_with(|connect| connect.will = Some(will())).await.is_ok());
    let asked = door.hooks.take_asked();
    let expected = json!({"username": "ana", "client_id": "washer", "mountpoint": "", "qos": 1, "topic": "a/will", "retain": true});
    assert_eq!(asked.last(), Some(&("auth_on_publish".to_owned(), expected)));
    // The answer to auth_on_register is the same as that to auth_on_publish here: one that concerns topics allows nothing else.
    door.hooks.set(says(r#"{"result": "ok", "modifiers": {"topic": "another"}}"#));
    let refused = door.knock_with(|connect| connect.will = Some(will())).await;
    Door::refused(refused, ReasonCode::ImplementationSpecificError, "will");
}

#[tokio::test]
async fn what_json_cant_say_is_not_asked() {
    let door = Door::new(|_| {}).await;
    let refused = door.knock_with(|connect| connect.password = Some(b"\xff\xfe")).await;
    Door::refused(refused, ReasonCode::BadUserNameOrPassword, "no text");
    assert!(door.knock_with(|connect| connect.username = Some("")).await.is_err());
    assert!(door.hooks.take_asked().is_empty());
}
