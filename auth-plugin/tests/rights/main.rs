//! Who may publish and subscribe to what: tables of (identity, action, topic), named for the attacks that they stop.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test says what it expects by unwrapping it, in its helper functions too"
)]

mod desk;
mod devices;
mod everybody;
mod people;
mod properties;
