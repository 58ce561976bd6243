//! The invariants of ARCHITECTURE.md that a look at the source can hold.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Which crates of the workspace each may depend on: the map of ARCHITECTURE.md.
const MAP: &[(&str, &[&str])] = &[
    ("broker/protocol", &[]),
    ("broker/core", &["protocol"]),
    ("broker/log", &["protocol", "core"]),
    ("broker/server", &["protocol", "core", "log"]),
    ("broker/conformance", &[]),
    ("certs", &[]),
    ("store", &[]),
    ("auth-plugin", &["protocol", "core", "certs"]),
    ("api/oauth", &["certs", "store", "accounts"]),
    ("api", &["protocol", "core", "server", "auth", "certs", "store", "accounts", "oauth"]),
    ("api/accounts", &["auth", "store"]),
    ("firmware/device", &["protocol"]),
    ("firmware/sim", &["protocol", "device"]),
    ("benches", &["protocol"]),
    (
        "broker/cli",
        &[
            "protocol",
            "core",
            "log",
            "server",
            "auth",
            "certs",
            "store",
            "api",
            "accounts",
            "oauth",
            "sim",
            "conformance",
        ],
    ),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn manifest(folder: &str) -> toml::Table {
    fs::read_to_string(root().join(folder).join("Cargo.toml")).unwrap().parse().unwrap()
}

#[test]
fn every_member_of_the_workspace_is_on_the_map() {
    let workspace: toml::Table = fs::read_to_string(root().join("Cargo.toml")).unwrap().parse().unwrap();
    let members = workspace["workspace"]["members"].as_array().unwrap();
    let mut members: Vec<_> = members.iter().map(|member| member.as_str().unwrap()).collect();
    let mut mapped: Vec<_> = MAP.iter().map(|(folder, _)| *folder).collect();
    members.sort_unstable();
    mapped.sort_unstable();
    assert_eq!(members, mapped);
}

#[test]
fn dependencies_point_inwards() {
    for (folder, allowed) in MAP {
        let manifest = manifest(folder);
        let own = manifest["dependencies"].as_table().cloned().unwrap_or_default();
        for dependency in own.keys().filter_map(|name| name.strip_prefix("mooring-")) {
            assert!(allowed.contains(&dependency), "{folder} must not depend on mooring-{dependency}");
        }
    }
}

#[test]
fn the_engine_and_the_codec_have_no_sockets_clock_threads_or_randomness() {
    for folder in ["broker/protocol", "broker/core"] {
        check_absent(
            folder,
            &["std::net", "std::thread", "std::fs", "SystemTime", "Instant::now", "tokio", "std::env"],
        );
        // The keys of tables have a file, which says what they are for.
        check_absent_but_in("client_keys.rs", folder, &["RandomState"]);
    }
}

#[test]
fn only_the_command_prints() {
    for (folder, _) in MAP.iter().filter(|(folder, _)| !["broker/cli", "benches"].contains(folder)) {
        check_absent(folder, &["println!", "eprintln!", "print!(", "dbg!"]);
    }
}

#[test]
fn sql_is_in_the_store_alone() {
    for (folder, _) in MAP.iter().filter(|(folder, _)| *folder != "store") {
        let has_sqlx = manifest(folder)["dependencies"].as_table().is_some_and(|own| own.contains_key("sqlx"));
        assert!(!has_sqlx, "{folder} must not depend on sqlx");
    }
}

#[test]
fn every_crate_takes_the_lints_of_the_workspace() {
    for (folder, _) in MAP {
        assert_eq!(manifest(folder)["lints"]["workspace"].as_bool(), Some(true), "{folder}");
    }
}

/// Looks at code only: a comment may name what the code does not use.
fn check_absent(folder: &str, words: &[&str]) {
    check_absent_but_in("", folder, words);
}

fn check_absent_but_in(excepted_file: &str, folder: &str, words: &[&str]) {
    let mut found = BTreeMap::new();
    let files = sources(&root().join(folder).join("src"));
    for file in files.into_iter().filter(|file| file.file_name().is_none_or(|name| name != excepted_file)) {
        let text = fs::read_to_string(&file).unwrap();
        for (number, line) in text.lines().enumerate().take_while(|(_, line)| !line.contains("mod tests {")) {
            let code = line.split("//").next().unwrap_or_default();
            if let Some(word) = words.iter().find(|word| code.contains(**word)) {
                found.insert(format!("{}:{}", file.display(), number + 1), *word);
            }
        }
    }
    assert!(found.is_empty(), "{found:?}");
}

fn sources(directory: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}
