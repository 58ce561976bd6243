//! Reading: into one buffer for all links, parsed in place.

use std::io;
use std::pin::Pin;
use std::task::{Context as TaskContext, Poll};
use std::time::Instant;

use anyhow::Result;
use mooring_protocol::PacketType;
use tokio::io::{AsyncRead, ReadBuf};

use super::Engine;
use crate::frame::{self, Received, Stamp};

/// What one read brought.
enum Turn {
    /// The buffer was full: more is likely there.
    Full,
    Short,
    Closed,
}

impl Engine {
    /// Reads what has arrived on `link`. Ready when the connection has ended.
    pub(super) fn poll_reader(&mut self, cx: &mut TaskContext<'_>, link: usize) -> Poll<()> {
        loop {
            if self.links[link].closed {
                return Poll::Ready(());
            }
            match self.poll_turn(cx, link) {
                Poll::Pending => return Poll::Pending,
                // One full buffer for each wake, so that no link starves the others.
                Poll::Ready(Ok(Turn::Full)) => {
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                Poll::Ready(Ok(Turn::Short)) => {}
                Poll::Ready(Ok(Turn::Closed)) => self.close(link, "closed by the broker"),
                Poll::Ready(Err(error)) => self.close(link, &format!("{error:#}")),
            }
        }
    }

    fn poll_turn(&mut self, cx: &mut TaskContext<'_>, link: usize) -> Poll<Result<Turn>> {
        let mut scratch = std::mem::take(&mut self.scratch);
        let turn = self.poll_read(cx, link, &mut scratch).map(|read| {
            let read = read?;
            if read == 0 {
                return Ok(Turn::Closed);
            }
            self.counters.reads += 1;
            self.counters.received_bytes += read as u64;
            self.last_arrival = Instant::now();
            let start = self.links[link].partial.len();
            self.receive_read(link, &mut scratch[..start + read], start)?;
            Ok(if start + read == scratch.len() { Turn::Full } else { Turn::Short })
        });
        self.scratch = scratch;
        turn
    }

    /// Puts the partial packet of the link at the start of `scratch`, and reads behind it.
    fn poll_read(&mut self, cx: &mut TaskContext<'_>, link: usize, scratch: &mut Vec<u8>) -> Poll<io::Result<usize>> {
        let link = &mut self.links[link];
        let start = link.partial.len();
        if scratch.len() < start + super::SCRATCH_BYTES / 2 {
            scratch.resize(2 * (start + super::SCRATCH_BYTES / 2), 0);
        }
        let mut buffer = ReadBuf::new(&mut scratch[start..]);
        let poll = Pin::new(&mut link.transport).poll_read(cx, &mut buffer).map_ok(|()| buffer.filled().len());
        if poll.is_ready() {
            scratch[..start].copy_from_slice(&link.partial);
        }
        poll
    }

    /// `bytes` from `start` on are new; those before are a partial packet.
    fn receive_read(&mut self, link: usize, bytes: &mut [u8], start: usize) -> Result<()> {
        let state = &mut self.links[link];
        let mut end = bytes.len();
        let mut closing = false;
        if let Some(deframer) = &mut state.deframer {
            let mut pongs = Vec::new();
            let deframed = deframer.deframe(&mut bytes[start..], &mut pongs)?;
            end = start + deframed.length;
            closing = deframed.closing;
        }
        let consumed = self.receive_packets(link, &bytes[..end])?;
        let partial = &mut self.links[link].partial;
        partial.clear();
        partial.extend_from_slice(&bytes[consumed..end]);
        if closing {
            self.close(link, "the broker closed the WebSocket");
        }
        Ok(())
    }

    /// Takes in bytes of MQTT that came before the link's reader ran.
    pub(super) fn receive(&mut self, link: usize, bytes: &[u8]) -> Result<()> {
        let consumed = self.receive_packets(link, bytes)?;
        self.links[link].partial.extend_from_slice(&bytes[consumed..]);
        Ok(())
    }

    /// Handles all whole packets and says how many bytes they had.
    fn receive_packets(&mut self, link: usize, bytes: &[u8]) -> Result<usize> {
        let now_ns = if self.latency.is_some() { self.now_ns() } else { 0 };
        let version = self.version;
        let mut consumed = 0;
        while let Some((received, size)) = frame::read(&bytes[consumed..], version)? {
            consumed += size;
            match received {
                Received::Publish { qos, packet_id, payload } => {
                    self.handle_publish(link, qos, packet_id, payload, now_ns);
                }
                Received::Ack { packet_type, packet_id, refused } => {
                    self.handle_ack(link, packet_type, packet_id, refused);
                }
                rare => self.handle_rare(link, &rare),
            }
        }
        Ok(consumed)
    }

    #[inline]
    fn handle_publish(&mut self, link: usize, qos: u8, packet_id: u16, payload: &[u8], now_ns: u64) {
        if qos > 0 {
            let packet_type = if qos == 1 { PacketType::PubAck } else { PacketType::PubRec };
            self.send_ack(link, packet_type, packet_id);
        }
        let Some(tracker) = self.links[link].tracker.and_then(|tracker| self.trackers.get_mut(tracker)) else {
            if self.links[link].unchecked {
                self.counters.unchecked += 1;
            } else {
                self.note_error(format!("connection {link}: a message that nobody asked for"));
            }
            return;
        };
        let Some(stamp) = Stamp::read(payload) else { return tracker.record_corrupt() };
        if !tracker.record(stamp.lane, stamp.sequence, payload.len()) {
            return;
        }
        self.counters.delivered += 1;
        if let Some(latency) = &mut self.latency {
            latency.record(now_ns.saturating_sub(stamp.at_ns));
        }
        if let Some(lane) = self.lanes.get(stamp.lane as usize) {
            let flow = lane.flow;
            self.flows[flow].delivered += 1;
            self.mark_ready(flow);
        }
    }

    fn send_ack(&mut self, link: usize, packet_type: PacketType, packet_id: u16) {
        // PUBREL has the reserved flags 0010 [MQTT-3.6.1-1]; a reason code of 0 may be left out in 5.0 too.
        let flags = if packet_type == PacketType::PubRel { 2 } else { 0 };
        let [high, low] = packet_id.to_be_bytes();
        self.links[link].out.extend_from_slice(&[(packet_type as u8) << 4 | flags, 2, high, low]);
        self.mark_dirty(link);
    }

    fn handle_ack(&mut self, link: usize, packet_type: PacketType, packet_id: u16, refused: bool) {
        match packet_type {
            // [MQTT-4.3.3-4] a PUBREC with an error ends the exchange.
            PacketType::PubRec if !refused => return self.send_ack(link, PacketType::PubRel, packet_id),
            PacketType::PubRel => return self.send_ack(link, PacketType::PubComp, packet_id),
            _ => {}
        }
        self.counters.refused += u64::from(refused);
        self.counters.acknowledged += 1;
        let Some(flow) = self.links[link].flow else {
            if self.links[link].unchecked {
                self.progress.notify_one();
            } else {
                self.note_error(format!("connection {link}: an acknowledgement that nobody waits for"));
            }
            return;
        };
        self.flows[flow].acknowledged += 1;
        self.mark_ready(flow);
    }

    fn handle_rare(&mut self, link: usize, received: &Received<'_>) {
        match received {
            Received::SubAck { granted, refused } => {
                self.counters.subacks += 1;
                self.counters.granted += *granted as u64;
                self.counters.refused += *refused as u64;
                if *refused > 0 {
                    self.note_error(format!("connection {link}: {refused} subscriptions refused"));
                }
            }
            Received::UnsubAck => self.counters.unsubacks += 1,
            Received::Disconnect(reason) => self.note_error(format!("connection {link}: DISCONNECT: {reason}")),
            _ => {}
        }
        self.progress.notify_one();
    }
}
