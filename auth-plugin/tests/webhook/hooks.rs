//! The other system: an HTTP server that answers as the test says, and remembers what it was asked.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use mooring_auth::webhook::{Webhook, WebhookConfig};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

/// What becomes of a question.
#[derive(Clone)]
pub(crate) enum Script {
    /// Status, further header lines, body.
    Answer(u16, &'static str, String),
    Silent,
    HangUp,
}

pub(crate) struct Hooks {
    port: u16,
    shared: Arc<Shared>,
    serving: JoinHandle<()>,
}

struct Shared {
    script: Mutex<Script>,
    asked: Mutex<Vec<(String, Value)>>,
    connections: AtomicUsize,
}

impl Hooks {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared =
            Arc::new(Shared { script: Mutex::new(ok("")), asked: Mutex::default(), connections: AtomicUsize::new(0) });
        let serving = tokio::spawn(serve(listener, Arc::clone(&shared)));
        Self { port, shared, serving }
    }

    pub(crate) fn set(&self, script: Script) {
        *self.shared.script.lock().unwrap() = script;
    }

    /// Nobody listens there any more.
    pub(crate) async fn stop(self) {
        self.serving.abort();
        let _ = self.serving.await;
    }

    /// What it was asked since it was last looked at.
    pub(crate) fn take_asked(&self) -> Vec<(String, Value)> {
        std::mem::take(&mut self.shared.asked.lock().unwrap())
    }

    pub(crate) fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::Relaxed)
    }

    pub(crate) fn webhook(&self, change: impl FnOnce(&mut WebhookConfig)) -> Webhook {
        let mut config = WebhookConfig {
            url: format!("http://127.0.0.1:{}/hooks", self.port).parse().unwrap(),
            ca_file: None,
            timeout_ms: 10_000,
            failures_max: 1_000,
            pause_ms: 60_000,
            requests_max: 4,
            cached_max: 100,
            sends_payload: false,
        };
        change(&mut config);
        Webhook::new(config, Handle::current()).unwrap()
    }
}

/// The answer that allows.
pub(crate) fn ok(headers: &'static str) -> Script {
    Script::Answer(200, headers, r#"{"result": "ok"}"#.to_owned())
}

pub(crate) fn says(body: &str) -> Script {
    Script::Answer(200, "", body.to_owned())
}

async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    let mut peers = tokio::task::JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        shared.connections.fetch_add(1, Ordering::Relaxed);
        peers.spawn(answer(stream, Arc::clone(&shared)));
    }
}

async fn answer(stream: TcpStream, shared: Arc<Shared>) -> Option<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await.ok().filter(|count| *count > 0)?;
        assert_eq!(line.trim_end(), "POST /hooks HTTP/1.1");
        let (mut hook, mut length) = (String::new(), 0);
        loop {
            let mut line = String::new();
            stream.read_line(&mut line).await.ok()?;
            let Some((name, value)) = line.trim_end().split_once(": ") else { break };
            match name.to_ascii_lowercase().as_str() {
                "vernemq-hook" => value.clone_into(&mut hook),
                "content-length" => length = value.parse().unwrap(),
                "content-type" => assert_eq!(value, "application/json"),
                _ => {}
            }
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await.ok()?;
        shared.asked.lock().unwrap().push((hook, serde_json::from_slice(&body).unwrap()));
        let script = shared.script.lock().unwrap().clone();
        match script {
            Script::Answer(status, headers, body) => {
                let length = body.len();
                let text = format!("HTTP/1.1 {status} said\r\n{headers}content-length: {length}\r\n\r\n{body}");
                stream.write_all(text.as_bytes()).await.ok()?;
            }
            Script::Silent => std::future::pending().await,
            Script::HangUp => return None,
        }
    }
}
