//! A disk of a few MiB: a tmpfs that only the server and the commands given here see, gone with the test.

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};

use crate::server::text;

/// A mount namespace with a tmpfs in it.
pub(crate) struct SmallDisk {
    holder: Child,
    /// The namespace ends with its shell, and that with its input.
    _input: ChildStdin,
    mounted_on: PathBuf,
}

impl SmallDisk {
    /// Mounts it on a directory, which is made. Works for root, and for others where the system lets them have a user namespace.
    pub(crate) fn mount(on: &Path, size_mib: u32) -> Self {
        std::fs::create_dir_all(on).unwrap();
        let script =
            format!("mount -t tmpfs -o size={size_mib}m,mode=700 tmpfs {} && echo mounted && read", on.display());
        let mut holder = Command::new("unshare")
            .args(["--mount", "--map-root-user", "bash", "-c", &script])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("unshare, of util-linux");
        let mut said = String::new();
        BufReader::new(holder.stdout.as_mut().unwrap()).read_line(&mut said).unwrap();
        if said.trim() != "mounted" {
            holder.stderr.take().unwrap().read_to_string(&mut said).unwrap();
            panic!("a tmpfs can't be mounted, not even in a user namespace: {said}");
        }
        Self { _input: holder.stdin.take().unwrap(), holder, mounted_on: on.to_owned() }
    }

    /// The same command, run where the disk is seen. The process stays the one that is started.
    pub(crate) fn inside(&self, command: &Command) -> Command {
        let mut entered = Command::new("nsenter");
        entered.args(["--preserve-credentials", "--user", "--mount", "--target", &self.holder.id().to_string()]);
        entered.arg(command.get_program()).args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => entered.env(name, value),
                None => entered.env_remove(name),
            };
        }
        entered
    }

    /// Fills it, but for so many KiB.
    pub(crate) fn fill_but(&self, free_kib: u64) {
        let kib =
            |words: &str| self.shell(&format!("df --output=avail {words} | tail -1")).trim().parse::<u64>().unwrap();
        let ballast = kib(".") - free_kib;
        self.shell(&format!("head -c {ballast}K /dev/zero > ballast"));
    }

    /// Makes room again.
    pub(crate) fn free(&self) {
        self.shell("rm ballast");
    }

    fn shell(&self, script: &str) -> String {
        let script = format!("cd {} && {script}", self.mounted_on.display());
        let output = self.inside(Command::new("bash").args(["-ec", &script])).output().unwrap();
        assert!(output.status.success(), "{script}: {}", text(&output));
        String::from_utf8(output.stdout).unwrap()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Ended already when the mount failed.
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}
