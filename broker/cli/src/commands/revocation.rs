//! Taking back, for `mooring ca revoke` and `mooring device retire`.

use anyhow::Context as _;
use comfy_table::Table;
use comfy_table::presets::UTF8_HORIZONTAL_ONLY;
use mooring_api::{Reason, Target};
use serde_json::{Value, json};

use crate::args::{OperatorArgs, RevocationArgs};
use crate::https::HttpClient;
use crate::operator::{OperatorApi, has as flag, text};
use crate::output;

/// What is to be taken back, and how.
pub(super) struct Wish<'a> {
    pub(super) target: Target,
    pub(super) reason: Reason,
    pub(super) how: &'a RevocationArgs,
}

/// Does it and prints the receipt.
pub(super) async fn run(wish: &Wish<'_>, args: &OperatorArgs) -> anyhow::Result<()> {
    let body = match wish.target {
        Target::Certificate(_) | Target::CertificatesOfDevice(_) => {
            json!({"reason": wish.reason, "purge": wish.how.purge})
        }
        Target::Device(_) => json!({"purge": wish.how.purge}),
    };
    let receipt = match &wish.how.admin {
        Some(admin) if args.server.is_none() => {
            let answer = HttpClient::plain(admin).post(&admin_path(wish.target), &body).await;
            answer.context("--admin names the admin listener of a running server")?.expect_success()?
        }
        _ => OperatorApi::open(args).await?.post(&path(wish.target), &body).await?,
    };
    if wish.how.json {
        output::line(serde_json::to_string_pretty(&receipt)?);
    } else {
        print(&receipt);
    }
    Ok(())
}

fn path(target: Target) -> String {
    match target {
        Target::Certificate(serial) => format!("/v1/certificates/{serial}/revocation"),
        Target::CertificatesOfDevice(device) => format!("/v1/operator/devices/{device}/revocation"),
        Target::Device(device) => format!("/v1/devices/{device}/retirement"),
    }
}

fn admin_path(target: Target) -> String {
    match target {
        Target::Certificate(serial) => format!("/admin/certificates/{serial}/revocation"),
        Target::CertificatesOfDevice(device) => format!("/admin/devices/{device}/revocation"),
        Target::Device(device) => format!("/admin/devices/{device}/retirement"),
    }
}

fn print(receipt: &Value) {
    let rows = |key: &str| receipt.get(key).and_then(Value::as_array).cloned().unwrap_or_default();
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
