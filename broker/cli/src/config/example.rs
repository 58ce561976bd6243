//! The example configuration: every setting with its default and what it does.

use super::settings::{LISTENER_SETTINGS, SETTINGS, Setting};

/// Writes the example, every line of it commented out: as it stands it changes nothing.
pub(crate) fn example() -> String {
    let mut text = String::from(
        "# Every setting of Mooring with its default. Written by `mooring config example`.\n\
         # A setting can also come from the environment: limits.receive_max as MOORING_LIMITS__RECEIVE_MAX.\n",
    );
    let mut section = "";
    for setting in SETTINGS {
        let (of, name) = setting.key.split_once('.').unwrap_or(("", setting.key));
        if of != section {
            section = of;
            text.push_str(&format!("\n[{section}]\n"));
        }
        describe(&mut text, name, setting);
    }
    text.push_str("\n# Sockets that speak MQTT; those in a file replace this default one.\n# [[listeners]]\n");
    for setting in LISTENER_SETTINGS {
        describe(&mut text, setting.key, setting);
    }
    text
}

fn describe<T>(text: &mut String, name: &str, setting: &Setting<T>) {
    text.push_str(&format!("# {}\n# {name} = {}\n", setting.help, setting.default));
}

#[cfg(test)]
mod tests {
    use super::super::load;
    use super::example;

    #[test]
    fn the_committed_example_is_the_generated_one() {
        let committed = include_str!("../../../../docs/mooring.example.toml");
        assert!(committed == example(), "run `make docs` and commit docs/mooring.example.toml");
    }

    #[test]
    fn each_default_of_the_example_is_accepted_and_changes_nothing() {
        let uncommented: String = example()
            .lines()
            .map(|line| line.strip_prefix("# ").filter(|rest| is_setting(rest)).unwrap_or(line))
            .filter(|line| !line.ends_with("= "))
            .map(|line| format!("{line}\n"))
            .collect();
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("mooring.toml");
        std::fs::write(&path, uncommented).unwrap();
        let from_example = load(Some(&path), std::iter::empty()).unwrap();
        let from_nothing = load(None, std::iter::empty()).unwrap();
        assert_eq!(format!("{from_example:?}"), format!("{from_nothing:?}"));
    }

    fn is_setting(line: &str) -> bool {
        line == "[[listeners]]"
            || line.split_once(" = ").is_some_and(|(key, _)| key.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'))
    }
}
