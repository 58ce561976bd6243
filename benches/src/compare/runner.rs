//! One run: a fresh broker on its core, this program on another, and the report that it writes.

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use mooring_protocol::{Connect, Version, encode};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::Child;

use super::brokers::{Broker, Places};
use super::programs::{self, Background};
use super::rows::{Row, Stop};
use crate::args::CompareArgs;
use crate::certs;
use crate::report::{Report, Unit};

/// A broker that does not listen by then never will.
const READY_WITHIN: Duration = Duration::from_secs(60);

/// What a run may take beyond its measured time: connects, 100,000 subscriptions, a drain.
const SLACK: Duration = Duration::from_secs(180);

/// The same of a slow row.
const SLOW_SLACK: Duration = Duration::from_secs(900);

/// How long a broker may take to end by itself.
const END_WITHIN: Duration = Duration::from_secs(120);

/// Certificates for clients; a run with more clients uses them in turn, and a cache of verified certificates shows.
pub(super) const CLIENT_CERTIFICATES: u32 = 1000;

/// What all runs share.
#[derive(Debug)]
pub(super) struct Runner {
    program: PathBuf,
    directory: TempDir,
    duration: Duration,
    warmup: Duration,
    broker_core: u32,
    generator_core: u32,
}

/// A broker that is killed when this is dropped, before its services.
struct Running {
    child: Child,
    pid: u32,
    places: Places,
    broker: Broker,
    /// The cores of the broker.
    cores: String,
    /// From the start to the first CONNACK.
    started_in: Duration,
    _services: Vec<Background>,
    directory: TempDir,
}

impl Runner {
    pub(super) fn new(args: &CompareArgs, with_certificates: bool) -> Result<Self> {
        let directory = tempfile::tempdir()?;
        // The list may name the files also where no chosen row uses them.
        certs::write(directory.path(), if with_certificates { CLIENT_CERTIFICATES } else { 1 })?;
        Ok(Self {
            program: std::env::current_exe()?,
            directory,
            duration: args.duration(),
            warmup: args.warmup,
            broker_core: args.broker_core,
            generator_core: args.generator_core,
        })
    }

    /// The first line that each broker prints about its version; its name when it prints none.
    pub(super) async fn versions(&self, brokers: &[Broker]) -> Vec<String> {
        let mut versions = Vec::new();
        for broker in brokers {
            versions.push(programs::first_line(&broker.version_command).await.unwrap_or_else(|| broker.name.clone()));
        }
        versions
    }

    /// Runs what a broker needs once for all its runs.
    pub(super) async fn prepare(&self, broker: &Broker) -> Result<()> {
        let places = self.places(broker, String::new())?;
        std::fs::create_dir_all(&places.shared)?;
        for words in &broker.once {
            programs::run(&places.fill_all(words)).await?;
        }
        Ok(())
    }

    /// Starts the broker, runs the row, stops the broker.
    pub(super) async fn run(&self, broker: &Broker, row: &Row) -> Result<Report> {
        let mut running = self.start(broker.for_row(row), row).await?;
        let report = match row.restart {
            None => self.measure(&running, row, &[]).await,
            Some(stop) => self.restart(&mut running, row, stop).await,
        };
        if let Ok(Some(status)) = running.child.try_wait() {
            bail!("the broker ended during the run: {status}");
        }
        running.child.kill().await.context("stop the broker")?;
        report
    }

    fn places(&self, broker: &Broker, directory: String) -> Result<Places> {
        let [port, tls_port, http_port] = programs::free_ports()?;
        Ok(Places {
            port,
            tls_port,
            http_port,
            directory,
            shared: self.directory.path().join("shared").join(&broker.name).display().to_string(),
            certificates: self.directory.path().display().to_string(),
            values: broker.values.clone(),
        })
    }

    async fn start(&self, broker: Broker, row: &Row) -> Result<Running> {
        let directory = tempfile::tempdir()?;
        let places = self.places(&broker, directory.path().display().to_string())?;
        for (name, text) in &broker.files {
            std::fs::write(directory.path().join(name), places.fill(text)).with_context(|| format!("write {name}"))?;
        }
        let mut services = Vec::new();
        for service in &broker.services {
            let command = programs::pinned(&self.generator_core.to_string(), &places.fill_all(&service.command));
            services.push(Background::start(command, &places.fill_all(&service.ready), READY_WITHIN).await?);
        }
        for words in &broker.setup {
            programs::run(&places.fill_all(words)).await?;
        }
        let both = || format!("{},{}", self.broker_core, self.generator_core);
        let cores = if row.both_cores { both() } else { self.broker_core.to_string() };
        let started = Instant::now();
        let child = start_broker(&broker, &places, &cores, directory.path()).await?;
        let pid = child.id().context("the broker has ended")?;
        let started_in = started.elapsed();
        Ok(Running { child, pid, places, broker, cores, started_in, _services: services, directory })
    }

