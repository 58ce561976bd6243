//! What the fuzzer found worth keeping, checked again: `make fuzz` runs the same checks on inputs of its own.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a check says what must be true by panicking"
)]

#[path = "../../../fuzz/checks/decode.rs"]
mod decode;
#[path = "../../../fuzz/checks/filter.rs"]
mod filter;
#[path = "../../../fuzz/checks/replay.rs"]
mod replay;

#[test]
fn packets_are_read_as_they_are_written() {
    replay::replay("decode", decode::check);
}

#[test]
fn filters_relate_to_topics_and_to_each_other_as_the_naive_ones_do() {
    replay::replay("filter", filter::check);
}
