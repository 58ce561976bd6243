//! Taking back, for `mooring ca revoke` and `mooring device retire`: through the running server, or in the database when none runs.

use anyhow::Context as _;
use comfy_table::Table;
use comfy_table::presets::UTF8_HORIZONTAL_ONLY;
use mooring_api::{Order, Reason, Revoker, Target};
use serde_json::{Value, json};

use super::{load_config, open_store};
use crate::args::{ConfigArgs, RevocationArgs};
use crate::data_dir::DataDir;
use crate::https::HttpClient;
use crate::output;

/// What is to be taken back, and how.
pub(super) struct Wish<'a> {
    pub(super) target: Target,
    pub(super) reason: Reason,
    pub(super) how: &'a RevocationArgs,
}

/// Does it and prints the receipt.
pub(super) async fn run(wish: &Wish<'_>, args: &ConfigArgs) -> anyhow::Result<()> {
    let receipt = match Server::find(wish.how.admin.as_deref(), args)? {
        Server::Running { admin } => ask(wish, &admin).await?,
        // The lock stays until it is done: a server that started meanwhile would not hear of it.
        Server::Stopped { _lock } => record(wish, args).await?,
    };
    if wish.how.json {
        output::line(serde_json::to_string_pretty(&receipt)?);
    } else {
        print(&receipt);
    }
    Ok(())
}

/// What a person can do when the server does not answer.
const NO_ADMIN_THERE: &str = "the server runs, but not its admin listener there: name it with --admin";

/// Whether a server runs on the data, and where it can be asked.
pub(super) enum Server {
    Running { admin: String },
    Stopped { _lock: DataDir },
}

impl Server {
    pub(super) fn find(admin: Option<&str>, args: &ConfigArgs) -> anyhow::Result<Self> {
        if let Some(admin) = admin {
            return Ok(Self::Running { admin: admin.to_owned() });
        }
        let config = load_config(args)?;
        // Without the data directory nobody knows whether a server runs, and one that does would not hear of it.
        let lock = DataDir::open_if_free(&config.data_dir);
        Ok(match lock.context("name the data directory with --data-dir, or the running server with --admin")? {
            Some(lock) => Self::Stopped { _lock: lock },
            None => Self::Running { admin: config.admin.bind.to_string() },
        })
    }
}

async fn ask(wish: &Wish<'_>, admin: &str) -> anyhow::Result<Value> {
    let (path, body) = match wish.target {
        Target::Certificate(serial) => (
            format!("/admin/certificates/{serial}/revocation"),
            json!({"reason": wish.reason, "purge": wish.how.purge}),
        ),
        Target::CertificatesOfDevice(device) => {
            (format!("/admin/devices/{device}/revocation"), json!({"reason": wish.reason, "purge": wish.how.purge}))
        }
        Target::Device(device) => (format!("/admin/devices/{device}/retirement"), json!({"purge": wish.how.purge})),
    };
    let answer = HttpClient::plain(admin).post(&path, &body).await;
    answer.context(NO_ADMIN_THERE)?.expect_success()
}

async fn record(wish: &Wish<'_>, args: &ConfigArgs) -> anyhow::Result<Value> {
    let (_, store) = open_store(args).await?;
    let order = Order { target: wish.target, reason: wish.reason, purge: wish.how.purge, actor: "operator".to_owned() };
    let receipt = Revoker::new(store.clone(), None).execute(&order).await;
    store.close().await;
    Ok(serde_json::to_value(receipt?)?)
}

fn print(receipt: &Value) {
    let text = |value: &Value, key: &str| match value.get(key) {
        Some(Value::String(text)) => text.clone(),
        None | Some(Value::Null) => "-".to_owned(),
        Some(other) => other.to_string(),
    };
    let rows = |key: &str| receipt.get(key).and_then(Value::as_array).cloned().unwrap_or_default();
    let flag = |value: &Value, key: &str| value.get(key).and_then(Value::as_bool).unwrap_or_default();
    output::line(format_args!("{} {} at {}", text(receipt, "action"), text(receipt, "subject"), text(receipt, "at")));
    let mut certificates = Table::new();
    certificates.load_style(UTF8_HORIZONTAL_ONLY).set_header(["serial", "holder", "reason", "revoked at"]);
    for row in rows("certificates") {
        let before = if flag(&row, "already") { " (before)" } else { "" };
        let at = text(&row, "revoked_at") + before;
        certificates.add_row([text(&row, "serial"), text(&row, "holder"), text(&row, "reason"), at]);
    }
    output::line(certificates);
    if !flag(receipt, "live") {
        output::line("No server runs: the next start refuses these certificates.");
        return;
    }
    let within = receipt.get("closed_within_ms").and_then(Value::as_f64).unwrap_or_default();
    output::line(format_args!("{} connections closed, within {within:.1} ms.", text(receipt, "connections_closed")));
    for session in rows("sessions") {
        output::line(format_args!(
            "Session {}: {} subscriptions, {} queued messages, {}.",
            text(&session, "client_id"),
            text(&session, "subscriptions"),
            text(&session, "queued_messages"),
            if flag(&session, "purged") { "purged" } else { "kept" }
        ));
    }
    for topic in rows("retained_purged") {
        output::line(format_args!("Retained message removed: {}", topic.as_str().unwrap_or_default()));
    }
}