    /// Fills the broker, stops it, starts it again on what it has, and checks that.
    async fn restart(&self, running: &mut Running, row: &Row, stop: Stop) -> Result<Report> {
        self.measure(running, row, &[]).await.context("fill")?;
        let stopping = Instant::now();
        match stop {
            Stop::Term => programs::terminate(&mut running.child, END_WITHIN).await?,
            Stop::Kill => running.child.kill().await?,
        }
        let stopped_in = stopping.elapsed();
        let started = Instant::now();
        running.child =
            start_broker(&running.broker, &running.places, &running.cores, running.directory.path()).await?;
        running.started_in = started.elapsed();
        running.pid = running.child.id().context("the broker has ended")?;
        let mut report = self.measure(running, row, &["--check"]).await.context("check")?;
        report.push("start_s", "lets clients in after", Unit::Seconds, running.started_in.as_secs_f64());
        report.push("stop_s", "ended after", Unit::Seconds, stopped_in.as_secs_f64());
        Ok(report)
    }

    async fn measure(&self, running: &Running, row: &Row, more: &[&str]) -> Result<Report> {
        let mut words = vec![self.program.display().to_string()];
        words.extend(running.places.fill_all(&row.args));
        words.extend(["--quiet", "--json", "-"].map(str::to_owned));
        let mut flag = |name: &str, value: String| words.extend([name.to_owned(), value]);
        flag("--pid", running.pid.to_string());
        flag("--duration", format!("{}ms", self.duration.as_millis()));
        flag("--warmup", format!("{}ms", self.warmup.as_millis()));
        if row.tls {
            flag("--port", running.places.tls_port.to_string());
            flag("--ca", running.places.fill(&running.broker.ca));
            flag("--cert-dir", running.places.fill(&running.broker.client_certificates));
            words.push("--tls".to_owned());
        } else {
            flag("--port", running.places.port.to_string());
        }
        words.extend(more.iter().map(|word| (*word).to_owned()));
        let cores = if row.both_cores { running.cores.clone() } else { self.generator_core.to_string() };
        let mut command = programs::pinned(&cores, &words);
        command.kill_on_drop(true);
        let slack = if row.slow { SLOW_SLACK } else { SLACK };
        let output = tokio::time::timeout(self.duration * 3 + slack, command.output())
            .await
            .context("the run did not end in time")??;
        programs::check_status(output.status, &output.stderr)?;
        serde_json::from_slice(&output.stdout).context("read the report")
    }
}

/// Returns once it lets clients in.
async fn start_broker(broker: &Broker, places: &Places, cores: &str, directory: &std::path::Path) -> Result<Child> {
    let path = directory.join("broker.log");
    let log = std::fs::File::create(&path)?;
    let mut child = programs::pinned(cores, &places.fill_all(&broker.command))
        .envs(broker.environment.iter().map(|(name, value)| (name, places.fill(value))))
        .stdout(log.try_clone()?)
        .stderr(log)
        .kill_on_drop(true)
        .spawn()
        .context("start taskset")?;
    if let Err(error) = wait_ready(&mut child, places.port).await {
        let log = std::fs::read_to_string(path).unwrap_or_default();
        bail!("{error:#}; it said: {}", log.lines().last().unwrap_or("nothing"));
    }
    Ok(child)
}

async fn wait_ready(child: &mut Child, port: u16) -> Result<()> {
    let started = Instant::now();
    loop {
        let rest = READY_WITHIN.saturating_sub(started.elapsed());
        if let Ok(Ok(())) = tokio::time::timeout(rest, greet(port)).await {
            return Ok(());
        }
        if let Some(status) = child.try_wait()? {
            bail!("the broker did not start: {status}");
        }
        ensure!(started.elapsed() < READY_WITHIN, "the broker lets nobody in after {READY_WITHIN:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// One connection to its CONNACK: a socket that listens may belong to a broker that is not ready for long.
async fn greet(port: u16) -> Result<()> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
    let mut packet = Vec::new();
    let connect = Connect { version: Version::V3_1_1, ..Connect::new("mooring-bench-ready") };
    encode(&connect.into(), Version::V3_1_1, &mut packet)?;
    stream.write_all(&packet).await?;
    let mut connack = [0; 4];
    stream.read_exact(&mut connack).await?;
    ensure!(connack == [0x20, 2, 0, 0], "the broker refuses a client");
    stream.write_all(&[0xE0, 0]).await?;
    Ok(())
}
