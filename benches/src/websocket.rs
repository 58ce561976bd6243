//! The client's half of MQTT over WebSocket (RFC 6455; MQTT 5.0, section 6): one binary frame for each flush.

use anyhow::{Context, Result, bail, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::transport::Transport;

/// The nonce of every opening handshake, and the answer that RFC 6455 section 4.2.2 prescribes for it. A nonce guards against caches that answer
/// for the server; a load tester has none in between.
const KEY: &str = "bW9vcmluZy1iZW5jaC0xNg==";
const ACCEPT: &str = "4HLmbSq12hRgVk3kfBLMrfBq0nc=";

const RESPONSE_BYTES_MAX: usize = 8192;

/// Asks for the upgrade; gives back what came after the response's head.
pub(crate) async fn upgrade(transport: &mut Transport, authority: &str, path: &str) -> Result<Vec<u8>> {
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {authority}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: {KEY}\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n"
    );
    transport.write_all(request.as_bytes()).await?;
    transport.flush().await?;
    let mut response = Vec::new();
    loop {
        if let Some(end) = response.windows(4).position(|window| window == b"\r\n\r\n") {
            let rest = response.split_off(end + 4);
            check_response(std::str::from_utf8(&response).context("response to the upgrade")?)?;
            return Ok(rest);
        }
        ensure!(response.len() < RESPONSE_BYTES_MAX, "the response to the upgrade is too long");
        ensure!(transport.read_buf(&mut response).await? > 0, "the server closed the connection during the upgrade");
    }
}

fn check_response(head: &str) -> Result<()> {
    let mut lines = head.lines();
    let status = lines.next().unwrap_or_default();
    if status.split(' ').nth(1) != Some("101") {
        bail!("the server refused the upgrade: {status}");
    }
    let header = |name: &str| {
        head.lines().filter_map(|line| line.split_once(':')).find(|(key, _)| key.trim().eq_ignore_ascii_case(name))
    };
    let has = |name: &str, value: &str| header(name).is_some_and(|(_, found)| found.trim() == value);
    ensure!(has("sec-websocket-accept", ACCEPT), "the server answered another handshake");
    ensure!(has("sec-websocket-protocol", "mqtt"), "the server did not choose the subprotocol mqtt");
    Ok(())
}

/// Appends `payload` as one binary frame. The mask is 0, which RFC 6455 section 5.3 discourages only for scripts that an attacker wrote: masking
/// would cost the generator a pass over all it sends, and the server unmasks in any case.
pub(crate) fn append_frame(payload: &[u8], out: &mut Vec<u8>) {
    append_header(0x82, payload.len(), out);
    out.extend_from_slice(payload);
}

