//! The list of brokers: how each one is configured, started, and found ready.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

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

/// One broker. In commands, files, values and the environment, `{port}`, `{tls_port}` and `{http_port}` stand for free ports, `{dir}` for the run's own
/// fresh directory, `{shared}` for one that all runs of this broker share, `{certs}` for the directory with `ca.pem`, `server.crt`, `server.key` and
/// `clients/`, and the name of each of `values` for its value.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Broker {
    pub(super) name: String,
    /// Left out, with a word about it, where its program is not installed.
    #[serde(default)]
    optional: bool,
    /// Commands to run once, before all runs, in turn: what makes devices.
    #[serde(default)]
    pub(super) once: Vec<Vec<String>>,
    /// Programs that must run beside the broker, on the generator's core, such as its database.
    #[serde(default)]
    pub(super) services: Vec<Service>,
    /// Commands to run before each start, in turn, each to its end: what makes keys or databases.
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
    #[serde(default)]
    pub(super) values: BTreeMap<String, String>,
    /// The authority of the server's certificate, for a broker that brings its own.
    #[serde(default = "default_ca")]
    pub(super) ca: String,
    /// The certificates of clients, likewise.
    #[serde(default = "default_client_certificates")]
    pub(super) client_certificates: String,
    /// Other ways to run it, for the rows that name one.
    #[serde(default)]
    variants: BTreeMap<String, Variant>,
}

/// What is different in a variant; `setup` and `services` come in place of the broker's own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Variant {
    services: Option<Vec<Service>>,
    setup: Option<Vec<Vec<String>>>,
    #[serde(default)]
    values: BTreeMap<String, String>,
    ca: Option<String>,
    client_certificates: Option<String>,
}

/// A program that runs beside the broker.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Service {
    pub(super) command: Vec<String>,
    /// Succeeds once the service is ready.
    pub(super) ready: Vec<String>,
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
    /// All that the files list, or the built-in plan.
    pub(super) fn load(paths: &[PathBuf]) -> Result<Self> {
        if paths.is_empty() {
            return Self::parse(BUILT_IN);
        }
        let mut all = Self { brokers: Vec::new(), rows: Vec::new() };
        for path in paths {
            let text = std::fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
            let plan = Self::parse(&text).with_context(|| path.display().to_string())?;
            all.brokers.extend(plan.brokers);
            all.rows.extend(plan.rows);
        }
        all.checked()
    }

    fn parse(text: &str) -> Result<Self> {
        toml::from_str::<Self>(text)?.checked()
    }

    fn checked(self) -> Result<Self> {
        let mut names: Vec<_> = self.brokers.iter().map(|broker| broker.name.as_str()).collect();
        names.sort_unstable();
        ensure!(names.windows(2).all(|pair| pair[0] != pair[1]), "two brokers have the same name");
        for broker in &self.brokers {
            ensure!(!broker.command.is_empty(), "broker {} has no command", broker.name);
        }
        Ok(self)
    }

    /// Forgets the optional brokers that are not installed, and names them.
    pub(super) fn forget_missing(&mut self) -> Vec<String> {
        let is_there = |broker: &Broker| broker.command.first().is_some_and(|program| is_installed(program));
        let missing = self.brokers.extract_if(.., |broker| broker.optional && !is_there(broker));
        missing.map(|broker| broker.name).collect()
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
        let has_variant = row.variant.as_ref().is_none_or(|variant| self.variants.contains_key(variant));
        has_variant && !self.skip.contains(&row.name)
    }

    /// The broker as the row wants it.
    pub(super) fn for_row(&self, row: &Row) -> Self {
        let mut broker = self.clone();
        let Some(variant) = row.variant.as_ref().and_then(|name| self.variants.get(name)).cloned() else {
            return broker;
        };
        broker.values.extend(variant.values);
        broker.services = variant.services.unwrap_or(broker.services);
        broker.setup = variant.setup.unwrap_or(broker.setup);
        broker.ca = variant.ca.unwrap_or(broker.ca);
        broker.client_certificates = variant.client_certificates.unwrap_or(broker.client_certificates);
        broker
    }
}

