//! The log against key-value stores, on the workload of a queue: what docs/decisions/0002 rests on.
//!
//! `mooring-store-bench [--messages N] [--runs N] [--dir DIR] [ENGINE...]` runs each engine in a process of its own, in turn, and prints the medians.
//! `mooring-store-bench run ENGINE DIR MESSAGES` is one such process.

mod engines;
mod measure;
mod workload;

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use crate::engines::NAMES;
use crate::workload::Figures;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [word, engine, directory, messages] = arguments.as_slice()
        && word == "run"
    {
        println!("{}", workload::run(engine, Path::new(directory), messages.parse()?)?.to_line());
        return Ok(());
    }
    compare(&arguments)
}

fn compare(arguments: &[String]) -> Result<()> {
    let (mut messages, mut runs, mut names) = (100_000_u32, 3_usize, Vec::new());
    let mut directory = std::env::temp_dir();
    let mut words = arguments.iter();
    while let Some(word) = words.next() {
        let mut value = || words.next().with_context(|| format!("{word} wants a value"));
        match word.as_str() {
            "--messages" => messages = value()?.parse()?,
            "--runs" => runs = value()?.parse()?,
            "--dir" => directory = value()?.into(),
            name if NAMES.contains(&name) => names.push(name.to_owned()),
            other => bail!("{other}: neither an option nor one of {}", NAMES.join(", ")),
        }
    }
    if names.is_empty() {
        names = NAMES.map(str::to_owned).into();
    }
    let mut figures = vec![Vec::new(); names.len()];
    // In turn, so that what else the machine does meets all of them.
    for _ in 0..runs {
        for (name, figures) in names.iter().zip(&mut figures) {
            figures.push(run_apart(name, &directory, messages)?);
        }
    }
    println!(
        "{messages} messages of {} bytes, {} queues, groups of {}; medians of {runs} runs\n",
        workload::PAYLOAD,
        workload::QUEUES,
        workload::GROUP
    );
    println!("{}", Figures::HEAD);
    for (name, runs) in names.iter().zip(&figures) {
        println!("{}", Figures::median(runs).to_row(name));
    }
    Ok(())
}

fn run_apart(name: &str, directory: &Path, messages: u32) -> Result<Figures> {
    let directory = tempfile::tempdir_in(directory)?;
    let output = Command::new(std::env::current_exe()?)
        .args(["run", name, &directory.path().to_string_lossy(), &messages.to_string()])
        .output()?;
    ensure!(output.status.success(), "{name} failed: {}", String::from_utf8_lossy(&output.stderr));
    let line = String::from_utf8(output.stdout)?;
    Figures::from_line(line.lines().last().unwrap_or_default()).with_context(|| format!("{name} said {line}"))
}
