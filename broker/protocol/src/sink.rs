//! Writing the data types of section 1.5, once to count and once for real.

use alloc::vec::Vec;

use crate::EncodeError;

/// Where encoded bytes go. One description of a packet serves to count its bytes and to write them.
pub(crate) trait Sink {
    fn put(&mut self, bytes: &[u8]);

    fn u8(&mut self, value: u8) {
        self.put(&[value]);
    }

    fn u16(&mut self, value: u16) {
        self.put(&value.to_be_bytes());
    }

    fn u32(&mut self, value: u32) {
        self.put(&value.to_be_bytes());
    }

    /// A variable byte integer (section 1.5.5); what is above its maximum is a mistake that the size check of the packet finds first.
    #[inline]
    fn var_int(&mut self, mut value: usize) {
        while value > 0x7F {
            self.u8((value & 0x7F) as u8 | 0x80);
            value >>= 7;
        }
        self.u8(value as u8);
    }

    /// Binary data or a string, with its length before it.
    fn field(&mut self, bytes: &[u8], name: &'static str) -> Result<(), EncodeError> {
        let len = u16::try_from(bytes.len()).map_err(|_| EncodeError::FieldTooLong(name))?;
        self.u16(len);
        self.put(bytes);
        Ok(())
    }
}

impl Sink for Vec<u8> {
    fn put(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

/// Counts, and writes nothing.
#[derive(Debug, Default)]
pub(crate) struct Counter(pub(crate) usize);

impl Sink for Counter {
    fn put(&mut self, bytes: &[u8]) {
        // On 32 bits, lists that name the same text again and again could come to more than there is memory.
        self.0 = self.0.saturating_add(bytes.len());
    }
}

/// How many bytes [`Sink::var_int`] writes.
pub(crate) const fn var_int_len(value: usize) -> usize {
    match value {
        0..=0x7F => 1,
        0x80..=0x3FFF => 2,
        0x4000..=0x1F_FFFF => 3,
        _ => 4,
    }
}
