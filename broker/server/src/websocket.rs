//! WebSocket frames (RFC 6455), decoded in place: a packet may span frames and a frame may hold several packets. [MQTT-6.0.0-2]

use std::io;
use std::task::{Context, Poll, ready};

use crate::stream::Stream;

/// Answers to pings and closes that wait for the socket at most, in bytes.
const KEPT_CONTROL_BYTES_MAX: usize = 4096;
/// The payload of a control frame (section 5.5).
const CONTROL_BYTES_MAX: u64 = 125;
/// The longest header: 2 bytes, 8 of length, 4 of mask.
const HEADER_BYTES_MAX: usize = 14;

const CONTINUATION: u8 = 0x0;
const TEXT: u8 = 0x1;
const BINARY: u8 = 0x2;
const CLOSE: u8 = 0x8;
const PING: u8 = 0x9;
const PONG: u8 = 0xA;
const FIN: u8 = 0x80;

/// The peer broke the rules of WebSocket or of MQTT over it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum WebSocketError {
    #[error("a client's frame is not masked")]
    NotMasked,
    #[error("reserved bits are set")]
    ReservedBits,
    #[error("unknown opcode {0}")]
    Opcode(u8),
    /// [MQTT-6.0.0-1]
    #[error("a text frame; MQTT needs binary frames")]
    Text,
    #[error("a control frame that is fragmented or too long")]
    Control,
    #[error("a continuation without a start, or a start within a message")]
    Fragments,
    #[error("a frame length with its highest bit set")]
    Length,
    #[error("too many pings unanswered")]
    Flood,
}

/// One side of a WebSocket: what is left of the frame that comes in, and what waits to go out.
#[derive(Debug, Default)]
pub(crate) struct WebSocket {
    header: [u8; HEADER_BYTES_MAX],
    header_bytes: usize,
    frame: Option<Frame>,
    in_message: bool,
    control: Vec<u8>,
    kept: Vec<u8>,
    ended: bool,
    close_sent: bool,
}

#[derive(Clone, Copy, Debug)]
struct Frame {
    opcode: u8,
    left: u64,
    mask: [u8; 4],
}

impl WebSocket {
    /// Takes frames, leaves their payload at the start of the same bytes, and says how long it is.
    pub(crate) fn unframe(&mut self, bytes: &mut [u8]) -> Result<usize, WebSocketError> {
        let (mut read, mut written) = (0, 0);
        while read < bytes.len() && !self.ended {
            match self.frame {
                None => {
                    let rest = bytes.get(read..).unwrap_or_default();
                    read += self.take_header(rest)?;
                }
                Some(frame) => {
                    let available = bytes.len() - read;
                    let count = usize::try_from(frame.left).unwrap_or(usize::MAX).min(available);
                    bytes.copy_within(read..read + count, written);
                    let payload = bytes.get_mut(written..written + count).unwrap_or_default();
                    unmask(payload, frame.mask);
                    if frame.opcode >= CLOSE {
                        self.control.extend_from_slice(payload);
                    } else {
                        written += count;
                    }
                    read += count;
                    self.advance(frame, count)?;
                }
            }
        }
        Ok(written)
    }

    /// Takes as much of a header as is there, and says how much.
    fn take_header(&mut self, bytes: &[u8]) -> Result<usize, WebSocketError> {
        let mut taken = 0;
        for byte in bytes {
            if let Some(slot) = self.header.get_mut(self.header_bytes) {
                *slot = *byte;
            }
            self.header_bytes += 1;
            taken += 1;
            if self.header_bytes >= 2 && self.header_bytes == header_length(self.header[1]) {
                self.begin_frame()?;
                break;
            }
        }
        Ok(taken)
    }

    fn begin_frame(&mut self) -> Result<(), WebSocketError> {
        let [first, second, ..] = self.header;
        let opcode = first & 0x0F;
        let fin = first & FIN != 0;
        if first & 0x70 != 0 {
            return Err(WebSocketError::ReservedBits);
        }
        if second & 0x80 == 0 {
            return Err(WebSocketError::NotMasked);
        }
        let (length, mask) = length_and_mask(&self.header);
        if length >> 63 != 0 {
            return Err(WebSocketError::Length);
        }
        match opcode {
            TEXT => return Err(WebSocketError::Text),
            BINARY | CONTINUATION if (opcode == CONTINUATION) != self.in_message => {
                return Err(WebSocketError::Fragments);
            }
            BINARY | CONTINUATION => self.in_message = !fin,
            CLOSE | PING | PONG if !fin || length > CONTROL_BYTES_MAX => return Err(WebSocketError::Control),
            CLOSE | PING | PONG => self.control.clear(),
            unknown => return Err(WebSocketError::Opcode(unknown)),
        }
        self.header_bytes = 0;
        let frame = Frame { opcode, left: length, mask };
        self.frame = Some(frame);
        self.advance(frame, 0)
    }

