//! What the webhook is asked, in VerneMQ's words.

use std::net::SocketAddr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use mooring_core::{ConnectAttempt, Permit, Question, Verdict};
use mooring_protocol::{QoS, ReasonCode};
use ring::digest;
use serde::Serialize;
use serde_json::Value;

use super::Outcome;
use super::answer::{HookAnswer, TopicAnswer};
use super::cache::Key;

/// One question.
#[derive(Debug)]
pub(super) struct Call {
    /// The hook, as the header names it.
    pub(super) hook: &'static str,
    /// What the same question has in common.
    pub(super) key: Key,
    pub(super) body: Bytes,
}

#[derive(Serialize)]
struct Register<'a> {
    peer_addr: &'a str,
    peer_port: u16,
    username: &'a str,
    password: Option<&'a str>,
    mountpoint: &'static str,
    client_id: &'a str,
    clean_session: bool,
}

#[derive(Serialize)]
struct PublishBody<'a> {
    username: &'a str,
    client_id: &'a str,
    mountpoint: &'static str,
    qos: u8,
    topic: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<String>,
    retain: bool,
}

#[derive(Serialize)]
struct SubscribeBody<'a> {
    client_id: &'a str,
    mountpoint: &'static str,
    username: &'a str,
    topics: Vec<TopicBody<'a>>,
}

#[derive(Serialize)]
struct TopicBody<'a> {
    topic: &'a str,
    qos: u8,
}

impl Call {
    /// May this client come in? `None` when the password is no text: JSON has no other.
    pub(super) fn register(attempt: &ConnectAttempt<'_>, username: &str) -> Option<Self> {
        let password = attempt.connect.password.map(std::str::from_utf8).transpose().ok()?;
        let peer = attempt.address.parse::<SocketAddr>().ok();
        let address = peer.map_or_else(|| attempt.address.to_owned(), |peer| peer.ip().to_string());
        let mut body = Register {
            peer_addr: &address,
            // A port tells nobody from anybody: it is no part of what the same question has in common.
            peer_port: 0,
            username,
            password,
            mountpoint: "",
            client_id: attempt.connect.client_id,
            clean_session: attempt.connect.clean_start,
        };
        let key = key_of("auth_on_register", &body);
        body.peer_port = peer.map_or(0, |peer| peer.port());
        Some(Self { hook: "auth_on_register", key, body: json(&body) })
    }

    /// May this client do what its packet asks for?
    pub(super) fn packet(client_id: &str, username: &str, question: &Question<'_>, sends_payload: bool) -> Self {
        match *question {
            Question::Publish { topic, qos, retain, payload } => {
                let qos = qos as u8;
                let mut body = PublishBody {
                    username,
                    client_id,
                    mountpoint: "",
                    qos,
                    topic: topic.as_str(),
                    payload: None,
                    retain,
                };
                let key = key_of("auth_on_publish", &body);
                body.payload = sends_payload.then(|| STANDARD.encode(payload));
                Self { hook: "auth_on_publish", key, body: json(&body) }
            }
            Question::Subscribe(filters) => {
                let topics = filters.iter().map(|(filter, qos)| TopicBody { topic: filter.as_str(), qos: *qos as u8 });
                let body = SubscribeBody { client_id, mountpoint: "", username, topics: topics.collect() };
                Self { hook: "auth_on_subscribe", key: key_of("auth_on_subscribe", &body), body: json(&body) }
            }
        }
    }
}

fn json(body: &impl Serialize) -> Bytes {
    // Texts, numbers and booleans can always be written.
    serde_json::to_vec(body).unwrap_or_default().into()
}

fn key_of(hook: &str, body: &impl Serialize) -> Key {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(hook.as_bytes());
    context.update(&[0]);
    context.update(&json(body));
    let mut key = [0; 32];
    key.copy_from_slice(context.finish().as_ref());
    key
}

/// What an answer gives to each thing that a packet asks for.
pub(super) fn permits(question: &Question<'_>, outcome: &Outcome) -> Vec<Permit> {
    match *question {
        Question::Publish { topic, qos, retain, .. } => {
            let verdict = match outcome {
                Ok(HookAnswer::Ok { modifiers, .. }) => {
                    let is_same = |name: &str, value: &Value| match name {
                        "topic" => value == topic.as_str(),
                        "qos" => *value == qos as u8,
                        "retain" => *value == retain,
                        _ => false,
                    };
                    if modifiers.iter().all(|(name, value)| is_same(name, value)) {
                        allow()
                    } else {
                        deny(
                            ReasonCode::ImplementationSpecificError,
                            "webhook: it wants another message, and messages are not rewritten here",
                        )
                    }
                }
                other => refusal(other),
            };
            vec![Permit { verdict, qos_max: qos }]
        }
        Question::Subscribe(filters) => {
            let each = filters.iter().enumerate().map(|(at, (filter, qos))| match outcome {
                Ok(HookAnswer::Ok { topics: None, .. }) => Permit { verdict: allow(), qos_max: *qos },
                Ok(HookAnswer::Ok { topics: Some(topics), .. }) => subscription(filter.as_str(), topics.get(at)),
                other => Permit { verdict: refusal(other), qos_max: QoS::AtMostOnce },
            });
            each.collect()
        }
    }
}

fn subscription(filter: &str, answer: Option<&TopicAnswer>) -> Permit {
    let verdict = match answer {
        Some(answer) if answer.topic != filter => deny(
            ReasonCode::ImplementationSpecificError,
            "webhook: it wants another filter, and filters are not rewritten here",
        ),
        Some(answer) => match QoS::try_from(answer.qos) {
            Ok(qos_max) => return Permit { verdict: allow(), qos_max },
            Err(_) => deny(suback_reason(answer.qos), "webhook: this filter is not allowed"),
        },
        None => deny(ReasonCode::NotAuthorized, "webhook: it said nothing of this filter"),
    };
    Permit { verdict, qos_max: QoS::AtMostOnce }
}

/// The reason that the webhook names, as far as SUBACK may say it. [MQTT-3.9.3-2]
fn suback_reason(code: u8) -> ReasonCode {
    match ReasonCode::from_u8(code) {
        Some(
            reason @ (ReasonCode::UnspecifiedError
            | ReasonCode::ImplementationSpecificError
            | ReasonCode::TopicFilterInvalid
            | ReasonCode::QuotaExceeded),
        ) => reason,
        _ => ReasonCode::NotAuthorized,
    }
}

fn refusal(outcome: &Outcome) -> Verdict {
    match outcome {
        Err(why) => deny(ReasonCode::ImplementationSpecificError, &format!("webhook: {}", why.0)),
        Ok(HookAnswer::Error(error)) => deny(ReasonCode::NotAuthorized, &format!("webhook: {error}")),
        Ok(HookAnswer::Next) => {
            deny(ReasonCode::NotAuthorized, "webhook: it leaves that to others, and there are none")
        }
        Ok(HookAnswer::Ok { .. }) => allow(),
    }
}

pub(super) fn allow() -> Verdict {
    Verdict { allow: true, reason: ReasonCode::Success, rule: "webhook".into() }
}

pub(super) fn deny(reason: ReasonCode, rule: &str) -> Verdict {
    Verdict { allow: false, reason, rule: rule.into() }
}
