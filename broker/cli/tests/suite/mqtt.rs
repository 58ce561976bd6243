//! A blocking MQTT client of the tests, over any stream.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use mooring_protocol::{
    Connect, DecodeLimits, Packet, PacketId, Publish, QoS, ReasonCode, Subscribe, Subscription, TopicFilter, TopicName,
    Version, decode, encode,
};
use mooring_sim::Credentials;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

/// A connection, CONNECT done.
pub(crate) struct Client<S> {
    stream: S,
    received: Vec<u8>,
}

/// How long an answer may take: far longer than any should, so that only a missing one fails.
const ANSWER: Duration = Duration::from_secs(60);

impl Client<TcpStream> {
    /// Connects to a plain listener.
    pub(crate) fn connect(port: u16, client_id: &str) -> io::Result<Self> {
        let stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(ANSWER))?;
        Client::start(stream, client_id)
    }
}

impl Client<StreamOwned<ClientConnection, TcpStream>> {
    /// Connects with mutual TLS.
    pub(crate) fn connect_tls(
        port: u16,
        client_id: &str,
        root_pem: &str,
        credentials: &Credentials,
    ) -> io::Result<Self> {
        Self::connect_tls_as(port, &Connect::new(client_id), root_pem, credentials)
    }

    /// Connects with mutual TLS, with a CONNECT of one's own.
    pub(crate) fn connect_tls_as(
        port: u16,
        connect: &Connect<'_>,
        root_pem: &str,
        credentials: &Credentials,
    ) -> io::Result<Self> {
        Client::start_as(tls_stream(port, root_pem, credentials)?, connect)
    }
}

/// A connection with mutual TLS, the handshake still to come.
pub(crate) fn tls_stream(
    port: u16,
    root_pem: &str,
    credentials: &Credentials,
) -> io::Result<StreamOwned<ClientConnection, TcpStream>> {
    let socket = TcpStream::connect(("127.0.0.1", port))?;
    socket.set_read_timeout(Some(ANSWER))?;
    let session = ClientConnection::new(
        Arc::new(tls_config(root_pem, Some(credentials))),
        ServerName::try_from("localhost").unwrap(),
    );
    Ok(StreamOwned::new(session.map_err(io::Error::other)?, socket))
}

/// The settings of a client that trusts this root, with a certificate of its own or without.
pub(crate) fn tls_config(root_pem: &str, credentials: Option<&Credentials>) -> ClientConfig {
    let certificates =
        |pem: &str| CertificateDer::pem_slice_iter(pem.as_bytes()).map(Result::unwrap).collect::<Vec<_>>();
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(certificates(root_pem));
    let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    match credentials {
        None => builder.with_no_client_auth(),
        Some(Credentials { key_pem, chain_pem }) => {
            let key = PrivateKeyDer::from_pem_slice(key_pem.as_bytes()).unwrap();
            builder.with_client_auth_cert(certificates(chain_pem), key).unwrap()
        }
    }
}

impl<S: Read + Write> Client<S> {
    fn start(stream: S, client_id: &str) -> io::Result<Self> {
        Self::start_as(stream, &Connect::new(client_id))
    }

    /// Connects over a stream of one's own.
    pub(crate) fn start_as(stream: S, connect: &Connect<'_>) -> io::Result<Self> {
        let mut client = Self { stream, received: Vec::new() };
        client.send(&Connect { keep_alive_s: 0, ..connect.clone() }.into())?;
        let reason = client.receive(|packet| match packet {
            Packet::ConnAck(ack) => Some(ack.reason),
            _ => None,
        })?;
        if reason == ReasonCode::Success { Ok(client) } else { Err(io::Error::other(format!("refused: {reason}"))) }
    }

    pub(crate) fn send(&mut self, packet: &Packet<'_>) -> io::Result<()> {
        let mut bytes = Vec::new();
        encode(packet, Version::V5, &mut bytes).map_err(io::Error::other)?;
        self.stream.write_all(&bytes)?;
        self.stream.flush()
    }

    /// Sends a PUBLISH at QoS 1; whoever wants the PUBACK waits for it.
    pub(crate) fn publish(&mut self, topic: &str, packet_id: u16, payload: &[u8]) -> io::Result<()> {
        let topic = TopicName::parse(topic).map_err(io::Error::other)?;
        let packet_id = PacketId::new(packet_id).ok_or(io::ErrorKind::InvalidInput)?;
        self.send(&Publish::new(topic, payload).at_least_once(packet_id).into())
    }

    /// The packet id and reason of the next PUBACK.
    pub(crate) fn acknowledged(&mut self) -> io::Result<(u16, ReasonCode)> {
        self.receive(|packet| match packet {
            Packet::PubAck(ack) => Some((ack.packet_id.get(), ack.reason)),
            _ => None,
        })
    }

    /// Publishes at QoS 1 and waits for the PUBACK.
    pub(crate) fn publish_and_wait(&mut self, topic: &str, payload: &[u8]) -> io::Result<ReasonCode> {
        self.publish(topic, 1, payload)?;
        Ok(self.acknowledged()?.1)
    }

    /// Subscribes at QoS 1 and waits for the SUBACK.
    pub(crate) fn subscribe(&mut self, filter: &str) -> io::Result<()> {
        let filter = TopicFilter::parse(filter).map_err(io::Error::other)?;
        let packet_id = PacketId::new(1).ok_or(io::ErrorKind::InvalidInput)?;
        self.send(&Subscribe::new(packet_id, &[Subscription::new(filter, QoS::AtLeastOnce)]).into())?;
        self.receive(|packet| matches!(packet, Packet::SubAck(_)).then_some(()))
    }

    /// The reason of the server's DISCONNECT, once it is there.
    pub(crate) fn disconnected(&mut self) -> io::Result<ReasonCode> {
        self.receive(|packet| match packet {
            Packet::Disconnect(disconnect) => Some(disconnect.reason),
            _ => None,
        })
    }

    /// Reads packets until `pick` takes one; the others are left out.
    pub(crate) fn receive<T>(&mut self, pick: impl Fn(&Packet<'_>) -> Option<T>) -> io::Result<T> {
        loop {
            while let Some((packet, length)) =
                decode(&self.received, Version::V5, &DecodeLimits::PROTOCOL).map_err(io::Error::other)?
            {
                let picked = pick(&packet);
                drop(packet);
                self.received.drain(..length);
                if let Some(picked) = picked {
                    return Ok(picked);
                }
            }
            let mut buffer = [0; 16 * 1024];
            let count = self.stream.read(&mut buffer)?;
            if count == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.received.extend_from_slice(&buffer[..count]);
        }
    }
}
