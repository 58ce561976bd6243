//! Answers that allow, for as long as they say.

use std::collections::{HashMap, VecDeque};

use super::answer::HookAnswer;

/// The hash of a hook and what was asked of it.
pub(super) type Key = [u8; 32];

/// A bounded number of answers; the oldest make room.
#[derive(Debug)]
pub(super) struct Cache {
    kept_max: usize,
    answers: HashMap<Key, Kept>,
    /// In the order in which they came, with the number by which a later answer to the same question is told from it.
    order: VecDeque<(Key, u64)>,
    last_number: u64,
}

#[derive(Debug)]
struct Kept {
    answer: HookAnswer,
    until_ms: u64,
    number: u64,
}

impl Cache {
    pub(super) fn new(kept_max: usize) -> Self {
        Self { kept_max, answers: HashMap::new(), order: VecDeque::new(), last_number: 0 }
    }

    /// The answer that was kept, if its time is not over.
    pub(super) fn find(&self, key: &Key, now_ms: u64) -> Option<HookAnswer> {
        self.answers.get(key).filter(|kept| now_ms < kept.until_ms).map(|kept| kept.answer.clone())
    }

    pub(super) fn keep(&mut self, key: Key, answer: HookAnswer, until_ms: u64) {
        self.last_number += 1;
        let number = self.last_number;
        self.answers.insert(key, Kept { answer, until_ms, number });
        self.order.push_back((key, number));
        // Each question that was asked again has left a place behind: twice the room bounds these, too.
        while self.answers.len() > self.kept_max || self.order.len() > 2 * self.kept_max {
            let Some((key, number)) = self.order.pop_front() else { break };
            if self.answers.get(&key).is_some_and(|kept| kept.number == number) {
                self.answers.remove(&key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Cache, HookAnswer, Key};

    fn key(number: u8) -> Key {
        [number; 32]
    }

    #[test]
    fn an_answer_is_kept_until_its_time_is_over() {
        let mut cache = Cache::new(10);
        cache.keep(key(1), HookAnswer::allow(), 1_000);
        assert!(cache.find(&key(1), 999).is_some());
        assert!(cache.find(&key(1), 1_000).is_none());
        assert!(cache.find(&key(2), 0).is_none());
    }

    #[test]
    fn the_oldest_make_room_and_nothing_grows() {
        let mut cache = Cache::new(2);
        for round in 0..100 {
            for number in 1..=3 {
                cache.keep(key(number), HookAnswer::allow(), 1_000 + round);
            }
        }
        assert!(cache.find(&key(1), 0).is_none());
        assert!(cache.find(&key(2), 0).is_some() && cache.find(&key(3), 0).is_some());
        assert!(cache.order.len() <= 4);
    }

    #[test]
    fn none_are_kept_where_there_is_no_room_at_all() {
        let mut cache = Cache::new(0);
        cache.keep(key(1), HookAnswer::allow(), 1_000);
        assert!(cache.find(&key(1), 0).is_none());
    }
}