/// Whether a program can be started: it is a path to a file, or in one of the directories of PATH.
fn is_installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    if program.contains('/') {
        return Path::new(program).is_file();
    }
    std::env::split_paths(&path).any(|directory| directory.join(program).is_file())
}

/// What placeholders stand for in one run.
#[derive(Clone, Debug, Default)]
pub(super) struct Places {
    pub(super) port: u16,
    pub(super) tls_port: u16,
    pub(super) http_port: u16,
    pub(super) directory: String,
    pub(super) shared: String,
    pub(super) certificates: String,
    /// Those of the broker; they may hold placeholders themselves.
    pub(super) values: BTreeMap<String, String>,
}

impl Places {
    pub(super) fn fill(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (name, value) in &self.values {
            text = text.replace(&format!("{{{name}}}"), value);
        }
        text.replace("{port}", &self.port.to_string())
            .replace("{tls_port}", &self.tls_port.to_string())
            .replace("{http_port}", &self.http_port.to_string())
            .replace("{dir}", &self.directory)
            .replace("{shared}", &self.shared)
            .replace("{certs}", &self.certificates)
    }

    pub(super) fn fill_all(&self, words: &[String]) -> Vec<String> {
        words.iter().map(|word| self.fill(word)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_list_is_mosquitto() {
        let plan = Plan::load(&[]).unwrap();
        assert_eq!(plan.brokers.len(), 1);
        assert_eq!(plan.brokers[0].name, "mosquitto");
        assert!(plan.brokers[0].files["mosquitto.conf"].contains("listener {port}"));
    }

    #[test]
    fn the_committed_list_is_sound_and_has_mosquitto_as_built_in() {
        let plan = Plan::parse(include_str!("../../brokers.toml")).unwrap();
        let names: Vec<_> = plan.brokers.iter().map(|broker| broker.name.as_str()).collect();
        assert_eq!(names, ["mooring", "FlashMQ", "mosquitto", "rumqttd"]);
        let (listed, built_in) = (&plan.brokers[2], &Plan::load(&[]).unwrap().brokers[0]);
        assert_eq!((&listed.command, &listed.files), (&built_in.command, &built_in.files));
        let rows = plan.choose_rows(&[]).unwrap();
        let orphans: Vec<_> = rows.iter().filter(|row| !plan.brokers[0].runs(row)).map(|row| &row.name).collect();
        assert!(orphans.is_empty(), "mooring can run every row, and not {orphans:?}");
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
        let places = Places {
            port: 1,
            tls_port: 2,
            http_port: 3,
            directory: "/d".into(),
            shared: "/s".into(),
            certificates: "/c".into(),
            values: [("database".to_owned(), "sqlite:{dir}/db".to_owned())].into(),
        };
        let filled = places.fill("{port} {tls_port} {http_port} {dir}/x {shared} {certs}/ca.pem {database} {other}");
        assert_eq!(filled, "1 2 3 /d/x /s /c/ca.pem sqlite:/d/db {other}");
    }

    #[test]
    fn a_variant_changes_what_it_names() {
        let plan = Plan::parse(
            r#"
            [[brokers]]
            name = "a"
            command = ["/no/such/program"]
            optional = true
            setup = [["one"]]
            values = { threads = "1", disk = "no" }
            [brokers.variants.two]
            values = { threads = "2" }
            [[brokers]]
            name = "b"
            command = ["/no/such/program"]
            [[rows]]
            name = "wide"
            title = "Wide"
            args = ["pairs"]
            variant = "two"
            "#,
        );
        let mut plan = plan.unwrap();
        let row = plan.choose_rows(&["wide".into()]).unwrap().remove(0);
        let broker = plan.brokers[0].for_row(&row);
        assert_eq!((broker.values["threads"].as_str(), broker.values["disk"].as_str()), ("2", "no"));
        assert_eq!(broker.setup, plan.brokers[0].setup);
        assert!(plan.brokers[0].runs(&row) && !plan.brokers[1].runs(&row));
        assert_eq!(plan.forget_missing(), ["a"]);
        assert_eq!(plan.brokers.len(), 1, "what is not optional stays, and fails");
    }
}
