//! The payload of a message: most are small, and those lie in the message itself.

use std::fmt;
use std::ops::Deref;

/// As much as fits one line of the processor's cache more than a reference would take.
const INLINE_BYTES_MAX: usize = 79;

/// The bytes of a payload, never changed.
#[derive(Clone)]
pub struct Payload(Place);

#[derive(Clone)]
enum Place {
    Inline(u8, [u8; INLINE_BYTES_MAX]),
    Heap(Box<[u8]>),
}

impl Deref for Payload {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.0 {
            Place::Inline(length, bytes) => bytes.get(..usize::from(*length)).unwrap_or_default(),
            Place::Heap(bytes) => bytes,
        }
    }
}

impl From<&[u8]> for Payload {
    fn from(payload: &[u8]) -> Self {
        let mut bytes = [0; INLINE_BYTES_MAX];
        match (u8::try_from(payload.len()), bytes.get_mut(..payload.len())) {
            (Ok(length), Some(inline)) => {
                inline.copy_from_slice(payload);
                Self(Place::Inline(length, bytes))
            }
            _ => Self(Place::Heap(payload.into())),
        }
    }
}

impl<const LENGTH: usize> From<&[u8; LENGTH]> for Payload {
    fn from(payload: &[u8; LENGTH]) -> Self {
        Self::from(payload.as_slice())
    }
}

impl From<Box<[u8]>> for Payload {
    fn from(payload: Box<[u8]>) -> Self {
        if payload.len() > INLINE_BYTES_MAX { Self(Place::Heap(payload)) } else { Self::from(&*payload) }
    }
}

impl From<Vec<u8>> for Payload {
    fn from(payload: Vec<u8>) -> Self {
        Self::from(payload.into_boxed_slice())
    }
}

impl AsRef<[u8]> for Payload {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl PartialEq for Payload {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for Payload {}

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_bytes_that_it_was_made_of_whatever_their_number() {
        for length in (0..=300).chain([65_536]) {
            let bytes: Vec<u8> = (0..length).map(|place: usize| place.to_le_bytes()[0]).collect();
            assert_eq!(*Payload::from(bytes.as_slice()), *bytes, "{length}");
            assert_eq!(Payload::from(bytes.clone()), Payload::from(bytes.clone().into_boxed_slice()), "{length}");
        }
    }
}
