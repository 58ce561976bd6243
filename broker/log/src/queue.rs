//! What the log keeps in memory of one session: its queue, as references to messages, and the QoS 2 packet ids that it has received.

use std::collections::BTreeSet;

use mooring_core::message::MessageId;
use mooring_core::record::Delivery;
use mooring_protocol::QoS;

use crate::entries::Entries;
use crate::record_codec::{put_identifiers, read_identifiers, read_qos};
use crate::wire::{Malformed, Reader, put_integer};

/// One entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct QueueEntry {
    /// The message that it refers to.
    pub(crate) message: MessageId,
    /// At which QoS.
    pub(crate) qos: QoS,
    /// The RETAIN flag to send.
    pub(crate) retain: bool,
    /// Whether PUBREC was received.
    pub(crate) released: bool,
    /// The first subscription identifier to send, or 0.
    first_identifier: u32,
    /// All of them, where there are several. Twice boxed, as it is rare, and a slice is as long as two pointers.
    identifiers: Option<Box<Box<[u32]>>>,
}

const FLAG_RETAIN: u8 = 1 << 2;
const FLAG_RELEASED: u8 = 1 << 3;

impl QueueEntry {
    /// The entry that a delivery makes.
    pub(crate) fn of(message: MessageId, delivery: &Delivery) -> Self {
        Self {
            message,
            qos: delivery.qos,
            retain: delivery.retain,
            released: false,
            first_identifier: 0,
            identifiers: None,
        }
        .with_identifiers(&delivery.subscription_identifiers)
    }

    fn with_identifiers(mut self, identifiers: &[u32]) -> Self {
        match identifiers {
            [] => {}
            [one] => self.first_identifier = *one,
            many => self.identifiers = Some(Box::new(many.into())),
        }
        self
    }

    /// The subscription identifiers to send.
    pub(crate) fn identifiers(&self) -> &[u32] {
        match &self.identifiers {
            Some(many) => many,
            None if self.first_identifier == 0 => &[],
            None => std::slice::from_ref(&self.first_identifier),
        }
    }

    /// Its row in the checkpoint.
    pub(crate) fn to_row(&self) -> Vec<u8> {
        let mut row = Vec::with_capacity(12);
        let flag = |is: bool, flag: u8| if is { flag } else { 0 };
        put_integer(&mut row, self.message.0);
        row.push(u8::from(self.qos) | flag(self.retain, FLAG_RETAIN) | flag(self.released, FLAG_RELEASED));
        put_identifiers(&mut row, self.identifiers());
        row
    }

    /// The entry of a row in the checkpoint.
    pub(crate) fn from_row(row: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(row);
        let (message, flags) = (MessageId(reader.integer()?), reader.byte()?);
        let identifiers = read_identifiers(&mut reader)?;
        reader.end()?;
        let (retain, released) = (flags & FLAG_RETAIN != 0, flags & FLAG_RELEASED != 0);
        let entry =
            Self { message, qos: read_qos(flags & 3)?, retain, released, first_identifier: 0, identifiers: None };
        Ok(entry.with_identifiers(&identifiers))
    }
}

/// One session.
#[derive(Clone, Debug, Default)]
pub(crate) struct LiveSession {
    /// The sequence that the next entry of its queue gets.
    pub(crate) next_sequence: u64,
    /// The entries of its queue by their sequence.
    pub(crate) entries: Entries,
    /// Packet ids that were received and not released.
    pub(crate) received: BTreeSet<u16>,
}
