//! The entries of one queue, in order of their sequence: as compact as a list, since there may be millions.

use std::collections::VecDeque;

use crate::queue::QueueEntry;

/// A list grows by a quarter of its length from here on: twice as much as it needs is a lot when it is long.
const GROWS_BY_QUARTERS_FROM: usize = 64;

/// A sorted list. Nearly everything is added at its back and removed at its front; what is removed elsewhere leaves a gap until it gets there, or until
/// there are more gaps than entries.
#[derive(Clone, Debug, Default)]
pub(crate) struct Entries {
    slots: VecDeque<(u64, Option<QueueEntry>)>,
    /// Slots with an entry.
    count: usize,
}

const _: () = assert!(size_of::<(u64, Option<QueueEntry>)>() <= 32, "an entry is as small as its overhead says");

impl Entries {
    /// Adds an entry; gives back what had its place.
    pub(crate) fn insert(&mut self, sequence: u64, entry: QueueEntry) -> Option<QueueEntry> {
        let place = match self.slots.back() {
            Some((last, _)) if *last >= sequence => match self.place_of(sequence) {
                Ok(place) => {
                    let before = self.slots.get_mut(place).and_then(|(_, slot)| slot.replace(entry));
                    self.count += usize::from(before.is_none());
                    return before;
                }
                Err(place) => place,
            },
            _ => self.slots.len(),
        };
        let length = self.slots.len();
        if length == self.slots.capacity() && length >= GROWS_BY_QUARTERS_FROM {
            self.slots.reserve_exact(length / 4);
        }
        self.slots.insert(place, (sequence, Some(entry)));
        self.count += 1;
        None
    }

    pub(crate) fn get(&self, sequence: u64) -> Option<&QueueEntry> {
        let place = self.place_of(sequence).ok()?;
        self.slots.get(place)?.1.as_ref()
    }

    pub(crate) fn get_mut(&mut self, sequence: u64) -> Option<&mut QueueEntry> {
        let place = self.place_of(sequence).ok()?;
        self.slots.get_mut(place)?.1.as_mut()
    }

    pub(crate) fn remove(&mut self, sequence: u64) -> Option<QueueEntry> {
        let place = self.place_of(sequence).ok()?;
        let removed = self.slots.get_mut(place)?.1.take()?;
        self.count -= 1;
        while self.slots.pop_front_if(|(_, entry)| entry.is_none()).is_some() {}
        while self.slots.pop_back_if(|(_, entry)| entry.is_none()).is_some() {}
        self.give_back();
        Some(removed)
    }

    /// The entries with their sequences, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u64, &QueueEntry)> {
        self.slots.iter().filter_map(|(sequence, entry)| Some((*sequence, entry.as_ref()?)))
    }

    /// Gives back room when most of it is gaps, or empty.
    fn give_back(&mut self) {
        let needed = self.count.max(GROWS_BY_QUARTERS_FROM);
        if self.slots.len() > 2 * needed {
            self.slots.retain(|(_, entry)| entry.is_some());
        }
        if self.count == 0 {
            self.slots = VecDeque::new();
        } else if self.slots.capacity() > 4 * needed {
            self.slots.shrink_to(2 * self.slots.len());
        }
    }

    fn place_of(&self, sequence: u64) -> Result<usize, usize> {
        // Nearly always there is no gap, and the place is the distance from the front.
        let near = self.slots.front().and_then(|(first, _)| usize::try_from(sequence.checked_sub(*first)?).ok());
        match near.and_then(|near| Some((near, self.slots.get(near)?.0))) {
            Some((near, found)) if found == sequence => Ok(near),
            _ => self.slots.binary_search_by_key(&sequence, |(sequence, _)| *sequence),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use mooring_core::message::MessageId;
    use mooring_protocol::QoS;
    use proptest::prelude::*;

    use super::*;

    fn entry(number: u64) -> QueueEntry {
        let delivery = mooring_core::record::Delivery {
            session: mooring_core::SessionId(1),
            sequence: 0,
            qos: QoS::AtLeastOnce,
            retain: false,
            subscription_identifiers: Vec::new(),
        };
        QueueEntry::of(MessageId(number), &delivery)
    }

    proptest! {
        /// It is a map, whatever the order of what happens to it.
        #[test]
        fn it_does_as_a_map_does(steps in proptest::collection::vec((0..300_u64, 0..3_u8), 0..1500)) {
            let (mut entries, mut map) = (Entries::default(), BTreeMap::new());
            for (number, (sequence, what)) in (0..).zip(steps) {
                match what {
                    0 => prop_assert_eq!(entries.remove(sequence), map.remove(&sequence)),
                    1 => prop_assert_eq!(entries.insert(sequence, entry(number)), map.insert(sequence, entry(number))),
                    _ => prop_assert_eq!(entries.get(sequence), map.get(&sequence)),
                }
                prop_assert_eq!(entries.count, map.len());
            }
            let found: Vec<_> = entries.iter().map(|(sequence, entry)| (sequence, entry.clone())).collect();
            prop_assert_eq!(found, map.into_iter().collect::<Vec<_>>());
        }
    }

    #[test]
    fn gaps_and_empty_room_are_given_back() {
        let mut entries = Entries::default();
        (0..100_000).for_each(|sequence| drop(entries.insert(sequence, entry(sequence))));
        assert!(entries.slots.capacity() < 130_000);
        // The first and the last stay.
        (1..99_999).for_each(|sequence| drop(entries.remove(sequence)));
        assert_eq!(entries.iter().count(), 2);
        assert!(entries.slots.capacity() <= 4 * GROWS_BY_QUARTERS_FROM, "{}", entries.slots.capacity());
    }
}
