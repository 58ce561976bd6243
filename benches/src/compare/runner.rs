//! One run: a fresh broker on its core, this program on another, and the report that it writes.

use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use super::brokers::{Broker, Places};
use super::rows::Row;
use crate::args::CompareArgs;
use crate::certs;
use crate::report::Report;

/// A broker that does not listen by then never will.
const READY_WITHIN: Duration = Duration::from_secs(30);

/// What a run may take beyond its measured time: connects, 100,000 subscriptions, a drain.
const SLACK: Duration = Duration::from_secs(180);

/// Certificates for clients; a run with more clients uses them in turn.
const CLIENT_CERTIFICATES: u32 = 200;

/// What all runs share.
#[derive(Debug)]
pub(super) struct Runner {
    program: PathBuf,
    directory: TempDir,
    duration: Duration,
    broker_core: u32,
    generator_core: u32,
}

/// A broker that is killed when this is dropped.
struct Running {
    child: Child,
    places: Places,
    _directory: TempDir,
}

impl Runner {
    pub(super) fn new(args: &CompareArgs, with_certificates: bool) -> Result<Self> {
        let directory = tempfile::tempdir()?;
        // The list may name the files also where no chosen row uses them.
        certs::write(directory.path(), if with_certificates { CLIENT_CERTIFICATES } else { 1 })?;
        Ok(Self {
            program: std::env::current_exe()?,
            directory,
            duration: args.duration,
            broker_core: args.broker_core,
            generator_core: args.generator_core,
        })
    }

    /// The first line that each broker prints about its version; its name when it prints none.
    pub(super) async fn versions(&self, brokers: &[Broker]) -> Vec<String> {
        let mut versions = Vec::new();
        for broker in brokers {
            versions.push(version(broker).await.unwrap_or_else(|| broker.name.clone()));
        }
        versions
    }

    /// Starts the broker, runs the row, stops the broker.
    pub(super) async fn run(&self, broker: &Broker, row: &Row) -> Result<Report> {
        let mut running = self.start(broker).await?;
        let report = self.measure(&running, broker, row).await;
        if let Ok(Some(status)) = running.child.try_wait() {
            bail!("the broker ended during the run: {status}");
        }
        running.child.kill().await.context("stop the broker")?;
        report
    }

    async fn start(&self, broker: &Broker) -> Result<Running> {
        let directory = tempfile::tempdir()?;
        let (port, tls_port) = free_ports()?;
        let places = Places {
            port,
            tls_port,
            directory: directory.path().display().to_string(),
            certificates: self.directory.path().display().to_string(),
        };
        for (name, text) in &broker.files {
            std::fs::write(directory.path().join(name), places.fill(text)).with_context(|| format!("write {name}"))?;
        }
        for words in &broker.setup {
            run_setup(words.iter().map(|word| places.fill(word)).collect()).await?;
        }
        let log = std::fs::File::create(directory.path().join("broker.log"))?;
        let mut child = pinned(self.broker_core)
            .args(broker.command.iter().map(|word| places.fill(word)))
            .envs(broker.environment.iter().map(|(name, value)| (name, places.fill(value))))
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .context("start taskset")?;
        if let Err(error) = wait_ready(&mut child, port).await {
            let log = std::fs::read_to_string(directory.path().join("broker.log")).unwrap_or_default();
            bail!("{error:#}; it said: {}", log.lines().last().unwrap_or("nothing"));
        }
        Ok(Running { child, places, _directory: directory })
    }

    async fn measure(&self, running: &Running, broker: &Broker, row: &Row) -> Result<Report> {
        let pid = running.child.id().context("the broker has ended")?;
        let mut command = pinned(self.generator_core);
        command.arg(&self.program).args(&row.args).args(["--quiet", "--json", "-", "--pid", &pid.to_string()]);
        command.args(["--duration", &format!("{}ms", self.duration.as_millis())]);
        if row.tls {
            command.args(["--tls", "--port", &running.places.tls_port.to_string()]);
            command.args(["--ca", &running.places.fill(&broker.ca)]);
            command.args(["--cert-dir", &running.places.fill(&broker.client_certificates)]);
        } else {
            command.args(["--port", &running.places.port.to_string()]);
        }
        command.stdin(Stdio::null()).kill_on_drop(true);
        let output = tokio::time::timeout(self.duration * 3 + SLACK, command.output())
            .await
            .context("the run did not end in time")??;
        check_status(output.status, &output.stderr)?;
        serde_json::from_slice(&output.stdout).context("read the report")
    }
}

async fn run_setup(words: Vec<String>) -> Result<()> {
    let (program, arguments) = words.split_first().context("an empty command in setup")?;
    let output = Command::new(program).args(arguments).output().await.with_context(|| format!("start {program}"))?;
    check_status(output.status, &output.stderr).with_context(|| words.join(" "))
}

/// `taskset` becomes the program that it starts, so that the child's process id is the broker's.
fn pinned(core: u32) -> Command {
    let mut command = Command::new("taskset");
    command.args(["-c", &core.to_string()]);
    command
}

fn check_status(status: ExitStatus, stderr: &[u8]) -> Result<()> {
    let said = String::from_utf8_lossy(stderr);
    ensure!(status.success(), "{}", said.split_whitespace().collect::<Vec<_>>().join(" "));
    Ok(())
}

/// Two ports that were free a moment ago.
fn free_ports() -> Result<(u16, u16)> {
    let (first, second) = (TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?, TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?);
    Ok((first.local_addr()?.port(), second.local_addr()?.port()))
}

async fn wait_ready(child: &mut Child, port: u16) -> Result<()> {
    let started = Instant::now();
    while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.is_err() {
        if let Some(status) = child.try_wait()? {
            bail!("the broker did not start: {status}");
        }
        ensure!(started.elapsed() < READY_WITHIN, "the broker does not listen after {READY_WITHIN:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

async fn version(broker: &Broker) -> Option<String> {
    let (program, arguments) = broker.version_command.split_first()?;
    let output = Command::new(program).args(arguments).output().await.ok()?;
    let text = if output.stdout.is_empty() { output.stderr } else { output.stdout };
    String::from_utf8_lossy(&text).lines().next().map(str::to_owned).filter(|line| !line.is_empty())
}
