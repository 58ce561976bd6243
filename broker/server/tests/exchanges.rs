//! Enhanced authentication over sockets: AUTH between CONNECT and CONNACK, and again later.
#![expect(clippy::unwrap_used, reason = "a test says what it expects by unwrapping it")]

mod common;

use std::net::SocketAddr;
use std::sync::Arc;

use common::client::{Client, Got};
use common::{ByName, Table, address, config};
use mooring_core::access::Authenticating;
use mooring_core::{
    Authenticate, ConnectAttempt, Exchange, ExchangeAttempt, ExchangeStep, Identity, Principal, Refusal, Stepping,
};
use mooring_protocol::{Auth, Connect, Packet, ReasonCode, Version};
use mooring_server::{ConnectionLimits, Server, ServerConfig};

const METHOD: &str = "TWICE";

/// Offers one method: the client says `hello`, is asked `who?`, and gives a name.
#[derive(Default)]
struct Twice(ByName);

impl Authenticate for Twice {
    fn authenticate<'a>(&'a self, attempt: ConnectAttempt<'a>) -> Authenticating<'a> {
        self.0.authenticate(attempt)
    }

    fn exchange(&self, attempt: ExchangeAttempt<'_>) -> Option<Box<dyn Exchange>> {
        let (address, listener) = (Arc::from(attempt.address), Arc::from(attempt.listener));
        (attempt.method == METHOD).then(|| Box::new(Asked { address, listener }) as Box<dyn Exchange>)
    }
}

struct Asked {
    address: Arc<str>,
    listener: Arc<str>,
}

impl Exchange for Asked {
    fn step<'a>(&'a mut self, data: Option<&'a [u8]>) -> Stepping<'a> {
        Box::pin(async move {
            // As a method that looks something up: the answer is not there at once.
            tokio::task::yield_now().await;
            match data {
                Some(b"hello") => ExchangeStep::Continue((*b"who?").into()),
                Some(name) if name.starts_with(b"user:") => ExchangeStep::Done {
                    principal: Principal {
                        identity: Identity::new(str::from_utf8(name).unwrap()),
                        client_id: None,
                        certificate_serial: None,
                        presence_topic: None,
                        address: Arc::clone(&self.address),
                        listener: Arc::clone(&self.listener),
                    },
                    data: Some((*b"welcome").into()),
                },
                _ => ExchangeStep::Refuse(Refusal { reason: ReasonCode::NotAuthorized, why: "no name".into() }),
            }
        })
    }
}

fn start(config: ServerConfig) -> (Server, SocketAddr) {
    let server = Server::start(config, Arc::new(Table), Arc::new(Twice::default())).unwrap();
    let address = address(&server, "plain");
    (server, address)
}

fn connect_packet(client_id: &str) -> Connect<'_> {
    let mut connect = Connect::new(client_id);
    connect.properties.authentication_method = Some(METHOD);
    connect.properties.authentication_data = Some(b"hello");
    connect
}

fn auth(reason: ReasonCode, data: &[u8]) -> Packet<'_> {
    Auth::new(reason, METHOD, Some(data)).into()
}

fn connack(reason: ReasonCode) -> Got {
    Got::ConnAck { session_present: false, reason }
}

fn asked() -> Got {
    Got::Auth(ReasonCode::ContinueAuthentication, Some(b"who?".to_vec()))
}

/// A client that has shown that it is `user:a`.
async fn authenticated(address: SocketAddr, client_id: &str) -> Client {
    let mut client = Client::tcp(address).await;
    assert_eq!(client.connect_with(&connect_packet(client_id)).await, asked());
    client.send(&auth(ReasonCode::ContinueAuthentication, b"user:a")).await;
    assert_eq!(client.recv().await, connack(ReasonCode::Success));
    client
}

#[tokio::test]
async fn an_exchange_comes_before_connack_whatever_the_home_shard() {
    let directory = tempfile::tempdir().unwrap();
    let (server, address) = start(config(directory.path(), 3));
    for number in 0..6 {
        authenticated(address, &format!("client-{number}")).await.ping().await;
    }
    assert!(server.node().sessions().await.iter().all(|session| session.key.identity.as_str() == "user:a"));
    server.shutdown().await;
}

