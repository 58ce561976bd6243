//! What the webhook costs, and how it fares.

use std::time::Duration;

use metrics::{Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};

use super::Outcome;
use super::answer::HookAnswer;

const CALLS: &str = "mooring_webhook_calls_total";
const SECONDS: &str = "mooring_webhook_seconds";
const BREAKER_OPEN: &str = "mooring_webhook_breaker_open";

/// Says what the names mean, and begins with a webhook that is asked.
pub(super) fn describe() {
    describe_counter!(
        CALLS,
        "Questions for the webhook, by hook and outcome: allowed, denied, next, failed, kept (answered from memory), unasked (it is left alone)"
    );
    describe_histogram!(
        SECONDS,
        Unit::Seconds,
        "From a question to the webhook's answer or its failure, with the wait for its turn, by hook"
    );
    describe_gauge!(BREAKER_OPEN, "1 while the webhook has failed so often that it is left alone");
    breaker(false);
}

pub(super) fn asked(hook: &'static str, outcome: &Outcome, took: Duration) {
    let outcome = match outcome {
        Ok(HookAnswer::Ok { .. }) => "allowed",
        Ok(HookAnswer::Next) => "next",
        Ok(HookAnswer::Error(_)) => "denied",
        Err(_) => "failed",
    };
    counter!(CALLS, "hook" => hook, "outcome" => outcome).increment(1);
    histogram!(SECONDS, "hook" => hook).record(took);
}

pub(super) fn kept(hook: &'static str) {
    counter!(CALLS, "hook" => hook, "outcome" => "kept").increment(1);
}

pub(super) fn refused_unasked(hook: &'static str) {
    counter!(CALLS, "hook" => hook, "outcome" => "unasked").increment(1);
}

pub(super) fn breaker(is_open: bool) {
    gauge!(BREAKER_OPEN).set(if is_open { 1.0 } else { 0.0 });
}
