//! Chapter 6: MQTT over WebSocket.

use std::time::Instant;

use super::List;
use crate::case::{Check, Stop, ensure};
use crate::decode::{self, Body};
use crate::target::Target;
use crate::websocket::{BINARY, CONTINUATION, Frame, Socket, TEXT};
use crate::wire::{self, Version};

pub(super) fn list(list: &mut List) {
    list.chapter("6 WebSocket", "websocket");
    list.both("subprotocol", "6.0.0-4", "6.0.0-4", "the server chooses the subprotocol mqtt", |t| {
        let socket = Socket::open(t)?;
        let chosen = socket.subprotocol.as_deref();
        ensure(chosen == Some("mqtt"), "Sec-WebSocket-Protocol: mqtt", format!("{chosen:?}"))
    });
    list.both("binary", "6.0.0-1", "6.0.0-1", "the server sends binary frames", |t| {
        let mut socket = Socket::open(t)?;
        socket.send(BINARY, true, &t.hello().encode(t.version));
        // Anything but a binary frame fails.
        expect_packets(t, &mut socket, 1)
    });
    list.both("text", "6.0.0-1", "6.0.0-1", "a text frame closes the connection", |t| {
        let mut socket = Socket::open(t)?;
        socket.send(BINARY, true, &t.hello().encode(t.version));
        expect_packets(t, &mut socket, 1)?;
        socket.send(TEXT, true, &wire::PINGREQ);
        loop {
            match socket.next(Instant::now() + t.options.answer) {
                Frame::Closed => return Ok(()),
                // In 5.0 a DISCONNECT may say why.
                Frame::Data { opcode: BINARY, payload } if payload.first() == Some(&wire::DISCONNECT) => {}
                other => return Err(Stop::failed("the connection closes", format!("{other:?}"))),
            }
        }
    });
    list.both("several-in-a-frame", "6.0.0-2", "6.0.0-2", "a frame may hold several packets", |t| {
        let mut socket = Socket::open(t)?;
        let mut bytes = t.hello().encode(t.version);
        bytes.extend(wire::PINGREQ);
        socket.send(BINARY, true, &bytes);
        expect_packets(t, &mut socket, 2)
    });
    list.both("split", "6.0.0-2", "6.0.0-2", "a packet may lie in several frames", |t| {
        let mut socket = Socket::open(t)?;
        let mut bytes = t.hello().encode(t.version);
        bytes.extend(wire::PINGREQ);
        for part in bytes.chunks(3) {
            socket.send(BINARY, true, part);
        }
        expect_packets(t, &mut socket, 2)
    });
    list.both("fragmented", "6.0.0-2", "6.0.0-2", "a WebSocket message may come in fragments", |t| {
        let mut socket = Socket::open(t)?;
        let bytes = t.hello().encode(t.version);
        let (front, back) = bytes.split_at(5);
        socket.send(BINARY, false, front);
        socket.send(CONTINUATION, true, back);
        expect_packets(t, &mut socket, 1)
    });
}

/// A CONNACK that accepts and then PINGRESPs, `count` packets in all, in binary frames cut wherever the server likes.
fn expect_packets(t: &Target, socket: &mut Socket, count: usize) -> Check {
    let mut bytes = Vec::new();
    let mut came = 0;
    while came < count {
        match socket.next(Instant::now() + t.options.answer) {
            Frame::Data { opcode: BINARY | CONTINUATION, payload } => bytes.extend(payload),
            other => return Err(Stop::failed("a binary frame", format!("{other:?}"))),
        }
        while let Some(body) = take(&mut bytes, t.version)? {
            let right = match body {
                Body::Connack { code: 0, .. } => came == 0,
                Body::Pingresp => came > 0,
                _ => false,
            };
            ensure(right, "a CONNACK and then PINGRESPs", format!("{body:?}"))?;
            came += 1;
        }
    }
    Ok(())
}

fn take(bytes: &mut Vec<u8>, version: Version) -> Check<Option<Body>> {
    let malformed = |malformed: decode::Malformed| Stop::failed("a well-formed packet", malformed.0);
    let Some((header, length)) = decode::frame_len(bytes).map_err(malformed)? else { return Ok(None) };
    let Some(raw) = bytes.get(..length) else { return Ok(None) };
    let packet = decode::decode(raw, header, version).map_err(malformed)?;
    bytes.drain(..length);
    Ok(Some(packet.body))
}
