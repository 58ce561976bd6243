//! What the fuzzer found worth keeping, checked again: `make fuzz` runs the same check on inputs of its own.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a check says what must be true by panicking"
)]

#[path = "../../../fuzz/checks/replay.rs"]
mod replay;
#[path = "../../../fuzz/checks/session.rs"]
mod session;

#[test]
fn whatever_clients_send_the_engines_keep_to_the_rules_and_nothing_is_left() {
    replay::replay("session", session::check);
}
