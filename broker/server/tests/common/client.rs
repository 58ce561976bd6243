//! An MQTT client that says and hears single packets.

use std::io;
use std::net::SocketAddr;

use mooring_protocol::{
    Ack, Connect, DecodeLimits, Disconnect, Packet, PacketId, Publish, QoS, ReasonCode, Subscribe, Subscription,
    SubscriptionOptions, TopicFilter, TopicName, Version, decode, encode,
};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

use super::within;

pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// A packet that came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Got {
    ConnAck {
        session_present: bool,
        reason: ReasonCode,
    },
    Publish {
        topic: String,
        payload: Vec<u8>,
        qos: QoS,
        retain: bool,
        dup: bool,
        packet_id: Option<PacketId>,
    },
    PubAck(PacketId, ReasonCode),
    PubRec(PacketId, ReasonCode),
    PubRel(PacketId),
    PubComp(PacketId),
    SubAck(PacketId, Vec<ReasonCode>),
    UnsubAck(PacketId),
    PingResp,
    Auth(ReasonCode, Option<Vec<u8>>),
    Disconnect(ReasonCode),
    /// The server closed.
    End,
}

pub(crate) struct Client {
    stream: Box<dyn Stream>,
    version: Version,
    received: Vec<u8>,
}

pub(crate) fn id(number: u16) -> PacketId {
    PacketId::new(number).unwrap()
}

impl Client {
    pub(crate) fn on(stream: impl Stream + 'static, version: Version) -> Self {
        Self { stream: Box::new(stream), version, received: Vec::new() }
    }

    /// A socket that has said nothing yet.
    pub(crate) async fn tcp(address: SocketAddr) -> Self {
        let stream = within("connecting", TcpStream::connect(address)).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self::on(stream, Version::V5)
    }

    /// A client of MQTT 5.0 with a clean session that ends with its connection.
    pub(crate) async fn connected(address: SocketAddr, client_id: &str) -> Self {
        let mut client = Self::tcp(address).await;
        assert_eq!(
            client.connect(client_id).await,
            Got::ConnAck { session_present: false, reason: ReasonCode::Success }
        );
        client
    }

    pub(crate) async fn connect(&mut self, client_id: &str) -> Got {
        self.connect_with(&Connect { clean_start: true, ..self.connect_packet(client_id) }).await
    }

    /// Resumes a session, or begins one that outlives its connection.
    pub(crate) async fn connect_lasting(&mut self, client_id: &str) -> Got {
        let mut connect = Connect { clean_start: false, ..self.connect_packet(client_id) };
        if self.version.is_v5() {
            connect.properties.session_expiry_s = Some(3600);
        }
        self.connect_with(&connect).await
    }

