//! Sockets that never say a word keep nobody out.

use std::io::Read as _;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::mqtt::Client;
use crate::server::Home;

#[test]
fn five_hundred_silent_sockets_do_not_delay_a_device_and_are_closed_by_the_time_limit() {
    let home = Home::with("[limits]\nhandshake_ms_max = 4000");
    let server = home.start();
    let device = home.make_device();
    let credentials = home.enrol(&server, &device, "device");
    let root_pem = std::fs::read_to_string(home.root_certificate()).unwrap();
    let silent: Vec<TcpStream> = (0..500).map(|_| TcpStream::connect(("127.0.0.1", server.mqtts)).unwrap()).collect();
    let began = Instant::now();
    Client::connect_tls(server.mqtts, &device.id, &root_pem, &credentials).unwrap();
    let took = began.elapsed();
    assert!(took < Duration::from_secs(1), "the device waited {took:?}");
    for mut socket in silent {
        // The limit, and time for a slow machine.
        socket.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        let closed = match socket.read(&mut [0; 64]) {
            Ok(count) => count == 0,
            Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
        };
        assert!(closed, "a silent socket is still open after the limit");
    }
}
