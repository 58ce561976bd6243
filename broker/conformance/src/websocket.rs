//! Just enough of RFC 6455 to judge a server's WebSocket listener: the opening handshake, masked frames out, frames in.

use std::time::Instant;

use crate::case::{Check, Stop};
use crate::stream::{Read1, Stream};
use crate::target::Target;

pub(crate) const CONTINUATION: u8 = 0;
pub(crate) const TEXT: u8 = 1;
pub(crate) const BINARY: u8 = 2;
const CLOSE: u8 = 8;

/// The key of RFC 6455's example, whose answer is known without computing a hash.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// An open WebSocket.
pub(crate) struct Socket {
    stream: Stream,
    buffer: Vec<u8>,
    /// The subprotocol that the server chose.
    pub(crate) subprotocol: Option<String>,
}

/// What comes in.
#[derive(Debug)]
pub(crate) enum Frame {
    /// A data or control frame; control frames other than Close are passed on as they are.
    Data { opcode: u8, payload: Vec<u8> },
    /// A Close frame or the end of the connection.
    Closed,
    /// Nothing in time.
    Late,
}

impl Socket {
    /// Opens the run's WebSocket address, offering the subprotocol `mqtt`.
    pub(crate) fn open(t: &Target) -> Check<Self> {
        let Some(address) = &t.options.websocket else {
            return Err(Stop::Skipped("no WebSocket address was given".into()));
        };
        let mut stream = Stream::open(&address.target, address.tls.as_ref(), t.options.answer)
            .map_err(|error| Stop::failed("a network connection", error.to_string()))?;
        let request = format!(
            "GET {} HTTP/1.1\r\nHost: {}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: {KEY}\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n",
            address.path, address.target
        );
        // A server that has closed already is noticed by the read.
        let _ = stream.write_all(request.as_bytes());
        let mut buffer = Vec::new();
        let head = read_head(&mut stream, &mut buffer, Instant::now() + t.options.answer)?;
        let header = |name: &str| {
            head.lines()
                .filter_map(|line| line.split_once(':'))
                .find_map(|(key, value)| key.trim().eq_ignore_ascii_case(name).then(|| value.trim().to_owned()))
        };
        if !head.starts_with("HTTP/1.1 101") || header("Sec-WebSocket-Accept").as_deref() != Some(ACCEPT) {
            return Err(Stop::failed("the upgrade to a WebSocket", head));
        }
        let subprotocol = header("Sec-WebSocket-Protocol");
        Ok(Self { stream, buffer, subprotocol })
    }

    /// Sends one frame; `last` is its FIN bit.
    pub(crate) fn send(&mut self, opcode: u8, last: bool, payload: &[u8]) {
        const MASK: [u8; 4] = [0x12, 0x34, 0x56, 0x78];
        let mut frame = vec![u8::from(last) << 7 | opcode];
        match u8::try_from(payload.len()) {
            Ok(short @ 0..=125) => frame.push(0x80 | short),
            _ => {
                frame.push(0x80 | 126);
                frame.extend(u16::try_from(payload.len()).unwrap_or(u16::MAX).to_be_bytes());
            }
        }
        frame.extend(MASK);
        frame.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
        // As above.
        let _ = self.stream.write_all(&frame);
    }

    pub(crate) fn next(&mut self, deadline: Instant) -> Frame {
        loop {
            if let Some((opcode, payload)) = self.take() {
                return if opcode == CLOSE { Frame::Closed } else { Frame::Data { opcode, payload } };
            }
            match self.stream.read_into(&mut self.buffer, deadline) {
                Read1::Bytes => {}
                Read1::Closed => return Frame::Closed,
                Read1::Late => return Frame::Late,
            }
        }
    }

    /// The first whole frame in the buffer. A server's frames are not masked.
    fn take(&mut self) -> Option<(u8, Vec<u8>)> {
        let opcode = self.buffer.first()? & 0x0F;
        let short = usize::from(self.buffer.get(1)? & 0x7F);
        let (start, length): (usize, usize) = match short {
            126 => (4, usize::from(u16::from_be_bytes(self.buffer.get(2..4)?.try_into().ok()?))),
            127 => (10, usize::try_from(u64::from_be_bytes(self.buffer.get(2..10)?.try_into().ok()?)).ok()?),
            short => (2, short),
        };
        let end = start.checked_add(length)?;
        let payload = self.buffer.get(start..end)?.to_vec();
        self.buffer.drain(..end);
        Some((opcode, payload))
    }
}

fn read_head(stream: &mut Stream, buffer: &mut Vec<u8>, deadline: Instant) -> Check<String> {
    loop {
        if let Some(end) = buffer.windows(4).position(|four| four == b"\r\n\r\n") {
            let head: Vec<u8> = buffer.drain(..end + 4).collect();
            return Ok(String::from_utf8_lossy(&head).into_owned());
        }
        if !matches!(stream.read_into(buffer, deadline), Read1::Bytes) {
            return Err(Stop::failed("an HTTP response", String::from_utf8_lossy(buffer)));
        }
    }
}