#[tokio::test]
async fn packets_behind_the_last_auth_are_not_lost() {
    let directory = tempfile::tempdir().unwrap();
    let (server, address) = start(config(directory.path(), 2));
    let mut client = Client::tcp(address).await;
    assert_eq!(client.connect_with(&connect_packet("a")).await, asked());
    let mut bytes = Vec::new();
    mooring_protocol::encode(&auth(ReasonCode::ContinueAuthentication, b"user:a"), Version::V5, &mut bytes).unwrap();
    mooring_protocol::encode(&Packet::PingReq, Version::V5, &mut bytes).unwrap();
    client.send_bytes(&bytes).await.unwrap();
    assert_eq!(client.recv().await, connack(ReasonCode::Success));
    assert_eq!(client.recv().await, Got::PingResp);
    server.shutdown().await;
}

/// What a client is told that answers `who?` with this packet.
async fn check_refused(packet: Packet<'_>, expected: ReasonCode) {
    let directory = tempfile::tempdir().unwrap();
    let (server, address) = start(config(directory.path(), 1));
    let mut client = Client::tcp(address).await;
    assert_eq!(client.connect_with(&connect_packet("a")).await, asked());
    client.send(&packet).await;
    assert_eq!(client.recv().await, connack(expected), "{packet:?}");
    assert_eq!(client.recv().await, Got::End);
    server.shutdown().await;
}

#[tokio::test]
async fn a_failed_exchange_is_refused() {
    check_refused(auth(ReasonCode::ContinueAuthentication, b"nobody"), ReasonCode::NotAuthorized).await;
    check_refused(auth(ReasonCode::ReAuthenticate, b"user:a"), ReasonCode::ProtocolError).await;
    check_refused(Packet::PingReq, ReasonCode::ProtocolError).await;
    let other = Auth::new(ReasonCode::ContinueAuthentication, "THRICE", Some(b"user:a"));
    check_refused(other.into(), ReasonCode::BadAuthenticationMethod).await;
}

#[tokio::test]
async fn a_method_that_is_not_offered_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let (server, address) = start(config(directory.path(), 1));
    let mut client = Client::tcp(address).await;
    let mut connect = connect_packet("a");
    connect.properties.authentication_method = Some("THRICE");
    assert_eq!(client.connect_with(&connect).await, connack(ReasonCode::BadAuthenticationMethod));
    assert_eq!(client.recv().await, Got::End);
    server.shutdown().await;
}

#[tokio::test]
async fn who_does_not_answer_in_time_is_closed() {
    let directory = tempfile::tempdir().unwrap();
    let config = config(directory.path(), 1);
    let connections = ConnectionLimits { connect_ms_max: 200, ..config.connections.clone() };
    let (server, address) = start(ServerConfig { connections, ..config });
    let mut client = Client::tcp(address).await;
    assert_eq!(client.connect_with(&connect_packet("a")).await, asked());
    assert_eq!(client.recv().await, Got::End);
    server.shutdown().await;
}

#[tokio::test]
async fn a_client_authenticates_again_and_is_closed_when_it_fails() {
    let directory = tempfile::tempdir().unwrap();
    let (server, address) = start(config(directory.path(), 2));
    let mut client = authenticated(address, "a").await;
    client.send(&auth(ReasonCode::ReAuthenticate, b"hello")).await;
    assert_eq!(client.recv().await, asked());
    client.ping().await;
    client.send(&auth(ReasonCode::ContinueAuthentication, b"user:a")).await;
    assert_eq!(client.recv().await, Got::Auth(ReasonCode::Success, Some(b"welcome".to_vec())));
    client.send(&auth(ReasonCode::ReAuthenticate, b"hello")).await;
    assert_eq!(client.recv().await, asked());
    client.send(&auth(ReasonCode::ContinueAuthentication, b"user:b")).await;
    assert_eq!(client.recv().await, Got::Disconnect(ReasonCode::NotAuthorized));
    assert_eq!(client.recv().await, Got::End);
    server.shutdown().await;
}
