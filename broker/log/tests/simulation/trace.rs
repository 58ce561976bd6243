//! What happened, line by line: the end of it is printed with a failure, all of it when a single seed is replayed.

use std::cell::RefCell;
use std::collections::VecDeque;

const KEPT_LINES: usize = 60;

#[derive(Default)]
struct Trace {
    lines: VecDeque<String>,
    all: bool,
    hash: u64,
    count: u64,
}

thread_local! {
    // Outside of the world, so that it is still there when the world has panicked.
    static TRACE: RefCell<Trace> = RefCell::default();
}

/// Begins a new trace.
pub(crate) fn begin(all: bool) {
    TRACE.with_borrow_mut(|trace| *trace = Trace { all, hash: 0xcbf2_9ce4_8422_2325, ..Trace::default() });
}

/// Adds a line.
pub(crate) fn add(now_ms: u64, line: &str) {
    TRACE.with_borrow_mut(|trace| {
        trace.count += 1;
        trace.hash = line
            .bytes()
            .fold(trace.hash ^ now_ms, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
        let line = format!("{now_ms:>8} {line}");
        if trace.all {
            println!("{line}");
            return;
        }
        if trace.lines.len() == KEPT_LINES {
            trace.lines.pop_front();
        }
        trace.lines.push_back(line);
    });
}

/// The last lines.
pub(crate) fn last_lines() -> Vec<String> {
    TRACE.with_borrow(|trace| trace.lines.iter().cloned().collect())
}

/// Names the run: two runs of one seed have the same.
pub(crate) fn hash() -> (u64, u64) {
    TRACE.with_borrow(|trace| (trace.hash, trace.count))
}
