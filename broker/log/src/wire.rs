//! The primitives of every body: variable-length integers, texts and byte strings, optional values.

/// The bytes are no value of the expected type. The checksum was right, so a writer of another version wrote them, or a bug did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

/// Appends an integer: seven bits a byte, the low ones first, the high bit says that more follow.
pub(crate) fn put_integer(into: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        into.push((value as u8) | 0x80);
        value >>= 7;
    }
    into.push(value as u8);
}

/// Appends a byte string with its length before it.
pub(crate) fn put_bytes(into: &mut Vec<u8>, bytes: &[u8]) {
    put_integer(into, bytes.len() as u64);
    into.extend_from_slice(bytes);
}

/// Appends a text with its length before it.
pub(crate) fn put_text(into: &mut Vec<u8>, text: &str) {
    put_bytes(into, text.as_bytes());
}

/// Appends an integer that may be absent: 0 for absent, else one more than the value, saturating: the greatest value stands for itself less one.
pub(crate) fn put_optional(into: &mut Vec<u8>, value: Option<u64>) {
    put_integer(into, value.map_or(0, |value| value.saturating_add(1)));
}

/// Takes values off the front of a body.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(crate) fn byte(&mut self) -> Result<u8, Malformed> {
        let (first, rest) = self.0.split_first().ok_or(Malformed)?;
        self.0 = rest;
        Ok(*first)
    }

    pub(crate) fn integer(&mut self) -> Result<u64, Malformed> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                return Err(Malformed);
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(Malformed)
    }

    pub(crate) fn small<T: TryFrom<u64>>(&mut self) -> Result<T, Malformed> {
        T::try_from(self.integer()?).map_err(|_| Malformed)
    }

    pub(crate) fn optional(&mut self) -> Result<Option<u64>, Malformed> {
        Ok(self.integer()?.checked_sub(1))
    }

    pub(crate) fn bytes(&mut self) -> Result<&'a [u8], Malformed> {
        let length = self.small::<usize>()?;
        let (bytes, rest) = self.0.split_at_checked(length).ok_or(Malformed)?;
        self.0 = rest;
        Ok(bytes)
    }

    pub(crate) fn text(&mut self) -> Result<&'a str, Malformed> {
        std::str::from_utf8(self.bytes()?).map_err(|_| Malformed)
    }

    /// How many items follow. A list cannot have more items than bytes are left: a wrong count never reserves memory.
    pub(crate) fn count(&mut self) -> Result<usize, Malformed> {
        let count = self.small::<usize>()?;
        if count > self.0.len() { Err(Malformed) } else { Ok(count) }
    }

    /// Nothing may be left over.
    pub(crate) fn end(&self) -> Result<(), Malformed> {
        if self.0.is_empty() { Ok(()) } else { Err(Malformed) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_of_every_length_come_back() {
        for shift in 0..64 {
            for value in [1u64 << shift, (1u64 << shift) - 1, u64::MAX >> shift] {
                let mut bytes = Vec::new();
                put_integer(&mut bytes, value);
                let mut reader = Reader::new(&bytes);
                assert_eq!(reader.integer(), Ok(value));
                assert_eq!(reader.end(), Ok(()));
            }
        }
    }

    #[test]
    fn an_integer_beyond_64_bits_is_malformed() {
        assert_eq!(Reader::new(&[0xff; 10]).integer(), Err(Malformed));
        assert_eq!(
            Reader::new(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02]).integer(),
            Err(Malformed)
        );
        assert_eq!(Reader::new(&[0x80]).integer(), Err(Malformed));
    }

    #[test]
    fn a_length_beyond_the_body_is_malformed() {
        assert_eq!(Reader::new(&[5, 1, 2]).bytes(), Err(Malformed));
        assert_eq!(Reader::new(&[5, 1, 2]).count(), Err(Malformed));
    }
}
