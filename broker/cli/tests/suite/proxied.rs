//! HTTPS behind a proxy that says, with PROXY protocol version 2, whose connection it passes on.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustls::{ClientConnection, StreamOwned};

use crate::mqtt::tls_config;
use crate::server::{Home, Server};
use crate::web::Answer;

/// Version 2, PROXY, TCP over IPv4, 12 bytes of addresses.
const PREAMBLE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0C";

fn start(home: &Home) -> Server {
    let config = home.path().join("mooring.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    let settings = "[http]\nproxy_protocol_from = [\"127.0.0.1\"]\nrequests_per_address = 3\n";
    std::fs::write(&config, text.replace("[http]\n", settings)).unwrap();
    home.start()
}

/// Asks for the API's description behind this preamble.
fn get(home: &Home, server: &Server, preamble: &[u8]) -> io::Result<Answer> {
    let mut socket = TcpStream::connect(("127.0.0.1", server.https))?;
    socket.set_read_timeout(Some(Duration::from_secs(60)))?;
    socket.write_all(preamble)?;
    let root_pem = std::fs::read_to_string(home.root_certificate())?;
    let config = Arc::new(tls_config(&root_pem, None));
    let connection = ClientConnection::new(config, "localhost".try_into().unwrap()).unwrap();
    let mut stream = StreamOwned::new(connection, socket);
    stream.write_all(b"GET /api/openapi.json HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")?;
    let mut received = Vec::new();
    stream.read_to_end(&mut received)?;
    Ok(Answer::parse(&String::from_utf8_lossy(&received)))
}

fn preamble(source: Ipv4Addr) -> Vec<u8> {
    [PREAMBLE, &source.octets(), &[127, 0, 0, 1], &4660_u16.to_be_bytes(), &443_u16.to_be_bytes()].concat()
}

#[test]
fn requests_count_for_the_address_that_the_proxy_names() {
    let home = Home::new();
    let server = start(&home);
    let from = |last: u8| get(&home, &server, &preamble(Ipv4Addr::new(192, 0, 2, last))).unwrap().status;
    assert_eq!([from(1), from(1), from(1), from(1)], [200, 200, 200, 429]);
    assert_eq!(from(2), 200);
}

#[test]
fn attack_a_proxys_address_without_its_header_or_with_a_bad_one() {
    let home = Home::new();
    let server = start(&home);
    let mut of_version_3 = preamble(Ipv4Addr::new(192, 0, 2, 1));
    of_version_3[12] = 0x31;
    for bad in [&b""[..], b"PROXY TCP4 192.0.2.1 127.0.0.1 4660 443\r\n", &of_version_3] {
        assert!(get(&home, &server, bad).is_err(), "{bad:?}");
    }
}
