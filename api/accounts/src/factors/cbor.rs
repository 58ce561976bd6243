//! As much of CBOR (RFC 8949) as authenticators send: definite lengths, and no more depth than an attestation has.

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Cbor<'a> {
    Int(i64),
    Bytes(&'a [u8]),
    Text(&'a str),
    Array(Vec<Self>),
    Map(Vec<(Self, Self)>),
    /// `false`, `true`, `null` and their like.
    Simple(u8),
}

/// The deepest nesting: an attestation object holds a statement, which holds a list of certificates.
const DEPTH_MAX: u8 = 4;

impl<'a> Cbor<'a> {
    /// Reads one value, and gives what stands behind it.
    pub(super) fn parse(bytes: &'a [u8]) -> Option<(Self, &'a [u8])> {
        Self::parse_within(bytes, DEPTH_MAX)
    }

    fn parse_within(bytes: &'a [u8], depth: u8) -> Option<(Self, &'a [u8])> {
        let (major, argument, rest) = head(bytes)?;
        match major {
            0 => Some((Self::Int(i64::try_from(argument).ok()?), rest)),
            1 => Some((Self::Int(-1 - i64::try_from(argument).ok()?), rest)),
            2 => {
                let (content, rest) = rest.split_at_checked(usize::try_from(argument).ok()?)?;
                Some((Self::Bytes(content), rest))
            }
            3 => {
                let (content, rest) = rest.split_at_checked(usize::try_from(argument).ok()?)?;
                Some((Self::Text(std::str::from_utf8(content).ok()?), rest))
            }
            4 => {
                let (mut items, mut rest) = (Vec::new(), rest);
                for _ in 0..count(argument, rest)? {
                    let (item, after) = Self::parse_within(rest, depth.checked_sub(1)?)?;
                    items.push(item);
                    rest = after;
                }
                Some((Self::Array(items), rest))
            }
            5 => {
                let (mut entries, mut rest) = (Vec::new(), rest);
                for _ in 0..count(argument, rest)? {
                    let (key, after) = Self::parse_within(rest, depth.checked_sub(1)?)?;
                    let (value, after) = Self::parse_within(after, depth.checked_sub(1)?)?;
                    if entries.iter().any(|(known, _)| *known == key) {
                        return None;
                    }
                    entries.push((key, value));
                    rest = after;
                }
                Some((Self::Map(entries), rest))
            }
            7 => Some((Self::Simple(u8::try_from(argument).ok()?), rest)),
            _ => None,
        }
    }

    /// The value of a map's key.
    pub(super) fn entry(&self, key: &Cbor<'_>) -> Option<&Self> {
        match self {
            Self::Map(entries) => entries.iter().find(|(known, _)| known == key).map(|(_, value)| value),
            _ => None,
        }
    }

    pub(super) fn int(&self, key: i64) -> Option<i64> {
        match self.entry(&Cbor::Int(key))? {
            Self::Int(value) => Some(*value),
            _ => None,
        }
    }

    pub(super) fn bytes(&self, key: i64) -> Option<&'a [u8]> {
        match self.entry(&Cbor::Int(key))? {
            Self::Bytes(value) => Some(value),
            _ => None,
        }
    }
}

/// How many items follow: each takes at least one byte, so that a length that lies costs nothing.
fn count(argument: u64, rest: &[u8]) -> Option<usize> {
    usize::try_from(argument).ok().filter(|count| *count <= rest.len())
}

/// Major type and argument (RFC 8949, 3).
fn head(bytes: &[u8]) -> Option<(u8, u64, &[u8])> {
    let (first, rest) = bytes.split_first()?;
    let (major, short) = (first >> 5, first & 31);
    let (argument, rest) = match short {
        0..=23 => (u64::from(short), rest),
        24 => rest.split_first().map(|(byte, rest)| (u64::from(*byte), rest))?,
        25 => rest.split_first_chunk().map(|(bytes, rest)| (u64::from(u16::from_be_bytes(*bytes)), rest))?,
        26 => rest.split_first_chunk().map(|(bytes, rest)| (u64::from(u32::from_be_bytes(*bytes)), rest))?,
        27 => rest.split_first_chunk().map(|(bytes, rest)| (u64::from_be_bytes(*bytes), rest))?,
        _ => return None,
    };
    Some((major, argument, rest))
}

#[cfg(test)]
mod tests {
    use super::Cbor;

    #[test]
    fn values_of_the_standard_are_read() {
        // RFC 8949, appendix A.
        for (bytes, value) in [
            (&[0x18, 0x64][..], Cbor::Int(100)),
            (&[0x20], Cbor::Int(-1)),
            (&[0x39, 0x03, 0xe7], Cbor::Int(-1000)),
            (&[0x44, 1, 2, 3, 4], Cbor::Bytes(&[1, 2, 3, 4])),
            (&[0x64, b'I', b'E', b'T', b'F'], Cbor::Text("IETF")),
            (&[0x82, 1, 2], Cbor::Array(vec![Cbor::Int(1), Cbor::Int(2)])),
            (&[0xa1, 1, 2], Cbor::Map(vec![(Cbor::Int(1), Cbor::Int(2))])),
            (&[0xf5], Cbor::Simple(21)),
        ] {
            assert_eq!(Cbor::parse(bytes), Some((value, &[][..])), "{bytes:x?}");
        }
    }

    #[test]
    fn attack_lengths_that_lie_depth_and_double_keys_are_refused() {
        for bytes in [
            &[0x5b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff][..],
            &[0x9b, 0, 0, 0, 1, 0, 0, 0, 0],
            &[0xbf, 0xff],
            &[0x5f],
            &[0xa2, 1, 2, 1, 3],
            &[0x81; 64],
            &[0x62, 0xff, 0xff],
            &[0xc0, 0],
            &[],
        ] {
            assert_eq!(Cbor::parse(bytes), None, "{bytes:x?}");
        }
    }
}
