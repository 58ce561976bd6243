//! `mooring import`: the users and rules of another broker.

use std::collections::HashSet;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, ensure};
use mooring_auth::{PasswordFile, PasswordHash, RuleSet};

use super::mosquitto_acl;
use crate::args::ImportCommand;
use crate::output;

pub(super) fn run(command: ImportCommand) -> anyhow::Result<ExitCode> {
    let ImportCommand::Mosquitto { passwd, acl, out } = command;
    let read = |path: &Path| std::fs::read_to_string(path).with_context(|| format!("{}", path.display()));
    // Everything is read and judged before anything is written.
    let users = passwd.as_deref().map(|path| Ok::<_, anyhow::Error>((path, users(&read(path)?)))).transpose()?;
    let rules =
        acl.as_deref().map(|path| Ok::<_, anyhow::Error>((path, mosquitto_acl::convert(&read(path)?)))).transpose()?;
    let (users_path, rules_path) = (out.join("users"), out.join("acl.toml"));
    for (path, wanted) in [(&users_path, users.is_some()), (&rules_path, rules.is_some())] {
        ensure!(
            !wanted || !path.exists(),
            "{} is there already: move it away, or name another directory with --out",
            path.display()
        );
    }
    std::fs::create_dir_all(&out).with_context(|| format!("{}", out.display()))?;
    if let Some((from, users)) = users {
        write_private(&users_path, &users.text)?;
        tell(from, &users.notes);
        output::line(format_args!("{} users in {}", users.count, users_path.display()));
    }
    if let Some((from, rules)) = rules {
        RuleSet::parse(&rules.toml).map_err(|error| anyhow::anyhow!("{}: {}", from.display(), error.what))?;
        write_private(&rules_path, &rules.toml)?;
        tell(from, &rules.notes);
        output::line(format_args!("{} rules in {}", rules.rules, rules_path.display()));
    }
    output::line(
        "Name them in mooring.toml: [authentication] password_file, and [acl] file. A listener for these users: client_certificate = \"none\", allow_password = true.",
    );
    Ok(ExitCode::SUCCESS)
}

struct Users {
    text: String,
    count: usize,
    notes: Vec<(usize, String)>,
}

/// The lines of a `password_file` that can be taken over.
fn users(text: &str) -> Users {
    let mut users = Users { text: String::new(), count: 0, notes: Vec::new() };
    let mut names = HashSet::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim_end();
        if line.is_empty() {
            continue;
        }
        let name = line.split(':').next().unwrap_or_default();
        let mut note = |why: &str| users.notes.push((index + 1, why.to_owned()));
        match PasswordFile::parse(line) {
            Err(error) => note(&error.what),
            // A comment.
            Ok(file) if file.is_empty() => {}
            Ok(_) if !names.insert(name) => note("a second line for this user, who has the password of the first"),
            Ok(_) => {
                if is_weak(line) {
                    note(
                        "taken over, but whoever reads the file tries passwords fast: better hash it anew with `mooring password hash`",
                    );
                }
                users.text.push_str(line);
                users.text.push('\n');
                users.count += 1;
            }
        }
    }
    users
}

fn is_weak(line: &str) -> bool {
    line.split_once(':').and_then(|(_, hash)| PasswordHash::parse(hash).ok()).is_some_and(|hash| hash.is_weak())
}

fn tell(from: &Path, notes: &[(usize, String)]) {
    for (line, why) in notes {
        output::line(format_args!("{}:{line}: {why}", from.display()));
    }
}

/// A file that only its owner reads, and that was not there.
fn write_private(path: &Path, text: &str) -> anyhow::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .with_context(|| format!("{}", path.display()))?;
    file.write_all(text.as_bytes()).with_context(|| format!("{}", path.display()))
}
