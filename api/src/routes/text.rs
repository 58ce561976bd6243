//! Texts that people write: names, reasons.

use crate::Problem;

/// The longest name, characters.
const NAME_CHARS_MAX: usize = 100;
/// The longest reason, characters.
const REASON_CHARS_MAX: usize = 500;

/// A name: one line, not empty.
pub(super) fn name(text: &str) -> Result<String, Problem> {
    let name = line("name", text, NAME_CHARS_MAX)?;
    if name.is_empty() { Err(Problem::invalid_request("A name has at least one character.")) } else { Ok(name) }
}

/// A reason: one line.
pub(super) fn reason(text: &str) -> Result<String, Problem> {
    line("reason", text, REASON_CHARS_MAX)
}

/// One line without control characters: it goes into lists, mails and logs. Spaces around it are none of it.
fn line(what: &str, text: &str, chars_max: usize) -> Result<String, Problem> {
    let text = text.trim();
    // Besides control characters, those that turn the direction of what follows: a name must not read as another.
    let hidden = |c: char| {
        c.is_control() || matches!(c, '\u{200e}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    if text.chars().count() > chars_max {
        return Err(Problem::invalid_request(format!("A {what} has at most {chars_max} characters.")));
    }
    if text.chars().any(hidden) {
        return Err(Problem::invalid_request(format!("A {what} is one line, without control characters.")));
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attack_a_name_holds_nothing_that_could_end_a_line_or_turn_it_around() {
        let check = |text: &str, good: bool| assert_eq!(name(text).is_ok(), good, "{text:?}");
        check("Washer in the cellar", true);
        check("  \u{4e2d}\u{6587}  ", true);
        check("", false);
        check("  ", false);
        check("a\r\nBcc: b", false);
        check("a\0", false);
        check("a\u{202e}b", false);
        check(&"x".repeat(101), false);
        assert_eq!(name(" a ").unwrap(), "a");
    }
}
