//! `mooring device`: the factory's side.

use std::process::ExitCode;

use comfy_table::Table;
use comfy_table::presets::UTF8_HORIZONTAL_ONLY;
use mooring_api::{Reason, Target};
use mooring_auth::{ClaimCode, Secret, SecretKind};
use mooring_store::{Device, DeviceQuery, PageRequest, Store};
use serde_json::json;
use time::OffsetDateTime;

use super::revocation::{self, Wish};
use super::{open_store, runtime};
use crate::args::DeviceCommand;
use crate::factory::{self, MadeDevice};
use crate::output;

pub(super) fn run(command: DeviceCommand) -> anyhow::Result<ExitCode> {
    runtime()?.block_on(async {
        match command {
            DeviceCommand::Create { model, count, batch, json, config } => {
                let (settings, store) = open_store(&config).await?;
                let lifetime = time::Duration::days(i64::from(settings.certificates.enrolment_days));
                let made = factory::make_devices(&store, &model, batch.as_deref(), count, lifetime).await?;
                if json { print_json(&made)? } else { print_made(&made) }
            }
            DeviceCommand::ClaimCode { id, config } => {
                let (_, store) = open_store(&config).await?;
                let (code, now) = (ClaimCode::generate()?, OffsetDateTime::now_utc());
                store.create_claim_code(id, &code.hash(), now).await?;
                store.append_audit("operator", "device.claim-code", &format!("device:{id}"), &json!({}), now).await?;
                output::line(code.reveal());
            }
            DeviceCommand::Password { id, remove, config } => {
                let (_, store) = open_store(&config).await?;
                let (secret, now) = (Secret::generate(SecretKind::DevicePassword)?, OffsetDateTime::now_utc());
                store.set_device_password(id, (!remove).then(|| secret.hash()).as_ref()).await?;
                let action = if remove { "device.password.remove" } else { "device.password" };
                store.append_audit("operator", action, &format!("device:{id}"), &json!({}), now).await?;
                output::line(if remove { "Removed." } else { secret.reveal() });
            }
            DeviceCommand::ConfirmRenewal { id, config } => {
                let (_, store) = open_store(&config).await?;
                let now = OffsetDateTime::now_utc();
                store.confirm_late_renewal(id, "operator", now).await?;
                let action = "certificate.confirm-late-renewal";
                store.append_audit("operator", action, &format!("device:{id}"), &json!({}), now).await?;
                output::line("Confirmed: the device gets a new certificate when it asks again.");
            }
            DeviceCommand::Retire { id, how, config } => {
                let wish = Wish { target: Target::Device(id), reason: Reason::CessationOfOperation, how: &how };
                revocation::run(&wish, &config).await?;
            }
            DeviceCommand::Tag { id, tags, config } => {
                let (_, store) = open_store(&config).await?;
                store.set_tags(id, &tags, None).await?;
                let (now, detail) = (OffsetDateTime::now_utc(), json!({"tags": tags}));
                store.append_audit("operator", "device.tag", &format!("device:{id}"), &detail, now).await?;
                output::line("Tagged.");
            }
            DeviceCommand::List { tag, find, json, config } => {
                let (_, store) = open_store(&config).await?;
                let mut query = DeviceQuery::parse(&find).map_err(anyhow::Error::msg)?;
                query.tags.extend(tag);
                list(&store, &query, json).await?;
            }
        }
        Ok(ExitCode::SUCCESS)
    })
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

async fn list(store: &Store, query: &DeviceQuery, json: bool) -> anyhow::Result<()> {
    let mut table = Table::new();
    table.load_style(UTF8_HORIZONTAL_ONLY).set_header(["device id", "model", "enrolled", "claimed", "presence"]);
    let mut page = PageRequest::first(PageRequest::LIMIT_MAX);
    loop {
        let devices = store.search_devices(query, &page).await?;
        for device in &devices.items {
            if json {
                output::line(device_json(device));
            } else {
                table.add_row(device_row(device));
            }
        }
        match devices.next {
            Some(cursor) => page = PageRequest::after(cursor, PageRequest::LIMIT_MAX),
            None => break,
        }
    }
    if !json {
        output::line(table);
    }
    Ok(())
}

fn device_row(device: &Device) -> [String; 5] {
    let yes_or_no = |yes: bool| if yes { "yes" } else { "no" }.to_owned();
    let presence = match (device.presence.online, device.presence.since) {
        (true, _) => "online",
        (false, Some(_)) => "offline",
        (false, None) => "never seen",
    };
    [
        device.id.to_string(),
        device.model.clone(),
        yes_or_no(device.enrolled_at.is_some()),
        yes_or_no(device.owner.is_some()),
        presence.to_owned(),
    ]
}

/// One line a device, so that a pipe can read it as it comes.
fn device_json(device: &Device) -> serde_json::Value {
    json!({
        "id": device.id,
        "model": device.model,
        "enrolled": device.enrolled_at.is_some(),
        "claimed": device.owner.is_some(),
        "online": device.presence.online,
    })
}
