//! `auth_on_publish` and `auth_on_subscribe`.

use std::sync::Arc;

use mooring_auth::webhook::{WebhookConfig, WithWebhook};
use mooring_auth::{AnonymousPolicy, Rights, RuleSet, system_clock};
use mooring_certs::TrustDomain;
use mooring_core::{Access as _, Asked, Identity, Permit, Principal, Question};
use mooring_protocol::{QoS, ReasonCode, TopicFilter, TopicName};
use serde_json::json;

use crate::hooks::{Hooks, Script, ok, says};

struct Case {
    hooks: Hooks,
    rights: Arc<Rights>,
    access: WithWebhook,
    ana: Principal,
}

impl Case {
    async fn new(change: impl FnOnce(&mut WebhookConfig)) -> Self {
        let hooks = Hooks::start().await;
        let rights = Arc::new(Rights::new(&TrustDomain::default(), AnonymousPolicy::Deny, system_clock()));
        let access = WithWebhook::new(Arc::clone(&rights), hooks.webhook(change));
        let ana = Principal {
            identity: Identity::new("hook:ana"),
            client_id: Some("washer".into()),
            certificate_serial: None,
            presence_topic: None,
            address: "192.0.2.1:5000".into(),
            listener: "passwords".into(),
        };
        assert!(access.is_asked_elsewhere(&ana));
        Self { hooks, rights, access, ana }
    }

    async fn ask(&self, question: Question<'_>) -> Vec<Permit> {
        match self.access.ask(&self.ana, &question) {
            Asked::Known(permits) => permits,
            Asked::Later(answering) => answering.await,
        }
    }

    async fn publish(&self, topic: &str) -> Permit {
        self.publish_with(topic, false).await
    }

    async fn publish_with(&self, topic: &str, retain: bool) -> Permit {
        let topic = TopicName::parse(topic).unwrap();
        let permits = self.ask(Question::Publish { topic, qos: QoS::AtLeastOnce, retain, payload: b"hello" }).await;
        assert_eq!(permits.len(), 1);
        permits.into_iter().next().unwrap()
    }

    /// What each filter is granted: a QoS, or the reason of a refusal.
    async fn subscribe(&self, filters: &[&str]) -> Vec<u8> {
        let filters: Vec<_> =
            filters.iter().map(|filter| (TopicFilter::parse(filter).unwrap(), QoS::ExactlyOnce)).collect();
        let permits = self.ask(Question::Subscribe(&filters)).await;
        let said =
            |permit: &Permit| if permit.verdict.allow { permit.qos_max as u8 } else { permit.verdict.reason as u8 };
        permits.iter().map(said).collect()
    }
}

#[tokio::test]
async fn a_publish_is_asked_about_as_vernemq_asks() {
    let case = Case::new(|config| config.sends_payload = true).await;
    assert!(case.publish("a/b").await.verdict.allow);
    let expected = json!({
        "username": "ana", "client_id": "washer", "mountpoint": "", "qos": 1, "topic": "a/b",
        "payload": "aGVsbG8=", "retain": false,
    });
    assert_eq!(case.hooks.take_asked(), [("auth_on_publish".to_owned(), expected)]);
    // Without a word on how long, an answer is for one packet.
    assert!(case.publish("a/b").await.verdict.allow);
    assert_eq!(case.hooks.take_asked().len(), 1);
}

