//! A webhook in VerneMQ's format: what it is asked, what its answers do, and what happens when there is none.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test says what it expects by unwrapping it, in its helper functions too"
)]

mod clients;
mod hooks;
mod packets;
