//! `mooring ctl`: a look into a running server, over its admin listener.

use std::process::ExitCode;

use comfy_table::Table;
use comfy_table::presets::UTF8_HORIZONTAL_ONLY;
use serde_json::Value;
use time::OffsetDateTime;
use time::macros::format_description;

use super::runtime;
use crate::args::{ClientCommand, CtlArgs, CtlCommand};
use crate::https::HttpClient;
use crate::operator::{encoded, text};
use crate::output;

/// The variable that names the admin listener for this command: no setting of the server.
pub(super) const ADMIN_VARIABLE: &str = "MOORING_ADMIN";

pub(super) fn run(args: CtlArgs) -> anyhow::Result<ExitCode> {
    let client = HttpClient::plain(&args.admin);
    runtime()?.block_on(async {
        match args.command {
            CtlCommand::Status => status(&client).await,
            CtlCommand::Sessions => sessions(&client).await,
            CtlCommand::Client { command: ClientCommand::Why { id } } => why(&client, &id).await,
            CtlCommand::Client { command: ClientCommand::Disconnect { id, purge } } => {
                disconnect(&client, &id, purge).await
            }
        }
    })
}

async fn status(client: &HttpClient) -> anyhow::Result<ExitCode> {
    let status = client.get("/readyz").await?.expect_success()?;
    for key in ["broker", "database", "connections"] {
        output::line(format_args!("{key:12} {}", text(&status, key)));
    }
    Ok(ExitCode::SUCCESS)
}

async fn sessions(client: &HttpClient) -> anyhow::Result<ExitCode> {
    let sessions = client.get("/admin/sessions").await?.expect_success()?;
    let mut table = Table::new();
    table.load_style(UTF8_HORIZONTAL_ONLY).set_header([
        "client id",
        "identity",
        "connected from",
        "subscriptions",
        "queued",
    ]);
    for session in sessions.as_array().into_iter().flatten() {
        let row = ["client_id", "identity", "connected_from", "subscriptions", "queued_messages"];
        table.add_row(row.map(|key| text(session, key)));
    }
    output::line(table);
    Ok(ExitCode::SUCCESS)
}

/// One screen, newest last: certificate and connect, subscriptions, refusals, drops, and how it ended.
async fn why(client: &HttpClient, id: &str) -> anyhow::Result<ExitCode> {
    let path = format!("/admin/clients/{}/timeline", encoded(id));
    let timeline = client.get(&path).await?.expect_success()?;
    let entries = timeline.as_array().map(Vec::as_slice).unwrap_or_default();
    if entries.is_empty() {
        output::line(format_args!(
            "Nothing is known of {id}: no client with this id, device id or identity has connected since the start."
        ));
        return Ok(ExitCode::FAILURE);
    }
    for entry in entries {
        let at = at(entry.get("at_unix_ms").and_then(Value::as_u64).unwrap_or_default());
        output::line(format_args!("{at}  {:18} {}", text(entry, "kind"), text(entry, "text")));
    }
    Ok(ExitCode::SUCCESS)
}

async fn disconnect(client: &HttpClient, id: &str, purge: bool) -> anyhow::Result<ExitCode> {
    let path = format!("/admin/clients/{}/connections?purge={purge}", encoded(id));
    let answer = client.delete(&path).await?.expect_success()?;
    output::line(format_args!("{} connections ended.", text(&answer, "ended")));
    Ok(ExitCode::SUCCESS)
}

fn at(unix_ms: u64) -> String {
    let format = format_description!("[year]-[month]-[day] [hour]:[minute]:[second].[subsecond digits:3]");
    let at = OffsetDateTime::from_unix_timestamp_nanos(i128::from(unix_ms) * 1_000_000);
    at.ok().and_then(|at| at.format(&format).ok()).unwrap_or_else(|| unix_ms.to_string())
}