#[tokio::test]
async fn filters_of_a_subscribe_are_asked_about_together_and_answered_one_by_one() {
    let case = Case::new(|_| {}).await;
    assert_eq!(case.subscribe(&["a/b", "c/#"]).await, [2, 2]);
    let topics = json!([{"topic": "a/b", "qos": 2}, {"topic": "c/#", "qos": 2}]);
    let expected = json!({"client_id": "washer", "mountpoint": "", "username": "ana", "topics": topics});
    assert_eq!(case.hooks.take_asked(), [("auth_on_subscribe".to_owned(), expected)]);
    case.hooks.set(says(
        r#"{"result": "ok", "topics": [{"topic": "a", "qos": 1}, {"topic": "b", "qos": 128}, {"topic": "c", "qos": 135}, {"topic": "d", "qos": 3}]}"#,
    ));
    assert_eq!(case.subscribe(&["a", "b", "c", "d", "e"]).await, [1, 0x80, 0x87, 0x87, 0x87]);
    case.hooks.set(says(r#"{"result": {"error": "no"}}"#));
    assert_eq!(case.subscribe(&["a", "b"]).await, [0x87, 0x87]);
}

#[tokio::test]
async fn attack_a_webhook_that_puts_another_filter_or_message_in_its_place() {
    let case = Case::new(|_| {}).await;
    case.hooks.set(says(r##"{"result": "ok", "topics": [{"topic": "#", "qos": 1}]}"##));
    assert_eq!(case.subscribe(&["a"]).await, [0x83]);
    for modifiers in
        [r#"{"topic": "b"}"#, r#"{"payload": "x"}"#, r#"{"qos": 2}"#, r#"{"retain": true}"#, r#"{"mountpoint": "x"}"#]
    {
        case.hooks.set(says(&format!(r#"{{"result": "ok", "modifiers": {modifiers}}}"#)));
        let permit = case.publish("a").await;
        assert_eq!((permit.verdict.allow, permit.verdict.reason), (false, ReasonCode::ImplementationSpecificError));
    }
    case.hooks.set(says(r#"{"result": "ok", "modifiers": {"topic": "a", "qos": 1, "retain": false}}"#));
    assert!(case.publish("a").await.verdict.allow);
}

#[tokio::test]
async fn an_answer_that_is_kept_is_for_the_same_question_alone() {
    let case = Case::new(|_| {}).await;
    case.hooks.set(ok("cache-control: max-age=3600\r\n"));
    assert!(case.publish("a").await.verdict.allow);
    case.hooks.set(says(r#"{"result": {"error": "no"}}"#));
    assert!(case.publish("a").await.verdict.allow);
    assert!(!case.publish("b").await.verdict.allow, "another topic");
    assert!(!case.publish_with("a", true).await.verdict.allow, "a retained message");
    let mut other = case.ana.clone();
    other.client_id = Some("dryer".into());
    let topic = TopicName::parse("a").unwrap();
    let question = Question::Publish { topic, qos: QoS::AtLeastOnce, retain: false, payload: b"" };
    assert!(matches!(case.access.ask(&other, &question), Asked::Later(_)), "another client");
}

#[tokio::test]
async fn attack_webhook_down_while_clients_are_in() {
    let case = Case::new(|config| config.timeout_ms = 200).await;
    for script in
        [Script::HangUp, Script::Silent, Script::Answer(503, "", r#"{"result": "ok"}"#.to_owned()), says("{}")]
    {
        case.hooks.set(script);
        assert_eq!(case.publish("a").await.verdict.reason, ReasonCode::ImplementationSpecificError);
        assert_eq!(case.subscribe(&["a"]).await, [0x83]);
    }
}

#[tokio::test]
async fn a_rule_or_a_block_goes_before_the_webhook() {
    let case = Case::new(|_| {}).await;
    let rules = r#"
        [[rule]]
        name = "secret"
        effect = "deny"
        topic = "secret/#"
        [[rule]]
        name = "public"
        effect = "allow"
        topic = "public/#"
    "#;
    case.rights.set_rules(RuleSet::parse(rules).unwrap());
    assert_eq!(&*case.publish("secret/x").await.verdict.rule, "secret");
    assert_eq!(&*case.publish("public/x").await.verdict.rule, "public");
    assert!(!case.publish("$SYS/x").await.verdict.allow);
    assert!(case.hooks.take_asked().is_empty());
    // Of several filters, those that are decided stay so.
    case.hooks.set(says(r#"{"result": {"error": "no"}}"#));
    assert_eq!(case.subscribe(&["public/x", "#", "other"]).await, [2, 0x87, 0x87]);
    case.hooks.set(ok(""));
    assert_eq!(case.subscribe(&["public/x", "#", "other"]).await, [2, 0x87, 2]);
    case.rights.block(case.ana.identity.clone());
    assert!(!case.publish("public/x").await.verdict.allow);
    let filter = TopicFilter::parse("other").unwrap();
    assert!(!case.access.keep(&case.ana, filter).allow, "a subscription that was granted ends with the block");
}

#[tokio::test]
async fn who_is_not_the_webhooks_has_the_rights_of_everybody_else() {
    let case = Case::new(|_| {}).await;
    let mut other = case.ana.clone();
    for identity in ["user:ana", "anonymous", "spiffe://mooring.local/device/01890a5d-ac96-774b-bcce-b302099a8057"] {
        other.identity = Identity::new(identity);
        assert!(!case.access.is_asked_elsewhere(&other));
        assert!(!case.access.publish(&other, TopicName::parse("a").unwrap()).allow);
    }
    assert!(!case.access.publish(&case.ana, TopicName::parse("a").unwrap()).allow, "unasked, nothing");
    assert!(case.hooks.take_asked().is_empty());
}
