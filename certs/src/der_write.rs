//! A writer of DER (X.690), for the few structures that are written by hand: OCSP answers and PKCS#7.

use time::{OffsetDateTime, UtcOffset};

use crate::der::{BIT_STRING, GENERALIZED_TIME, OCTET_STRING, SEQUENCE};

pub(crate) const ENUMERATED: u8 = 0x0a;
pub(crate) const SET: u8 = 0x31;

/// The tag of a constructed value that is context-specific, such as `[0] EXPLICIT`.
pub(crate) const fn context(number: u8) -> u8 {
    0xa0 | number
}

/// One value: tag, length in its shortest form (X.690, 10.1), content.
pub(crate) fn value(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut der = Vec::with_capacity(content.len() + 6);
    der.push(tag);
    match u8::try_from(content.len()) {
        Ok(short @ 0..0x80) => der.push(short),
        _ => {
            let length = content.len().to_be_bytes();
            let zeros = length.iter().take_while(|octet| **octet == 0).count();
            let octets = length.get(zeros..).unwrap_or_default();
            // A length has at most 8 octets.
            der.push(0x80 | u8::try_from(octets.len()).unwrap_or_default());
            der.extend_from_slice(octets);
        }
    }
    der.extend_from_slice(content);
    der
}

/// A value of other values.
pub(crate) fn constructed(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    value(tag, &parts.concat())
}

pub(crate) fn sequence(parts: &[&[u8]]) -> Vec<u8> {
    constructed(SEQUENCE, parts)
}

pub(crate) fn octets(content: &[u8]) -> Vec<u8> {
    value(OCTET_STRING, content)
}

/// A BIT STRING of whole bytes.
pub(crate) fn bits(content: &[u8]) -> Vec<u8> {
    constructed(BIT_STRING, &[&[0], content])
}

/// A GeneralizedTime as RFC 5280, 4.1.2.5.2 has it: UTC, whole seconds.
pub(crate) fn generalized_time(at: OffsetDateTime) -> Vec<u8> {
    let at = at.to_offset(UtcOffset::UTC);
    let (hour, minute, second) = at.time().as_hms();
    let text = format!("{:04}{:02}{:02}{hour:02}{minute:02}{second:02}Z", at.year(), u8::from(at.month()), at.day());
    value(GENERALIZED_TIME, text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::der::Reader;

    #[test]
    fn what_is_written_is_read_back() {
        for length in [0, 1, 0x7f, 0x80, 0xff, 0x100, 0xffff, 0x1_0000] {
            let content = vec![7; length];
            let der = octets(&content);
            let mut reader = Reader::new(&der);
            assert_eq!(reader.take(OCTET_STRING, "octets").expect("the shortest form").content, content);
            assert!(reader.is_empty());
        }
    }

    #[test]
    fn a_time_is_in_utc_and_whole_seconds() {
        let at = time::macros::datetime!(2026-06-01 01:02:03.9 +02:00);
        assert_eq!(generalized_time(at), [&[GENERALIZED_TIME, 15][..], b"20260531230203Z"].concat());
    }
}
