//! Devices that enrol, each on a TLS connection of its own, signed and recorded on a Postgres that waits for its disk.

use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::handshake;
use hyper_util::rt::TokioIo;
use mooring_sim::Credentials;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;

use super::{AT_A_TIME, connector, cpu_time, open_tls};
use crate::postgres::Postgres;
use crate::server::{Device, Home, Server};

/// A device that has made its key and its signing request.
struct Ready {
    id: String,
    authorization: String,
    key_pem: String,
    csr_pem: String,
}

impl Ready {
    fn new(device: &Device) -> Self {
        let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
        let csr = rcgen::CertificateParams::default().serialize_request(&key).unwrap();
        let basic = BASE64_STANDARD.encode(format!("{}:{}", device.id, device.secret));
        Self {
            id: device.id.clone(),
            authorization: format!("Basic {basic}"),
            key_pem: key.serialize_pem(),
            csr_pem: csr.pem().unwrap(),
        }
    }

    async fn enrol(self, connector: TlsConnector, port: u16) -> (String, Credentials) {
        let stream = open_tls(&connector, port).await;
        let (mut sender, connection) = handshake(TokioIo::new(stream)).await.unwrap();
        let connection = tokio::spawn(connection);
        let request = hyper::Request::post("/v1/certificates")
            .header("host", "localhost")
            .header("authorization", &self.authorization)
            .body(Full::new(Bytes::from(self.csr_pem)));
        let answer = sender.send_request(request.unwrap()).await.unwrap();
        let status = answer.status();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        connection.abort();
        let chain_pem = String::from_utf8(body.to_vec()).unwrap();
        assert_eq!(status, 201, "{chain_pem}");
        (self.id, Credentials { key_pem: self.key_pem, chain_pem })
    }
}

/// What the parts of the machine have used.
struct Used {
    at: Instant,
    server: Duration,
    postgres: Duration,
    load: Duration,
}

impl Used {
    fn now(server: &Server, postgres: &Postgres) -> Self {
        Self {
            at: Instant::now(),
            server: cpu_time(server.pid()),
            postgres: postgres.processes().into_iter().map(cpu_time).sum(),
            load: cpu_time(std::process::id()),
        }
    }
}

/// Enrols all, and prints how fast that was and what each of the three parts did for it. Keys and requests are made before.
pub(super) async fn enrol_all(
    home: &Home,
    server: &Server,
    postgres: &Postgres,
    devices: &[Device],
) -> Vec<(String, Credentials)> {
    let connector = connector(&std::fs::read_to_string(home.root_certificate()).unwrap(), None);
    let mut waiting: Vec<Ready> = devices.iter().map(Ready::new).collect();
    let mut running = JoinSet::new();
    let mut enrolled = Vec::with_capacity(devices.len());
    let before = Used::now(server, postgres);
    loop {
        while running.len() < AT_A_TIME
            && let Some(next) = waiting.pop()
        {
            running.spawn(next.enrol(connector.clone(), server.https));
        }
        let Some(done) = running.join_next().await else { break };
        enrolled.push(done.unwrap());
    }
    let (took, after) = (before.at.elapsed(), Used::now(server, postgres));
    let count = u32::try_from(enrolled.len()).unwrap();
    println!(
        "{count} enrolments in {took:.2?}: {:.0} a second; CPU of each: server {:.0?}, Postgres {:.0?}, the load {:.0?}",
        f64::from(count) / took.as_secs_f64(),
        (after.server - before.server) / count,
        after.postgres.saturating_sub(before.postgres) / count,
        (after.load - before.load) / count,
    );
    enrolled
}
