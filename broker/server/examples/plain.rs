//! A broker for measurements: one plain listener, everybody is let in and may do everything.
//!
//! `cargo run -p mooring-server --profile bench --example plain -- 127.0.0.1:1883 [shards] [memory|os|fsync] [data directory] [pin]`

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;

use mooring_core::access::Authenticating;
use mooring_core::{Access, Authenticate, ConnectAttempt, Identity, Principal, Verdict};
use mooring_protocol::{ReasonCode, TopicFilter, TopicName};
use mooring_server::{Durability, ListenerConfig, ListenerKind, Pinning, Server, ServerConfig};

/// As the server itself has it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

struct Everything {
    verdict: Verdict,
}

impl Access for Everything {
    fn publish(&self, _: &Principal, _: TopicName<'_>) -> Verdict {
        self.verdict.clone()
    }

    fn subscribe(&self, _: &Principal, _: TopicFilter<'_>) -> Verdict {
        self.verdict.clone()
    }

    fn generation(&self) -> u64 {
        0
    }
}

struct Everybody;

impl Authenticate for Everybody {
    fn authenticate<'a>(&'a self, attempt: ConnectAttempt<'a>) -> Authenticating<'a> {
        Box::pin(async move {
            Ok(Principal {
                identity: Identity::new("anonymous"),
                client_id: None,
                certificate_serial: None,
                presence_topic: None,
                address: Arc::from(attempt.address),
                listener: Arc::from(attempt.listener),
            })
        })
    }
}

#[expect(clippy::print_stderr, reason = "a program for the command line")]
fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let Some(bind) = arguments.next().and_then(|bind| bind.parse::<SocketAddr>().ok()) else {
        eprintln!("usage: plain ADDRESS:PORT [SHARDS] [memory|os|fsync] [DATA DIRECTORY] [pin]");
        return ExitCode::FAILURE;
    };
    let shards = arguments.next().and_then(|shards| shards.parse().ok()).unwrap_or(1);
    let durability = match arguments.next().as_deref() {
        Some("fsync") => Durability::Fsync,
        Some("os") => Durability::Os,
        _ => Durability::Memory,
    };
    let data_dir = arguments.next().unwrap_or_else(|| "data".to_owned()).into();
    let pinning = if arguments.next().is_some() { Pinning::Each } else { Pinning::Free };
    let listener = ListenerConfig {
        name: "plain".into(),
        kind: ListenerKind::Tcp,
        bind,
        path: None,
        proxy_protocol_from: Vec::new(),
        allow_anonymous: true,
        tls: None,
    };
    let config =
        ServerConfig { listeners: vec![listener], shards, pinning, durability, data_dir, ..ServerConfig::default() };
    let verdict = Verdict { allow: true, reason: ReasonCode::Success, rule: Arc::from("everything") };
    let server = match Server::start(config, Arc::new(Everything { verdict }), Arc::new(Everybody)) {
        Ok(server) => server,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    match runtime {
        Ok(runtime) => runtime.block_on(async {
            tokio::select! {
                why = server.failed() => {
                    eprintln!("{why}");
                    ExitCode::FAILURE
                }
                _ = tokio::signal::ctrl_c() => {
                    server.shutdown().await;
                    ExitCode::SUCCESS
                }
            }
        }),
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
