//! The device's life: connected, disconnected, connected again.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use mooring_device::{Client, ClientEvent, ClientOptions, Command, DeviceTopics, Incoming};
use mooring_protocol::ReasonCode;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use tokio_rustls::client::TlsStream;

use crate::error::SimError;
use crate::machine::{Machine, Phase};
use crate::{Credentials, SimOptions, tls};

/// Lives until `stop` turns true: connects, reports, obeys; after a loss it comes back, later each time, up to half a minute.
///
/// # Errors
/// [`SimError::Credentials`] and [`SimError::Refused`]: nothing that another try would change.
pub async fn run(
    options: &SimOptions,
    credentials: &Credentials,
    mut stop: watch::Receiver<bool>,
) -> Result<(), SimError> {
    let mut device = Device::new(options);
    let mut backoff = BACKOFF_MIN;
    while !*stop.borrow() {
        let began = Instant::now();
        let ended = device.connection(options, credentials, &mut stop).await;
        device.client.handle_closed();
        match ended {
            Ok(()) => return Ok(()),
            Err(error @ (SimError::Credentials(_) | SimError::Refused(_))) => return Err(error),
            Err(error) => tracing::warn!(device = options.device_id, %error, "connection lost"),
        }
        if began.elapsed() > BACKOFF_MAX {
            backoff = BACKOFF_MIN;
        }
        let _stopped = timeout(backoff, stop.changed()).await;
        backoff = (backoff * 2).min(BACKOFF_MAX);
    }
    Ok(())
}

const BACKOFF_MIN: Duration = Duration::from_millis(250);
const BACKOFF_MAX: Duration = Duration::from_secs(30);
/// How often machine time moves on.
const STEP: Duration = Duration::from_millis(100);

struct Device {
    client: Client,
    topics: DeviceTopics,
    machine: Machine,
    born: Instant,
    advanced_at: Instant,
}

impl Device {
    fn new(options: &SimOptions) -> Self {
        let topics = DeviceTopics::new(&options.device_id);
        let client_options = ClientOptions { keep_alive_s: 20, ..ClientOptions::new(&options.device_id) };
        let now = Instant::now();
        Self { client: Client::new(client_options), topics, machine: Machine::default(), born: now, advanced_at: now }
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.born.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// One connection, from the handshake to its end. `Ok` when the device was told to stop.
    async fn connection(
        &mut self,
        options: &SimOptions,
        credentials: &Credentials,
        stop: &mut watch::Receiver<bool>,
    ) -> Result<(), SimError> {
        let mut stream = tls::connect(options, &options.mqtt, Some(credentials)).await?;
        self.client.handle_open(self.now_ms())?;
        let mut telemetry = interval(options.telemetry_interval);
        let mut step = interval(STEP);
        telemetry.set_missed_tick_behavior(MissedTickBehavior::Delay);
        step.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut buffer = [0; 4096];
        loop {
            self.flush(&mut stream).await?;
            tokio::select! {
                read = stream.read(&mut buffer) => {
                    let count = read.map_err(SimError::io("receive"))?;
                    if count == 0 {
                        return Err(SimError::Closed);
                    }
                    self.client.handle_bytes(self.now_ms(), buffer.get(..count).unwrap_or_default())?;
                    self.handle_events()?;
                }
                _ = telemetry.tick() => {
                    let payload = self.machine.telemetry(unix_ms());
                    self.publish(&self.topics.telemetry(), &payload, None);
                }
                _ = step.tick() => {
                    self.advance(options.speed);
                    self.client.handle_timeout(self.now_ms())?;
                }
                _ = stop.changed() => {
                    self.client.disconnect()?;
                    self.flush(&mut stream).await?;
                    return stream.shutdown().await.map_err(SimError::io("close"));
                }
            }
        }
    }

    async fn flush(&mut self, stream: &mut TlsStream<TcpStream>) -> Result<(), SimError> {
        let output = self.client.take_output();
        if !output.is_empty() {
            stream.write_all(&output).await.map_err(SimError::io("send"))?;
            stream.flush().await.map_err(SimError::io("send"))?;
        }
        Ok(())
    }

    fn handle_events(&mut self) -> Result<(), SimError> {
        while let Some(event) = self.client.poll_event() {
            match event {
                ClientEvent::Connected { .. } => {
                    // Subscribed again also when the session was there: a server that forgot a subscription must not silence the device.
                    let (commands, desired) = (self.topics.commands(), self.topics.state_desired());
                    self.client.subscribe(self.now_ms(), &[&commands, &desired])?;
                    self.report();
                }
                ClientEvent::Refused(reason) => return Err(SimError::Refused(reason)),
                ClientEvent::Disconnected(ReasonCode::ServerShuttingDown) => return Err(SimError::Closed),
                ClientEvent::Disconnected(reason) => {
                    tracing::warn!(?reason, "the broker ended the connection");
                    return Err(SimError::Closed);
                }
                ClientEvent::Subscribed(reason) | ClientEvent::Acknowledged(reason) if reason.is_error() => {
                    tracing::warn!(?reason, "the broker refused");
                }
                ClientEvent::Subscribed(_) | ClientEvent::Acknowledged(_) => {}
                ClientEvent::Message(message) => self.handle_message(message),
            }
        }
        Ok(())
    }

    fn handle_message(&mut self, message: Incoming) {
        if message.topic == self.topics.state_desired() {
            let desired: Value = serde_json::from_slice(&message.payload).unwrap_or_default();
            if self.machine.wish(desired.get("state").unwrap_or(&Value::Null)) {
                self.report();
            }
        } else if let Some(command) = Command::from_message(&self.topics, message) {
            let before = self.machine.phase();
            let answer = self.machine.obey(&command.name, &command.payload);
            if let Some(topic) = &command.response_topic {
                self.publish(topic, &answer, command.correlation_data.as_deref());
            }
            if self.machine.phase() != before {
                self.announce(self.machine.phase());
            }
            self.report();
        }
    }

    fn advance(&mut self, speed: f64) {
        let seconds = self.advanced_at.elapsed().as_secs_f64() * speed;
        self.advanced_at = Instant::now();
        let began = self.machine.advance(seconds);
        for phase in &began {
            self.announce(*phase);
        }
        if !began.is_empty() {
            self.report();
        }
    }

    fn announce(&mut self, phase: Phase) {
        let payload = serde_json::json!({"at_ms": unix_ms(), "phase": phase.name()});
        self.publish(&self.topics.event(phase.name()), &payload, None);
    }

    fn report(&mut self) {
        let reported = self.machine.reported();
        self.publish(&self.topics.state_reported(), &reported, None);
    }

    /// A device that can't get rid of its messages drops the newest and says so; it goes on washing.
    fn publish(&mut self, topic: &str, payload: &Value, correlation_data: Option<&[u8]>) {
        let now_ms = self.now_ms();
        if let Err(error) = self.client.publish(now_ms, topic, payload.to_string().as_bytes(), correlation_data) {
            tracing::warn!(topic, %error, "message dropped");
        }
    }
}

fn unix_ms() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |elapsed| u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX))
}
