//! Programs that a comparison starts.

use std::net::{Ipv4Addr, TcpListener};
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use tokio::process::{Child, Command};

/// A program that is told to end when this is dropped.
#[derive(Debug)]
pub(super) struct Background {
    child: Child,
}

impl Background {
    /// Returns once the command `ready` succeeds.
    pub(super) async fn start(mut command: Command, ready: &[String], within: Duration) -> Result<Self> {
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().context("start a service")?;
        let mut background = Self { child };
        let started = Instant::now();
        while run(ready).await.is_err() {
            if let Some(status) = background.child.try_wait()? {
                bail!("a service did not start: {status}");
            }
            ensure!(started.elapsed() < within, "a service is not ready after {within:?}: {}", ready.join(" "));
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(background)
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        // SIGTERM, so that a service can end what it has started itself.
        if let Some(pid) = self.child.id() {
            let _ = std::process::Command::new("kill").arg(pid.to_string()).status();
        }
    }
}

/// Asks a program to end, and waits until it has.
pub(super) async fn terminate(child: &mut Child, within: Duration) -> Result<()> {
    let pid = child.id().context("the program has ended")?;
    run(&["kill".to_owned(), pid.to_string()]).await?;
    let status = tokio::time::timeout(within, child.wait()).await;
    status.with_context(|| format!("it did not end within {within:?}"))??;
    Ok(())
}

/// Runs a command to its end.
pub(super) async fn run(words: &[String]) -> Result<()> {
    let (program, arguments) = words.split_first().context("an empty command")?;
    let output = Command::new(program).args(arguments).output().await.with_context(|| format!("start {program}"))?;
    check_status(output.status, &output.stderr).with_context(|| words.join(" "))
}

/// `taskset` becomes the program that it starts, so that the child's process id is the program's.
pub(super) fn pinned(cores: &str, words: &[String]) -> Command {
    let mut command = Command::new("taskset");
    command.args(["-c", cores]).args(words).stdin(Stdio::null());
    command
}

pub(super) fn check_status(status: ExitStatus, stderr: &[u8]) -> Result<()> {
    let said = String::from_utf8_lossy(stderr);
    ensure!(status.success(), "{}", said.split_whitespace().collect::<Vec<_>>().join(" "));
    Ok(())
}

/// Ports that were free a moment ago, each another one.
pub(super) fn free_ports<const N: usize>() -> Result<[u16; N]> {
    let mut ports = [0; N];
    let mut held = Vec::new();
    for port in &mut ports {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        *port = listener.local_addr()?.port();
        held.push(listener);
    }
    Ok(ports)
}

/// The first line that a command prints.
pub(super) async fn first_line(words: &[String]) -> Option<String> {
    let (program, arguments) = words.split_first()?;
    let output = Command::new(program).args(arguments).output().await.ok()?;
    let text = if output.stdout.is_empty() { output.stderr } else { output.stdout };
    String::from_utf8_lossy(&text).lines().next().map(str::to_owned).filter(|line| !line.is_empty())
}
