//! Reads `mooring.toml` and the environment, and says of each mistake where it is.

use std::fmt;
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue};

use super::settings::{LISTENER_SETTINGS, SETTINGS, Setting};
use super::value::Value;
use super::{Config, Listener};

/// A mistake in the configuration, and where it is.
#[derive(Debug)]
pub(crate) struct ConfigError {
    /// The file and line, or the environment variable.
    place: String,
    /// The key.
    key: String,
    /// What is wrong with it.
    what: String,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.key.as_str() {
            "" => write!(f, "{}: {}", self.place, self.what),
            key => write!(f, "{}: {key}: {}", self.place, self.what),
        }
    }
}

impl std::error::Error for ConfigError {}

/// Loads the configuration: defaults, then the file, then variables `MOORING_SECTION__KEY`.
///
/// # Errors
/// The first mistake: an unreadable file, an unknown key, an unusable value, settings that contradict each other.
pub(crate) fn load(
    file: Option<&Path>,
    environment: impl Iterator<Item = (String, String)>,
) -> Result<Config, ConfigError> {
    let mut config = Config::default();
    let mut places = Places::default();
    if let Some(path) = file {
        let text = std::fs::read_to_string(path).map_err(|error| ConfigError {
            place: path.display().to_string(),
            key: String::new(),
            what: format!("cannot be read: {error}"),
        })?;
        apply_file(&mut config, path, &text, &mut places)?;
    }
    apply_environment(&mut config, environment, &mut places)?;
    config.check().map_err(|(key, what)| ConfigError { place: places.of(&key), key, what })?;
    Ok(config)
}

/// Remembers where each key was set, so that a contradiction found later can say so.
#[derive(Default)]
struct Places(Vec<(String, String)>);

impl Places {
    fn note(&mut self, key: &str, place: &str) {
        self.0.push((key.to_owned(), place.to_owned()));
    }

    fn of(&self, key: &str) -> String {
        let table = key.rsplit_once('.').map_or("", |(table, _)| table);
        let found =
            |wanted: &str| self.0.iter().rev().find(|(known, _)| known == wanted).map(|(_, place)| place.clone());
        found(key).or_else(|| found(table)).unwrap_or_else(|| "the defaults".to_owned())
    }
}

fn apply_file(config: &mut Config, path: &Path, text: &str, places: &mut Places) -> Result<(), ConfigError> {
    let file = File { path: path.to_owned(), text };
    let table = DeTable::parse(text).map_err(|error| {
        let offset = error.span().map_or(0, |span| span.start);
        file.error(offset, "", error.message().to_owned())
    })?;
    for (name, value) in table.get_ref() {
        let offset = name.span().start;
        match (name.get_ref().as_ref(), value.get_ref()) {
            ("listeners", DeValue::Array(listeners)) => apply_listeners(config, &file, listeners, places)?,
            ("listeners", _) => return Err(file.error(offset, "listeners", "is written as [[listeners]]".to_owned())),
            (section, DeValue::Table(keys)) if is_section(section) => {
                for (key, value) in keys {
                    apply_key(
                        config,
                        SETTINGS,
                        &file,
                        &format!("{section}.{}", key.get_ref()),
                        key.span().start,
                        value,
                        places,
                    )?;
                }
            }
            (key, _) => apply_key(config, SETTINGS, &file, key, offset, value, places)?,
        }
    }
    Ok(())
}

fn apply_listeners(
    config: &mut Config,
    file: &File<'_>,
    listeners: &DeArray<'_>,
    places: &mut Places,
) -> Result<(), ConfigError> {
    // Listeners that the file names replace the default one.
    config.listeners.clear();
    for (index, table) in listeners.iter().enumerate() {
        let prefix = format!("listeners.{index}");
        let DeValue::Table(keys) = table.get_ref() else {
            return Err(file.error(table.span().start, &prefix, "is written as [[listeners]]".to_owned()));
        };
        places.note(&prefix, &file.place(table.span().start));
        let mut listener = Listener::default();
        for (key, value) in keys {
            let offset = key.span().start;
            apply_key(&mut listener, LISTENER_SETTINGS, file, key.get_ref(), offset, value, places)
                .map_err(|error| ConfigError { key: format!("{prefix}.{}", error.key), ..error })?;
            places.note(&format!("{prefix}.{}", key.get_ref()), &file.place(offset));
        }
        config.listeners.push(listener);
    }
    Ok(())
}

