//! A `mooring run` of one's own: free ports, a temporary directory, ended with the test.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Output, Stdio};
use std::thread;

use mooring_sim::{Credentials, SimOptions};
use serde_json::Value;
use tempfile::TempDir;

/// The binary under test.
pub(crate) const MOORING: &str = env!("CARGO_BIN_EXE_mooring");

/// A running server. Killed when dropped.
pub(crate) struct Server {
    child: Child,
    pub(crate) mqtts: u16,
    /// A plain listener on loopback that lets anybody in; there when the configuration says so.
    pub(crate) plain: Option<u16>,
    /// The same over WebSocket.
    pub(crate) ws: Option<u16>,
    pub(crate) https: u16,
    pub(crate) admin: u16,
    /// What it said before it was ready.
    said: Vec<String>,
}

/// Where a server lives: its directory outlives it, so that it can be started again.
pub(crate) struct Home {
    directory: TempDir,
    config: String,
}

/// A device as the factory made it.
pub(crate) struct Device {
    pub(crate) id: String,
    pub(crate) secret: String,
    pub(crate) claim_code: String,
}

/// Listeners on free ports: MQTT over TLS, and for anybody plain TCP and WebSocket.
const LISTENERS: &str = r#"
[[listeners]]
name = "mqtts"
bind = "127.0.0.1:0"

[[listeners]]
name = "plain"
kind = "tcp"
bind = "127.0.0.1:0"
allow_anonymous = true

[[listeners]]
name = "ws"
kind = "ws"
bind = "127.0.0.1:0"
allow_anonymous = true
"#;

impl Home {
    /// A home with settings of its own: lines of TOML, before the listeners.
    pub(crate) fn with(settings: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let config =
            format!("{settings}\n[http]\nbind = \"127.0.0.1:0\"\n[admin]\nbind = \"127.0.0.1:0\"\n{LISTENERS}");
        std::fs::write(directory.path().join("mooring.toml"), &config).unwrap();
        Self { directory, config }
    }

    pub(crate) fn new() -> Self {
        Self::with("")
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn data_dir(&self) -> PathBuf {
        self.path().join("data")
    }

    pub(crate) fn root_certificate(&self) -> PathBuf {
        self.data_dir().join("ca.pem")
    }

    /// Starts the server and waits until it says that it is ready.
    pub(crate) fn start(&self) -> Server {
        self.start_as(self.command(&["run"]))
    }

    /// The same by a command of one's own, which becomes the server.
    pub(crate) fn start_as(&self, mut command: Command) -> Server {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut said = Vec::new();
        for line in lines.by_ref() {
            let line = line.unwrap();
            if line == "Ready." {
                // A pipe that nobody reads would block the server once it is full.
                thread::spawn(move || lines.for_each(drop));
                let port = |key: &str| port_in(&said, key);
                let optional =
                    |name: &str| self.config.contains(&format!("\"{name}\"")).then(|| port(&format!("({name})")));
                let (plain, ws) = (optional("plain"), optional("ws"));
                let (mqtts, https, admin) = (port("(mqtts)"), port("HTTPS"), port("Admin"));
                return Server { child, mqtts, plain, ws, https, admin, said };
            }
            said.push(line);
        }
        panic!("the server ended before it was ready: {said:?}, {:?}", child.wait());
    }

    /// `mooring <arguments>` on this home's configuration and data.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(MOORING);
        // The tests' own variables are no settings, and a developer's settings are not the test's.
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("MOORING_")) {
            command.env_remove(name);
        }
        command.args(arguments).arg("--config").arg(self.path().join("mooring.toml"));
        command.arg("--data-dir").arg(self.data_dir()).current_dir(self.path()).env("MOORING_TELEMETRY__LOG", "warn");
        command
    }

    /// The same, run to its end; fails the test when it fails.
    pub(crate) fn run(&self, arguments: &[&str]) -> String {
        let output = self.command(arguments).output().unwrap();
        assert!(output.status.success(), "mooring {arguments:?}: {}", text(&output));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Makes one device, as the factory does.
    pub(crate) fn make_device(&self) -> Device {
        let made: Value =
            serde_json::from_str(&self.run(&["device", "create", "--model", "washer", "--json"])).unwrap();
        let field = |key: &str| made[0][key].as_str().unwrap().to_owned();
        Device { id: field("id"), secret: field("enrolment_secret"), claim_code: field("claim_code") }
    }

    /// The database of this home.
    pub(crate) fn sqlite_url(&self) -> String {
        format!("sqlite://{}", self.data_dir().join("mooring.db").display())
    }

    /// Has the device make its key and get its certificate, and puts both beside each other as `<name>.key` and `<name>.pem`.
    pub(crate) fn enrol(&self, server: &Server, device: &Device, name: &str) -> Credentials {
        let options = SimOptions {
            device_id: device.id.clone(),
            enrolment_secret: device.secret.clone(),
            api: format!("127.0.0.1:{}", server.https),
            mqtt: format!("127.0.0.1:{}", server.mqtts),
            server_name: "localhost".to_owned(),
            root_pem: std::fs::read_to_string(self.root_certificate()).unwrap(),
            telemetry_interval: std::time::Duration::from_secs(1),
            speed: 1.0,
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let credentials = runtime.block_on(mooring_sim::enrol(&options)).unwrap();
        std::fs::write(self.path().join(format!("{name}.key")), &credentials.key_pem).unwrap();
        std::fs::write(self.path().join(format!("{name}.pem")), &credentials.chain_pem).unwrap();
        credentials
    }
}

impl Server {
    /// The port of the MQTT listener with this name.
    pub(crate) fn port_of(&self, listener: &str) -> u16 {
        port_in(&self.said, &format!("({listener})"))
    }

    /// The process, for what the system says about it.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it logs, when it was started with a pipe for it.
    pub(crate) fn take_stderr(&mut self) -> ChildStderr {
        self.child.stderr.take().unwrap()
    }

    /// SIGKILL: nothing of what it would do at an orderly end happens.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGTERM, and the exit status.
    pub(crate) fn terminate(mut self) -> std::process::ExitStatus {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        self.child.wait().unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a program said, for a failing test's message.
pub(crate) fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// The port of the line with this word in it.
fn port_in(lines: &[String], word: &str) -> u16 {
    let line = lines.iter().find(|line| line.contains(word)).unwrap_or_else(|| panic!("no {word} in {lines:?}"));
    let address = line.split_whitespace().nth(1).unwrap().trim_start_matches("http://");
    address.rsplit_once(':').unwrap().1.parse().unwrap()
}
