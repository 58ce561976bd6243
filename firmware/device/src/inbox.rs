//! Bytes from the socket, until they are whole packets.

use alloc::vec::Vec;

use mooring_protocol::{DecodeError, DecodeLimits, Packet, Version, decode};

/// Holds the bytes of at most one incomplete packet, which the decoder's limit bounds.
#[derive(Debug)]
pub(crate) struct Inbox {
    bytes: Vec<u8>,
    limits: DecodeLimits,
}

impl Inbox {
    pub(crate) fn new(packet_size_max: usize) -> Self {
        Self { bytes: Vec::new(), limits: DecodeLimits { packet_size_max, ..DecodeLimits::default() } }
    }

    /// Takes bytes and hands every complete packet to `handle`.
    pub(crate) fn receive(&mut self, bytes: &[u8], mut handle: impl FnMut(&Packet<'_>)) -> Result<(), DecodeError> {
        self.bytes.extend_from_slice(bytes);
        let mut taken = 0;
        while let Some((packet, length)) =
            decode(self.bytes.get(taken..).unwrap_or_default(), Version::V5, &self.limits)?
        {
            handle(&packet);
            taken += length;
        }
        self.bytes.drain(..taken);
        Ok(())
    }

    /// Forgets the rest of a connection that has ended.
    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
    }
}
