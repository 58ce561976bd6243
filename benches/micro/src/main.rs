//! Instructions of the hot paths, one by one, counted by valgrind's callgrind: steady on a busy machine, where times are not.
//!
//! `mooring-micro [--markdown FILE] [--json FILE] [--write] [NAME...]` starts itself under valgrind for each case, prints a table, and compares with
//! the figures in the JSON file; `--write` replaces those. `mooring-micro run NAME` is what valgrind runs.

mod bed;
mod cases;
mod counted;
mod table;

use std::path::PathBuf;

use anyhow::{Context, Result, bail};

use crate::cases::CASES;
use crate::table::Figures;

/// As in the binary that ships.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> Result<()> {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.first().is_some_and(|word| word == "run") {
        let name = arguments.get(1).context("which case?")?;
        let case = CASES.iter().find(|case| case.name == *name).context("no such case")?;
        (case.run)();
        return Ok(());
    }
    let write = take_flag(&mut arguments, "--write");
    let json = take_value(&mut arguments, "--json")?;
    let markdown = take_value(&mut arguments, "--markdown")?;
    if let Some(unknown) = arguments.iter().find(|name| CASES.iter().all(|case| case.name != **name)) {
        bail!("{unknown} is no case; there are: {}", CASES.map(|case| case.name).join(", "));
    }
    let before = json.as_deref().map_or_else(|| Ok(Figures::default()), Figures::read)?;
    let mut now = Figures::default();
    for case in CASES.iter().filter(|case| arguments.is_empty() || arguments.iter().any(|name| name == case.name)) {
        now.insert(case.name, counted::instructions(case)?);
        println!("{}", table::line(case, &now, &before));
    }
    if write {
        let all = now.over(before);
        json.as_deref().map_or(Ok(()), |path| all.write(path))?;
        markdown.as_deref().map_or(Ok(()), |path| table::write_markdown(path, &all))?;
    }
    Ok(())
}

fn take_flag(arguments: &mut Vec<String>, flag: &str) -> bool {
    let before = arguments.len();
    arguments.retain(|argument| argument != flag);
    arguments.len() < before
}

fn take_value(arguments: &mut Vec<String>, flag: &str) -> Result<Option<PathBuf>> {
    let Some(at) = arguments.iter().position(|argument| argument == flag) else { return Ok(None) };
    arguments.remove(at);
    if at == arguments.len() {
        bail!("{flag} wants a file");
    }
    Ok(Some(arguments.remove(at).into()))
}
