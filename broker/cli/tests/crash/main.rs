//! The server against SIGKILL and a full disk: a real process, a real disk, and clients that remember what they were promised.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test says what it expects by unwrapping it, its helpers too, and prints what it measured"
)]

mod changer;
#[expect(dead_code, reason = "the slow subscriber's test uses the rest")]
#[path = "../support/client.rs"]
mod client;
mod disk_full;
mod keeper;
mod ledger;
mod member;
mod publisher;
#[path = "../support/random.rs"]
mod random;
mod round;
mod rounds;
#[expect(dead_code, reason = "the suite and the interoperability tests use the rest")]
#[path = "../support/server.rs"]
mod server;
mod small_disk;
mod subscriber;
