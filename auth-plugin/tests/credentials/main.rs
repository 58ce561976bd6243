//! User names, passwords and tokens: who is let in by them, and as whom.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test says what it expects by unwrapping it, in its helper functions too"
)]

mod device_passwords;
mod door;
mod passwords;
mod tokens;
