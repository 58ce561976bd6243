//! What a connection keeps while it lasts.

use std::collections::VecDeque;

use mooring_protocol::{Packet, PacketType, QoS, ReasonCode, SHORT_ACK_BYTES, Version, encode, encode_within};

use crate::acknowledgement::Pending;
use crate::aliases::{AliasUse, Aliases};
use crate::asking::Asking;
use crate::authentication::Authentication;
use crate::engine::ConnectionId;
use crate::outgoing::{Copy, Outgoing, SharedFrames};
use crate::output::{Output, Pool};
use crate::publish_cache::PublishCache;
use crate::rate::Rate;
use crate::replay::Replay;

/// One connection. What most never use is boxed.
#[derive(Debug)]
pub(crate) struct Connection {
    /// The session; no place once the connection is only drained.
    pub(crate) session: u32,
    /// Unlike the connection's number, never used again.
    pub(crate) epoch: u64,
    pub(crate) version: Version,
    pub(crate) state: State,
    /// One and a half times the keep alive; 0 for none.
    pub(crate) silence_ms_max: u32,
    pub(crate) last_seen_ms: u64,
    pub(crate) output: Output,
    /// Acknowledgements that wait, in the order in which they go out.
    pub(crate) pending: VecDeque<Pending>,
    /// QoS 1 and 2 messages that may be in flight to the client.
    pub(crate) send_max: u16,
    /// The largest packet that the client takes.
    pub(crate) packet_size_max: u32,
    /// QoS 1 and 2 messages from the client that are not acknowledged.
    pub(crate) unacknowledged: u32,
    /// Whether reason strings may be sent.
    pub(crate) wants_reasons: bool,
    /// The driver was told to stop reading.
    pub(crate) paused: bool,
    /// Whether `poll_dirty` has named or will name it.
    pub(crate) named: bool,
    /// The queue's next entry waits for room in the output.
    pub(crate) waits_for_room: bool,
    pub(crate) aliases: Option<Box<Aliases>>,
    pub(crate) cache: Option<Box<PublishCache>>,
    pub(crate) replay: Option<Box<Replay>>,
    /// While there is a limit to it.
    pub(crate) rate: Option<Box<Rate>>,
    /// When another system knows the client's rights.
    pub(crate) asking: Option<Box<Asking>>,
    /// When CONNECT named a method.
    pub(crate) authentication: Option<Box<Authentication>>,
}

const _: () = assert!(size_of::<Connection>() <= 192, "a connection is as small as the allocator's next size");

/// Where a connection is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// CONNACK waits for the log: nothing else may go out [MQTT-3.2.0-1], and nothing is taken. To everybody else, the client is not there yet: what its
    /// session can keep is queued for it, and QoS 0 passes it by, as it does a session without connection. [MQTT-3.1.2-5]
    Opening,
    /// Packets go both ways.
    Open,
    /// What is left in the output goes out, then the socket closes.
    Closing,
}

/// What became of a copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Written {
    Yes,
    /// [MQTT-3.1.2-24] larger than the client takes.
    TooLarge,
}

impl Connection {
    /// Writes a packet, unless it is larger than the client takes.
    pub(crate) fn write(&mut self, pool: &mut Pool, packet: &Packet<'_>) -> Written {
        let (version, size_max) = (self.version, self.packet_size_max);
        let result = self.output.write(pool, |out| match size_max {
            u32::MAX => encode(packet, version, out),
            // [MQTT-3.1.2-24] without the reason string, if the packet would be too large with it.
            size_max => encode_within(packet, version, size_max as usize, out),
        });
        match result {
            Ok(()) => {
                pool.control_packets += 1;
                Written::Yes
            }
            Err(_) => Written::TooLarge,
        }
    }

    /// Writes an acknowledgement that has neither reason nor properties.
    pub(crate) fn write_short_ack(&mut self, pool: &mut Pool, ack: &[u8; SHORT_ACK_BYTES]) {
        self.output.write(pool, |out| out.extend_from_slice(ack));
        pool.control_packets += 1;
    }

