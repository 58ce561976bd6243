//! QoS 2 messages that were received and not released, by packet id.

use std::collections::VecDeque;

use mooring_protocol::PacketId;

/// A QoS 2 message that was received and not released.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Received {
    /// The connection on which it counts against the receive maximum.
    pub(crate) epoch: u64,
    /// The record and the other shards that PUBREC waits for.
    pub(crate) recorded: u64,
    pub(crate) token: u64,
}

/// Sorted by packet id. Clients count upwards and release in the same order, so that one end grows and the other shrinks, and nothing is moved.
#[derive(Debug, Default)]
pub(crate) struct ReceivedIds {
    ids: VecDeque<(PacketId, Received)>,
}

impl ReceivedIds {
    pub(crate) fn get_mut(&mut self, id: PacketId) -> Option<&mut Received> {
        let place = self.find(id).ok()?;
        self.ids.get_mut(place).map(|(_, received)| received)
    }

    /// Adds an id, or replaces what is known of it.
    pub(crate) fn insert(&mut self, id: PacketId, received: Received) {
        match self.find(id) {
            Ok(place) => {
                if let Some(known) = self.ids.get_mut(place) {
                    known.1 = received;
                }
            }
            Err(place) => self.ids.insert(place, (id, received)),
        }
    }

    pub(crate) fn remove(&mut self, id: PacketId) -> Option<Received> {
        let place = self.find(id).ok()?;
        let (_, received) = self.ids.remove(place)?;
        if self.ids.is_empty() && self.ids.capacity() > KEPT_MAX {
            self.ids = VecDeque::new();
        }
        Some(received)
    }

    fn find(&self, id: PacketId) -> Result<usize, usize> {
        // The next id is mostly the greatest, and the next to be released the least.
        match (self.ids.front(), self.ids.back()) {
            (_, None) => Err(0),
            (_, Some((last, _))) if *last < id => Err(self.ids.len()),
            (Some((first, _)), _) if *first == id => Ok(0),
            _ => self.ids.binary_search_by_key(&id, |(known, _)| *known),
        }
    }
}

/// An empty list keeps this much room, so that one message after the other does not allocate.
const KEPT_MAX: usize = 4;

impl FromIterator<(PacketId, Received)> for ReceivedIds {
    fn from_iter<I: IntoIterator<Item = (PacketId, Received)>>(ids: I) -> Self {
        let mut all = Self::default();
        ids.into_iter().for_each(|(id, received)| all.insert(id, received));
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn received(epoch: u64) -> Received {
        Received { epoch, recorded: 0, token: 0 }
    }

    /// Whether the ids that are inserted and removed (negative) in this order leave those behind.
    fn check(steps: &[i32], left: &[u16]) {
        let mut ids = ReceivedIds::default();
        for step in steps {
            let id = PacketId::new(u16::try_from(step.abs()).unwrap()).unwrap();
            if *step > 0 {
                ids.insert(id, received(u64::from(id.get())));
            } else {
                assert_eq!(ids.remove(id).map(|known| known.epoch), Some(u64::from(id.get())), "{steps:?}");
            }
        }
        let known: Vec<u16> = ids.ids.iter().map(|(id, _)| id.get()).collect();
        assert_eq!(known, left, "{steps:?}");
        for id in left {
            let found = ids.get_mut(PacketId::new(*id).unwrap()).map(|known| known.epoch);
            assert_eq!(found, Some(u64::from(*id)), "{steps:?}");
        }
    }

    #[test]
    fn ids_are_found_in_whatever_order_they_come_and_go() {
        check(&[1, 2, 3, -1, -2], &[3]);
        check(&[65_534, 65_535, 1, 2, -65_534], &[1, 2, 65_535]);
        check(&[9, 4, 7, 1, -7, 8], &[1, 4, 8, 9]);
        check(&[5, -5], &[]);
        check(&[5, 5, 6, 5], &[5, 6]);
    }

    #[test]
    fn an_id_that_is_not_there_is_not_found() {
        let mut ids: ReceivedIds = [(PacketId::new(7).unwrap(), received(1))].into_iter().collect();
        for id in [1, 6, 8, 65_535] {
            let id = PacketId::new(id).unwrap();
            assert!(ids.get_mut(id).is_none() && ids.remove(id).is_none());
        }
    }
}
