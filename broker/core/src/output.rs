//! Bytes that wait for a connection's socket.

use std::collections::VecDeque;
use std::sync::Arc;

use mooring_protocol::{PacketId, PublishLayout};

/// A buffer that grew beyond this is not kept for others.
const POOLED_BYTES_MAX: usize = 64 * 1024;
/// Buffers that wait for a user.
const POOLED_MAX: usize = 256;
/// A list that grew beyond this is not kept for others.
const POOLED_SEGMENTS_MAX: usize = 256;
/// Lists that wait for a user: as many as a wide fan-out fills at once.
const POOLED_LISTS_MAX: usize = 1024;
/// A buffer is closed at this size, so that a drain takes it as a whole.
const SEGMENT_BYTES: usize = 32 * 1024;

/// An encoded PUBLISH that several connections send.
#[derive(Debug)]
pub(crate) struct SharedFrame {
    pub(crate) bytes: Box<[u8]>,
    pub(crate) layout: PublishLayout,
}

/// What one connection has to send. Owns no buffer while there is nothing.
#[derive(Debug, Default)]
pub(crate) struct Output {
    /// Before `tail`.
    segments: VecDeque<Segment>,
    tail: Vec<u8>,
    bytes: usize,
}

#[derive(Debug)]
enum Segment {
    Bytes(Vec<u8>),
    Frame(Arc<SharedFrame>, Option<PacketId>),
}

impl Output {
    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// Lets `write` append packets.
    pub(crate) fn write<R>(&mut self, pool: &mut Pool, write: impl FnOnce(&mut Vec<u8>) -> R) -> R {
        if self.tail.capacity() == 0 {
            self.tail = pool.take();
        }
        let before = self.tail.len();
        let result = write(&mut self.tail);
        self.bytes += self.tail.len().saturating_sub(before);
        if self.tail.len() >= SEGMENT_BYTES {
            self.close_tail(pool);
        }
        result
    }

    /// Appends a packet that others send too, with a packet id of its own.
    pub(crate) fn share(&mut self, pool: &mut Pool, frame: Arc<SharedFrame>, packet_id: Option<PacketId>) {
        if !self.tail.is_empty() {
            self.close_tail(pool);
        }
        self.bytes += frame.bytes.len();
        self.push(pool, Segment::Frame(frame, packet_id));
    }

    fn close_tail(&mut self, pool: &mut Pool) {
        let tail = std::mem::take(&mut self.tail);
        self.push(pool, Segment::Bytes(tail));
    }

    fn push(&mut self, pool: &mut Pool, segment: Segment) {
        if self.segments.capacity() == 0 {
            self.segments = pool.lists.pop().unwrap_or_default();
        }
        self.segments.push_back(segment);
    }

    /// Moves packets to `into` until it has grown by `bytes_max`; at least one.
    pub(crate) fn drain(&mut self, pool: &mut Pool, into: &mut Vec<u8>, bytes_max: usize) {
        let end = into.len().saturating_add(bytes_max);
        while into.len() < end {
            match self.segments.pop_front() {
                Some(Segment::Bytes(bytes)) => {
                    self.bytes -= bytes.len();
                    into.extend_from_slice(&bytes);
                    pool.give(bytes);
                }
                Some(Segment::Frame(frame, packet_id)) => {
                    self.bytes -= frame.bytes.len();
                    let start = into.len();
                    into.extend_from_slice(&frame.bytes);
                    if let (Some(packet_id), Some(packet)) = (packet_id, into.get_mut(start..)) {
                        frame.layout.patch_packet_id(packet, packet_id);
                    }
                }
                None => {
                    self.bytes -= self.tail.len();
                    into.extend_from_slice(&self.tail);
                    pool.give(std::mem::take(&mut self.tail));
                    break;
                }
            }
        }
        if self.segments.is_empty() && self.segments.capacity() > 0 && self.bytes == 0 {
            pool.give_list(std::mem::take(&mut self.segments));
        }
    }

    /// Drops what waits.
    pub(crate) fn clear(&mut self, pool: &mut Pool) {
        self.segments = VecDeque::new();
        pool.give(std::mem::take(&mut self.tail));
        self.bytes = 0;
    }
}

/// Empty buffers, and empty lists of segments.
#[derive(Debug, Default)]
pub(crate) struct Pool {
    /// Packets written, other than PUBLISH.
    pub(crate) control_packets: u64,
    buffers: Vec<Vec<u8>>,
    lists: Vec<VecDeque<Segment>>,
}

impl Pool {
    fn take(&mut self) -> Vec<u8> {
        self.buffers.pop().unwrap_or_default()
    }

    fn give_list(&mut self, list: VecDeque<Segment>) {
        if list.capacity() <= POOLED_SEGMENTS_MAX && self.lists.len() < POOLED_LISTS_MAX {
            self.lists.push(list);
        }
    }

    fn give(&mut self, mut buffer: Vec<u8>) {
        if buffer.capacity() > 0 && buffer.capacity() <= POOLED_BYTES_MAX && self.buffers.len() < POOLED_MAX {
            buffer.clear();
            self.buffers.push(buffer);
        }
    }
}