    /// Writes one copy of a message.
    #[inline(always)]
    pub(crate) fn write_publish(
        &mut self,
        pool: &mut Pool,
        outgoing: &Outgoing<'_>,
        copy: &Copy<'_>,
        shared: Option<&mut SharedFrames>,
    ) -> Written {
        if !self.fits(outgoing, copy) {
            return Written::TooLarge;
        }
        let version = self.version;
        if let Some(shared) = shared
            && !self.has_outgoing_aliases()
            && copy.ids.is_empty()
            && !copy.dup
        {
            return match shared.frame(version, outgoing, copy) {
                Ok(frame) => {
                    self.output.share(pool, frame, copy.packet_id);
                    Written::Yes
                }
                Err(_) => Written::TooLarge,
            };
        }
        let mut frame = outgoing.frame(copy);
        if let Some(aliases) = &mut self.aliases {
            match aliases.choose(outgoing.topic) {
                AliasUse::None => {}
                AliasUse::Set(alias) => frame.topic_alias = Some(alias),
                AliasUse::Known(alias) => {
                    frame.topic_alias = Some(alias);
                    frame.topic = "";
                }
            }
        }
        // Where things are in the packet is of no use here, and its way through the memory is not free.
        match self.output.write(pool, |out| frame.encode(version, outgoing.payload, out).is_ok()) {
            true => Written::Yes,
            false => Written::TooLarge,
        }
    }

    fn has_outgoing_aliases(&self) -> bool {
        self.aliases.as_ref().is_some_and(|aliases| aliases.has_outgoing())
    }

    fn fits(&self, outgoing: &Outgoing<'_>, copy: &Copy<'_>) -> bool {
        let max = self.packet_size_max as usize;
        if self.packet_size_max == u32::MAX || outgoing.size_bound(copy.ids.len()) <= max {
            return true;
        }
        let mut frame = outgoing.frame(copy);
        if self.has_outgoing_aliases() {
            // Whether this copy will set an alias is not decided yet; reckon with it.
            frame.topic_alias = Some(std::num::NonZeroU16::MIN);
        }
        frame.packet_size(self.version, outgoing.payload.len()) <= max
    }
}

/// Connections by the driver's numbers, which are small.
#[derive(Debug, Default)]
pub(crate) struct Connections {
    places: Vec<Option<Box<Connection>>>,
    open: usize,
    /// Connections with output that the driver has not been told of.
    dirty: VecDeque<ConnectionId>,
    pub(crate) pool: Pool,
}

impl Connections {
    pub(crate) fn get(&self, id: ConnectionId) -> Option<&Connection> {
        self.places.get(id.0 as usize)?.as_deref()
    }

    pub(crate) fn get_mut(&mut self, id: ConnectionId) -> Option<&mut Connection> {
        self.places.get_mut(id.0 as usize)?.as_deref_mut()
    }

    /// A connection together with the pool that its output writes into.
    pub(crate) fn with_pool(&mut self, id: ConnectionId) -> Option<(&mut Connection, &mut Pool)> {
        Some((self.places.get_mut(id.0 as usize)?.as_deref_mut()?, &mut self.pool))
    }

    pub(crate) fn insert(&mut self, id: ConnectionId, connection: Connection) {
        let place = id.0 as usize;
        if self.places.len() <= place {
            self.places.resize_with(place + 1, || None);
        }
        if let Some(slot) = self.places.get_mut(place) {
            self.open += usize::from(slot.is_none());
            *slot = Some(Box::new(connection));
        }
    }

    pub(crate) fn remove(&mut self, id: ConnectionId) -> Option<Box<Connection>> {
        let mut connection = self.places.get_mut(id.0 as usize)?.take()?;
        self.open -= 1;
        connection.output.clear(&mut self.pool);
        Some(connection)
    }

    pub(crate) const fn len(&self) -> usize {
        self.open
    }

    /// The driver is to look at a connection.
    pub(crate) fn name(&mut self, id: ConnectionId) {
        if let Some(connection) = self.places.get_mut(id.0 as usize).and_then(Option::as_deref_mut)
            && !connection.named
        {
            connection.named = true;
            self.dirty.push_back(id);
        }
    }

    pub(crate) fn poll_dirty(&mut self) -> Option<ConnectionId> {
        self.dirty.pop_front()
    }

    /// Writes a packet to a connection that is still there.
    pub(crate) fn send(&mut self, id: ConnectionId, packet: &Packet<'_>) {
        if let Some((connection, pool)) = self.with_pool(id) {
            connection.write(pool, packet);
            self.name(id);
        }
    }
}

/// How a QoS is written in notices.
pub(crate) fn qos_number(qos: QoS) -> u8 {
    qos.into()
}

/// Whether 5.0 may say this in a DISCONNECT from the server.
pub(crate) const fn is_server_disconnect(reason: ReasonCode) -> bool {
    reason.is_allowed_in(PacketType::Disconnect) && !matches!(reason, ReasonCode::DisconnectWithWill)
}
