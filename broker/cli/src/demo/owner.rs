//! The owner of the demonstration: sends a command to one device after the other, over the HTTP API.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::watch;
use uuid::Uuid;

use super::setup::Demo;
use crate::https::HttpClient;

/// The last command to each device, and what came of it.
#[derive(Clone, Default)]
pub(super) struct Results(Arc<Mutex<HashMap<Uuid, LastCommand>>>);

/// A command and its answer.
#[derive(Clone, Debug)]
pub(super) struct LastCommand {
    pub(super) name: String,
    /// From the request to the answer; `None` when the device did not answer.
    pub(super) round_trip_ms: Option<f64>,
    /// Whether the device did it.
    pub(super) done: bool,
}

impl Results {
    pub(super) fn last(&self, device: Uuid) -> Option<LastCommand> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&device).cloned()
    }

    fn set(&self, device: Uuid, command: LastCommand) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(device, command);
    }
}

pub(super) struct Owner {
    client: HttpClient,
    devices: Vec<Uuid>,
    results: Results,
}

const PAUSE: Duration = Duration::from_millis(1500);

impl Owner {
    pub(super) fn new(demo: &Demo) -> Self {
        let devices = demo.devices().iter().map(|device| device.id).collect();
        Self { client: demo.client(), devices, results: Results::default() }
    }

    pub(super) fn results(&self) -> Results {
        self.results.clone()
    }

    /// One command after the other until `stop` turns true.
    pub(super) async fn run(self, mut stop: watch::Receiver<bool>) {
        for turn in 0.. {
            for device in &self.devices {
                if let Err(error) = self.command(*device, turn).await {
                    tracing::warn!(%device, %error, "the command failed");
                }
                tokio::select! {
                    () = tokio::time::sleep(PAUSE) => {}
                    _ = stop.wait_for(|stop| *stop) => return,
                }
            }
        }
    }

    async fn command(&self, device: Uuid, turn: usize) -> anyhow::Result<()> {
        let (name, arguments) = self.choose(device, turn).await?;
        let path = format!("/v1/devices/{device}/commands/{name}");
        let answer =
            self.client.post(&path, &json!({"arguments": arguments, "timeout_ms": 5000})).await?.expect_success()?;
        let round_trip_ms = answer.get("round_trip_ms").and_then(Value::as_f64);
        let done = answer.pointer("/result/ok").and_then(Value::as_bool).unwrap_or_default();
        self.results.set(device, LastCommand { name: name.to_owned(), round_trip_ms, done });
        Ok(())
    }

    /// An idle machine gets a program, then is started; a running one is paused now and then, and goes on.
    async fn choose(&self, device: Uuid, turn: usize) -> anyhow::Result<(&'static str, Value)> {
        let shown = self.client.get(&format!("/v1/devices/{device}")).await?.expect_success()?;
        let idle = shown.pointer("/shadow/reported/phase").is_none_or(|phase| phase == "idle");
        let paused = shown.pointer("/shadow/reported/paused").is_some_and(|paused| paused == true);
        let program = PROGRAMS.get(turn % PROGRAMS.len()).copied().unwrap_or("wool");
        Ok(match (idle, paused, turn % 2) {
            (true, _, 0) => ("set-program", json!({"program": program})),
            (true, _, _) | (false, true, _) => ("start", json!({})),
            (false, false, _) => ("pause", json!({})),
        })
    }
}

const PROGRAMS: [&str; 4] = ["quick-30", "eco-40-60", "wool", "cotton-60"];
