//! A real Postgres for tests: a server of one's own in a temporary directory, on a Unix socket only.
//!
//! It needs nothing but `std` and `tempfile`, so that the tests of other crates can take it in with `#[path]`.

#![allow(clippy::expect_used, clippy::panic, reason = "a test says what it expects by unwrapping it")]
#![allow(dead_code, reason = "tests that take this in need not use all of it")]

use std::io::{Read, Write};
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// A server. It stops when this value is dropped, or when the process that made it ends in whatever way.
#[derive(Debug)]
pub(crate) struct Postgres {
    binaries: PathBuf,
    /// Holds `data`, and the socket.
    dir: TempDir,
    running: Option<Child>,
    /// Whether a commit waits for the disk.
    is_durable: bool,
}

impl Postgres {
    /// The server that all tests of a binary share; it stops when the process ends.
    pub(crate) fn shared() -> &'static Self {
        static SHARED: OnceLock<Postgres> = OnceLock::new();
        SHARED.get_or_init(Self::start)
    }

    /// Makes and starts a server.
    ///
    /// # Panics
    /// When Postgres is not installed: these tests mean nothing without it, so they do not pass without it.
    pub(crate) fn start() -> Self {
        Self::start_as(false)
    }

    /// The same, whose commits wait for the disk: for measurements.
    pub(crate) fn start_durable() -> Self {
        Self::start_as(true)
    }

    fn start_as(is_durable: bool) -> Self {
        let binaries = newest_binaries()
            .expect("PostgreSQL is not installed, and this test needs it: apt-get install postgresql (15 or newer)");
        let dir = tempfile::Builder::new().prefix("mooring-postgres-").tempdir().expect("a temporary directory");
        if let Some((user, group)) = postgres_user() {
            chown(dir.path(), Some(user), Some(group)).expect("root can give a directory away");
        }
        let mut server = Self { binaries, dir, running: None, is_durable };
        let data = server.data();
        let initdb = ["--auth=trust", "--username=postgres", "--encoding=UTF8", "--locale=C", "--no-sync", "--pgdata"];
        run(as_postgres(&server.binaries.join("initdb")).args(initdb).arg(data));
        server.resume();
        server
    }

    /// The URL of a new, empty database.
    pub(crate) fn new_database(&self) -> String {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let name = format!("test_{}", NEXT.fetch_add(1, Ordering::Relaxed));
        run(Command::new(self.binaries.join("createdb"))
            .args(["--username=postgres", "--host"])
            .arg(self.dir.path())
            .arg(&name));
        format!("postgres://postgres@localhost/{name}?host={}", self.dir.path().display())
    }

    /// Stops the server at once, as a crash would. The data stay.
    pub(crate) fn stop(&mut self) {
        if let Some(mut supervisor) = self.running.take() {
            if let Some(mut order) = supervisor.stdin.take() {
                order.write_all(b"keep").expect("the supervisor listens");
            }
            supervisor.wait().expect("the supervisor can be waited for");
        }
    }

    /// Starts the server again, on the data that it had.
    pub(crate) fn resume(&mut self) {
        self.stop();
        // A shell reads until the pipe closes, which it does when this process ends too, in whatever way; then it stops the server by its pid.
        // Unless it was told to keep them, it removes the data: a value that is shared is never dropped.
        let script = r#"dir=$1; shift; "$@" & pid=$!; order=$(cat); kill -QUIT $pid; wait $pid; [ "$order" = keep ] || rm -rf "$dir" "#;
        let postgres = as_postgres(&self.binaries.join("postgres"));
        let supervisor = Command::new("sh")
            .args(["-c", script, "sh"])
            .arg(self.dir.path())
            .arg(postgres.get_program())
            .args(postgres.get_args())
            .arg("-D")
            .arg(self.data())
            .arg("-k")
            .arg(self.dir.path())
            .args([
                "-c",
                "listen_addresses=",
                "-c",
                "max_connections=200",
                "-c",
                if self.is_durable { "fsync=on" } else { "fsync=off" },
                "-c",
                "logging_collector=off",
            ])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(self.log()).expect("a log file"))
            .spawn()
            .expect("sh is there");
        self.running = Some(supervisor);
        self.wait_until_ready();
    }

    /// Lets the server hang: its processes are there, and do nothing.
    pub(crate) fn freeze(&self) {
        self.signal_all("-STOP");
    }

    /// Lets it go on.
    pub(crate) fn thaw(&self) {
        self.signal_all("-CONT");
    }

    /// The processes that serve connections are children of the one whose pid the server wrote down.
    fn signal_all(&self, signal: &str) {
        let processes = self.processes().into_iter().map(|pid| pid.to_string());
        run(Command::new("sh").args(["-c", "kill \"$@\"", "sh", signal]).args(processes));
    }

    /// Every process of the server.
    pub(crate) fn processes(&self) -> Vec<u32> {
        let pid_file = std::fs::read_to_string(self.data().join("postmaster.pid")).expect("the server runs");
        let postmaster = pid_file.lines().next().expect("the first line is the pid");
        let children = std::fs::read_to_string(format!("/proc/{postmaster}/task/{postmaster}/children"));
        let children = children.expect("the server runs");
        let all = std::iter::once(postmaster).chain(children.split_ascii_whitespace());
        all.map(|pid| pid.parse().expect("a pid is a number")).collect()
    }

    fn wait_until_ready(&self) {
        let deadline = Instant::now() + Duration::from_secs(60);
        let is_ready = || {
            let mut command = Command::new(self.binaries.join("pg_isready"));
            command.arg("--quiet").arg("--host").arg(self.dir.path());
            command.status().expect("pg_isready is there").success()
        };
        while !is_ready() {
            if Instant::now() > deadline {
                panic!("Postgres did not start: {}", std::fs::read_to_string(self.log()).unwrap_or_default());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    fn log(&self) -> PathBuf {
        self.dir.path().join("log")
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Debian keeps each major version in a directory of its own; elsewhere they are in the path.
fn newest_binaries() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let debian = versions.map(|version| version.path().join("bin"));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut all: Vec<PathBuf> = debian.filter(|dir| dir.join("initdb").exists()).collect();
    all.sort_by_key(|dir| version_of(dir));
    all.pop().or_else(|| std::env::split_paths(&path).find(|dir| dir.join("initdb").exists()))
}

fn version_of(binaries: &Path) -> u32 {
    let version = binaries.parent().and_then(Path::file_name).and_then(|name| name.to_str());
    version.and_then(|version| version.parse().ok()).unwrap_or(0)
}

/// User and group to run the server as, when this process is root: Postgres refuses to run as root.
fn postgres_user() -> Option<(u32, u32)> {
    let id = |args: &[&str]| -> Option<u32> {
        let output = Command::new("id").args(args).output().ok().filter(|output| output.status.success())?;
        String::from_utf8(output.stdout).ok()?.trim().parse().ok()
    };
    (id(&["-u"])? == 0).then(|| Some((id(&["-u", "postgres"])?, id(&["-g", "postgres"])?)))?
}

fn as_postgres(program: &Path) -> Command {
    match postgres_user() {
        Some((user, group)) => {
            let mut command = Command::new("setpriv");
            command
                .args([format!("--reuid={user}"), format!("--regid={group}"), "--clear-groups".to_owned()])
                .arg(program);
            command
        }
        None => Command::new(program),
    }
}

fn run(command: &mut Command) {
    // The working directory of this process may be closed to the other user.
    let command = command.current_dir("/").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let mut said = String::new();
    child.stderr.take().expect("stderr is piped").read_to_string(&mut said).expect("it can be read");
    let status = child.wait().expect("it can be waited for");
    assert!(status.success(), "{command:?}: {status}: {said}");
}
