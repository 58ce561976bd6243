//! Reading `acl.toml`.

use std::ops::Range;

use mooring_protocol::{ReasonCode, TopicFilterBuf};
use serde::Deserialize;
use toml::Spanned;

use super::pattern::Pattern;
use super::{Action, Effect, RULES_MAX, Rule, RuleSet, RuleWho, Target};
use crate::authenticate::ANONYMOUS;

/// What a rule file says that can't be followed, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {what}")]
pub struct RuleError {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong, in words.
    pub what: String,
}

impl RuleSet {
    /// Reads the text of a rule file: all of it, or nothing.
    ///
    /// # Errors
    /// The first line that is not TOML, has an unknown key, or a value that can't be meant.
    pub fn parse(toml: &str) -> Result<Self, RuleError> {
        let file: RawFile = toml::from_str(toml).map_err(|error| {
            // The parser's text may span lines; its first is the message.
            let what = error.message().lines().next().unwrap_or_default().to_owned();
            RuleError { line: line_of(toml, error.span().unwrap_or_default()), what }
        })?;
        if let Some(extra) = file.rule.get(RULES_MAX) {
            return Err(RuleError { line: line_of(toml, extra.span()), what: format!("more than {RULES_MAX} rules") });
        }
        let rules = file.rule.into_iter().enumerate().map(|(index, raw)| {
            let span = raw.span();
            let name = raw.get_ref().name.clone();
            raw.into_inner()
                .check(name.unwrap_or_else(|| format!("rule {}", index + 1)))
                .map_err(|wrong| RuleError { line: line_of(toml, wrong.span.unwrap_or(span)), what: wrong.what })
        });
        rules.collect::<Result<_, _>>().map(Self)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFile {
    #[serde(default)]
    rule: Vec<Spanned<RawRule>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRule {
    name: Option<String>,
    effect: RawEffect,
    #[serde(default)]
    action: RawAction,
    who: Option<Spanned<String>>,
    topic: Option<Spanned<String>>,
    filter: Option<Spanned<String>>,
    reason: Option<Spanned<u8>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum RawEffect {
    Allow,
    Deny,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "lowercase")]
enum RawAction {
    Publish,
    Subscribe,
    #[default]
    All,
}

/// A value that can't be meant; without a place of its own, it concerns the whole rule.
struct Wrong {
    span: Option<Range<usize>>,
    what: String,
}

impl RawRule {
    fn check(self, name: String) -> Result<Rule, Wrong> {
        let action = match self.action {
            RawAction::Publish => Action::Publish,
            RawAction::Subscribe => Action::Subscribe,
            RawAction::All => Action::All,
        };
        let who = self.who.as_ref().map_or(Ok(RuleWho::Everybody), who)?;
        let target = target(self.topic.as_ref(), self.filter.as_ref(), action)?;
        let effect = effect(&self.effect, self.reason.as_ref())?;
        Ok(Rule { name: name.into(), effect, action, who, target })
    }
}

fn effect(effect: &RawEffect, reason: Option<&Spanned<u8>>) -> Result<Effect, Wrong> {
    match (effect, reason) {
        (RawEffect::Allow, None) => Ok(Effect::Allow),
        (RawEffect::Allow, Some(reason)) => Err(at(reason, "a rule that allows has no reason")),
        (RawEffect::Deny, None) => Ok(Effect::Deny(ReasonCode::NotAuthorized)),
        (RawEffect::Deny, Some(reason)) => match ReasonCode::from_u8(*reason.get_ref()) {
            Some(code) if code.is_error() => Ok(Effect::Deny(code)),
            _ => Err(at(reason, "a reason is a code of MQTT 5.0 of 0x80 or above, as 0x87")),
        },
    }
}

fn who(text: &Spanned<String>) -> Result<RuleWho, Wrong> {
    match text.get_ref().as_str() {
        "everybody" => Ok(RuleWho::Everybody),
        "device" => Ok(RuleWho::Devices),
        "person" => Ok(RuleWho::People),
        "user" => Ok(RuleWho::Users),
        ANONYMOUS => Ok(RuleWho::Anonymous),
        identity if identity.contains(':') => Ok(RuleWho::Identity(identity.into())),
        _ => Err(at(text, "who is everybody, device, person, user, anonymous, or an identity as user:ana")),
    }
}

fn target(topic: Option<&Spanned<String>>, filter: Option<&Spanned<String>>, action: Action) -> Result<Target, Wrong> {
    match (topic, filter) {
        (Some(topic), None) => Pattern::parse(topic.get_ref()).map(Target::Topics).map_err(|what| at(topic, what)),
        (None, Some(filter)) if action != Action::Subscribe => {
            Err(at(filter, "filter goes with action = \"subscribe\""))
        }
        (None, Some(filter)) => {
            TopicFilterBuf::parse(filter.get_ref()).map(Target::Filter).map_err(|error| at(filter, error.to_string()))
        }
        _ => Err(Wrong { span: None, what: "a rule has either a topic or a filter".to_owned() }),
    }
}

fn at<T>(value: &Spanned<T>, what: impl Into<String>) -> Wrong {
    Wrong { span: Some(value.span()), what: what.into() }
}

fn line_of(text: &str, span: Range<usize>) -> usize {
    1 + text.bytes().take(span.start).filter(|byte| *byte == b'\n').count()
}