fn apply_key<T>(
    target: &mut T,
    settings: &[Setting<T>],
    file: &File<'_>,
    key: &str,
    offset: usize,
    value: &Spanned<DeValue<'_>>,
    places: &mut Places,
) -> Result<(), ConfigError> {
    let setting = settings
        .iter()
        .find(|setting| setting.key == key)
        .ok_or_else(|| file.error(offset, key, unknown_key(key, settings.iter().map(|setting| setting.key))))?;
    let value = Value::from_toml(value.get_ref()).map_err(|what| file.error(offset, key, what))?;
    (setting.set)(target, &value).map_err(|what| file.error(offset, key, what))?;
    places.note(key, &file.place(offset));
    Ok(())
}

fn apply_environment(
    config: &mut Config,
    environment: impl Iterator<Item = (String, String)>,
    places: &mut Places,
) -> Result<(), ConfigError> {
    let mut variables: Vec<_> = environment.filter(|(name, _)| name.starts_with(PREFIX)).collect();
    // The order of the environment is nobody's: listeners are made in the order of their numbers.
    variables.sort();
    for (variable, text) in variables {
        let key = variable.trim_start_matches(PREFIX).to_lowercase().replace("__", ".");
        let error =
            |what: String| ConfigError { place: format!("environment variable {variable}"), key: key.clone(), what };
        let value = Value::Environment(text);
        match key.strip_prefix("listeners.").and_then(|rest| rest.split_once('.')) {
            Some((index, name)) => {
                let listener = listener_at(config, index).map_err(&error)?;
                let setting = find(LISTENER_SETTINGS, name).map_err(&error)?;
                (setting.set)(listener, &value).map_err(&error)?;
            }
            None => (find(SETTINGS, &key).map_err(&error)?.set)(config, &value).map_err(&error)?,
        }
        places.note(&key, &format!("environment variable {variable}"));
    }
    Ok(())
}

const PREFIX: &str = "MOORING_";

fn find<'a, T>(settings: &'a [Setting<T>], key: &str) -> Result<&'a Setting<T>, String> {
    settings
        .iter()
        .find(|setting| setting.key == key)
        .ok_or_else(|| unknown_key(key, settings.iter().map(|setting| setting.key)))
}

/// An existing listener, or the next one.
fn listener_at<'a>(config: &'a mut Config, index: &str) -> Result<&'a mut Listener, String> {
    let count = config.listeners.len();
    let index: usize = index.parse().map_err(|_| format!("{index:?} is no number of a listener"))?;
    if index > count {
        return Err(format!("there are {count} listeners: the next one is number {count}"));
    }
    if index == count {
        config.listeners.push(Listener::default());
    }
    config.listeners.get_mut(index).ok_or_else(|| "no such listener".to_owned())
}

fn is_section(name: &str) -> bool {
    SETTINGS.iter().any(|setting| setting.key.split_once('.').is_some_and(|(section, _)| section == name))
}

fn unknown_key<'a>(key: &str, known: impl Iterator<Item = &'a str>) -> String {
    let nearest = known.map(|candidate| (distance(key, candidate), candidate)).min();
    match nearest {
        Some((distance, candidate)) if distance <= 1 + key.len() / 4 => {
            format!("unknown key; did you mean {candidate}?")
        }
        _ => "unknown key; `mooring config example` lists them all".to_owned(),
    }
}

/// Levenshtein distance, for suggestions.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (cell, to) in row.iter_mut().skip(1).zip(&b) {
            let cost = (diagonal + usize::from(from != *to)).min(left + 1).min(*cell + 1);
            diagonal = std::mem::replace(cell, cost);
            left = cost;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or_default()
}

struct File<'a> {
    path: PathBuf,
    text: &'a str,
}

impl File<'_> {
    fn place(&self, offset: usize) -> String {
        let line = 1 + self.text.bytes().take(offset).filter(|byte| *byte == b'\n').count();
        format!("{}:{line}", self.path.display())
    }

    fn error(&self, offset: usize, key: &str, what: String) -> ConfigError {
        ConfigError { place: self.place(offset), key: key.to_owned(), what }
    }
}

