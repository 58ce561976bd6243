//! What was decided lately, so that another rule file can be tried on it.
//!
//! The same decision is noted once, with how often and when; a topic whose verdict a connection remembers is not noted again. When there is no
//! more room, new ones are counted and left out.

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hashbrown::HashTable;
use mooring_core::{Identity, Principal, Verdict};
use serde::{Deserialize, Serialize};

use crate::rules::Asked;

/// Parts with a lock each: threads of clients seldom wait for each other.
const PARTS: usize = 16;

/// One decision, as often as it was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Decision {
    /// Who asked.
    pub identity: Box<str>,
    /// With which client id.
    pub client_id: Option<Box<str>>,
    /// For what.
    pub action: DecidedAction,
    /// The topic, or filter.
    pub topic: Box<str>,
    /// The last verdict.
    pub allow: bool,
    /// The rule that it followed from.
    pub rule: Box<str>,
    /// When it was asked first, in milliseconds since the Unix epoch.
    pub first_unix_ms: u64,
    /// When it was asked last.
    pub last_unix_ms: u64,
    /// How often.
    pub count: u64,
}

/// What was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DecidedAction {
    /// PUBLISH, or a will.
    Publish,
    /// SUBSCRIBE.
    Subscribe,
}

/// The decisions of a while, bounded in number.
#[derive(Debug)]
pub struct DecisionJournal {
    parts: [Mutex<Part>; PARTS],
    part_max: usize,
    left_out: AtomicU64,
    /// Keyed at random: nobody outside can make a part, or a place in it, crowded.
    hasher: RandomState,
}

/// Boxed: a table has room for up to twice as many as are in it.
type Part = HashTable<Box<Noted>>;

/// Like [`Decision`], with what clients share shared.
#[derive(Debug)]
struct Noted {
    identity: Identity,
    client_id: Option<Arc<str>>,
    action: DecidedAction,
    topic: Box<str>,
    allow: bool,
    rule: Arc<str>,
    first_unix_ms: u64,
    last_unix_ms: u64,
    count: u64,
}

impl DecisionJournal {
    /// With room for so many decisions.
    #[must_use]
    pub fn new(decisions_max: usize) -> Self {
        Self {
            parts: Default::default(),
            part_max: decisions_max.div_ceil(PARTS),
            left_out: AtomicU64::new(0),
            hasher: RandomState::new(),
        }
    }

