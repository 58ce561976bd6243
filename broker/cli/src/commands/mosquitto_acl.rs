//! mosquitto's file of rules, as ours.
//!
//! mosquitto asks the lines of a user, those that deny first, then the patterns in the same way; lines before any user are for anonymous clients.
//! In that order stand the rules that are made of them.

use toml::Value;

/// What becomes of a file.
#[derive(Debug, Default)]
pub(super) struct Converted {
    /// The text of `acl.toml`.
    pub(super) toml: String,
    /// How many rules it has.
    pub(super) rules: usize,
    /// What can't be taken over, or means something else: line and words.
    pub(super) notes: Vec<(usize, String)>,
}

/// Whom lines are for.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Who {
    Anonymous,
    User(String),
    /// Users of the file, and anonymous clients.
    All,
}

struct Entry {
    line: usize,
    who: Who,
    access: Access,
    topic: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Access {
    Read,
    Write,
    ReadWrite,
    Deny,
}

/// Converts the text of an `acl_file`.
pub(super) fn convert(text: &str) -> Converted {
    let mut converted = Converted::default();
    let mut who = Who::Anonymous;
    let mut entries = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let at = index + 1;
        match read_line(line.trim(), &who) {
            Ok(None) => {}
            Ok(Some(Line::User(name))) => who = Who::User(name),
            Ok(Some(Line::Entry(who, access, topic))) => {
                note_difference(at, access, &topic, &mut converted.notes);
                entries.push(Entry { line: at, who, access, topic });
            }
            Err(why) => converted.notes.push((at, why)),
        }
    }
    // The sort is stable: within a kind, lines stay in their order.
    entries.sort_by_key(|entry| (entry.who == Who::All, entry.access != Access::Deny));
    for entry in &entries {
        converted.add(entry);
    }
    converted.notes.sort();
    converted
}

enum Line {
    User(String),
    Entry(Who, Access, String),
}

