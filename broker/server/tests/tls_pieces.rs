//! A message of TLS itself that comes in pieces, after the handshake, while the server has something to say.
#![allow(clippy::unwrap_used, reason = "a test says what it expects by unwrapping it")]

mod common;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use common::client::Client;
use common::tls::{self, Pair};
use common::{address, config, listener, start, within};
use mooring_protocol::{QoS, Version};
use mooring_server::{ListenerKind, Server};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use rustls::{ConnectionTrafficSecrets, ExtractedSecrets};
use rustls_pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// A client whose records the test seals itself.
struct ByHand {
    tcp: TcpStream,
    key: LessSafeKey,
    iv: [u8; 12],
    sequence: u64,
}

/// The content type of a handshake message.
const HANDSHAKE: u8 = 22;
/// KeyUpdate, the peer's keys not asked for (RFC 8446, 4.6.3).
const KEY_UPDATE: [u8; 5] = [24, 0, 0, 1, 0];

impl ByHand {
    /// Connects, and subscribes to `t`.
    async fn subscribed(address: SocketAddr, pair: &Pair) -> Self {
        let mut config = (*pair.client).clone();
        config.enable_secret_extraction = true;
        let tcp = TcpStream::connect(address).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let mut stream = TlsConnector::from(Arc::new(config)).connect(name, tcp).await.unwrap();
        // CONNECT of 3.1.1 with the client id "x", and SUBSCRIBE; CONNACK and SUBACK.
        stream.write_all(&[0x10, 13, 0, 4, b'M', b'Q', b'T', b'T', 4, 2, 0, 0, 0, 1, b'x']).await.unwrap();
        stream.write_all(&[0x82, 6, 0, 1, 0, 1, b't', 0]).await.unwrap();
        stream.flush().await.unwrap();
        within("CONNACK and SUBACK", stream.read_exact(&mut [0; 4 + 5])).await.unwrap();
        let (tcp, session) = stream.into_inner();
        let ExtractedSecrets { tx: (sequence, secrets), .. } = session.dangerous_extract_secrets().unwrap();
        let ConnectionTrafficSecrets::Aes256Gcm { key, iv } = secrets else {
            unreachable!("the defaults of both sides choose AES-256-GCM")
        };
        let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key.as_ref()).unwrap());
        Self { tcp, key, iv: iv.as_ref().try_into().unwrap(), sequence }
    }

    async fn send_record(&mut self, content_type: u8, content: &[u8]) {
        let record = self.sealed(content_type, content);
        self.tcp.write_all(&record).await.unwrap();
    }

    /// These bytes as one record (RFC 8446, 5.2).
    fn sealed(&mut self, content_type: u8, content: &[u8]) -> Vec<u8> {
        let mut record = content.to_vec();
        record.push(content_type);
        let length = u16::try_from(record.len() + AES_256_GCM.tag_len()).unwrap().to_be_bytes();
        let header = [23, 3, 3, length[0], length[1]];
        let mut nonce = self.iv;
        nonce.iter_mut().skip(4).zip(self.sequence.to_be_bytes()).for_each(|(byte, sequence)| *byte ^= sequence);
        self.sequence += 1;
        let nonce = Nonce::assume_unique_for_key(nonce);
        self.key.seal_in_place_append_tag(nonce, Aad::from(header), &mut record).unwrap();
        [&header[..], &record].concat()
    }

    /// The server has written something.
    async fn hears(&mut self) {
        let count = within("what the server writes", self.tcp.read(&mut [0; 1024])).await.unwrap();
        assert!(count > 0, "the connection was closed");
    }
}

/// A server of one shard, with a client beside the one whose records are made by hand.
async fn start_with_both(directory: &Path, pair: &Pair) -> (Server, Client, ByHand) {
    let mut config = config(directory, 1);
    config.listeners.push(listener("tls", ListenerKind::Tls, Some(Arc::new(Arc::clone(&pair.server)))));
    let server = start(config);
    let other = Client::connected(address(&server, "plain"), "other").await;
    let by_hand = ByHand::subscribed(address(&server, "tls"), pair).await;
    (server, other, by_hand)
}

#[tokio::test]
async fn a_key_update_in_two_pieces_harms_neither_its_connection_nor_others() {
    let directory = tempfile::tempdir().unwrap();
    let pair = tls::mutual();
    let (server, mut other, mut by_hand) = start_with_both(directory.path(), &pair).await;
    let (first, second) = KEY_UPDATE.split_at(3);
    by_hand.send_record(HANDSHAKE, first).await;
    // While the server waits for the rest, it writes.
    for _ in 0..3 {
        other.publish("t", b"between the pieces", QoS::AtLeastOnce, false).await;
        by_hand.hears().await;
    }
    by_hand.send_record(HANDSHAKE, second).await;
    other.publish("t", b"behind them", QoS::AtLeastOnce, false).await;
    by_hand.hears().await;
    other.ping().await;
    server.shutdown().await;
}

#[tokio::test]
async fn attack_a_message_in_more_pieces_than_there_is_room_for_ends_its_connection_alone() {
    let directory = tempfile::tempdir().unwrap();
    let pair = tls::mutual();
    let (server, mut other, mut by_hand) = start_with_both(directory.path(), &pair).await;
    // A handshake message of 60,000 bytes, announced and sent byte by byte.
    by_hand.send_record(HANDSHAKE, &[4, 0, 0xEA, 0x60]).await;
    for _ in 0..8_000 {
        let record = by_hand.sealed(HANDSHAKE, &[0]);
        // The server has closed it.
        if by_hand.tcp.write_all(&record).await.is_err() {
            break;
        }
    }
    other.ping().await;
    let mut again = Client::on(tls::tls(address(&server, "tls"), Arc::clone(&pair.client)).await.unwrap(), Version::V5);
    again.connect("again").await;
    server.shutdown().await;
}
