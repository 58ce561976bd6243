//! What the fuzzer found worth keeping, checked again: `make fuzz` runs the same check on inputs of its own.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a check says what must be true by panicking"
)]

#[path = "../../../fuzz/checks/log.rs"]
mod log;
#[path = "../../../fuzz/checks/replay.rs"]
mod replay;

#[test]
fn a_damaged_log_opens_with_a_state_that_it_had_or_says_what_is_wrong() {
    replay::replay("log", log::check);
}
