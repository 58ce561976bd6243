//! What the factory gave the device, and how fast it lives.

use std::time::Duration;

/// What a simulated device is born with.
#[derive(Clone)]
pub struct SimOptions {
    /// Its id: a lower-case hyphenated UUID.
    pub device_id: String,
    /// The one-time enrolment secret.
    pub enrolment_secret: String,
    /// Host and port of the HTTPS API.
    pub api: String,
    /// Host and port of MQTT over TLS.
    pub mqtt: String,
    /// The name that the server's certificate must carry.
    pub server_name: String,
    /// The trust anchor: the root certificate, PEM.
    pub root_pem: String,
    /// Time between two telemetry messages.
    pub telemetry_interval: Duration,
    /// How many times faster than a real machine it washes.
    pub speed: f64,
}
