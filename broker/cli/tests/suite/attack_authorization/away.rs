//! What decides is away: the database, the webhook.

use std::collections::HashMap;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use mooring_protocol::{Connect, ReasonCode};

use super::{Attack as _, World, all_refused};
use crate::postgres::Postgres;
use crate::server::text;

#[test]
fn attack_database_down() {
    let mut postgres = Postgres::start();
    let database = postgres.new_database();
    let world = World::new(&format!("[database]\nurl = \"{database}\"\n"));
    let own = format!("devices/{}/telemetry", world.attacker.id);
    let mut in_before = world.attacker("in before");
    postgres.stop();
    let mut in_after = world.attacker("in after");
    for attacker in [&mut in_before, &mut in_after] {
        assert!(!attacker.publish_and_wait(&own, b"{}").unwrap().is_error(), "its own it may");
        assert_eq!(attacker.publish_and_wait(&world.of_victim("telemetry"), b"{}").unwrap(), ReasonCode::NotAuthorized);
        all_refused(attacker, &["#", "devices/+/telemetry", &world.of_victim("#")]);
    }
    // Who can't be looked up is not let in: neither with a token that is good nor with one that nobody made.
    for token in [world.attacker.token.clone(), format!("mtk_{}", "A".repeat(43))] {
        let mut connect = Connect::new("by token");
        (connect.username, connect.password) = (Some("mallory"), Some(token.as_bytes()));
        assert!(world.user_with(&connect).is_err());
    }
    let mut ana = world.user("ana", "of the file").unwrap();
    assert_eq!(ana.publish_and_wait(&world.of_victim("commands/start"), b"{}").unwrap(), ReasonCode::NotAuthorized);
    postgres.resume();
}

/// A webhook that allows everything, until it is shut.
struct Hook {
    port: u16,
    is_open: Arc<AtomicBool>,
}

impl Hook {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let is_open = Arc::new(AtomicBool::new(true));
        let open = Arc::clone(&is_open);
        thread::spawn(move || {
            for stream in listener.incoming() {
                if !open.load(Ordering::SeqCst) {
                    return;
                }
                let open = Arc::clone(&open);
                thread::spawn(move || answer(stream.unwrap(), &open));
            }
        });
        Self { port, is_open }
    }

    fn shut(&self) {
        self.is_open.store(false, Ordering::SeqCst);
        // The accept loop sees it.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

/// Answers requests of one connection: whatever comes after the head is as long as the head says.
fn answer(mut stream: TcpStream, open: &AtomicBool) {
    let mut received = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        if let Some(end) = received.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&received[..end]).to_lowercase();
            let headers: HashMap<&str, &str> = head.lines().filter_map(|line| line.split_once(": ")).collect();
            let length = end + 4 + headers["content-length"].parse::<usize>().unwrap();
            if received.len() >= length {
                received.drain(..length);
                let said = "HTTP/1.1 200 OK\r\ncontent-length: 15\r\n\r\n{\"result\":\"ok\"}";
                if !open.load(Ordering::SeqCst) || stream.write_all(said.as_bytes()).is_err() {
                    return;
                }
                continue;
            }
        }
        match stream.read(&mut buffer) {
            Ok(0) | Err(_) => return,
            Ok(count) => received.extend_from_slice(&buffer[..count]),
        }
    }
}

#[test]
fn attack_webhook_down() {
    let hook = Hook::start();
    let settings =
        format!("[webhook]\nurl = \"http://127.0.0.1:{}/\"\nfailures_max = 3\npause_ms = 60000\n", hook.port);
    let world = World::new(&settings);
    let connect = |client_id: &'static str| {
        let mut connect = Connect::new(client_id);
        (connect.username, connect.password) = (Some("eve"), Some(b"secret".as_slice()));
        world.user_with(&connect)
    };
    let mut eve = connect("eve").unwrap();
    assert!(!eve.publish_and_wait("anywhere", b"").unwrap().is_error());
    assert!(!eve.ask_for("anywhere/#").is_error());
    assert_eq!(eve.publish_and_wait("$SYS/x", b"").unwrap(), ReasonCode::NotAuthorized, "not even the webhook can");
    let mut own = world.attacker("has nothing to do with the webhook");
    hook.shut();
    for _ in 0..5 {
        assert_eq!(eve.publish_and_wait("anywhere", b"").unwrap(), ReasonCode::ImplementationSpecificError);
        assert!(eve.ask_for("elsewhere/#").is_error());
        assert!(connect("eve again").is_err());
        let topic = format!("devices/{}/telemetry", world.attacker.id);
        assert!(!own.publish_and_wait(&topic, b"{}").unwrap().is_error(), "nobody else waits for it");
    }
    assert!(world.user("ana", "of the file").is_ok());
    // Whoever watches the server sees it.
    let metrics = format!("http://127.0.0.1:{}/metrics", world.server.admin);
    let metrics = text(&Command::new("curl").args(["--silent", &metrics]).output().unwrap());
    for expected in
        ["mooring_webhook_breaker_open 1", "outcome=\"allowed\"", "outcome=\"failed\"", "outcome=\"unasked\""]
    {
        assert!(metrics.contains(expected), "no {expected} in {metrics}");
    }
}