fn read_line(line: &str, who: &Who) -> Result<Option<Line>, String> {
    if line.is_empty() || line.starts_with('#') {
        return Ok(None);
    }
    let (keyword, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    let rest = rest.trim();
    match keyword {
        "user" if rest.is_empty() => Err("user without a name".to_owned()),
        "user" => Ok(Some(Line::User(rest.to_owned()))),
        "topic" => {
            let (access, topic) = access_and_topic(rest)?;
            if topic.contains(['{', '}']) {
                return Err(format!("{topic:?}: braces stand for places here, and can't be part of a level"));
            }
            Ok(Some(Line::Entry(who.clone(), access, topic.to_owned())))
        }
        "pattern" => {
            let (access, topic) = access_and_topic(rest)?;
            Ok(Some(Line::Entry(Who::All, access, with_places(topic)?)))
        }
        _ => Err(format!("{keyword:?} is no keyword of mosquitto's rules")),
    }
}

/// The access is left out where it is readwrite; the topic may have spaces.
fn access_and_topic(rest: &str) -> Result<(Access, &str), String> {
    let (word, topic) = rest.split_once(char::is_whitespace).unwrap_or(("", rest));
    let (access, topic) = match word {
        "read" => (Access::Read, topic),
        "write" => (Access::Write, topic),
        "readwrite" => (Access::ReadWrite, topic),
        "deny" => (Access::Deny, topic),
        _ => (Access::ReadWrite, rest),
    };
    let topic = topic.trim();
    if topic.is_empty() { Err("a line without a topic".to_owned()) } else { Ok((access, topic)) }
}

/// `%u` and `%c` as whole levels become places; as parts of one they can't be expressed.
fn with_places(topic: &str) -> Result<String, String> {
    let levels = topic.split('/').map(|level| match level {
        "%u" => Ok("{user}"),
        "%c" => Ok("{client}"),
        _ if level.contains("%u") || level.contains("%c") => {
            Err(format!("{level:?}: %u and %c stand alone in a level here"))
        }
        _ if level.contains(['{', '}']) => Err(format!("{level:?}: braces stand for places here")),
        _ => Ok(level),
    });
    Ok(levels.collect::<Result<Vec<_>, _>>()?.join("/"))
}

/// What is taken over and still is not the same.
fn note_difference(at: usize, access: Access, topic: &str, notes: &mut Vec<(usize, String)>) {
    if access == Access::Deny {
        let why = "a SUBSCRIBE that overlaps this is refused as a whole; mosquitto grants it and leaves messages out";
        notes.push((at, why.to_owned()));
    }
    if topic.split('/').any(|level| level == "{client}") {
        let why = "a client id is what its client chose: whoever may connect may take this one";
        notes.push((at, why.to_owned()));
    }
}

impl Converted {
    fn add(&mut self, entry: &Entry) {
        let subjects = match &entry.who {
            Who::Anonymous => vec!["anonymous".to_owned()],
            Who::User(name) => vec![format!("user:{name}")],
            // {user} is nobody else's.
            Who::All if entry.topic.split('/').any(|level| level == "{user}") => vec!["user".to_owned()],
            Who::All => vec!["user".to_owned(), "anonymous".to_owned()],
        };
        for who in subjects {
            let rule = rule(entry, &who);
            match mooring_auth::RuleSet::parse(&rule) {
                Ok(_) => {
                    self.toml.push_str(&rule);
                    self.rules += 1;
                }
                Err(error) => self.notes.push((entry.line, error.what)),
            }
        }
    }
}

fn rule(entry: &Entry, who: &str) -> String {
    let quoted = |text: &str| Value::String(text.to_owned()).to_string();
    let (effect, action) = match entry.access {
        Access::Read => ("allow", "subscribe"),
        Access::Write => ("allow", "publish"),
        Access::ReadWrite => ("allow", "all"),
        Access::Deny => ("deny", "all"),
    };
    format!(
        "[[rule]]\nname = \"mosquitto line {}\"\neffect = \"{effect}\"\naction = \"{action}\"\nwho = {}\ntopic = {}\n\n",
        entry.line,
        quoted(who),
        quoted(&entry.topic)
    )
}

#[cfg(test)]
mod tests {
    use super::convert;

    /// What is made of a line, without names and empty lines.
    fn check(text: &str, expected: &[&str]) {
        let converted = convert(text);
        let lines: Vec<&str> = converted.toml.lines().collect();
        let rules: Vec<String> = lines
            .split(|line| line.is_empty())
            .filter(|rule| !rule.is_empty())
            .map(|rule| rule.iter().skip(2).filter_map(|line| line.split('"').nth(1)).collect::<Vec<_>>().join(" "))
            .collect();
        assert_eq!(rules, expected, "{text}");
    }

    #[test]
    fn lines_become_rules() {
        check("topic read a/b", &["allow subscribe anonymous a/b"]);
        check("user ana\ntopic write a/+/b c\n", &["allow publish user:ana a/+/b c"]);
        check("user ana maria\ntopic a/#", &["allow all user:ana maria a/#"]);
        check("pattern readwrite home/%u/#", &["allow all user home/{user}/#"]);
        check("pattern read news", &["allow subscribe user news", "allow subscribe anonymous news"]);
        check("# only\n\n  # comments\n", &[]);
        check("topic readings", &["allow all anonymous readings"]);
    }

    #[test]
    fn denials_go_before_what_allows_and_users_before_patterns() {
        check(
            "pattern read news/#\npattern deny news/%u\nuser ana\ntopic read a/#\ntopic deny a/secret",
            &[
                "deny all user:ana a/secret",
                "allow subscribe user:ana a/#",
                "deny all user news/{user}",
                "allow subscribe user news/#",
                "allow subscribe anonymous news/#",
            ],
        );
    }

    #[test]
    fn what_cant_be_expressed_is_said_with_its_line() {
        for (text, line, says) in [
            ("\npattern read x-%u/a", 2, "stand alone"),
            ("topic read a/#/b", 1, "last level"),
            ("topic read {user}", 1, "braces"),
            ("topic", 1, "without a topic"),
            ("user", 1, "without a name"),
            ("allow all", 1, "no keyword"),
            ("topic deny a", 1, "as a whole"),
            ("pattern read %c/a", 1, "client id"),
        ] {
            let notes = convert(text).notes;
            assert!(notes.iter().any(|(at, why)| *at == line && why.contains(says)), "{text}: {notes:?}");
        }
    }
}