#[cfg(test)]
mod tests {
    use mooring_server::Pinning;

    use super::*;

    fn from_text(text: &str, environment: &[(&str, &str)]) -> Result<Config, String> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("mooring.toml");
        std::fs::write(&path, text).unwrap();
        let environment = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        load(Some(&path), environment)
            .map_err(|error| error.to_string().replace(&path.display().to_string(), "mooring.toml"))
    }

    #[test]
    fn threads_stay_on_cores_if_told_to() {
        let check = |text: &str, environment: &[(&str, &str)], expected: Pinning| {
            assert_eq!(from_text(text, environment).unwrap().server.pin, expected, "{text} {environment:?}");
        };
        check("", &[], Pinning::Free);
        check("[server]\npin = true\n", &[], Pinning::Each);
        check("[server]\npin = [2, 3]\n", &[], Pinning::Cores(vec![2, 3]));
        check("[server]\npin = [2]\n", &[("MOORING_SERVER__PIN", "false")], Pinning::Free);
        check("", &[("MOORING_SERVER__PIN", "0,1")], Pinning::Cores(vec![0, 1]));
        check_error("[server]\npin = []\n", &[], "mooring.toml:2: server.pin: expected at least one core");
        check_error("[server]\npin = [-1]\n", &[], "mooring.toml:2: server.pin: -1 is not between 0 and 4095");
    }

    fn check_error(text: &str, environment: &[(&str, &str)], expected: &str) {
        assert_eq!(from_text(text, environment).map(|_| ()).unwrap_err(), expected);
    }

    #[test]
    fn a_mistake_in_the_file_names_file_line_and_key() {
        check_error(
            "durability = \"fsync\"\n\n[limits]\npacket_size_mox = 12\n",
            &[],
            "mooring.toml:4: limits.packet_size_mox: unknown key; did you mean limits.packet_size_max?",
        );
        check_error(
            "[limits]\nreceive_max = 0\n",
            &[],
            "mooring.toml:2: limits.receive_max: 0 is not between 1 and 65534",
        );
        check_error(
            "[http]\nbind = \"8443\"\n",
            &[],
            "mooring.toml:2: http.bind: expected an address and port such as \"127.0.0.1:8883\", got \"8443\"",
        );
        check_error(
            "durability = \"sometimes\"\n",
            &[],
            "mooring.toml:1: durability: expected one of \"fsync\", \"os\", \"memory\", got \"sometimes\"",
        );
        check_error(
            "[[listeners]]\nname = \"a\"\n[[listeners]]\nname = \"b\"\nport = 3\n",
            &[],
            "mooring.toml:5: listeners.1.port: unknown key; `mooring config example` lists them all",
        );
        check_error(
            "[frobnicate]\nx = 1\n",
            &[],
            "mooring.toml:1: frobnicate: unknown key; `mooring config example` lists them all",
        );
        check_error(
            "[database]\nurl = \"mysql://secret@x\"\n",
            &[],
            "mooring.toml:2: database.url: expected postgres://user:password@host/name or sqlite:///path",
        );
    }

    #[test]
    fn broken_toml_names_file_and_line() {
        let error = from_text("data_dir = \"x\"\n[limits\n", &[]).map(|_| ()).unwrap_err();
        assert!(error.starts_with("mooring.toml:2: "), "{error}");
    }

    #[test]
    fn anonymous_clients_beyond_loopback_need_a_second_word() {
        let listener = "[[listeners]]\nname = \"plain\"\nkind = \"tcp\"\nallow_anonymous = true\n";
        check_error(
            &format!("{listener}bind = \"0.0.0.0:1883\"\n"),
            &[],
            "mooring.toml:4: listeners.0.allow_anonymous: anonymous clients beyond loopback (0.0.0.0:1883) need anonymous_beyond_loopback = true beside it",
        );
        assert!(from_text(&format!("{listener}bind = \"127.0.0.1:1883\"\n"), &[]).is_ok());
        assert!(
            from_text(&format!("{listener}bind = \"0.0.0.0:1883\"\nanonymous_beyond_loopback = true\n"), &[]).is_ok()
        );
    }

    #[test]
    fn passwords_in_the_clear_stay_on_loopback_and_a_listener_lets_somebody_in() {
        let listener = |settings: &str| format!("[[listeners]]\nname = \"a\"\n{settings}");
        check_error(
            &listener("kind = \"tcp\"\nbind = \"0.0.0.0:1883\"\nallow_password = true\n"),
            &[],
            "mooring.toml:5: listeners.0.allow_password: without TLS, passwords would cross the network in the clear (0.0.0.0:1883): set kind = \"tls\" or \"wss\"",
        );
        check_error(
            &listener("allow_password = true\n"),
            &[],
            "mooring.toml:3: listeners.0.allow_password: a listener that requires a certificate asks for no password: set client_certificate = \"optional\" or \"none\"",
        );
        check_error(
            &listener("client_certificate = \"none\"\n"),
            &[],
            "mooring.toml:3: listeners.0.client_certificate: nobody could come in: a client needs a certificate, allow_password = true or allow_anonymous = true",
        );
        check_error(
            "[[listeners]]\nname = \"https\"\n",
            &[],
            "mooring.toml:2: listeners.0.name: \"https\" is the name of the HTTPS listener",
        );
        for fine in [
            "client_certificate = \"none\"\nallow_password = true\n",
            "client_certificate = \"optional\"\nallow_password = true\n",
            "kind = \"tcp\"\nbind = \"127.0.0.1:1883\"\nallow_password = true\n",
        ] {
            assert!(from_text(&listener(fine), &[]).is_ok(), "{fine}");
        }
    }

    #[test]
    fn a_unix_domain_socket_has_a_path_and_proxies_are_ranges_of_addresses() {
        let listener = |settings: &str| format!("[[listeners]]\nname = \"a\"\nallow_anonymous = true\n{settings}");
        check_error(
            &listener("kind = \"unix\"\n"),
            &[],
            "mooring.toml:4: listeners.0.kind: a Unix-domain socket needs a path",
        );
        check_error(
            &listener("kind = \"tcp\"\nbind = \"127.0.0.1:1883\"\npath = \"/run/mooring.sock\"\n"),
            &[],
            "mooring.toml:6: listeners.0.path: only kind = \"unix\" has a path",
        );
        check_error(
            &listener("proxy_protocol_from = [\"10.0.0.0/40\"]\n"),
            &[],
            "mooring.toml:4: listeners.0.proxy_protocol_from: expected a range of addresses such as \"10.0.0.0/8\", got \"10.0.0.0/40\"",
        );
        assert!(from_text(&listener("kind = \"unix\"\npath = \"/run/mooring.sock\"\n"), &[]).is_ok());
        let proxied =
            "kind = \"tcp\"\nbind = \"127.0.0.1:1883\"\nproxy_protocol_from = [\"127.0.0.1\", \"fd00::/8\"]\n";
        assert_eq!(from_text(&listener(proxied), &[]).unwrap().listeners[0].proxy_protocol_from.len(), 2);
    }

    #[test]
    fn the_environment_goes_over_the_file() {
        let config = from_text(
            "[limits]\nreceive_max = 10\n",
            &[
                ("MOORING_LIMITS__RECEIVE_MAX", "20"),
                ("MOORING_DATA_DIR", "/var/lib/mooring"),
                ("MOORING_LISTENERS__1__NAME", "local"),
                ("MOORING_LISTENERS__1__KIND", "tcp"),
                ("MOORING_LISTENERS__1__BIND", "127.0.0.1:1883"),
                ("MOORING_LISTENERS__1__ALLOW_ANONYMOUS", "true"),
                ("UNRELATED", "1"),
            ],
        )
        .unwrap();
        assert_eq!(config.limits.receive_max, 20);
        assert_eq!(config.data_dir, PathBuf::from("/var/lib/mooring"));
        assert_eq!(config.listeners.len(), 2);
        assert!(config.listeners[1].allow_anonymous);
    }

    #[test]
    fn a_mistake_in_the_environment_names_the_variable() {
        check_error(
            "",
            &[("MOORING_LIMITS__RECEIVE_MAX", "many")],
            "environment variable MOORING_LIMITS__RECEIVE_MAX: limits.receive_max: expected a whole number, got \"many\"",
        );
        check_error(
            "",
            &[("MOORING_DATADIR", "x")],
            "environment variable MOORING_DATADIR: datadir: unknown key; did you mean data_dir?",
        );
    }
}
