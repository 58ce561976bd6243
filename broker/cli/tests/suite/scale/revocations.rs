//! From the word of an operator to the closed socket, with many connected: a certificate at a time, and one certificate that all of them have.
//!
//! A client notes the time at which its socket ends before it deciphers what it was told last, so that one client's work delays no other's note.

use std::io::Read as _;
use std::time::{Duration, Instant};

use mooring_sim::Credentials;
use rustls::ClientConnection;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::enrolments::enrol_all;
use super::{AT_A_TIME, NO_RATE, Sizes, connector, distribution, make_devices, open_tls, runtime};
use crate::postgres::Postgres;
use crate::server::{Home, Server};

#[test]
fn many_devices_enrol_and_a_revocation_closes_the_connection_of_each_and_no_other() {
    let sizes = Sizes::of_this_run();
    let postgres = Postgres::start_durable();
    let home = Home::with(&format!("[database]\nurl = \"{}\"\n{NO_RATE}", postgres.new_database()));
    let server = sizes.start(&home);
    let devices = make_devices(&home, sizes.devices);
    let root_pem = std::fs::read_to_string(home.root_certificate()).unwrap();
    runtime().block_on(async {
        let clients = enrol_all(&home, &server, &postgres, &devices).await;
        let connectors = clients.into_iter().map(|(id, credentials)| (id, connector(&root_pem, Some(&credentials))));
        let mut open = connect_all(server.mqtts, connectors.collect()).await;
        let mut took = Vec::new();
        for client in open.drain(..sizes.revoked) {
            let id = client.id.clone();
            let closing = tokio::spawn(client.closed());
            let asked = revoke(&server, &id).await;
            took.push(closing.await.unwrap().verified() - asked);
        }
        print_distribution("one certificate each", sizes.devices, took);
        for client in &mut open {
            client.ping().await;
        }
    });
}

#[test]
fn a_revocation_closes_every_connection_of_a_certificate_that_many_have() {
    let sizes = Sizes::of_this_run();
    let home = Home::with(NO_RATE);
    let server = sizes.start(&home);
    let device = home.make_device();
    let credentials: Credentials = home.enrol(&server, &device, "shared");
    let shared = connector(&std::fs::read_to_string(home.root_certificate()).unwrap(), Some(&credentials));
    runtime().block_on(async {
        let clients = (0..sizes.sharing).map(|_| (device.id.clone(), shared.clone())).collect();
        let open = connect_all(server.mqtts, clients).await;
        let closing: JoinSet<Ended> = open.into_iter().map(Connected::closed).collect();
        // Each has to wait for its socket before the first ends.
        tokio::task::yield_now().await;
        let asked = revoke(&server, &device.id).await;
        let ended = closing.join_all().await;
        let took = ended.into_iter().map(|ended| ended.verified() - asked).collect();
        print_distribution("one certificate of all", sizes.sharing, took);
    });
}

fn print_distribution(what: &str, connected: usize, mut took: Vec<Duration>) {
    took.sort_unstable();
    println!("from the request to the closed socket, {what}, {connected} connected: {}", distribution(&took));
}

/// A connected device.
struct Connected {
    id: String,
    stream: TlsStream<TcpStream>,
}

impl Connected {
    /// The connection lives.
    async fn ping(&mut self) {
        self.stream.write_all(&[0xC0, 0]).await.unwrap();
        let mut answer = [0; 2];
        self.stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(answer, [0xD0, 0], "{}", self.id);
    }

    /// Waits for the end of the connection.
    async fn closed(self) -> Ended {
        let (mut socket, tls) = self.stream.into_inner();
        let mut last = Vec::new();
        // A reset ends it as well.
        let _ = socket.read_to_end(&mut last).await;
        Ended { at: Instant::now(), id: self.id, tls, last }
    }
}

/// A connection that has ended, and what came on it last, enciphered.
struct Ended {
    at: Instant,
    id: String,
    tls: ClientConnection,
    last: Vec<u8>,
}

impl Ended {
    /// When it ended, which was with DISCONNECT 0x98.
    fn verified(mut self) -> Instant {
        let (mut rest, mut said) = (self.last.as_slice(), Vec::new());
        while !rest.is_empty() {
            self.tls.read_tls(&mut rest).unwrap();
            self.tls.process_new_packets().unwrap();
        }
        // Whether the TLS ends in order does not matter here.
        let _ = self.tls.reader().read_to_end(&mut said);
        assert!(said.len() > 2 && said[0] == 0xE0 && said[2] == 0x98, "{}: {said:x?}", self.id);
        self.at
    }
}

/// CONNECT of 5.0: keep alive of an hour, client id from the server.
const CONNECT: [u8; 15] = [0x10, 13, 0, 4, b'M', b'Q', b'T', b'T', 5, 2, 0x0E, 0x10, 0, 0, 0];

async fn connect_all(port: u16, clients: Vec<(String, TlsConnector)>) -> Vec<Connected> {
    let mut connected = Vec::with_capacity(clients.len());
    let mut running = JoinSet::new();
    for (id, connector) in clients {
        running.spawn(async move {
            let mut stream = open_tls(&connector, port).await;
            stream.write_all(&CONNECT).await.unwrap();
            let mut header = [0; 2];
            stream.read_exact(&mut header).await.unwrap();
            let mut rest = vec![0; usize::from(header[1])];
            stream.read_exact(&mut rest).await.unwrap();
            assert_eq!((header[0], rest[1]), (0x20, 0), "CONNACK of {id}");
            Connected { id, stream }
        });
        if running.len() == AT_A_TIME {
            connected.extend(running.join_next().await.map(Result::unwrap));
        }
    }
    connected.extend(running.join_all().await);
    connected
}

/// Revokes all certificates of a device, and gives the moment of the request.
async fn revoke(server: &Server, device: &str) -> Instant {
    let admin = format!("127.0.0.1:{}", server.admin);
    let body = r#"{"reason":"keyCompromise"}"#;
    let request = format!(
        "POST /admin/devices/{device}/revocation HTTP/1.1\r\nhost: {admin}\r\ncontent-type: application/json\r\n\
         connection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut socket = TcpStream::connect(&admin).await.unwrap();
    let asked = Instant::now();
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    asked
}
