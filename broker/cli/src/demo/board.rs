//! What the demonstration shows: a table that stays in its place on a terminal, plain lines elsewhere.

use std::time::Duration;

use comfy_table::Table;
use comfy_table::presets::UTF8_HORIZONTAL_ONLY;

use super::owner::LastCommand;
use crate::output;

/// What a person needs to join in.
pub(super) struct Introduction {
    /// Addresses and the token.
    pub(super) lines: Vec<String>,
    /// Commands to try in another terminal.
    pub(super) commands: Vec<String>,
}

/// One device in the table.
pub(super) struct Row {
    pub(super) device: String,
    pub(super) online: bool,
    pub(super) phase: String,
    pub(super) last_telemetry_at: Option<String>,
    pub(super) stored: u64,
    pub(super) command: Option<LastCommand>,
}

pub(super) struct Board {
    is_terminal: bool,
    /// Lines of the table that is on the screen.
    lines_shown: usize,
}

impl Board {
    pub(super) fn new(introduction: Introduction, is_terminal: bool) -> Self {
        for line in introduction.lines {
            output::line(line);
        }
        output::line("Try, in another terminal:");
        for command in introduction.commands {
            output::line(format_args!("  {command}"));
        }
        output::line("Ctrl-C ends it all.");
        Self { is_terminal, lines_shown: 0 }
    }

    /// Time between two tables.
    pub(super) fn pause(&self) -> Duration {
        if self.is_terminal { Duration::from_millis(500) } else { Duration::from_secs(5) }
    }

    pub(super) fn show(&mut self, rows: &[Row]) {
        if self.is_terminal {
            let table = table(rows);
            // Back to the table's first line, and clear what is below (ECMA-48: CPL, ED).
            let back = if self.lines_shown > 0 { format!("\x1b[{}F\x1b[J", self.lines_shown) } else { String::new() };
            output::text(&format!("{back}{table}\n"));
            self.lines_shown = table.lines().count();
        } else {
            for row in rows {
                output::line(plain(row));
            }
        }
    }
}

fn table(rows: &[Row]) -> String {
    let mut table = Table::new();
    table.load_style(UTF8_HORIZONTAL_ONLY).set_header([
        "device",
        "presence",
        "phase",
        "last telemetry",
        "events stored",
        "last command, round trip",
    ]);
    for row in rows {
        let cells = cells(row);
        table.add_row(cells);
    }
    table.to_string()
}

fn plain(row: &Row) -> String {
    let [device, presence, phase, telemetry, stored, command] = cells(row);
    format!(
        "device={device} presence={presence} phase={phase} last_telemetry={telemetry} events_stored={stored} last_command={command:?}"
    )
}

fn cells(row: &Row) -> [String; 6] {
    let presence = if row.online { "online" } else { "offline" };
    [
        row.device.clone(),
        presence.to_owned(),
        row.phase.clone(),
        row.last_telemetry_at.as_deref().map_or_else(|| "-".to_owned(), time_of_day),
        row.stored.to_string(),
        row.command.as_ref().map_or_else(|| "-".to_owned(), command),
    ]
}

fn command(command: &LastCommand) -> String {
    match (command.round_trip_ms, command.done) {
        (Some(ms), true) => format!("{}: {ms:.1} ms", command.name),
        (Some(ms), false) => format!("{} (refused): {ms:.1} ms", command.name),
        (None, _) => format!("{}: no answer", command.name),
    }
}

/// Hours to seconds of an RFC 3339 time.
fn time_of_day(at: &str) -> String {
    at.split_once('T').map_or(at, |(_, time)| time.get(..8).unwrap_or(time)).to_owned()
}
