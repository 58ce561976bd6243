//! `mooring device`: the factory's side.

use std::process::ExitCode;

use anyhow::ensure;
use comfy_table::Table;
use comfy_table::presets::UTF8_HORIZONTAL_ONLY;
use mooring_api::{MadeDevice, Reason, Target};
use serde_json::{Value, json};
use uuid::Uuid;

use super::revocation::{self, Wish};
use super::runtime;
use crate::args::DeviceCommand;
use crate::operator::{OperatorApi, encoded, has, text};
use crate::output;

pub(super) fn run(command: DeviceCommand) -> anyhow::Result<ExitCode> {
    runtime()?.block_on(async {
        match command {
            DeviceCommand::Create { model, count, batch, json, config } => {
                let api = OperatorApi::open(&config).await?;
                let wish = json!({"model": model, "count": count, "batch": batch});
                let mut made = api.post("/v1/operator/devices", &wish).await?;
                let made: Vec<MadeDevice> =
                    serde_json::from_value(made.get_mut("items").map(Value::take).unwrap_or_default())?;
                if json { print_json(&made)? } else { print_made(&made) }
            }
            DeviceCommand::ClaimCode { id, config } => {
                let api = OperatorApi::open(&config).await?;
                let made = api.post(&path(id, "claim-codes"), &json!({})).await?;
                output::line(text(&made, "claim_code"));
            }
            DeviceCommand::Password { id, remove: false, config } => {
                let api = OperatorApi::open(&config).await?;
                let made = api.post(&path(id, "password"), &json!({})).await?;
                output::line(text(&made, "password"));
            }
            DeviceCommand::Password { id, remove: true, config } => {
                OperatorApi::open(&config).await?.delete(&path(id, "password")).await?;
                output::line("Removed.");
            }
            DeviceCommand::ConfirmRenewal { id, config } => {
                OperatorApi::open(&config).await?.post(&path(id, "late-renewal"), &json!({})).await?;
                output::line("Confirmed: the device gets a new certificate when it asks again.");
            }
            DeviceCommand::Retire { id, how, config } => {
                let wish = Wish { target: Target::Device(id), reason: Reason::CessationOfOperation, how: &how };
                revocation::run(&wish, &config).await?;
            }
            DeviceCommand::Tag { id, tags, config } => {
                OperatorApi::open(&config).await?.put(&path(id, "tags"), &json!({"tags": tags})).await?;
                output::line("Tagged.");
            }
            DeviceCommand::List { tag, find, json, config } => {
                let blank = tag.iter().find(|tag| tag.is_empty() || tag.contains(char::is_whitespace));
                ensure!(blank.is_none(), "--tag: a tag has letters, digits, `-`, `_`, `.` and `/`");
                let terms: Vec<String> = tag.iter().map(|tag| format!("tag:{tag}")).chain([find]).collect();
                list(&OperatorApi::open(&config).await?, &terms.join(" "), json).await?;
            }
        }
        Ok(ExitCode::SUCCESS)
    })
}

fn path(id: Uuid, what: &str) -> String {
    format!("/v1/operator/devices/{id}/{what}")
}

fn print_json(made: &[MadeDevice]) -> anyhow::Result<()> {
    output::line(serde_json::to_string_pretty(made)?);
    Ok(())
}

fn print_made(made: &[MadeDevice]) {
    let mut table = Table::new();
    table.load_style(UTF8_HORIZONTAL_ONLY).set_header(["device id", "enrolment secret (works once)", "claim code"]);
    for device in made {
        table.add_row([device.id.to_string(), device.enrolment_secret.clone(), device.claim_code.clone()]);
    }
    output::line(table);
    output::line("The secrets are shown this once: only their hashes are kept.");
}

async fn list(api: &OperatorApi, query: &str, json: bool) -> anyhow::Result<()> {
    let mut table = Table::new();
    table.load_style(UTF8_HORIZONTAL_ONLY).set_header(["device id", "model", "enrolled", "claimed", "presence"]);
    let path = format!("/v1/operator/devices?query={}", encoded(query));
    api.each(&path, |device| {
        if json {
            output::line(device_json(device));
        } else {
            table.add_row(device_row(device));
        }
    })
    .await?;
    if !json {
        output::line(table);
    }
    Ok(())
}

fn device_row(device: &Value) -> [String; 5] {
    let yes_or_no = |yes: bool| if yes { "yes" } else { "no" }.to_owned();
    let presence = match (is_online(device), device.pointer("/presence/since")) {
        (true, _) => "online",
        (false, Some(_)) => "offline",
        (false, None) => "never seen",
    };
    [
        text(device, "id"),
        text(device, "model"),
        yes_or_no(has(device, "enrolled_at")),
        yes_or_no(has(device, "owner")),
        presence.to_owned(),
    ]
}

/// One line a device, so that a pipe can read it as it comes.
fn device_json(device: &Value) -> Value {
    json!({
        "id": device.get("id"),
        "model": device.get("model"),
        "enrolled": has(device, "enrolled_at"),
        "claimed": has(device, "owner"),
        "online": is_online(device),
    })
}

fn is_online(device: &Value) -> bool {
    device.pointer("/presence/online").and_then(Value::as_bool).unwrap_or_default()
}
