//! The operator's rules, from `acl.toml`: what is allowed or denied besides what follows from ownership.
//!
//! ```toml
//! # The first rule that applies decides; what no rule decides follows from ownership, and is denied otherwise.
//! [[rule]]
//! name = "washers-hear-the-laundry"    # said in logs; the rule's number where there is none
//! effect = "allow"                     # or "deny"
//! action = "subscribe"                 # or "publish", or "all", which is the default
//! who = "device"                       # or "person", "user", "anonymous", an identity as "user:ana"; everybody by default
//! topic = "laundry/{device}/#"
//!
//! [[rule]]
//! effect = "deny"
//! topic = "laundry/secret/#"
//! reason = 0x87                        # of a denial, 0x80 and above; 0x87 by default
//! ```
//!
//! `topic` protects topics: an allowing rule applies to a SUBSCRIBE when it contains the whole filter, a denying one as soon as the filter
//! overlaps it, so that a wider filter is no way around it. `filter`, in its place, names one SUBSCRIBE filter as it is written and concerns no
//! other.
//!
//! `{client}`, `{identity}`, `{device}` and `{user}` each stand alone in a level, for the client id, the identity, the id of a device, and the name
//! of a user of the password file. A value with `/`, `+` or `#`, or one that is not known, can't stand for one level: an allowing rule then does
//! not apply, and a denying one applies to every value. A rule with `{device}` concerns devices alone, one with `{user}` those users.

mod parse;
mod pattern;

use std::sync::Arc;

use mooring_protocol::{ReasonCode, TopicFilter, TopicFilterBuf, TopicName};

use crate::authenticate::ANONYMOUS;
use crate::password::USER_PREFIX;
pub use parse::RuleError;
use pattern::Pattern;

/// The most rules of a set: each new topic of each client is compared with them one after the other.
pub const RULES_MAX: usize = 1_000;

/// The rules of an operator, in their order.
#[derive(Debug, Clone, Default)]
pub struct RuleSet(Vec<Rule>);

/// One of them.
#[derive(Debug, Clone)]
pub(crate) struct Rule {
    pub(crate) name: Arc<str>,
    pub(crate) effect: Effect,
    action: Action,
    who: RuleWho,
    target: Target,
}

/// What a rule does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effect {
    Allow,
    /// With this reason code on the wire.
    Deny(ReasonCode),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    Publish,
    Subscribe,
    All,
}

/// Whom a rule concerns.
#[derive(Debug, Clone, PartialEq, Eq)]
enum RuleWho {
    Everybody,
    Devices,
    /// Whoever has a name and is not a device.
    People,
    /// Whoever is of the password file.
    Users,
    Anonymous,
    Identity(Box<str>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Target {
    Topics(Pattern),
    /// One SUBSCRIBE filter, as it is written.
    Filter(TopicFilterBuf),
}

/// Who asks, as the patterns of rules see it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Subject<'a> {
    pub(crate) identity: &'a str,
    /// None where it is not known.
    pub(crate) client: Option<&'a str>,
    /// None for whoever is not a device.
    pub(crate) device: Option<&'a str>,
}

/// What is asked. Filters come without `$share/NAME/`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asked<'a> {
    Publish(TopicName<'a>),
    Subscribe(TopicFilter<'a>),
}

impl<'a> Subject<'a> {
    /// The name of a user of the password file.
    fn user(&self) -> Option<&'a str> {
        self.identity.strip_prefix(USER_PREFIX)
    }
}

impl RuleSet {
    /// The first rule that applies.
    pub(crate) fn first_match(&self, subject: &Subject<'_>, asked: Asked<'_>) -> Option<&Rule> {
        self.0.iter().find(|rule| rule.applies(subject, asked))
    }

