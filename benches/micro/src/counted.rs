//! Counts the instructions of one function of this program, in a process of its own.

use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::cases::Case;

/// What is counted: callgrind collects between the entry and the exit of the function with this name, whatever it is generic over.
#[inline(never)]
pub(crate) fn counted_region<R>(work: impl FnOnce() -> R) -> R {
    std::hint::black_box(work())
}

/// The instructions of one operation of a case.
pub(crate) fn instructions(case: &Case) -> Result<f64> {
    let this = std::env::current_exe()?;
    let profile = this.with_file_name(format!("{}.callgrind", case.name));
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--toggle-collect=*counted_region*", "--compress-strings=no"])
        .arg(format!("--callgrind-out-file={}", profile.display()))
        .arg(&this)
        .args(["run", case.name])
        // Maps with random keys would count a little differently each time.
        .env("RUST_BACKTRACE", "0")
        .output()
        .context("valgrind is not installed")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{} failed: {said}", case.name);
    let collected = said.lines().find_map(|line| line.split("Collected :").nth(1));
    let collected: f64 = collected.context("callgrind said no count")?.trim().parse()?;
    ensure!(collected > 0.0, "{} was inlined: nothing was counted", case.name);
    Ok(collected / f64::from(case.operations))
}
