//! The directory in which everything is kept, held by one process at a time.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

/// A data directory that this process alone may use; others are refused until it is dropped.
pub(crate) struct DataDir {
    path: PathBuf,
    /// Holds the lock, which the operating system drops with the process, however that ends.
    _lock: File,
}

impl DataDir {
    /// Makes the directory where it is missing, and locks it.
    pub(crate) fn open(path: &Path) -> anyhow::Result<Self> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .with_context(|| format!("data directory {}: cannot be made", path.display()))?;
        let path = path.canonicalize().with_context(|| format!("data directory {}", path.display()))?;
        let lock = lock(&path.join("lock"))?;
        Ok(Self { path, _lock: lock })
    }

    /// Keeps servers out of a directory that exists while a command works in it; other commands may, too. Nothing when a server runs there.
    pub(crate) fn share_if_free(path: &Path) -> anyhow::Result<Option<Self>> {
        let path = path.canonicalize().with_context(|| format!("data directory {}", path.display()))?;
        let file = path.join("lock");
        let lock = open_lock(&file)?;
        match lock.try_lock_shared() {
            Ok(()) => Ok(Some(Self { path, _lock: lock })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => {
                Err(error).with_context(|| format!("{}: cannot be locked", file.display()))
            }
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn authority(&self) -> PathBuf {
        self.path.join("ca")
    }

    /// Where operators' commands reach the server that runs here.
    pub(crate) fn operator_socket(&self) -> PathBuf {
        operator_socket(&self.path)
    }

    /// The root certificate, where people find it: devices and tools trust it.
    pub(crate) fn root_certificate(&self) -> PathBuf {
        self.path.join("ca.pem")
    }

    /// What is revoked, for a start without the database.
    pub(crate) fn revoked_copy(&self) -> PathBuf {
        self.path.join("revoked")
    }

    /// Names this node's log in the database: the events of a log made anew must not be taken for those of the old one.
    pub(crate) fn node_id(&self) -> anyhow::Result<String> {
        let path = self.path.join("node-id");
        match fs::read_to_string(&path) {
            Ok(id) => Ok(id.trim().to_owned()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let id = uuid::Uuid::now_v7().to_string();
                write_whole(&path, &id).with_context(|| format!("{}", path.display()))?;
                Ok(id)
            }
            Err(error) => Err(error).with_context(|| format!("{}", path.display())),
        }
    }
}

/// The operators' socket of a data directory.
pub(crate) fn operator_socket(data_dir: &Path) -> PathBuf {
    data_dir.join("admin.sock")
}

/// The decisions of the last day, for `mooring acl diff`: a line of JSON each.
pub(crate) fn decisions_file(data_dir: &Path) -> PathBuf {
    data_dir.join("decisions.jsonl")
}

/// The database of a data directory, where the configuration names none.
pub(crate) fn sqlite_url(data_dir: &Path) -> String {
    format!("sqlite://{}", data_dir.join("mooring.db").display())
}

/// How long a server waits for commands that work in the directory: each takes a moment.
const COMMANDS_END_WITHIN: Duration = Duration::from_secs(10);
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(20);

fn lock(path: &Path) -> anyhow::Result<File> {
    let mut file = open_lock(path)?;
    let began = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => break,
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(error)) => {
                return Err(error).with_context(|| format!("{}: cannot be locked", path.display()));
            }
        }
        // Commands share the lock, a server does not.
        let is_with_commands = file.try_lock_shared().is_ok();
        file.unlock().with_context(|| format!("{}", path.display()))?;
        if !is_with_commands || began.elapsed() > COMMANDS_END_WITHIN {
            let mut holder = String::new();
            // Only for the message: without the number it still says what is wrong.
            let _ = file.read_to_string(&mut holder);
            let (directory, holder) = (path.parent().unwrap_or(path).display(), holder.trim());
            bail!("data directory {directory} is in use by process {holder}: stop it, or use another directory");
        }
        std::thread::sleep(LOOK_AGAIN_AFTER);
    }
    file.set_len(0)
        .and_then(|()| write!(file, "{}", std::process::id()))
        .with_context(|| format!("{}", path.display()))?;
    Ok(file)
}

fn open_lock(path: &Path) -> anyhow::Result<File> {
    let mut options = OpenOptions::new();
    let options = options.read(true).write(true).create(true).truncate(false).mode(0o600);
    options.open(path).with_context(|| format!("{}", path.display()))
}

/// Writes a file that holds the new text whole or, after a crash, what it held before.
pub(crate) fn write_whole(path: &Path, text: &str) -> std::io::Result<()> {
    let temporary = path.with_extension("new");
    let mut file = File::create(&temporary)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&temporary, path)
}

#[cfg(test)]
mod tests {
    use super::DataDir;

    #[test]
    fn a_directory_in_use_is_refused_and_free_again_afterwards() {
        let directory = tempfile::tempdir().unwrap();
        let first = DataDir::open(directory.path()).unwrap();
        let error = DataDir::open(directory.path()).map(|_| ()).unwrap_err().to_string();
        assert!(error.contains(&format!("in use by process {}", std::process::id())), "{error}");
        drop(first);
        DataDir::open(directory.path()).unwrap();
    }

    #[test]
    fn commands_share_a_directory_and_a_server_waits_for_them() {
        let directory = tempfile::tempdir().unwrap();
        let command = DataDir::share_if_free(directory.path()).unwrap().unwrap();
        let other = DataDir::share_if_free(directory.path()).unwrap().unwrap();
        drop(other);
        let path = directory.path().to_owned();
        let server = std::thread::spawn(move || DataDir::open(&path));
        drop(command);
        let server = server.join().unwrap().unwrap();
        assert!(DataDir::share_if_free(directory.path()).unwrap().is_none());
        drop(server);
        assert!(DataDir::share_if_free(directory.path()).unwrap().is_some());
    }

    #[test]
    fn the_node_keeps_its_id() {
        let directory = tempfile::tempdir().unwrap();
        let id = DataDir::open(directory.path()).unwrap().node_id().unwrap();
        assert_eq!(DataDir::open(directory.path()).unwrap().node_id().unwrap(), id);
    }
}
