//! A reader of DER (X.690) for what peers send: no allocation, no recursion, every error says where.

use std::fmt;

pub(crate) const BOOLEAN: u8 = 0x01;
pub(crate) const INTEGER: u8 = 0x02;
pub(crate) const BIT_STRING: u8 = 0x03;
pub(crate) const OCTET_STRING: u8 = 0x04;
pub(crate) const OID: u8 = 0x06;
pub(crate) const UTC_TIME: u8 = 0x17;
pub(crate) const GENERALIZED_TIME: u8 = 0x18;
pub(crate) const SEQUENCE: u8 = 0x30;

/// Bytes that are not what they should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("at byte {at_byte}: expected {expected}")]
pub struct DerError {
    /// Where, from 0, in the DER.
    pub at_byte: usize,
    /// What should stand there.
    pub expected: &'static str,
}

/// A cursor over the values of one level.
#[derive(Debug, Clone)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
    at_byte: usize,
}

/// One value: its tag, its content, and all of its bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Value<'a> {
    pub(crate) tag: u8,
    pub(crate) content: &'a [u8],
    /// Tag, length and content.
    pub(crate) whole: &'a [u8],
    content_at_byte: usize,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(der: &'a [u8]) -> Self {
        Self { rest: der, at_byte: 0 }
    }

    /// The next value, which must have this tag.
    pub(crate) fn take(&mut self, tag: u8, expected: &'static str) -> Result<Value<'a>, DerError> {
        match self.take_if(tag, expected)? {
            Some(value) => Ok(value),
            None => Err(self.error(expected)),
        }
    }

    /// The next value when it has this tag.
    pub(crate) fn take_if(&mut self, tag: u8, expected: &'static str) -> Result<Option<Value<'a>>, DerError> {
        if self.rest.first() == Some(&tag) { self.take_any(expected).map(Some) } else { Ok(None) }
    }

    /// The next value, whatever it is.
    pub(crate) fn take_any(&mut self, expected: &'static str) -> Result<Value<'a>, DerError> {
        let (tag, header_bytes, content_bytes) = header(self.rest).ok_or_else(|| self.error(expected))?;
        let whole_bytes = header_bytes.checked_add(content_bytes).ok_or_else(|| self.error(expected))?;
        let (whole, rest) = self.rest.split_at_checked(whole_bytes).ok_or_else(|| self.error(expected))?;
        let (_, content) = whole.split_at_checked(header_bytes).ok_or_else(|| self.error(expected))?;
        let content_at_byte = self.at_byte + header_bytes;
        self.rest = rest;
        self.at_byte += whole_bytes;
        Ok(Value { tag, content, whole, content_at_byte })
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// That nothing follows.
    pub(crate) fn end(&self, expected: &'static str) -> Result<(), DerError> {
        if self.is_empty() { Ok(()) } else { Err(self.error(expected)) }
    }

    pub(crate) fn error(&self, expected: &'static str) -> DerError {
        DerError { at_byte: self.at_byte, expected }
    }
}

impl<'a> Value<'a> {
    /// A reader of the values inside.
    pub(crate) fn inside(&self) -> Reader<'a> {
        Reader { rest: self.content, at_byte: self.content_at_byte }
    }

    pub(crate) fn error(&self, expected: &'static str) -> DerError {
        DerError { at_byte: self.content_at_byte, expected }
    }

    /// The bytes of a BIT STRING that has no unused bits.
    pub(crate) fn bits(&self, expected: &'static str) -> Result<&'a [u8], DerError> {
        match self.content.split_first() {
            Some((0, bits)) => Ok(bits),
            _ => Err(self.error(expected)),
        }
    }

    /// The magnitude of an INTEGER that is positive and in its shortest form (X.690, 8.3.2).
    pub(crate) fn positive(&self, expected: &'static str) -> Result<&'a [u8], DerError> {
        match self.content {
            [0, magnitude @ ..] if magnitude.first() >= Some(&0x80) => Ok(magnitude),
            [0x01..=0x7f, ..] => Ok(self.content),
            _ => Err(self.error(expected)),
        }
    }
}

/// Tag, bytes of the header, and bytes of the content. Only what DER allows: low tags, definite lengths in the
/// shortest form (X.690, 10.1), of at most 4 octets.
fn header(bytes: &[u8]) -> Option<(u8, usize, usize)> {
    let (&tag, rest) = bytes.split_first()?;
    let (&first, rest) = rest.split_first()?;
    if tag & 0x1f == 0x1f {
        return None;
    }
    if first < 0x80 {
        return Some((tag, 2, usize::from(first)));
    }
    let octets = usize::from(first & 0x7f);
    let length = rest.get(..octets)?;
    if !(1..=4).contains(&octets) || length.first() == Some(&0) {
        return None;
    }
    let content_bytes = length.iter().fold(0_usize, |sum, &octet| sum << 8 | usize::from(octet));
    (content_bytes >= 0x80).then_some((tag, 2 + octets, content_bytes))
}

/// An object identifier, in dotted form when shown.
pub(crate) struct Dotted<'a>(pub(crate) &'a [u8]);

impl fmt::Display for Dotted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut arc: u64 = 0;
        let mut first = true;
        for &octet in self.0 {
            arc = arc.wrapping_shl(7) | u64::from(octet & 0x7f);
            if octet & 0x80 != 0 {
                continue;
            }
            if first {
                let root = (arc / 40).min(2);
                write!(f, "{root}.{}", arc - 40 * root)?;
            } else {
                write!(f, ".{arc}")?;
            }
            first = false;
            arc = 0;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_definite_and_in_their_shortest_form() {
        fn check(header: &[u8], content_bytes: Option<usize>) {
            let bytes = [header, &vec![0; content_bytes.unwrap_or(0x300)]].concat();
            let taken = Reader::new(&bytes).take_any("a value").ok().map(|value| value.content.len());
            assert_eq!(taken, content_bytes, "{header:02x?}");
        }
        check(&[0x04, 0x00], Some(0));
        check(&[0x04, 0x7f], Some(0x7f));
        check(&[0x04, 0x81, 0x80], Some(0x80));
        check(&[0x04, 0x82, 0x01, 0x00], Some(0x100));
        check(&[0x04, 0x81, 0x7f], None);
        check(&[0x04, 0x82, 0x00, 0x80], None);
        check(&[0x04, 0x80], None);
        check(&[0x04, 0x85, 0x01, 0x00, 0x00, 0x00, 0x00], None);
        check(&[0x04, 0x84, 0xff, 0xff, 0xff, 0xff], None);
        check(&[0x04, 0xff], None);
        // Tags of more than one octet are in nothing that is read here.
        check(&[0x1f, 0x01, 0x00], None);
    }

    #[test]
    fn positive_integers_are_in_their_shortest_form() {
        fn check(content: &[u8], magnitude: Option<&[u8]>) {
            let bytes = [&[INTEGER, content.len() as u8], content].concat();
            let value = Reader::new(&bytes).take(INTEGER, "an integer").expect("an integer");
            assert_eq!(value.positive("positive").ok(), magnitude, "{content:02x?}");
        }
        check(&[0x01], Some(&[0x01]));
        check(&[0x7f, 0xff], Some(&[0x7f, 0xff]));
        check(&[0x00, 0x80], Some(&[0x80]));
        check(&[], None);
        check(&[0x00], None);
        check(&[0x80], None);
        check(&[0x00, 0x7f], None);
        check(&[0x00, 0x00, 0x80], None);
    }

    #[test]
    fn an_error_says_where() {
        let bytes = [SEQUENCE, 5, INTEGER, 1, 7, OID, 0, OID];
        let mut inside = Reader::new(&bytes).take(SEQUENCE, "a sequence").expect("a sequence").inside();
        inside.take(INTEGER, "an integer").expect("an integer");
        let error = inside.take(INTEGER, "a second integer").map(|value| value.tag);
        assert_eq!(error, Err(DerError { at_byte: 5, expected: "a second integer" }));
        assert_eq!(Reader::new(&bytes[..4]).take(SEQUENCE, "a sequence").map(|_| ()).map_err(|e| e.at_byte), Err(0));
    }

    #[test]
    fn object_identifiers_are_shown_in_dotted_form() {
        fn check(oid: &[u8], shown: &str) {
            assert_eq!(Dotted(oid).to_string(), shown);
        }
        check(&[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01], "1.2.840.10045.2.1");
        check(&[0x2b, 0x65, 0x70], "1.3.101.112");
        check(&[0x88, 0x37, 0x03], "2.999.3");
        check(&[], "");
        // Longer than any number here: it is only to be shown.
        Dotted(&[0xff; 40]).to_string();
    }
}
