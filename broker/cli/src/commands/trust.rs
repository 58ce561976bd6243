//! `mooring ca trust`: manufacturers whose devices enrol themselves.

use std::fs;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, bail, ensure};
use comfy_table::Table;
use comfy_table::presets::UTF8_HORIZONTAL_ONLY;
use mooring_certs::ManufacturerCa;
use mooring_certs::rotate::AuthorityFiles;
use mooring_store::{ManufacturerAuthority, Store};
use serde_json::json;
use time::OffsetDateTime;

use super::{open_store, runtime};
use crate::args::TrustCommand;
use crate::config::Config;
use crate::instance::key_store;
use crate::output;

pub(super) fn run(command: TrustCommand) -> anyhow::Result<ExitCode> {
    runtime()?.block_on(async {
        let now = OffsetDateTime::now_utc();
        match command {
            TrustCommand::Add { file, batch, config } => {
                let (settings, store) = open_store(&config).await?;
                let authority = read(&file, &settings)?;
                let fingerprint = hex(&authority.fingerprint);
                let added = ManufacturerAuthority {
                    fingerprint: authority.fingerprint,
                    subject: authority.subject.clone(),
                    der: authority.der,
                    batch: batch.clone(),
                    created_at: now,
                    removed_at: None,
                };
                store.trust_manufacturer(&added, now).await?;
                let detail = json!({"batch": batch, "subject": authority.subject});
                store
                    .append_audit(
                        "operator",
                        "manufacturer.trust",
                        &format!("manufacturer:{fingerprint}"),
                        &detail,
                        now,
                    )
                    .await?;
                output::line(format_args!(
                    "Devices with a certificate of {} enrol themselves into batch {batch}.",
                    authority.subject
                ));
                output::line(format_args!("SHA-256 {fingerprint}; a running server knows it within seconds."));
            }
            TrustCommand::List(config) => {
                let (_, store) = open_store(&config).await?;
                list(&store).await?;
            }
            TrustCommand::Remove { fingerprint, config } => {
                let (_, store) = open_store(&config).await?;
                let found = find(&store, &fingerprint).await?;
                store.distrust_manufacturer(&found.fingerprint, now).await?;
                let subject = format!("manufacturer:{}", hex(&found.fingerprint));
                store.append_audit("operator", "manufacturer.distrust", &subject, &json!({}), now).await?;
                output::line(format_args!("{} is no longer trusted.", found.subject));
            }
        }
        Ok(ExitCode::SUCCESS)
    })
}

/// Our own authority is no manufacturer: whatever it signed would be let in to make devices.
fn read(file: &Path, config: &Config) -> anyhow::Result<ManufacturerCa> {
    let context = || format!("{}", file.display());
    let text = fs::read_to_string(file).with_context(context)?;
    let authority = ManufacturerCa::from_pem(&text).map_err(|why| anyhow::anyhow!("{}: {why}", file.display()))?;
    let directory = config.data_dir.join("ca");
    if directory.join("ca.toml").exists() {
        let own = AuthorityFiles::new(&directory, key_store(&directory, config)?).certificates()?;
        ensure!(
            own.iter().all(|der| **der != *authority.der),
            "{}: this is a certificate of our own authority",
            file.display()
        );
    }
    Ok(authority)
}

async fn find(store: &Store, digits: &str) -> anyhow::Result<ManufacturerAuthority> {
    let digits = digits.to_ascii_lowercase().replace(':', "");
    ensure!(digits.len() >= 8, "name it by 8 digits of its fingerprint or more");
    let mut found = store.manufacturers().await?;
    found.retain(|one| one.removed_at.is_none() && hex(&one.fingerprint).starts_with(&digits));
    match found.len() {
        1 => found.pop().context("one was found"),
        0 => bail!("no trusted authority has a fingerprint that begins with {digits}"),
        several => bail!("{several} fingerprints begin with {digits}: name more digits"),
    }
}

async fn list(store: &Store) -> anyhow::Result<()> {
    let mut table = Table::new();
    table.load_style(UTF8_HORIZONTAL_ONLY).set_header(["authority", "batch", "since", "removed", "SHA-256"]);
    for one in store.manufacturers().await? {
        let removed = one.removed_at.map_or_else(|| "no".to_owned(), |at| at.date().to_string());
        table.add_row([one.subject, one.batch, one.created_at.date().to_string(), removed, hex(&one.fingerprint)]);
    }
    output::line(table);
    Ok(())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
