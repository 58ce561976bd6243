//! Where the command speaks to a person: the one place that prints.
#![expect(clippy::print_stderr, reason = "this is the command's output")]

use std::io::{IsTerminal as _, Write as _};

/// A line of the answer.
pub(crate) fn line(text: impl std::fmt::Display) {
    // A reader that went away, as `head` does, is no reason to fail.
    let _ = writeln!(std::io::stdout(), "{text}");
}

/// Text of the answer as it is, without a line end added.
pub(crate) fn text(text: &str) {
    let mut stdout = std::io::stdout();
    let _ = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
}

/// What went wrong, with its causes.
pub(crate) fn error(error: &anyhow::Error) {
    eprintln!("mooring: {error:#}");
}

/// A question to a person; the answer of the command stays apart from it.
pub(crate) fn prompt(text: &str) {
    eprint!("{text}");
}

/// Whether a person is typing.
pub(crate) fn is_terminal_input() -> bool {
    std::io::stdin().is_terminal()
}

/// Whether a person is looking.
pub(crate) fn is_terminal() -> bool {
    std::io::stdout().is_terminal()
}
