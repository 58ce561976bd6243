//! Mutual TLS against attackers: real handshakes in memory, each with the certificate of one attack. Needs no network.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test says what it expects by unwrapping it, in its helper functions too"
)]

mod attacks;
mod forge;
mod handshake;
mod principals;
mod revocation;
mod settings;
