//! The list of brokers: how each one is configured, started, and found ready.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

use super::rows::{self, Row};

/// A TOML file of brokers, and of rows beside the built-in ones.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Plan {
    pub(super) brokers: Vec<Broker>,
    #[serde(default)]
    rows: Vec<Row>,
}

/// One broker. In commands, files and the environment, `{port}`, `{tls_port}`, `{dir}` and `{certs}` stand for the ports to listen on, the
/// broker's own fresh directory, and the directory with `ca.pem`, `server.crt`, `server.key` and `clients/`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Broker {
    pub(super) name: String,
    /// Commands to run before, in turn, each to its end: what makes keys or databases.
    #[serde(default)]
    pub(super) setup: Vec<Vec<String>>,
    /// Program and arguments; must stay in the foreground.
    pub(super) command: Vec<String>,
    /// Prints the version in its first line.
    #[serde(default)]
    pub(super) version_command: Vec<String>,
    /// Rows that it cannot run.
    #[serde(default)]
    skip: Vec<String>,
    /// Files to write into its directory.
    #[serde(default)]
    pub(super) files: BTreeMap<String, String>,
    #[serde(default)]
    pub(super) environment: BTreeMap<String, String>,
    /// The authority of the server's certificate, for a broker that brings its own.
    #[serde(default = "default_ca")]
    pub(super) ca: String,
    /// The certificates of clients, likewise.
    #[serde(default = "default_client_certificates")]
    pub(super) client_certificates: String,
}

fn default_ca() -> String {
    "{certs}/ca.pem".to_owned()
}

fn default_client_certificates() -> String {
    "{certs}/clients".to_owned()
}

/// What runs without a list.
const BUILT_IN: &str = include_str!("mosquitto.toml");

impl Plan {
    /// The plan in `path`, or the built-in one.
    pub(super) fn load(path: Option<&Path>) -> Result<Self> {
        match path {
            None => Self::parse(BUILT_IN),
            Some(path) => {
                let text = std::fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
                Self::parse(&text).with_context(|| path.display().to_string())
            }
        }
    }

    fn parse(text: &str) -> Result<Self> {
        let plan: Self = toml::from_str(text)?;
        let mut names: Vec<_> = plan.brokers.iter().map(|broker| broker.name.as_str()).collect();
        names.sort_unstable();
        ensure!(names.windows(2).all(|pair| pair[0] != pair[1]), "two brokers have the same name");
        for broker in &plan.brokers {
            ensure!(!broker.command.is_empty(), "broker {} has no command", broker.name);
        }
        Ok(plan)
    }

    /// The rows that are asked for; all when none is. A row of the list replaces the built-in one of its name.
    pub(super) fn choose_rows(&self, names: &[String]) -> Result<Vec<Row>> {
        let mut all = rows::built_in();
        for row in &self.rows {
            match all.iter_mut().find(|built_in| built_in.name == row.name) {
                Some(built_in) => *built_in = row.clone(),
                None => all.push(row.clone()),
            }
        }
        if names.is_empty() || names.iter().any(|name| name == "list") {
            return Ok(all);
        }
        let find = |name: &String| all.iter().find(|row| row.name == *name).cloned();
        names
            .iter()
            .map(|name| find(name).with_context(|| format!("there is no row {name}; `--rows list` shows all")))
            .collect()
    }

    /// Forgets the brokers that are not named; none when there are no names.
    pub(super) fn keep_brokers(&mut self, names: &[String]) -> Result<()> {
        for name in names {
            ensure!(self.brokers.iter().any(|broker| broker.name == *name), "there is no broker {name} in the list");
        }
        self.brokers.retain(|broker| names.is_empty() || names.contains(&broker.name));
        Ok(())
    }
}

impl Broker {
    pub(super) fn runs(&self, row: &Row) -> bool {
        !self.skip.contains(&row.name)
    }
}

/// What placeholders stand for in one run.
#[derive(Clone, Debug)]
pub(super) struct Places {
    pub(super) port: u16,
    pub(super) tls_port: u16,
    pub(super) directory: String,
    pub(super) certificates: String,
}

impl Places {
    pub(super) fn fill(&self, text: &str) -> String {
        text.replace("{port}", &self.port.to_string())
            .replace("{tls_port}", &self.tls_port.to_string())
            .replace("{dir}", &self.directory)
            .replace("{certs}", &self.certificates)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_list_is_mosquitto() {
        let plan = Plan::load(None).unwrap();
        assert_eq!(plan.brokers.len(), 1);
        assert_eq!(plan.brokers[0].name, "mosquitto");
        assert!(plan.brokers[0].files["mosquitto.conf"].contains("listener {port}"));
    }

    #[test]
    fn the_committed_list_is_sound_and_has_mosquitto_as_built_in() {
        let plan = Plan::parse(include_str!("../../brokers.toml")).unwrap();
        let names: Vec<_> = plan.brokers.iter().map(|broker| broker.name.as_str()).collect();
        assert_eq!(names, ["mooring", "mosquitto", "rumqttd"]);
        assert_eq!(plan.brokers[1], Plan::load(None).unwrap().brokers[0]);
    }

    #[test]
    fn a_list_names_brokers_and_own_rows() {
        let mut plan = Plan::parse(
            r#"
            [[brokers]]
            name = "a"
            command = ["a", "--port", "{port}"]
            skip = ["shared"]
            files = { "a.conf" = "dir {dir}" }
            [[brokers]]
            name = "b"
            command = ["b"]
            [[rows]]
            name = "big"
            title = "Big payloads"
            args = ["pairs", "--payload", "100000"]
            "#,
        )
        .unwrap();
        let rows = plan.choose_rows(&["shared".into(), "big".into()]).unwrap();
        assert_eq!(rows[1].title, "Big payloads");
        assert!(!plan.brokers[0].runs(&rows[0]) && plan.brokers[0].runs(&rows[1]));
        plan.keep_brokers(&["b".into()]).unwrap();
        assert_eq!(plan.brokers.len(), 1);
        assert!(plan.keep_brokers(&["c".into()]).is_err());
        assert!(plan.choose_rows(&["none".into()]).is_err());
    }

    #[test]
    fn what_is_wrong_in_a_list_is_said() {
        for (text, said) in [
            ("[[brokers]]\nname = \"a\"\ncommand = []", "no command"),
            ("[[brokers]]\nname = \"a\"\ncomand = [\"a\"]", "comand"),
            ("brokers = [{name = \"a\", command = [\"a\"]}, {name = \"a\", command = [\"a\"]}]", "same name"),
        ] {
            let error = format!("{:#}", Plan::parse(text).unwrap_err());
            assert!(error.contains(said), "{error}");
        }
    }

    #[test]
    fn placeholders_are_filled() {
        let places = Places { port: 1, tls_port: 2, directory: "/d".into(), certificates: "/c".into() };
        assert_eq!(places.fill("{port} {tls_port} {dir}/x {certs}/ca.pem {other}"), "1 2 /d/x /c/ca.pem {other}");
    }
}
