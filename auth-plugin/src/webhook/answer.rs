//! What the webhook answers.

use serde::Deserialize;
use serde_json::{Map, Value};

/// An answer of any of the hooks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum HookAnswer {
    /// Yes.
    Ok {
        /// What it wants to be different.
        modifiers: Map<String, Value>,
        /// Of `auth_on_subscribe`: what each filter is given, in the order of the question.
        topics: Option<Vec<TopicAnswer>>,
    },
    /// It leaves that to others.
    Next,
    /// No, and why.
    Error(String),
}

/// What a filter is given.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct TopicAnswer {
    pub(super) topic: String,
    /// 0 to 2, or the reason code of a refusal from 128 on.
    pub(super) qos: u8,
}

#[derive(Deserialize)]
struct Raw {
    result: RawResult,
    #[serde(default)]
    modifiers: Value,
    /// Where the hooks of MQTT 3 have it; those of 5.0 have it among the modifiers.
    topics: Option<Vec<TopicAnswer>>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum RawResult {
    Word(String),
    Error { error: Value },
}

impl HookAnswer {
    /// Reads a body; the error says what is wrong with it, and repeats nothing of it.
    pub(super) fn parse(body: &[u8]) -> Result<Self, String> {
        let raw: Raw =
            serde_json::from_slice(body).map_err(|error| format!("its answer is not understood: {error}"))?;
        match raw.result {
            RawResult::Word(word) if word == "ok" => {
                let mut modifiers = match raw.modifiers {
                    Value::Null => Map::new(),
                    Value::Object(modifiers) => modifiers,
                    Value::Array(none) if none.is_empty() => Map::new(),
                    _ => return Err("its modifiers are no object".to_owned()),
                };
                let topics = match (raw.topics, modifiers.remove("topics")) {
                    (None, Some(topics)) => {
                        let topics = serde_json::from_value(topics);
                        Some(topics.map_err(|error| format!("its topics are not understood: {error}"))?)
                    }
                    (topics, _) => topics,
                };
                Ok(Self::Ok { modifiers, topics })
            }
            RawResult::Word(word) if word == "next" => Ok(Self::Next),
            RawResult::Word(_) => Err("its result is neither ok, next nor an error".to_owned()),
            RawResult::Error { error: Value::String(error) } => Ok(Self::Error(error)),
            RawResult::Error { error } => Ok(Self::Error(error.to_string())),
        }
    }

    #[cfg(test)]
    pub(super) fn allow() -> Self {
        Self::Ok { modifiers: Map::new(), topics: None }
    }
}

#[cfg(test)]
mod tests {
    use super::{HookAnswer, TopicAnswer};

    #[test]
    fn answers_as_the_documentation_has_them() {
        assert_eq!(HookAnswer::parse(br#"{"result": "ok"}"#), Ok(HookAnswer::allow()));
        assert_eq!(HookAnswer::parse(br#"{"result": "ok", "modifiers": []}"#), Ok(HookAnswer::allow()));
        assert_eq!(HookAnswer::parse(br#"{"result": "next"}"#), Ok(HookAnswer::Next));
        let error = HookAnswer::Error("not_allowed".to_owned());
        assert_eq!(HookAnswer::parse(br#"{"result": {"error": "not_allowed"}}"#), Ok(error));
        let topics = Some(vec![TopicAnswer { topic: "a/b".to_owned(), qos: 128 }]);
        for body in [
            r#"{"result": "ok", "topics": [{"topic": "a/b", "qos": 128}]}"#,
            r#"{"result": "ok", "modifiers": {"topics": [{"topic": "a/b", "qos": 128}]}}"#,
        ] {
            let expected = HookAnswer::Ok { modifiers: serde_json::Map::new(), topics: topics.clone() };
            assert_eq!(HookAnswer::parse(body.as_bytes()), Ok(expected), "{body}");
        }
    }

    #[test]
    fn whatever_else_it_says_is_no_answer() {
        for body in [
            "",
            "ok",
            "{}",
            "[]",
            r#"{"result": "OK"}"#,
            r#"{"result": true}"#,
            r#"{"result": {}}"#,
            r#"{"result": ["ok"]}"#,
            r#"{"result": "ok", "modifiers": 7}"#,
            r#"{"result": "ok", "topics": [{"topic": "a", "qos": 256}]}"#,
            r#"{"result": "ok", "topics": [{"topic": "a", "qos": -1}]}"#,
            r#"{"result": "ok", "topics": "a"}"#,
            "{\"result\": \"ok\"} trailing",
        ] {
            assert!(HookAnswer::parse(body.as_bytes()).is_err(), "{body}");
        }
    }
}
