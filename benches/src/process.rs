//! What a process has used, from /proc.

use std::collections::HashMap;
use std::fs;

use serde::{Deserialize, Serialize};

/// USER_HZ, the unit of times in /proc: a constant of the kernel's interface on every architecture that Rust's tier 1 covers.
const TICKS_PER_SECOND: f64 = 100.0;

/// Threads that have ended without a trace in the finer times may have used this much, before the coarser ones are taken.
const ENDED_THREADS_MAX_S: f64 = 0.05;

/// One look at a process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Usage {
    /// CPU seconds of all its threads since it started, in user mode.
    pub(crate) user_s: f64,
    /// The same in the kernel.
    pub(crate) system_s: f64,
    /// CPU seconds of the threads that it has now, by the scheduler's clock of nanoseconds; 0 where the kernel does not tell.
    #[serde(default)]
    pub(crate) threads_s: f64,
    /// Resident bytes.
    pub(crate) rss_bytes: u64,
}

impl Usage {
    /// All CPU seconds, as finely as the kernel tells: times of processes come in hundredths of a second, and without threads that have ended in
    /// nanoseconds.
    pub(crate) fn cpu_s(&self) -> f64 {
        let coarse_s = self.user_s + self.system_s;
        if self.threads_s + ENDED_THREADS_MAX_S > coarse_s { self.threads_s } else { coarse_s }
    }

    /// `None` when there is no such process, or no /proc.
    pub(crate) fn of(pid: u32) -> Option<Self> {
        let usage = Self::parse(
            &fs::read_to_string(format!("/proc/{pid}/stat")).ok()?,
            &fs::read_to_string(format!("/proc/{pid}/status")).ok()?,
        )?;
        Some(Self { threads_s: thread_cpu_s(pid).values().sum(), ..usage })
    }

    pub(crate) fn of_self() -> Option<Self> {
        Self::of(std::process::id())
    }

    fn parse(stat: &str, status: &str) -> Option<Self> {
        // The name, in parentheses, may hold spaces and parentheses itself; fields are counted from behind it.
        let (_, fields) = stat.rsplit_once(')')?;
        let mut fields = fields.split_ascii_whitespace().skip(11);
        let user: f64 = fields.next()?.parse().ok()?;
        let system: f64 = fields.next()?.parse().ok()?;
        let rss = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        let rss_kib: u64 = rss.trim().strip_suffix("kB")?.trim().parse().ok()?;
        Some(Self {
            user_s: user / TICKS_PER_SECOND,
            system_s: system / TICKS_PER_SECOND,
            rss_bytes: rss_kib * 1024,
            ..Self::default()
        })
    }
}

/// CPU seconds of each thread of a process since it started, by thread id.
pub(crate) fn thread_cpu_s(pid: u32) -> HashMap<String, f64> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let usage = |path: std::path::PathBuf| {
        let text = fs::read_to_string(path.join("schedstat")).ok()?;
        text.split_ascii_whitespace().next()?.parse().ok().map(|ns: f64| ns / 1e9)
    };
    tasks.filter_map(|task| Some((task.file_name().to_string_lossy().into_owned(), usage(task.path())?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_does_not_shift_the_fields() {
        let stat = "42 (a b) c) S 1 42 42 0 -1 4194560 500 0 0 0 150 50 0 0 20 0 3 0 100 1000000 200";
        let usage = Usage::parse(stat, "Name:\ta\nVmRSS:\t    2048 kB\n").unwrap();
        assert_eq!(usage, Usage { user_s: 1.5, system_s: 0.5, rss_bytes: 2 << 20, ..Usage::default() });
    }

    #[test]
    fn the_finer_time_counts_unless_it_misses_what_ended_threads_used() {
        let usage = Usage { user_s: 1.0, system_s: 0.5, threads_s: 1.497, rss_bytes: 0 };
        assert_eq!(usage.cpu_s(), 1.497);
        assert_eq!(Usage { threads_s: 1.2, ..usage }.cpu_s(), 1.5);
        assert_eq!(Usage { threads_s: 0.0, ..usage }.cpu_s(), 1.5);
    }

    #[test]
    fn this_process_can_be_looked_at() {
        assert!(Usage::of_self().unwrap().rss_bytes > 0);
        assert_eq!(Usage::of(u32::MAX), None);
    }

    #[test]
    fn each_thread_has_its_time() {
        assert!(thread_cpu_s(std::process::id()).contains_key(&std::process::id().to_string()));
        assert!(thread_cpu_s(u32::MAX).is_empty());
    }
}