fn append_header(first: u8, length: usize, out: &mut Vec<u8>) {
    out.push(first);
    match length {
        0..=125 => out.push(0x80 | length as u8),
        126..=0xFFFF => {
            out.push(0x80 | 126);
            out.extend_from_slice(&(length as u16).to_be_bytes());
        }
        _ => {
            out.push(0x80 | 127);
            out.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(&[0; 4]);
}

/// Takes frames off a stream of bytes, whatever the pieces in which it arrives.
#[derive(Debug, Default)]
pub(crate) struct Deframer {
    header: Vec<u8>,
    left_in_frame: usize,
    control: Option<Control>,
}

#[derive(Debug)]
struct Control {
    opcode: u8,
    payload: Vec<u8>,
}

const CONTROL_BYTES_MAX: usize = 125;
const OPCODE_CLOSE: u8 = 8;
const OPCODE_PING: u8 = 9;

/// What [`Deframer::deframe`] left in the buffer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Deframed {
    /// Bytes of MQTT at the start of the buffer.
    pub(crate) length: usize,
    /// The server wants to close.
    pub(crate) closing: bool,
}

impl Deframer {
    /// Moves the payload of data frames to the front of `bytes`; answers pings into `out`.
    pub(crate) fn deframe(&mut self, bytes: &mut [u8], out: &mut Vec<u8>) -> Result<Deframed> {
        let (mut read_at, mut write_at, mut closing) = (0, 0, false);
        while read_at < bytes.len() {
            if self.left_in_frame == 0 && self.control.is_none() {
                self.header.push(bytes[read_at]);
                read_at += 1;
                self.finish_header()?;
            } else {
                let length = self.left_in_frame.min(bytes.len() - read_at);
                match &mut self.control {
                    Some(control) => control.payload.extend_from_slice(&bytes[read_at..read_at + length]),
                    None => {
                        bytes.copy_within(read_at..read_at + length, write_at);
                        write_at += length;
                    }
                }
                read_at += length;
                self.left_in_frame -= length;
            }
            closing |= self.finish_control(out);
        }
        Ok(Deframed { length: write_at, closing })
    }

    fn finish_header(&mut self) -> Result<()> {
        let [first, second, extended @ ..] = self.header.as_slice() else { return Ok(()) };
        ensure!(second & 0x80 == 0, "the server masked a frame [RFC 6455, 5.1]");
        let length = match (second & 0x7F, extended) {
            (126, [a, b]) => usize::from(u16::from_be_bytes([*a, *b])),
            (127, extended) if extended.len() == 8 => {
                extended.iter().fold(0, |length, byte| length << 8 | usize::from(*byte))
            }
            (126 | 127, _) => return Ok(()),
            (short, _) => usize::from(short),
        };
        let opcode = first & 0x0F;
        ensure!(opcode < OPCODE_CLOSE || length <= CONTROL_BYTES_MAX, "a control frame is too long [RFC 6455, 5.5]");
        self.control = (opcode >= OPCODE_CLOSE).then(|| Control { opcode, payload: Vec::new() });
        self.left_in_frame = length;
        self.header.clear();
        Ok(())
    }

    /// Whether a close frame has ended here.
    fn finish_control(&mut self, out: &mut Vec<u8>) -> bool {
        if self.left_in_frame > 0 {
            return false;
        }
        let Some(control) = self.control.take() else { return false };
        if control.opcode == OPCODE_PING {
            append_header(0x8A, control.payload.len(), out);
            out.extend_from_slice(&control.payload);
        }
        control.opcode == OPCODE_CLOSE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_taken_off_in_any_pieces() {
        let long = vec![b'x'; 300];
        let mut stream = vec![0x82, 3, b'a', b'b', b'c', 0x89, 1, b'p', 0x02, 126, 1, 44];
        stream.extend_from_slice(&long);
        stream.extend_from_slice(&[0x82, 0, 0x88, 0]);
        for piece in [1, 2, 7, 1000] {
            let (mut deframer, mut mqtt, mut out, mut closing) = (Deframer::default(), Vec::new(), Vec::new(), false);
            for chunk in stream.chunks(piece) {
                let mut chunk = chunk.to_vec();
                let deframed = deframer.deframe(&mut chunk, &mut out).unwrap();
                mqtt.extend_from_slice(&chunk[..deframed.length]);
                closing |= deframed.closing;
            }
            assert_eq!(mqtt, [b"abc".as_slice(), &long].concat());
            assert_eq!(out, [0x8A, 0x81, 0, 0, 0, 0, b'p']);
            assert!(closing);
        }
    }

    #[test]
    fn a_long_control_frame_or_a_masked_frame_is_refused() {
        for mut bytes in [vec![0x89, 126, 0, 126], vec![0x82, 0x83, 0, 0, 0, 0]] {
            assert!(Deframer::default().deframe(&mut bytes, &mut Vec::new()).is_err());
        }
    }

    #[test]
    fn a_frame_has_the_shortest_length_and_a_mask() {
        for (length, header) in [
            (125, vec![0x82, 0xFD]),
            (126, vec![0x82, 0xFE, 0, 126]),
            (65536, vec![0x82, 0xFF, 0, 0, 0, 0, 0, 1, 0, 0]),
        ] {
            let mut out = Vec::new();
            append_frame(&vec![b'x'; length], &mut out);
            assert_eq!(out[..header.len()], header);
            assert_eq!(out.len(), header.len() + 4 + length);
        }
    }

    #[test]
    fn an_upgrade_without_the_subprotocol_is_refused() {
        let good =
            format!("HTTP/1.1 101 Switching\r\nsec-websocket-accept: {ACCEPT}\r\nSec-WebSocket-Protocol: mqtt\r\n");
        assert!(check_response(&good).is_ok());
        assert!(check_response(&good.replace("mqtt", "chat")).is_err());
        assert!(check_response("HTTP/1.1 404 Not Found\r\n").is_err());
    }
}
