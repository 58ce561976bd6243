//! The codec against tables of packets, against itself, against noise, and its topics against naive models.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test says what it expects by unwrapping it, in its helpers too"
)]

mod accepted;
mod arbitrary;
mod direction;
mod frame;
mod notation;
mod refused;
mod robust;
mod round_trip;
mod topics;
