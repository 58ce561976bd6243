//! Families that have ended while their access tokens may still be alive.
//!
//! An access token is good by its signature alone, so what takes it back has to be known here: a set in memory, which the database fills every half
//! second and this process at once.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

use time::{Duration, OffsetDateTime};
use tokio::sync::broadcast;
use uuid::Uuid;

/// Ends that a slow listener may fall behind; then it is told that it has missed some.
const LISTENER_LAG_MAX: usize = 1024;

pub(crate) struct EndedFamilies {
    /// Each until its last access token has expired; none before the database was asked for the first time.
    ended: RwLock<Option<HashMap<Uuid, OffsetDateTime>>>,
    /// What has ended before the first answer of the database.
    listeners: broadcast::Sender<Uuid>,
    remembered_for: Duration,
}

impl EndedFamilies {
    pub(crate) fn new(access_token_lifetime: Duration) -> Self {
        // A clock of another process may be behind.
        let remembered_for = access_token_lifetime + Duration::minutes(5);
        Self { ended: RwLock::default(), listeners: broadcast::channel(LISTENER_LAG_MAX).0, remembered_for }
    }

    /// How far back the database has to be asked.
    pub(crate) fn since(&self, now: OffsetDateTime) -> OffsetDateTime {
        now - self.remembered_for
    }

    /// Takes over what the database says; the new ones are told to listeners.
    pub(crate) fn extend(&self, families: &[Uuid], now: OffsetDateTime) {
        let mut ended = self.ended.write().unwrap_or_else(PoisonError::into_inner);
        let ended = ended.get_or_insert_default();
        ended.retain(|_, until| *until > now);
        for family in families {
            if ended.insert(*family, now + self.remembered_for).is_none() {
                // Nobody may be listening.
                let _ = self.listeners.send(*family);
            }
        }
    }

    /// A family that this process has ended. Before the first answer of the database nothing is good anyway, and that answer has it.
    pub(crate) fn add(&self, families: &[Uuid], now: OffsetDateTime) {
        let is_loaded = self.ended.read().unwrap_or_else(PoisonError::into_inner).is_some();
        if is_loaded {
            self.extend(families, now);
        }
    }

    /// Whether a family has ended; none when that can't be known yet.
    pub(crate) fn contains(&self, family: Uuid) -> Option<bool> {
        let ended = self.ended.read().unwrap_or_else(PoisonError::into_inner);
        ended.as_ref().map(|ended| ended.contains_key(&family))
    }

    pub(crate) fn listen(&self) -> broadcast::Receiver<Uuid> {
        self.listeners.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    #[test]
    fn an_end_is_told_once_and_remembered_as_long_as_a_token_lives() {
        let (now, family) = (datetime!(2026-03-01 12:00 UTC), Uuid::now_v7());
        let ended = EndedFamilies::new(Duration::minutes(10));
        let mut listener = ended.listen();
        ended.add(&[family], now);
        assert_eq!(ended.contains(family), None, "nothing is known before the database has answered");
        ended.extend(&[family], now);
        ended.extend(&[family], now);
        ended.add(&[family], now);
        assert_eq!(ended.contains(family), Some(true));
        assert_eq!(listener.try_recv(), Ok(family));
        assert!(listener.try_recv().is_err());
        ended.extend(&[], now + Duration::minutes(14));
        assert_eq!(ended.contains(family), Some(true));
        ended.extend(&[], now + Duration::minutes(15));
        assert_eq!(ended.contains(family), Some(false));
    }
}
