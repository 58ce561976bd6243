//! Files that are either whole or not there.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use zeroize::Zeroizing;

use crate::error::{Error, Result};

/// The mode of a file that only its owner may read.
pub(crate) const PRIVATE: u32 = 0o600;
/// The mode of a file that everybody may read.
pub(crate) const PUBLIC: u32 = 0o644;

/// Writes a file that must not exist yet: a temporary file, fsync, rename, fsync of the directory.
pub(crate) fn write_new(path: &Path, content: &[u8], mode: u32) -> Result<()> {
    let failed = |source| Error::Io { action: "write", path: path.to_owned(), source };
    if exists(path)? {
        return Err(failed(io::ErrorKind::AlreadyExists.into()));
    }
    replace(path, content, mode)
}

/// Makes a directory for its owner alone, with what is above it.
pub(crate) fn create_dir(dir: &Path) -> Result<()> {
    let failed = |source| Error::Io { action: "create the directory", path: dir.to_owned(), source };
    if dir.is_dir() {
        return Ok(());
    }
    fs::create_dir_all(dir).map_err(failed)?;
    fs::set_permissions(dir, fs::Permissions::from_mode(0o700)).map_err(failed)?;
    sync_dir_of(dir).map_err(failed)
}

/// Whether there is such a file.
pub(crate) fn exists(path: &Path) -> Result<bool> {
    path.try_exists().map_err(|source| Error::Io { action: "look for", path: path.to_owned(), source })
}

/// Reads a small text file.
pub(crate) fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).map_err(|source| Error::Io { action: "read", path: path.to_owned(), source })
}

/// Puts a whole file in the place of one that may be there.
pub(crate) fn replace(path: &Path, content: &[u8], mode: u32) -> Result<()> {
    let failed = |source| Error::Io { action: "write", path: path.to_owned(), source };
    let temporary = path.with_extension("tmp");
    // What an interrupted start left is not whole, and nobody has used it.
    remove_if_there(&temporary).map_err(failed)?;
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&temporary).map_err(failed)?;
    file.write_all(content).map_err(failed)?;
    file.sync_all().map_err(failed)?;
    fs::rename(&temporary, path).map_err(failed)?;
    sync_dir_of(path).map_err(failed)
}

/// Removes a file, and makes sure that it stays so.
pub(crate) fn remove(path: &Path) -> Result<()> {
    let failed = |source| Error::Io { action: "remove", path: path.to_owned(), source };
    fs::remove_file(path).map_err(failed)?;
    sync_dir_of(path).map_err(failed)
}

/// Reads a key, and refuses one that every user of the machine can read.
pub(crate) fn read_private(path: &Path) -> Result<Zeroizing<String>> {
    check_private(path)?;
    read(path).map(Zeroizing::new)
}

/// The same for a file that need not be text.
pub(crate) fn read_private_bytes(path: &Path) -> Result<Zeroizing<Vec<u8>>> {
    check_private(path)?;
    let bytes = fs::read(path).map_err(|source| Error::Io { action: "read", path: path.to_owned(), source })?;
    Ok(Zeroizing::new(bytes))
}

fn check_private(path: &Path) -> Result<()> {
    let metadata = fs::metadata(path).map_err(|source| Error::Io { action: "read", path: path.to_owned(), source })?;
    let mode = metadata.permissions().mode() & 0o777;
    // The group is let pass: orchestrators that set a volume's group add its bits at each mount.
    if mode & 0o007 != 0 {
        let reason = format!("a private key with mode {mode:04o} is open to every user: set it to 0600");
        return Err(Error::BadFile { path: path.to_owned(), reason });
    }
    Ok(())
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn sync_dir_of(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => File::open(dir)?.sync_all(),
        _ => File::open(".")?.sync_all(),
    }
}
