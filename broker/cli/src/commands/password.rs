//! `mooring password`: lines for the file of users.

use std::io::Read as _;
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context as _, ensure};
use mooring_auth::{PasswordFile, PasswordHash, ScramCredential, ScramUsers};

use crate::args::PasswordCommand;
use crate::output;

/// The longest password, which MQTT allows. [MQTT-3.1.3.6]
const PASSWORD_BYTES_MAX: usize = 65_535;

pub(super) fn run(command: PasswordCommand) -> anyhow::Result<ExitCode> {
    let PasswordCommand::Hash { name, scram } = command;
    let password = if output::is_terminal_input() { ask(&name)? } else { read()? };
    ensure!(!password.is_empty(), "an empty password is none");
    let line = if scram { scram_line(&name, &password)? } else { password_line(&name, &password)? };
    output::line(line);
    Ok(ExitCode::SUCCESS)
}

fn password_line(name: &str, password: &str) -> anyhow::Result<String> {
    let line = format!("{name}:{}", PasswordHash::make(password.as_bytes())?);
    PasswordFile::parse(&line).map_err(|error| anyhow::anyhow!("{name:?}: {}", error.what))?;
    Ok(line)
}

fn scram_line(name: &str, password: &str) -> anyhow::Result<String> {
    let line = format!("{name}:{}", ScramCredential::generate(password)?);
    ScramUsers::parse(&line).map_err(|error| anyhow::anyhow!("{name:?}: {}", error.why))?;
    Ok(line)
}

/// A password from a person, unseen, or the first line of the input.
pub(super) fn read_one(question: &str) -> anyhow::Result<String> {
    if !output::is_terminal_input() {
        return read();
    }
    let _unseen = Unseen::begin();
    answer(question)
}

/// The first line of the input.
fn read() -> anyhow::Result<String> {
    let mut text = String::new();
    let bytes_max = u64::try_from(PASSWORD_BYTES_MAX + 2).unwrap_or(u64::MAX);
    std::io::stdin().lock().take(bytes_max).read_to_string(&mut text).context("the password can't be read")?;
    let password = text.lines().next().unwrap_or_default();
    ensure!(password.len() <= PASSWORD_BYTES_MAX, "a password has at most {PASSWORD_BYTES_MAX} bytes");
    Ok(password.to_owned())
}

/// From a person, twice, unseen.
fn ask(name: &str) -> anyhow::Result<String> {
    let _unseen = Unseen::begin();
    let (first, second) = (answer(&format!("Password for {name}: "))?, answer("The same again: ")?);
    ensure!(first == second, "the two are not the same");
    Ok(first)
}

fn answer(question: &str) -> anyhow::Result<String> {
    output::prompt(question);
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).context("the password can't be read")?;
    output::prompt("\n");
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

/// The terminal shows nothing of what is typed until this is dropped.
struct Unseen;

impl Unseen {
    fn begin() -> Self {
        stty("-echo");
        Self
    }
}

impl Drop for Unseen {
    fn drop(&mut self) {
        stty("echo");
    }
}

/// Where there is no `stty`, the password is seen: still better than no way to type it.
fn stty(setting: &str) {
    let _ = Command::new("stty").arg(setting).stdin(Stdio::inherit()).status();
}