    pub(crate) fn connect_packet<'a>(&self, client_id: &'a str) -> Connect<'a> {
        Connect { version: self.version, ..Connect::new(client_id) }
    }

    pub(crate) async fn connect_with(&mut self, connect: &Connect<'_>) -> Got {
        self.version = connect.version;
        self.send(&connect.clone().into()).await;
        self.recv().await
    }

    pub(crate) async fn send(&mut self, packet: &Packet<'_>) {
        let mut bytes = Vec::new();
        encode(packet, self.version, &mut bytes).unwrap();
        self.send_bytes(&bytes).await.unwrap();
    }

    pub(crate) async fn send_bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        within("sending", async {
            self.stream.write_all(bytes).await?;
            self.stream.flush().await
        })
        .await
    }

    pub(crate) async fn recv(&mut self) -> Got {
        within("receiving", async {
            loop {
                if let Some((packet, size)) = decode(&self.received, self.version, &DecodeLimits::PROTOCOL).unwrap() {
                    let got = own(&packet);
                    self.received.drain(..size);
                    return got;
                }
                match self.stream.read_buf(&mut self.received).await {
                    Ok(0) | Err(_) => return Got::End,
                    Ok(_) => {}
                }
            }
        })
        .await
    }

    /// The payload of the next packet, which must be a PUBLISH.
    pub(crate) async fn recv_payload(&mut self) -> Vec<u8> {
        match self.recv().await {
            Got::Publish { payload, .. } => payload,
            other => panic!("{other:?} instead of a message"),
        }
    }

    pub(crate) async fn subscribe(&mut self, filter: &str, qos: QoS) {
        assert_eq!(self.try_subscribe(filter, qos).await, [ReasonCode::granted(qos)]);
    }

    pub(crate) async fn try_subscribe(&mut self, filter: &str, qos: QoS) -> Vec<ReasonCode> {
        let options = SubscriptionOptions { qos, ..SubscriptionOptions::default() };
        let filters = [Subscription { filter: TopicFilter::parse(filter).unwrap(), options }];
        self.send(&Subscribe::new(id(60_000), &filters).into()).await;
        match self.recv().await {
            Got::SubAck(_, reasons) => reasons,
            other => panic!("{other:?} instead of SUBACK"),
        }
    }

    /// Publishes, and waits until the server has taken responsibility.
    pub(crate) async fn publish(&mut self, topic: &str, payload: &[u8], qos: QoS, retain: bool) {
        let publish = Publish::new(TopicName::parse(topic).unwrap(), payload);
        let publish = if retain { publish.retained() } else { publish };
        match qos {
            QoS::AtMostOnce => self.send(&publish.into()).await,
            QoS::AtLeastOnce => {
                self.send(&publish.at_least_once(id(1)).into()).await;
                let got = self.recv().await;
                assert!(
                    matches!(&got, Got::PubAck(packet_id, reason) if *packet_id == id(1) && !reason.is_error()),
                    "{got:?}"
                );
            }
            QoS::ExactlyOnce => {
                self.send(&publish.exactly_once(id(2)).into()).await;
                let got = self.recv().await;
                assert!(
                    matches!(&got, Got::PubRec(packet_id, reason) if *packet_id == id(2) && !reason.is_error()),
                    "{got:?}"
                );
                self.send(&Packet::PubRel(Ack::new(id(2)))).await;
                assert_eq!(self.recv().await, Got::PubComp(id(2)));
            }
        }
    }

    /// Receives a message and does what its QoS asks for.
    pub(crate) async fn take(&mut self) -> (String, Vec<u8>, QoS) {
        let Got::Publish { topic, payload, qos, packet_id, .. } = self.recv().await else {
            panic!("not a message");
        };
        match (qos, packet_id) {
            (QoS::AtMostOnce, None) => {}
            (QoS::AtLeastOnce, Some(packet_id)) => self.send(&Packet::PubAck(Ack::new(packet_id))).await,
            (QoS::ExactlyOnce, Some(packet_id)) => {
                self.send(&Packet::PubRec(Ack::new(packet_id))).await;
                assert_eq!(self.recv().await, Got::PubRel(packet_id));
                self.send(&Packet::PubComp(Ack::new(packet_id))).await;
            }
            other => panic!("QoS and packet id do not agree: {other:?}"),
        }
        (topic, payload, qos)
    }

    /// Says goodbye and waits until the server has closed.
    pub(crate) async fn disconnect(mut self) {
        self.send(&Disconnect::new(ReasonCode::NORMAL_DISCONNECTION).into()).await;
        assert_eq!(self.recv().await, Got::End);
    }

    /// Everything before is done when the answer is here.
    pub(crate) async fn ping(&mut self) {
        self.send(&Packet::PingReq).await;
        assert_eq!(self.recv().await, Got::PingResp);
    }
}

fn own(packet: &Packet<'_>) -> Got {
    match packet {
        Packet::ConnAck(p) => Got::ConnAck { session_present: p.session_present, reason: p.reason },
        Packet::Publish(p) => Got::Publish {
            topic: p.topic.to_owned(),
            payload: p.payload.to_vec(),
            qos: p.qos,
            retain: p.retain,
            dup: p.dup,
            packet_id: p.packet_id,
        },
        Packet::PubAck(p) => Got::PubAck(p.packet_id, p.reason),
        Packet::PubRec(p) => Got::PubRec(p.packet_id, p.reason),
        Packet::PubRel(p) => Got::PubRel(p.packet_id),
        Packet::PubComp(p) => Got::PubComp(p.packet_id),
        Packet::SubAck(p) => Got::SubAck(p.packet_id, p.reasons.iter().collect()),
        Packet::UnsubAck(p) => Got::UnsubAck(p.packet_id),
        Packet::PingResp => Got::PingResp,
        Packet::Auth(p) => Got::Auth(p.reason, p.properties.authentication_data.map(<[u8]>::to_vec)),
        Packet::Disconnect(p) => Got::Disconnect(p.reason),
        other => panic!("a server does not send {other:?}"),
    }
}
