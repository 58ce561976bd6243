//! A subscriber that never reads costs a bounded amount of memory, and another one does not notice it.
//!
//! Memory is asserted. Latency is measured and a verdict printed, since no test may fail for what else the machine does: `make slow-subscriber`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test says what it expects by unwrapping it, its helpers too, and prints what it measured"
)]

#[expect(dead_code, reason = "the crash harness uses the rest")]
#[path = "../support/client.rs"]
mod client;
mod flood;
mod measure;
#[expect(dead_code, reason = "the suite, the crash harness and the interoperability tests use the rest")]
#[path = "../support/server.rs"]
mod server;

use std::time::Duration;

use mooring_protocol::{QoS, Version};

use client::{Client, Event};
use flood::Flood;
use measure::{Measured, resident_bytes};
use server::{Home, Server};

/// Messages for the slow subscriber, per second.
const RATE: u32 = 10_000;
/// `limits.output_bytes_max`: what waits for one client that does not read.
const OUTPUT_BYTES_MAX: u64 = 2 * 1024 * 1024;
/// `limits.queue_bytes_max`: what is queued for one session, in memory or in the log.
const QUEUE_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// `limits.queue_messages_max`: out of the way, so that the bytes are the bound.
const QUEUE_MESSAGES_MAX: u64 = 10_000_000;
/// What a subscriber takes before it lets go.
const EVENTS_AT_A_TIME: usize = 256;
/// What the server may need besides.
const ALLOWANCE_BYTES: u64 = 50 * 1024 * 1024;

#[test]
fn at_qos_0_it_costs_the_bytes_of_its_output() {
    check(QoS::AtMostOnce, OUTPUT_BYTES_MAX);
}

#[test]
fn at_qos_1_it_costs_the_bytes_of_its_queue() {
    check(QoS::AtLeastOnce, OUTPUT_BYTES_MAX + QUEUE_BYTES_MAX);
}

/// Floods a subscriber that reads, then one that does not, and compares what the server needs and how long others wait.
fn check(qos: QoS, bound_bytes: u64) {
    let lasting = Duration::from_secs(seconds());
    let home = Home::with(&format!(
        "[limits]
output_bytes_max = {OUTPUT_BYTES_MAX}
queue_bytes_max = {QUEUE_BYTES_MAX}
queue_messages_max = {QUEUE_MESSAGES_MAX}"
    ));
    let mut command = home.command(&["run"]);
    // It warns each second of what it drops, which is what this test wants.
    command.env("MOORING_TELEMETRY__LOG", "error");
    let server = home.start_as(command);
    let reading = with_reader(&server, qos, lasting);
    let before_bytes = resident_bytes(server.pid());
    let (slow, received) = with_slow_subscriber(&server, qos, lasting);
    let grown_bytes = slow.resident_bytes_max.saturating_sub(before_bytes);
    println!("{qos:?}, {lasting:?} each, messages of {} bytes", flood::PAYLOAD_BYTES);
    println!("  a subscriber that reads: {reading}");
    println!("  one that never reads:    {slow}; {received} bytes were in its socket");
    println!(
        "  memory: {} MB more than before, bound {} MB + {} MB: {}",
        mb(grown_bytes),
        mb(bound_bytes),
        mb(ALLOWANCE_BYTES),
        verdict(grown_bytes <= bound_bytes + ALLOWANCE_BYTES)
    );
    let ratio = slow.p99().as_secs_f64() / reading.p99().as_secs_f64();
    println!("  another subscriber's p99: {ratio:.2} times what it was, at most 2: {}", verdict(ratio <= 2.0));
    assert!(grown_bytes <= bound_bytes + ALLOWANCE_BYTES, "{} MB more", mb(grown_bytes));
}

fn with_reader(server: &Server, qos: QoS, lasting: Duration) -> Measured {
    let port = server.plain.unwrap();
    let mut reader = Client::clean("reader");
    reader.connect(port).unwrap();
    reader.subscribe_and_wait("flood/#", qos).unwrap();
    let flood = Flood::start(port, qos, RATE);
    let measured = measure::during(server, &flood, lasting, || {
        // The flood never ends by itself: whoever measures has to look at the clock now and then.
        for _ in 0..EVENTS_AT_A_TIME {
            let Some(event) = reader.poll(Duration::from_millis(20)).unwrap() else { break };
            assert!(matches!(event, Event::Message { .. }));
            reader.flush().unwrap();
        }
    });
    flood.stop();
    reader.disconnect();
    measured
}

/// Also how many bytes the slow subscriber finds when it reads at last.
fn with_slow_subscriber(server: &Server, qos: QoS, lasting: Duration) -> (Measured, usize) {
    let port = server.plain.unwrap();
    let mut slow = Client::persistent("slow", Version::V5);
    slow.connect(port).unwrap();
    slow.subscribe_and_wait("flood/#", qos).unwrap();
    let flood = Flood::start(port, qos, RATE);
    let measured = measure::during(server, &flood, lasting, || std::thread::sleep(Duration::from_millis(20)));
    flood.stop();
    let mut received = 0;
    while let Ok(Some(Event::Message { payload, .. })) = slow.poll(Duration::from_millis(100)) {
        received += payload.len();
    }
    (measured, received)
}

/// A few in `make test`, a minute in `make slow-subscriber`.
fn seconds() -> u64 {
    std::env::var("MOORING_SLOW_SECONDS").map_or(3, |text| text.parse().unwrap())
}

fn mb(bytes: u64) -> u64 {
    bytes / (1024 * 1024)
}

fn verdict(is_good: bool) -> &'static str {
    if is_good { "ok" } else { "MISSED" }
}
