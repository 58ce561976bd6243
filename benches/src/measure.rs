//! Warm up, measure, drain: the same for every row that publishes.

use std::collections::HashMap;
use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::args::Common;
use crate::check::Verdict;
use crate::engine::{Counters, Engine, Shared};
use crate::latency::LatencySummary;
use crate::process::{Usage, thread_cpu_s};
use crate::report::table::group_digits;
use crate::report::{Report, Sample, Unit};

/// How often the engine is looked at.
const TICK: Duration = Duration::from_millis(50);

/// A generator that uses more of its core than this is suspected of being the limit.
const GENERATOR_CORES_MAX: f64 = 0.97;

/// Steps of the timeline: not finer than this, and not more than [`SAMPLES_MAX`].
const SAMPLE_MIN: Duration = Duration::from_millis(250);
const SAMPLES_MAX: u32 = 240;

/// A moment, and all that had happened until then.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Snapshot {
    pub(crate) at: Instant,
    pub(crate) counters: Counters,
    pub(crate) broker: Option<Usage>,
    pub(crate) generator: Usage,
}

impl Snapshot {
    pub(crate) fn take(engine: &Shared, common: &Common) -> Self {
        Self {
            at: Instant::now(),
            counters: engine.with(|engine| engine.counters()),
            broker: common.output.pid.and_then(Usage::of),
            generator: Usage::of_self().unwrap_or_default(),
        }
    }
}

/// What was measured between two moments, and found by the end of all.
#[derive(Debug)]
pub(crate) struct Measured {
    pub(crate) begin: Snapshot,
    pub(crate) end: Snapshot,
    pub(crate) elapsed_s: f64,
    pub(crate) timeline: Vec<Sample>,
    pub(crate) latency: Option<LatencySummary>,
    pub(crate) verdict: Verdict,
    pub(crate) errors: Vec<String>,
    /// CPU seconds of the thread of the broker that used most.
    busiest_thread_cpu_s: Option<f64>,
    closed: u64,
    refused: u64,
    written_off: u64,
}

/// Runs the flows that the engine has. `by_latency` records the time from the intended sending of each message to its arrival.
pub(crate) async fn run_flows(engine: &Shared, common: &Common, by_latency: bool) -> Result<Measured> {
    let load = &common.load;
    engine.with(|engine| engine.start_flows(load.rate));
    if load.rate.is_some() {
        tokio::task::spawn_local(pace(engine.clone()));
    }
    if load.messages.is_none() {
        watch(engine, common, &mut Watch::new(engine, common, "warming up"), load.warmup).await;
    }
    if by_latency {
        engine.with(Engine::record_latency)?;
    }
    let mut watched = Watch::new(engine, common, "measuring");
    let begin = watched.begin;
    let threads = common.output.pid.map(thread_cpu_s);
    watch(engine, common, &mut watched, load.duration).await;
    let end = Snapshot::take(engine, common);
    let busiest = common.output.pid.zip(threads).map(|(pid, before)| busiest_thread_cpu_s(&before, pid));
    let latency = engine.with(Engine::take_latency);
    engine.with(Engine::stop_flows);
    settle(engine, load.patience).await;
    let last_arrival = engine.with(|engine| engine.last_arrival());
    // A run of a number of messages ends with the last of them, not with the tick that saw it.
    let ended = if load.messages.is_some() { last_arrival.clamp(begin.at, end.at) } else { end.at };
    watched.clear_line();
    let measured =
        finish(engine, begin, end, ended - begin.at, watched.timeline, latency.map(|latency| latency.summary()));
    Ok(Measured { busiest_thread_cpu_s: busiest, ..measured })
}

fn busiest_thread_cpu_s(before: &HashMap<String, f64>, pid: u32) -> f64 {
    let used = |(thread, cpu_s): (String, f64)| cpu_s - before.get(&thread).copied().unwrap_or(0.0);
    thread_cpu_s(pid).into_iter().map(used).fold(0.0, f64::max)
}

