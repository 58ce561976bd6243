//! A table whose places are numbers: what is removed leaves its place to the next that comes. It grows by a piece at a time, so that nothing is moved
//! and no room is taken twice, however many values there are.

/// The number that names nothing.
pub(crate) const NONE: u32 = u32::MAX;

/// The places of one piece: a power of two.
const PIECE: usize = 64;

/// Values at numbered places.
#[derive(Debug)]
pub(crate) struct Slab<T> {
    /// All but the last are full.
    pieces: Vec<Vec<Option<T>>>,
    free: Vec<u32>,
}

impl<T> Slab<T> {
    pub(crate) const fn new() -> Self {
        Self { pieces: Vec::new(), free: Vec::new() }
    }

    /// Puts a value somewhere and says where.
    pub(crate) fn insert(&mut self, value: T) -> u32 {
        if let Some(place) = self.free.pop()
            && let Some(slot) = self.slot(place)
        {
            *slot = Some(value);
            return place;
        }
        let place = u32::try_from(self.places()).unwrap_or(NONE);
        match self.pieces.last_mut().filter(|piece| piece.len() < PIECE) {
            Some(piece) => piece.push(Some(value)),
            None => {
                let mut piece = Vec::with_capacity(PIECE);
                piece.push(Some(value));
                self.pieces.push(piece);
            }
        }
        place
    }

    pub(crate) fn get(&self, place: u32) -> Option<&T> {
        let place = place as usize;
        self.pieces.get(place / PIECE)?.get(place % PIECE)?.as_ref()
    }

    pub(crate) fn get_mut(&mut self, place: u32) -> Option<&mut T> {
        self.slot(place)?.as_mut()
    }

    pub(crate) fn remove(&mut self, place: u32) -> Option<T> {
        let value = self.slot(place)?.take()?;
        self.free.push(place);
        Some(value)
    }

    pub(crate) fn len(&self) -> usize {
        self.places() - self.free.len()
    }

    /// Every value with its place, in the order of the places.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        let slots = self.pieces.iter().flatten();
        (0_u32..).zip(slots).filter_map(|(place, slot)| slot.as_ref().map(|value| (place, value)))
    }

    fn slot(&mut self, place: u32) -> Option<&mut Option<T>> {
        let place = place as usize;
        self.pieces.get_mut(place / PIECE)?.get_mut(place % PIECE)
    }

    /// All of them, free or not.
    fn places(&self) -> usize {
        self.pieces.last().map_or(0, |last| (self.pieces.len() - 1) * PIECE + last.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_used_again_and_keep_their_order_over_pieces() {
        let mut slab = Slab::new();
        let count = u32::try_from(3 * PIECE + 1).unwrap();
        for value in 0..count {
            assert_eq!(slab.insert(value), value);
        }
        let taken = [5, 64, count - 1];
        for place in taken {
            assert_eq!(slab.remove(place), Some(place));
            assert_eq!((slab.remove(place), slab.get(place)), (None, None));
        }
        assert_eq!(slab.len(), count as usize - taken.len());
        assert!(slab.iter().all(|(place, value)| place == *value && !taken.contains(&place)));
        for place in taken.into_iter().rev() {
            assert_eq!(slab.insert(place), place);
        }
        assert_eq!(slab.insert(count), count);
        assert_eq!(slab.iter().map(|(_, value)| *value).collect::<Vec<_>>(), (0..=count).collect::<Vec<_>>());
    }
}
