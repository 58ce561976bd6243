//! Accounts against their contract, on a database of their own.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says what it expects by unwrapping it")]

mod bench;

mod attacks;
mod changes;
mod end;
mod factors;
mod sessions;
mod sign_in;
mod sign_up;
mod smtp;
