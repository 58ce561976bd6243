//! The file of users: a line `name:hash` for each.

use std::collections::HashMap;

use super::hash::PasswordHash;

/// The most users of a file.
pub const USERS_MAX: usize = 100_000;
/// The longest name, in bytes.
const NAME_BYTES_MAX: usize = 256;

/// What a file of users says that can't be followed, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {what}")]
pub struct PasswordFileError {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong, in words; never the hash.
    pub what: String,
}

/// The users of a file.
#[derive(Debug, Clone, Default)]
pub struct PasswordFile {
    hashes: Vec<PasswordHash>,
    /// Where the hash of each is.
    users: HashMap<Box<str>, usize>,
}

impl PasswordFile {
    /// Reads the text of a file: all of it, or nothing. Empty lines and those that start with `#` say nothing.
    ///
    /// # Errors
    /// The first line that is not `name:hash`, whose hash is of no use, or whose name was there before.
    pub fn parse(text: &str) -> Result<Self, PasswordFileError> {
        let mut file = Self::default();
        for (index, line) in text.lines().enumerate() {
            let line = line.trim_end();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            file.add(line).map_err(|what| PasswordFileError { line: index + 1, what })?;
        }
        Ok(file)
    }

    fn add(&mut self, line: &str) -> Result<(), String> {
        let (name, hash) = line.split_once(':').ok_or("not as name:hash")?;
        check_name(name)?;
        let hash = PasswordHash::parse(hash)?;
        if self.hashes.len() == USERS_MAX {
            return Err(format!("more than {USERS_MAX} users"));
        }
        if self.users.insert(name.into(), self.hashes.len()).is_some() {
            return Err(format!("a second line for {name:?}"));
        }
        self.hashes.push(hash);
        Ok(())
    }

    /// How many users there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.hashes.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.hashes.is_empty()
    }

    pub(super) fn hash_of(&self, name: &str) -> Option<&PasswordHash> {
        self.users.get(name).and_then(|at| self.hashes.get(*at))
    }

    /// Some hash of the file, the same for the same number.
    pub(super) fn any_hash(&self, number: u64) -> Option<&PasswordHash> {
        let count = u64::try_from(self.hashes.len()).unwrap_or(u64::MAX);
        let at = number.checked_rem(count)?;
        usize::try_from(at).ok().and_then(|at| self.hashes.get(at))
    }

    /// Who can't come in with a password any more that they came in with before.
    pub(super) fn gone_in<'a>(&'a self, newer: &'a Self) -> impl Iterator<Item = &'a str> {
        self.users.keys().map(AsRef::as_ref).filter(|name| self.hash_of(name) != newer.hash_of(name))
    }
}

/// Whether a name can stand in a file of users; the error says why not. One with `/`, `+` or `#` can: no rule's place takes it.
pub(super) fn check_name(name: &str) -> Result<(), String> {
    if name.is_empty() || name.len() > NAME_BYTES_MAX {
        return Err(format!("a name has 1 to {NAME_BYTES_MAX} bytes"));
    }
    if name.contains(|c: char| c.is_control() || c == ':') || name.starts_with('#') || name.trim() != name {
        return Err(
            "a name has no colon and no control characters, no # at its start and no space around it".to_owned()
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::PasswordFile;

    const HASH: &str =
        "$6$M3WgCqRpYPv81B7a$SPbs3c0w48e5o7PvL15QA42GQyuGc1kDJ+xv3/NqNUPlCRHUcSdbFxeEi8J/WofKREO/ONMswd4PZRHs1nLc0w==";

    #[test]
    fn lines_are_name_and_hash_and_the_rest_says_nothing() {
        let file = PasswordFile::parse(&format!("# users\n\nana:{HASH}\r\nbert/+/#:{HASH}\n")).unwrap();
        assert_eq!(file.len(), 2);
        assert!(file.hash_of("ana").is_some() && file.hash_of("bert/+/#").is_some() && file.hash_of("").is_none());
    }

    #[test]
    fn a_line_that_cant_be_followed_is_named() {
        for (line, says) in [
            ("ana".to_owned(), "line 2: not as name:hash"),
            ("ana:secret".to_owned(), "line 2: no hash: make one with `mooring password hash`"),
            (format!(":{HASH}"), "line 2: a name has 1 to 256 bytes"),
            (format!("a\u{7}b:{HASH}"), "line 2: a name has no colon and no control characters"),
            (format!(" ana:{HASH}"), "line 2: a name has no colon"),
            (format!("bert:{HASH}"), "line 2: a second line for \"bert\""),
        ] {
            let error = PasswordFile::parse(&format!("bert:{HASH}\n{line}\n")).unwrap_err().to_string();
            assert!(error.starts_with(says), "{error}");
        }
    }

    #[test]
    fn who_is_gone_or_has_another_password_is_named_and_who_is_new_is_not() {
        let older = PasswordFile::parse(&format!("gone:{HASH}\nchanged:{HASH}\nsame:{HASH}")).unwrap();
        let other = HASH.replace("$SPbs", "$SPbt");
        let newer = PasswordFile::parse(&format!("changed:{other}\nsame:{HASH}\nnew:{HASH}")).unwrap();
        let mut gone: Vec<_> = older.gone_in(&newer).collect();
        gone.sort_unstable();
        assert_eq!(gone, ["changed", "gone"]);
    }
}