/// Gathers what the engine knows once a run is over.
pub(crate) fn finish(
    engine: &Shared,
    begin: Snapshot,
    end: Snapshot,
    elapsed: Duration,
    timeline: Vec<Sample>,
    latency: Option<LatencySummary>,
) -> Measured {
    engine.with(|engine| {
        let counters = engine.counters();
        Measured {
            begin,
            end,
            // A run in which nothing arrived has rates of 0, not of infinity, which JSON does not know.
            elapsed_s: elapsed.max(Duration::from_micros(1)).as_secs_f64(),
            timeline,
            latency,
            verdict: engine.verdict(),
            errors: engine.errors().to_vec(),
            busiest_thread_cpu_s: None,
            closed: counters.closed,
            refused: counters.refused,
            written_off: counters.written_off,
        }
    })
}

/// Sends by the clock. It spins, since the timer of the runtime knows milliseconds only and the generator has a core of its own.
async fn pace(engine: Shared) {
    while engine.with(Engine::advance_schedule) {
        tokio::task::yield_now().await;
    }
}

/// Waits until all has arrived, or nothing has for `patience`.
pub(crate) async fn settle(engine: &Shared, patience: Duration) {
    let from = Instant::now();
    loop {
        let (settled, last_arrival) = engine.with(|engine| (engine.is_settled(), engine.last_arrival()));
        if settled || last_arrival.max(from).elapsed() > patience {
            return;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Ticks until `duration` is over or, with a number of messages, until all have arrived or none does any more.
async fn watch(engine: &Shared, common: &Common, watched: &mut Watch, duration: Duration) {
    let load = &common.load;
    let until = watched.begin.at + duration;
    loop {
        let now = Instant::now();
        let over = match load.messages {
            None => now >= until,
            Some(_) => engine.with(|engine| {
                let idle = engine.last_arrival().max(watched.begin.at).elapsed() > load.patience;
                engine.is_exhausted() && engine.is_settled() || idle
            }),
        };
        if over {
            return;
        }
        engine.with(|engine| engine.write_off_stalled(load.patience));
        watched.tick(engine, common);
        let rest = if load.messages.is_none() { until - now } else { TICK };
        tokio::time::sleep(TICK.min(rest)).await;
    }
}

/// The timeline and the progress line.
struct Watch {
    begin: Snapshot,
    last: Snapshot,
    step: Duration,
    timeline: Vec<Sample>,
    shows: bool,
    phase: &'static str,
}

impl Watch {
    fn new(engine: &Shared, common: &Common, phase: &'static str) -> Self {
        let begin = Snapshot::take(engine, common);
        let step = SAMPLE_MIN.max(common.load.duration / SAMPLES_MAX);
        let shows = !common.output.quiet && std::io::stderr().is_terminal();
        Self { begin, last: begin, step, timeline: Vec::new(), shows, phase }
    }

    fn tick(&mut self, engine: &Shared, common: &Common) {
        if self.last.at.elapsed() < self.step {
            return;
        }
        let now = Snapshot::take(engine, common);
        let sample = sample(&self.begin, &self.last, &now);
        self.last = now;
        self.timeline.push(sample);
        if self.shows {
            let delivered = group_digits(sample.delivered_per_s as u64);
            let broker = sample.broker_cores.map(|cores| format!(", broker {cores:.2} cores")).unwrap_or_default();
            let rss = sample.broker_rss_bytes.map(|rss| format!(", {} MiB", rss >> 20)).unwrap_or_default();
            let line = format!("{} {:5.1} s: {delivered}/s{broker}{rss}", self.phase, sample.at_s);
            let _ = write!(std::io::stderr(), "\r\x1b[K{line}");
        }
    }

    fn clear_line(&self) {
        if self.shows {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}

fn sample(begin: &Snapshot, last: &Snapshot, now: &Snapshot) -> Sample {
    let seconds = (now.at - last.at).as_secs_f64();
    Sample {
        at_s: (now.at - begin.at).as_secs_f64(),
        delivered_per_s: (now.counters.delivered - last.counters.delivered) as f64 / seconds,
        sent_per_s: (now.counters.sent - last.counters.sent) as f64 / seconds,
        broker_cores: now.broker.zip(last.broker).map(|(now, last)| (now.cpu_s() - last.cpu_s()) / seconds),
        broker_rss_bytes: now.broker.map(|usage| usage.rss_bytes),
        generator_cores: (now.generator.cpu_s() - last.generator.cpu_s()) / seconds,
    }
}

impl Measured {
    /// The figures that every publishing row has.
    pub(crate) fn into_report(self, row: &str, common: &Common, parameters: Vec<(String, String)>) -> Report {
        let mut report = Report::begin(row, common, parameters);
        let counters = (self.begin.counters, self.end.counters);
        let delivered = (counters.1.delivered - counters.0.delivered) as f64;
        let sent = (counters.1.sent - counters.0.sent) as f64;
        report.push("delivered_per_s", "delivered", Unit::PerSecond, delivered / self.elapsed_s);
        let acknowledged = (counters.1.acknowledged - counters.0.acknowledged) as f64;
        if report.qos > 0 {
            report.push("acknowledged_per_s", "acknowledged", Unit::PerSecond, acknowledged / self.elapsed_s);
        }
        if sent > 0.0 {
            report.push("sent_per_s", "sent", Unit::PerSecond, sent / self.elapsed_s);
        }
        report.push("delivered", "messages delivered", Unit::Count, delivered);
        report.push("elapsed_s", "measured for", Unit::Seconds, self.elapsed_s);
        let millions = delivered / 1e6;
        self.push_usage(&mut report, millions);
        if self.written_off > 0 {
            report.push("written_off", "windows written off", Unit::Count, self.written_off as f64);
        }
        report.errors = self.errors;
        if common.load.rate.is_none() && report.figure("generator_cores") > Some(GENERATOR_CORES_MAX) {
            report.errors.push("the generator was busy all the time: it may be the limit, not the broker".to_owned());
        }
        report.holds = self.verdict.holds_for(report.qos) && self.closed == 0 && self.refused == 0;
        report.verdict = self.verdict;
        report.latency = self.latency;
        report.timeline = self.timeline;
        report
    }

    fn push_usage(&self, report: &mut Report, millions: f64) {
        if let (Some(begin), Some(end)) = (self.begin.broker, self.end.broker) {
            let cpu_s = end.cpu_s() - begin.cpu_s();
            report.push("cpu_s", "CPU of the broker", Unit::Seconds, cpu_s);
            report.push("cpu_cores", "the same per second", Unit::Cores, cpu_s / self.elapsed_s);
            if millions > 0.0 {
                report.push("cpu_s_per_million", "CPU of the broker per million", Unit::Seconds, cpu_s / millions);
            }
            if let Some(busiest) = self.busiest_thread_cpu_s.filter(|busiest| *busiest > 0.0) {
                report.push("busiest_thread_cpu_s", "the same of its busiest thread", Unit::Seconds, busiest);
                let what = "delivered per CPU second of its busiest thread";
                report.push("delivered_per_busiest_s", what, Unit::PerSecond, millions * 1e6 / busiest);
            }
            let rss_max =
                self.timeline.iter().filter_map(|sample| sample.broker_rss_bytes).fold(end.rss_bytes, u64::max);
            report.push("rss_max_bytes", "memory of the broker, most", Unit::Bytes, rss_max as f64);
        }
        let cpu_s = self.end.generator.cpu_s() - self.begin.generator.cpu_s();
        report.push("generator_cores", "CPU of the generator", Unit::Cores, cpu_s / self.elapsed_s);
        if millions > 0.0 {
            report.push("generator_cpu_s_per_million", "the same per million", Unit::Seconds, cpu_s / millions);
        }
    }
}
