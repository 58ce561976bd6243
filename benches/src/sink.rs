//! A minimal peer that echoes each PUBLISH to its sender: it shows what the generator itself can do, and tests it without a broker.

use std::future::poll_fn;
use std::io::Write;
use std::pin::Pin;
use std::task::{Context as TaskContext, Poll, ready};

use anyhow::{Context, Result};
use mooring_protocol::{
    Ack, ConnAck, DecodeLimits, Packet, PacketId, PacketType, ReasonCode, SubAck, UnsubAck, Version, decode, encode,
    peek_header,
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};

use crate::args::SinkArgs;

const BUFFER_BYTES: usize = 128 * 1024;

/// Serves until the process ends; prints its port.
pub(crate) async fn run(args: &SinkArgs) -> Result<()> {
    let listener = TcpListener::bind(("127.0.0.1", args.port)).await.context("listen")?;
    writeln!(std::io::stdout(), "{}", listener.local_addr()?.port())?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tokio::task::spawn_local(serve(
            stream,
            Faults { drop_every: args.drop_every, repeat_every: args.repeat_every },
        ));
    }
}

/// What the sink does wrong on purpose.
struct Faults {
    drop_every: Option<u64>,
    repeat_every: Option<u64>,
}

async fn serve(stream: TcpStream, faults: Faults) {
    let mut peer = Peer {
        stream,
        version: Version::V3_1_1,
        received: Vec::new(),
        out: Vec::new(),
        written: 0,
        faults,
        published: 0,
    };
    let mut buffer = vec![0; BUFFER_BYTES];
    // A peer that breaks the protocol or goes away ends its own connection, and nothing else.
    let _ = poll_fn(|cx| peer.poll(cx, &mut buffer)).await;
}

/// One connection.
struct Peer {
    stream: TcpStream,
    version: Version,
    received: Vec<u8>,
    out: Vec<u8>,
    written: usize,
    faults: Faults,
    published: u64,
}

impl Peer {
    fn poll(&mut self, cx: &mut TaskContext<'_>, buffer: &mut [u8]) -> Poll<Result<()>> {
        loop {
            ready!(self.poll_write_out(cx))?;
            let mut read = ReadBuf::new(buffer);
            ready!(Pin::new(&mut self.stream).poll_read(cx, &mut read))?;
            if read.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
            self.received.extend_from_slice(read.filled());
            let received = std::mem::take(&mut self.received);
            let consumed = self.answer_all(&received)?;
            self.received = received;
            self.received.drain(..consumed);
        }
    }

    fn poll_write_out(&mut self, cx: &mut TaskContext<'_>) -> Poll<Result<()>> {
        while self.written < self.out.len() {
            self.written += ready!(Pin::new(&mut self.stream).poll_write(cx, &self.out[self.written..]))?;
        }
        self.out.clear();
        self.written = 0;
        Poll::Ready(Ok(()))
    }

    fn answer_all(&mut self, bytes: &[u8]) -> Result<usize> {
        let mut consumed = 0;
        while let Some(header) = peek_header(&bytes[consumed..])? {
            let Some(packet) = bytes.get(consumed..consumed + header.packet_size()) else { break };
            // A QoS 0 PUBLISH is the same packet in both directions.
            if header.packet_type == PacketType::Publish && header.flags & 0b0110 == 0 {
                self.echo(packet);
            } else {
                self.answer(packet)?;
            }
            consumed += header.packet_size();
        }
        Ok(consumed)
    }

    fn echo(&mut self, packet: &[u8]) {
        self.published += 1;
        let is_due = |every: Option<u64>| every.is_some_and(|every| self.published.is_multiple_of(every));
        if is_due(self.faults.drop_every) {
            return;
        }
        if is_due(self.faults.repeat_every) {
            self.out.extend_from_slice(packet);
        }
        self.out.extend_from_slice(packet);
    }

    fn answer(&mut self, bytes: &[u8]) -> Result<()> {
        let Some((packet, _)) = decode(bytes, self.version, &DecodeLimits::PROTOCOL)? else { return Ok(()) };
        let answer = match packet {
            Packet::Connect(connect) => {
                self.version = connect.version;
                ConnAck::new(false, ReasonCode::Success).into()
            }
            Packet::Subscribe(subscribe) => {
                let reasons: Vec<_> =
                    subscribe.filters().map(|subscription| ReasonCode::granted(subscription.options.qos)).collect();
                return self.send(&SubAck::new(subscribe.packet_id, &reasons).into());
            }
            Packet::Unsubscribe(unsubscribe) => {
                let reasons: Vec<_> = unsubscribe.filters().map(|_| ReasonCode::Success).collect();
                return self.send(&UnsubAck::new(unsubscribe.packet_id, &reasons).into());
            }
            Packet::Publish(publish) => {
                // The echo borrows the sender's packet id: the ids of the two directions are independent.
                let packet_id = publish.packet_id.unwrap_or(PacketId::FIRST);
                self.echo(bytes);
                match u8::from(publish.qos) {
                    1 => Packet::PubAck(Ack::new(packet_id)),
                    _ => Packet::PubRec(Ack::new(packet_id)),
                }
            }
            Packet::PubRec(ack) => Packet::PubRel(Ack::new(ack.packet_id)),
            Packet::PubRel(ack) => Packet::PubComp(Ack::new(ack.packet_id)),
            Packet::PingReq => Packet::PingResp,
            _ => return Ok(()),
        };
        self.send(&answer)
    }

    fn send(&mut self, packet: &Packet<'_>) -> Result<()> {
        Ok(encode(packet, self.version, &mut self.out)?)
    }
}