    /// How many rules there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl RuleSet {
    /// The rules that say something of this topic to somebody, in their order: a place stands for any value.
    #[must_use]
    pub fn concerning(&self, topic: TopicName<'_>) -> Vec<RuleNote> {
        self.0.iter().filter(|rule| rule.target.is_about(topic)).map(Rule::note).collect()
    }
}

/// A rule in words, for an operator's listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleNote {
    /// Its name.
    pub name: Arc<str>,
    /// `allow` or `deny`.
    pub effect: &'static str,
    /// `publish`, `subscribe` or `all`.
    pub action: &'static str,
    /// Whom it concerns.
    pub who: String,
    /// Its topic or filter, as it is written.
    pub target: String,
}

impl Target {
    fn is_about(&self, topic: TopicName<'_>) -> bool {
        match self {
            Self::Topics(pattern) => pattern.with_any_value().is_some_and(|filter| filter.matches(topic)),
            Self::Filter(filter) => filter.as_filter().inner().matches(topic),
        }
    }
}

impl Rule {
    fn note(&self) -> RuleNote {
        RuleNote {
            name: Arc::clone(&self.name),
            effect: match self.effect {
                Effect::Allow => "allow",
                Effect::Deny(_) => "deny",
            },
            action: match self.action {
                Action::Publish => "publish",
                Action::Subscribe => "subscribe",
                Action::All => "all",
            },
            who: match &self.who {
                RuleWho::Everybody => "everybody".to_owned(),
                RuleWho::Devices => "device".to_owned(),
                RuleWho::People => "person".to_owned(),
                RuleWho::Users => "user".to_owned(),
                RuleWho::Anonymous => ANONYMOUS.to_owned(),
                RuleWho::Identity(identity) => identity.to_string(),
            },
            target: match &self.target {
                Target::Topics(pattern) => pattern.to_string(),
                Target::Filter(filter) => filter.as_str().to_owned(),
            },
        }
    }

    fn applies(&self, subject: &Subject<'_>, asked: Asked<'_>) -> bool {
        self.action.includes(asked) && self.who.includes(subject) && self.concerns(subject, asked)
    }

    fn concerns(&self, subject: &Subject<'_>, asked: Asked<'_>) -> bool {
        let denies = matches!(self.effect, Effect::Deny(_));
        match (&self.target, asked) {
            (Target::Filter(wanted), Asked::Subscribe(filter)) => wanted.as_filter() == filter,
            (Target::Filter(_), Asked::Publish(_)) => false,
            (Target::Topics(pattern), _) => {
                let Some(topics) = pattern.fill(subject, denies) else { return false };
                match asked {
                    Asked::Publish(topic) => topics.matches(topic),
                    Asked::Subscribe(filter) if denies => topics.overlaps(filter),
                    Asked::Subscribe(filter) => topics.contains(filter),
                }
            }
        }
    }
}

impl Action {
    fn includes(self, asked: Asked<'_>) -> bool {
        match asked {
            Asked::Publish(_) => self != Self::Subscribe,
            Asked::Subscribe(_) => self != Self::Publish,
        }
    }
}

impl RuleWho {
    fn includes(&self, subject: &Subject<'_>) -> bool {
        match self {
            Self::Everybody => true,
            Self::Devices => subject.device.is_some(),
            Self::People => subject.device.is_none() && subject.identity != ANONYMOUS,
            Self::Users => subject.user().is_some(),
            Self::Anonymous => subject.identity == ANONYMOUS,
            Self::Identity(identity) => **identity == *subject.identity,
        }
    }
}

impl<'a> Asked<'a> {
    pub(crate) fn text(self) -> &'a str {
        match self {
            Self::Publish(topic) => topic.as_str(),
            Self::Subscribe(filter) => filter.as_str(),
        }
    }

    pub(crate) fn is_below_sys(self) -> bool {
        self.text().split('/').next() == Some("$SYS")
    }

    pub(crate) fn publishes_below_sys(self) -> bool {
        matches!(self, Self::Publish(_)) && self.is_below_sys()
    }
}
