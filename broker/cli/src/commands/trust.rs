//! `mooring ca trust`: manufacturers whose devices enrol themselves.

use std::fs;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, bail, ensure};
use comfy_table::Table;
use comfy_table::presets::UTF8_HORIZONTAL_ONLY;
use mooring_certs::rotate::AuthorityFiles;
use mooring_certs::{CheckedCrl, ManufacturerCa};
use mooring_store::{ManufacturerAuthority, ManufacturerCrl, Store};
use serde_json::json;
use time::OffsetDateTime;

use super::{open_store, runtime};
use crate::args::{ConfigArgs, TrustCommand};
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
            TrustCommand::Crl { file, issuer, config } => load_crl(&file, issuer.as_deref(), &config).await?,
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

/// The largest list that is read, bytes: some 400,000 certificates.
const CRL_BYTES_MAX: usize = 16 * 1024 * 1024;

async fn load_crl(file: &Path, issuer: Option<&Path>, args: &ConfigArgs) -> anyhow::Result<()> {
    let (_, store) = open_store(args).await?;
    let context = || format!("{}", file.display());
    let bytes = fs::read(file).with_context(context)?;
    ensure!(bytes.len() <= CRL_BYTES_MAX, "{}: larger than {CRL_BYTES_MAX} bytes", file.display());
    let issuer = match issuer {
        Some(path) => {
            let text = fs::read_to_string(path).with_context(|| format!("{}", path.display()))?;
            let issuer = ManufacturerCa::from_pem(&text);
            Some(issuer.map_err(|why| anyhow::anyhow!("{}: {why}", path.display()))?.der)
        }
        None => None,
    };
    let trusted = store.manufacturers().await?.into_iter().filter(|one| one.removed_at.is_none());
    let trusted: Vec<Vec<u8>> = trusted.map(|one| one.der).collect();
    let crl = CheckedCrl::read(&bytes, issuer.as_deref(), &trusted);
    let CheckedCrl { der, issuer, issuer_name, this_update, revoked } =
        crl.map_err(|why| anyhow::anyhow!("{}: {why}", file.display()))?;
    // What the server could not read would stay unknown to it.
    mooring_auth::check_crl(&der).with_context(context)?;
    let now = OffsetDateTime::now_utc();
    let loaded = ManufacturerCrl { issuer, issuer_name: issuer_name.clone(), der, this_update };
    store.load_manufacturer_crl(&loaded, now).await.with_context(context)?;
    let detail = json!({"revoked": revoked, "made": this_update.unix_timestamp()});
    store.append_audit("operator", "manufacturer.crl", &format!("manufacturer:{issuer_name}"), &detail, now).await?;
    output::line(format_args!(
        "{revoked} certificates of {issuer_name} enrol no device; a running server knows it within seconds."
    ));
    Ok(())
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