    /// Notes a decision. Known ones cost a lock and a look-up.
    pub(crate) fn note(&self, who: &Principal, asked: Asked<'_>, verdict: &Verdict, now_unix_ms: u64) {
        let action = match asked {
            Asked::Publish(_) => DecidedAction::Publish,
            Asked::Subscribe(_) => DecidedAction::Subscribe,
        };
        let what = (who.identity.as_str(), who.client_id.as_deref(), action, asked.text());
        let hash = self.hasher.hash_one(what);
        let mut part = self.part(hash);
        if let Some(noted) = part.find_mut(hash, |noted| noted.what() == what) {
            noted.last_unix_ms = now_unix_ms;
            noted.count += 1;
            if noted.allow != verdict.allow || noted.rule != verdict.rule {
                (noted.allow, noted.rule) = (verdict.allow, Arc::clone(&verdict.rule));
            }
            return;
        }
        if part.len() >= self.part_max {
            self.left_out.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let noted = Box::new(Noted {
            identity: who.identity.clone(),
            client_id: who.client_id.clone(),
            action,
            topic: asked.text().into(),
            allow: verdict.allow,
            rule: Arc::clone(&verdict.rule),
            first_unix_ms: now_unix_ms,
            last_unix_ms: now_unix_ms,
            count: 1,
        });
        part.insert_unique(hash, noted, |noted| self.hasher.hash_one(noted.what()));
    }

    /// Takes decisions back that were noted before a start; where there is no more room they are left out.
    pub fn restore(&self, decisions: impl IntoIterator<Item = Decision>) {
        for Decision { identity, client_id, action, topic, allow, rule, first_unix_ms, last_unix_ms, count } in
            decisions
        {
            let (identity, client_id, rule) = (Identity::new(&identity), client_id.map(Into::into), rule.into());
            let noted = Noted { identity, client_id, action, topic, allow, rule, first_unix_ms, last_unix_ms, count };
            let hash = self.hasher.hash_one(noted.what());
            let mut part = self.part(hash);
            if let Some(known) = part.find_mut(hash, |known| known.what() == noted.what()) {
                **known = noted;
            } else if part.len() < self.part_max {
                part.insert_unique(hash, Box::new(noted), |noted| self.hasher.hash_one(noted.what()));
            }
        }
    }

    /// Forgets what was asked last before this, and gives the rest, the oldest first.
    #[must_use]
    pub fn since(&self, unix_ms: u64) -> Vec<Decision> {
        let mut decisions = Vec::new();
        for part in &self.parts {
            let mut part = part.lock().unwrap_or_else(PoisonError::into_inner);
            part.retain(|noted| noted.last_unix_ms >= unix_ms);
            decisions.extend(part.iter().map(|noted| noted.to_decision()));
        }
        decisions.sort_by(|one, other| (one.first_unix_ms, &one.topic).cmp(&(other.first_unix_ms, &other.topic)));
        decisions
    }

    /// How many were left out for want of room since this was asked last.
    pub fn take_left_out(&self) -> u64 {
        self.left_out.swap(0, Ordering::Relaxed)
    }

    fn part(&self, hash: u64) -> MutexGuard<'_, Part> {
        let [first, ..] = &self.parts;
        // Bits in the middle: those at both ends choose the place in the table.
        let at = usize::try_from(hash >> 32).unwrap_or_default() % PARTS;
        self.parts.get(at).unwrap_or(first).lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Noted {
    /// What makes it another decision than the others.
    fn what(&self) -> (&str, Option<&str>, DecidedAction, &str) {
        (self.identity.as_str(), self.client_id.as_deref(), self.action, &self.topic)
    }

    fn to_decision(&self) -> Decision {
        Decision {
            identity: self.identity.as_str().into(),
            client_id: self.client_id.as_deref().map(Into::into),
            action: self.action,
            topic: self.topic.clone(),
            allow: self.allow,
            rule: (&*self.rule).into(),
            first_unix_ms: self.first_unix_ms,
            last_unix_ms: self.last_unix_ms,
            count: self.count,
        }
    }
}

#[cfg(test)]
mod tests {
    use mooring_protocol::{ReasonCode, TopicName};

    use super::*;

    fn note(journal: &DecisionJournal, identity: &str, topic: &str, allow: bool, now_unix_ms: u64) {
        let who = Principal {
            identity: Identity::new(identity),
            client_id: Some("c".into()),
            certificate_serial: None,
            presence_topic: None,
            address: "".into(),
            listener: "".into(),
        };
        let reason = if allow { ReasonCode::Success } else { ReasonCode::NotAuthorized };
        let verdict = Verdict { allow, reason, rule: "r".into() };
        journal.note(&who, Asked::Publish(TopicName::parse(topic).unwrap()), &verdict, now_unix_ms);
    }

    #[test]
    fn the_same_decision_is_noted_once() {
        let journal = DecisionJournal::new(100);
        note(&journal, "user:ana", "a", true, 1);
        note(&journal, "user:ana", "a", false, 5);
        note(&journal, "user:ana", "b", true, 3);
        note(&journal, "user:eve", "a", true, 4);
        let decisions = journal.since(0);
        assert_eq!(decisions.len(), 3);
        let Decision { first_unix_ms, last_unix_ms, count, allow, .. } = decisions[0];
        assert_eq!((first_unix_ms, last_unix_ms, count, allow), (1, 5, 2, false), "the last verdict counts");
    }

    #[test]
    fn what_is_older_is_forgotten_and_the_rest_comes_back() {
        let journal = DecisionJournal::new(100);
        note(&journal, "user:ana", "old", true, 1);
        note(&journal, "user:ana", "new", true, 10);
        let kept = journal.since(5);
        assert_eq!(kept.iter().map(|decision| &*decision.topic).collect::<Vec<_>>(), ["new"]);
        let again = DecisionJournal::new(100);
        again.restore(kept.clone());
        assert_eq!(again.since(0), kept);
        note(&again, "user:ana", "new", true, 11);
        assert_eq!(again.since(0)[0].count, 2);
    }

    #[test]
    fn room_is_bounded_and_what_is_left_out_is_counted() {
        let journal = DecisionJournal::new(32);
        for number in 0..1_000 {
            note(&journal, "user:ana", &format!("t/{number}"), true, number);
        }
        let kept = journal.since(0).len();
        assert!(kept <= 32, "{kept}");
        assert_eq!(journal.take_left_out(), 1_000 - kept as u64);
        assert_eq!(journal.take_left_out(), 0);
    }
}