    /// Counts payload bytes of the frame; at its end, does what a control frame asks for.
    fn advance(&mut self, mut frame: Frame, count: usize) -> Result<(), WebSocketError> {
        frame.left -= count as u64;
        frame.mask.rotate_left(count % 4);
        if frame.left > 0 {
            self.frame = Some(frame);
            return Ok(());
        }
        self.frame = None;
        let payload = std::mem::take(&mut self.control);
        match frame.opcode {
            PING => self.keep_control(PONG, &payload),
            CLOSE => {
                self.ended = true;
                if !std::mem::replace(&mut self.close_sent, true) {
                    // The status that came goes back (section 5.5.1).
                    return self.keep_control(CLOSE, payload.get(..2).unwrap_or_default());
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn keep_control(&mut self, opcode: u8, payload: &[u8]) -> Result<(), WebSocketError> {
        if self.kept.len() > KEPT_CONTROL_BYTES_MAX {
            return Err(WebSocketError::Flood);
        }
        self.kept.extend([FIN | opcode, u8::try_from(payload.len()).unwrap_or(0)]);
        self.kept.extend_from_slice(payload);
        Ok(())
    }

    /// The peer has sent its last frame.
    pub(crate) const fn is_ended(&self) -> bool {
        self.ended
    }

    pub(crate) fn wants_flush(&self) -> bool {
        !self.kept.is_empty()
    }

    /// Ends our side: normal closure.
    pub(crate) fn close(&mut self) {
        if !std::mem::replace(&mut self.close_sent, true) {
            // A flood of pings has no part in it: the close frame always fits behind it.
            self.kept.extend([FIN | CLOSE, 2, 0x03, 0xE8]);
        }
    }

    /// Sends what was kept.
    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>, stream: &mut Stream) -> Poll<io::Result<()>> {
        while !self.kept.is_empty() {
            let written = ready!(stream.poll_write(cx, &[], &self.kept))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.kept.drain(..written.min(self.kept.len()));
        }
        // An idle connection owns no buffer.
        self.kept = Vec::new();
        Poll::Ready(Ok(()))
    }

    /// Sends one frame; nothing may be kept from before. What the stream does not take is kept.
    pub(crate) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut Stream,
        bytes: &[u8],
    ) -> Poll<io::Result<()>> {
        let (header, header_bytes) = binary_header(bytes.len());
        let header = header.get(..header_bytes).unwrap_or_default();
        let written = ready!(stream.poll_write(cx, header, bytes))?;
        if written < header.len() + bytes.len() {
            self.kept.extend_from_slice(header.get(written..).unwrap_or_default());
            self.kept.extend_from_slice(bytes.get(written.saturating_sub(header.len())..).unwrap_or_default());
        }
        Poll::Ready(Ok(()))
    }
}

/// How long a client's header is, from its second byte.
const fn header_length(second: u8) -> usize {
    let mask = if second & 0x80 != 0 { 4 } else { 0 };
    match second & 0x7F {
        127 => 10 + mask,
        126 => 4 + mask,
        _ => 2 + mask,
    }
}

const fn length_and_mask(header: &[u8; HEADER_BYTES_MAX]) -> (u64, [u8; 4]) {
    let h = header;
    match h[1] & 0x7F {
        127 => (u64::from_be_bytes([h[2], h[3], h[4], h[5], h[6], h[7], h[8], h[9]]), [h[10], h[11], h[12], h[13]]),
        126 => (u16::from_be_bytes([h[2], h[3]]) as u64, [h[4], h[5], h[6], h[7]]),
        short => (short as u64, [h[2], h[3], h[4], h[5]]),
    }
}

/// The header of a server's binary frame.
fn binary_header(payload_bytes: usize) -> ([u8; 10], usize) {
    let mut header = [0; 10];
    header[0] = FIN | BINARY;
    let length = (payload_bytes as u64).to_be_bytes();
    if payload_bytes < 126 {
        header[1] = length[7];
        (header, 2)
    } else if payload_bytes <= usize::from(u16::MAX) {
        header[1] = 126;
        header[2..4].copy_from_slice(&length[6..]);
        (header, 4)
    } else {
        header[1] = 127;
        header[2..10].copy_from_slice(&length);
        (header, 10)
    }
}

/// Four bytes at a time, which the compiler makes wide.
fn unmask(payload: &mut [u8], mask: [u8; 4]) {
    let mut words = payload.chunks_exact_mut(4);
    for word in &mut words {
        word.iter_mut().zip(mask).for_each(|(byte, mask)| *byte ^= mask);
    }
    words.into_remainder().iter_mut().zip(mask).for_each(|(byte, mask)| *byte ^= mask);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
        let mask = [1, 2, 3, 4];
        let mut frame = vec![first];
        match payload.len() {
            short @ 0..126 => frame.push(0x80 | u8::try_from(short).unwrap()),
            long => {
                frame.push(0x80 | 126);
                frame.extend(u16::try_from(long).unwrap().to_be_bytes());
            }
        }
        frame.extend(mask);
        frame.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
        frame
    }

    /// Feeds the bytes in pieces of each size and wants the same payload and kept answers.
    fn check(frames: &[u8], payload: &[u8], kept: &[u8]) {
        for piece_bytes in [1, 2, 3, 7, 64, frames.len()] {
            let mut websocket = WebSocket::default();
            let mut got: Vec<u8> = Vec::new();
            for piece in frames.chunks(piece_bytes.max(1)) {
                let mut piece = piece.to_vec();
                let count = websocket.unframe(&mut piece).unwrap();
                got.extend(&piece[..count]);
            }
            assert_eq!(got, payload, "in pieces of {piece_bytes}");
            assert_eq!(websocket.kept, kept, "in pieces of {piece_bytes}");
        }
    }

    #[test]
    fn packets_span_frames_and_frames_share_packets() {
        let long: Vec<u8> = (0..300u16).map(|n| n.to_le_bytes()[0]).collect();
        let frames = [
            frame(FIN | BINARY, b"abc"),
            frame(BINARY, b"de"),
            frame(FIN, b"f"),
            frame(FIN | BINARY, &long),
            frame(FIN | BINARY, b""),
        ];
        let payload = [b"abcdef".as_slice(), &long].concat();
        check(&frames.concat(), &payload, b"");
    }

    #[test]
    fn a_ping_is_answered_with_its_payload_also_within_a_message() {
        let frames = [frame(BINARY, b"ab"), frame(FIN | PING, b"hi"), frame(FIN, b"c")].concat();
        check(&frames, b"abc", &[FIN | PONG, 2, b'h', b'i']);
    }

    #[test]
    fn a_close_is_answered_with_its_status_and_ends_the_stream() {
        let frames =
            [frame(FIN | BINARY, b"ab"), frame(FIN | CLOSE, &[0x03, 0xE9, b'x']), frame(FIN | BINARY, b"late")]
                .concat();
        check(&frames, b"ab", &[FIN | CLOSE, 2, 0x03, 0xE9]);
    }

    #[test]
    fn what_breaks_the_rules_is_an_error() {
        let mut unmasked = frame(FIN | BINARY, b"");
        unmasked[1] = 0;
        for (frames, error) in [
            (unmasked, WebSocketError::NotMasked),
            (frame(FIN | TEXT, b"x"), WebSocketError::Text),
            (frame(FIN | 0x40 | BINARY, b"x"), WebSocketError::ReservedBits),
            (frame(FIN | 0x3, b"x"), WebSocketError::Opcode(3)),
            (frame(PING, b"x"), WebSocketError::Control),
            (frame(FIN | PING, &[0; 126]), WebSocketError::Control),
            (frame(FIN, b"x"), WebSocketError::Fragments),
            ([frame(BINARY, b"x"), frame(BINARY, b"x")].concat(), WebSocketError::Fragments),
            ([vec![FIN | BINARY, 0xFF], vec![0xFF; 12]].concat(), WebSocketError::Length),
        ] {
            let mut frames = frames;
            assert_eq!(WebSocket::default().unframe(&mut frames), Err(error));
        }
    }

    #[test]
    fn a_servers_header_has_the_shortest_length() {
        for (payload_bytes, header) in [
            (0, vec![0x82, 0]),
            (125, vec![0x82, 125]),
            (126, vec![0x82, 126, 0, 126]),
            (65_535, vec![0x82, 126, 0xFF, 0xFF]),
            (65_536, vec![0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0]),
        ] {
            let (bytes, count) = binary_header(payload_bytes);
            assert_eq!(bytes[..count], header);
        }
    }
}
