//! What was published: the model that receivers check against.

use std::collections::BTreeMap;
use std::sync::Mutex;

/// For each topic, how many times each of its messages was sent; messages are numbered from 0 in the order of their first sending.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    topics: Mutex<BTreeMap<String, Vec<u32>>>,
}

impl Ledger {
    /// Notes that a message is about to be sent, once more or for the first time.
    pub(crate) fn note_sent(&self, topic: &str, number: u64) {
        let mut topics = self.topics.lock().unwrap();
        let sent = topics.entry(topic.to_owned()).or_default();
        let index = usize::try_from(number).unwrap();
        if index == sent.len() {
            sent.push(0);
        }
        sent[index] += 1;
    }

    /// How many times a message was sent at most.
    pub(crate) fn times_sent(&self, topic: &str, number: u64) -> u32 {
        let topics = self.topics.lock().unwrap();
        topics.get(topic).and_then(|sent| sent.get(usize::try_from(number).unwrap())).copied().unwrap_or(0)
    }

    /// How many messages each topic has.
    pub(crate) fn totals(&self) -> Vec<(String, u64)> {
        self.topics.lock().unwrap().iter().map(|(topic, sent)| (topic.clone(), sent.len() as u64)).collect()
    }
}

/// The payload of a numbered message, with something behind it to fill the disk.
pub(crate) fn payload(number: u64, filling: usize) -> Vec<u8> {
    let mut payload = format!("{number} ").into_bytes();
    payload.resize(payload.len() + filling, b'.');
    payload
}

/// The number in a payload.
pub(crate) fn number_in(payload: &[u8]) -> u64 {
    let digits = payload.split(|byte| *byte == b' ').next().unwrap();
    std::str::from_utf8(digits).unwrap().parse().unwrap()
}
