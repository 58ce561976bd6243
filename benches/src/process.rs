//! What a process has used, from /proc.

use std::collections::HashMap;
use std::fs;

use serde::{Deserialize, Serialize};

/// USER_HZ, the unit of times in /proc: a constant of the kernel's interface on every architecture that Rust's tier 1 covers.
const TICKS_PER_SECOND: f64 = 100.0;

/// One look at a process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Usage {
    /// CPU seconds of all its threads since it started, in user mode.
    pub(crate) user_s: f64,
    /// The same in the kernel.
    pub(crate) system_s: f64,
    /// Resident bytes.
    pub(crate) rss_bytes: u64,
}

impl Usage {
    pub(crate) fn cpu_s(&self) -> f64 {
        self.user_s + self.system_s
    }

    /// `None` when there is no such process, or no /proc.
    pub(crate) fn of(pid: u32) -> Option<Self> {
        Self::parse(
            &fs::read_to_string(format!("/proc/{pid}/stat")).ok()?,
            &fs::read_to_string(format!("/proc/{pid}/status")).ok()?,
        )
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
        Some(Self { user_s: user / TICKS_PER_SECOND, system_s: system / TICKS_PER_SECOND, rss_bytes: rss_kib * 1024 })
    }
}

/// CPU seconds of each thread of a process since it started, by thread id.
pub(crate) fn thread_cpu_s(pid: u32) -> HashMap<String, f64> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let usage = |path: std::path::PathBuf| {
        Usage::parse(&fs::read_to_string(path.join("stat")).ok()?, "VmRSS: 0 kB").map(|usage| usage.cpu_s())
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
        assert_eq!(usage, Usage { user_s: 1.5, system_s: 0.5, rss_bytes: 2 << 20 });
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
