//! `mooring factory`: stations that make devices without a network, and taking over their logs.

use std::fs;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, ensure};
use comfy_table::Table;
use comfy_table::presets::UTF8_HORIZONTAL_ONLY;
use mooring_store::{ImportReport, Store};
use serde_json::json;
use time::OffsetDateTime;

use super::batch::{finding_json, print_findings};
use super::{open_store, open_store_to_read, runtime};
use crate::args::{ConfigArgs, FactoryCommand};
use crate::output;
use crate::station::{DEVICES_FILE, Log, PUBLIC_KEY_FILE, PublicKey, Station};

pub(super) fn run(command: FactoryCommand) -> anyhow::Result<ExitCode> {
    match command {
        FactoryCommand::Init { name, station } => {
            let public = Station::create(&station.directory, &name)?;
            let file = station.directory.join(PUBLIC_KEY_FILE);
            output::line(format_args!(
                "Station {name} in {}, key {}.",
                station.directory.display(),
                public.fingerprint()
            ));
            output::line(format_args!(
                "Next, at headquarters: mooring factory register {name} --key {}",
                file.display()
            ));
        }
        FactoryCommand::Run { batch, count, out, label, station } => {
            let station = Station::open(&station.directory)?;
            let order = station.order(&batch)?;
            let run = station.run(&order, count, &label.label_url, &out)?;
            output::line(format_args!(
                "Made {} devices; this station has made {} of the batch's {}.",
                run.made, run.made_in_all, order.quota
            ));
            output::line(format_args!(
                "  {}  ids, enrolment secrets and claim codes: for flashing, then destroy it",
                out.join(DEVICES_FILE).display()
            ));
            output::line(format_args!("  {}  labels (and .svg, one a page)", out.join("labels.pdf").display()));
            output::line(format_args!("  {}  the signed log", run.log.display()));
            output::line(format_args!("Next, at headquarters: mooring factory import {}", run.log.display()));
        }
        FactoryCommand::Reprint { batch, device, reason, devices, out, label, station } => {
            let station = Station::open(&station.directory)?;
            let order = station.order(&batch)?;
            let log = station.reprint(&order, device, &reason, &devices, &label.label_url, &out)?;
            output::line(format_args!("The label is in {}, and the log says so: {}", out.display(), log.display()));
        }
        FactoryCommand::Verify { file, key } => {
            let key = key.as_deref().map(read_key).transpose()?;
            let log = Log::verify(&read_log(&file)?, key.as_ref()).with_context(|| format!("{}", file.display()))?;
            print_log(&log);
        }
        FactoryCommand::Register { .. }
        | FactoryCommand::Disable { .. }
        | FactoryCommand::Stations(_)
        | FactoryCommand::Import { .. } => return runtime()?.block_on(headquarters(command)),
    }
    Ok(ExitCode::SUCCESS)
}

/// What needs the database.
async fn headquarters(command: FactoryCommand) -> anyhow::Result<ExitCode> {
    let now = OffsetDateTime::now_utc();
    match command {
        FactoryCommand::Register { name, key, config } => {
            let key = read_key(&key)?;
            let (_, store) = open_store(&config).await?;
            store.register_station(&name, &key.0, now).await?;
            let detail = json!({"key": key.fingerprint()});
            store.append_audit("operator", "station.register", &format!("station:{name}"), &detail, now).await?;
            output::line(format_args!("Station {name} is registered with the key {}.", key.fingerprint()));
        }
        FactoryCommand::Disable { name, config } => {
            let (_, store) = open_store(&config).await?;
            store.disable_station(&name, now).await?;
            store.append_audit("operator", "station.disable", &format!("station:{name}"), &json!({}), now).await?;
            output::line(format_args!("No further log of station {name} is taken."));
        }
        FactoryCommand::Stations(config) => stations(&config).await?,
        FactoryCommand::Import { file, json, config } => {
            let (_, store) = open_store(&config).await?;
            let report = import(&store, &file, now).await?;
            if json { print_json(&report)? } else { print_report(&report)? }
        }
        FactoryCommand::Init { .. }
        | FactoryCommand::Run { .. }
        | FactoryCommand::Reprint { .. }
        | FactoryCommand::Verify { .. } => {}
    }
    Ok(ExitCode::SUCCESS)
}

async fn stations(config: &ConfigArgs) -> anyhow::Result<()> {
    let (_, store) = open_store_to_read(config).await?;
    let mut table = Table::new();
    table.load_style(UTF8_HORIZONTAL_ONLY).set_header(["station", "key", "registered", "disabled"]);
    for station in store.stations().await? {
        let disabled = station.disabled_at.map_or_else(|| "no".to_owned(), |at| at.date().to_string());
        let key = PublicKey(station.public_key).fingerprint();
        table.add_row([station.name, key, station.created_at.date().to_string(), disabled]);
    }
    output::line(table);
    Ok(())
}

/// The log has to be signed with the key that the station was registered with.
async fn import(store: &Store, file: &Path, now: OffsetDateTime) -> anyhow::Result<ImportReport> {
    let text = read_log(file)?;
    let context = || format!("{}", file.display());
    let claimed = Log::verify(&text, None).with_context(context)?;
    let station = store.station(&claimed.station).await?;
    let station = station.with_context(|| format!("station {:?} is not registered", claimed.station))?;
    let log = Log::verify(&text, Some(&PublicKey(station.public_key))).with_context(context)?;
    let batch = store.batch(&log.batch).await?.with_context(|| format!("there is no batch {:?}", log.batch))?;
    ensure!(
        batch.model == log.model,
        "batch {:?} is for the model {:?}, and the log is of {:?}",
        log.batch,
        batch.model,
        log.model
    );
    let report = store.import_factory_log(&log.to_import()?, now).await?;
    let detail = json!({
        "batch": log.batch, "seq": report.seq, "made": report.made, "known": report.known, "findings": report.findings.len(),
    });
    store.append_audit("operator", "factory.import", &format!("station:{}", log.station), &detail, now).await?;
    Ok(report)
}

fn read_key(file: &Path) -> anyhow::Result<PublicKey> {
    let context = || format!("{}", file.display());
    PublicKey::from_pem(&fs::read(file).with_context(context)?).with_context(context)
}

/// A log of the largest run with all its labels printed again is smaller.
const LOG_BYTES_MAX: u64 = 1024 * 1024 * 1024;

fn read_log(file: &Path) -> anyhow::Result<String> {
    let context = || format!("{}", file.display());
    ensure!(fs::metadata(file).with_context(context)?.len() <= LOG_BYTES_MAX, "{}: too large", file.display());
    fs::read_to_string(file).with_context(context)
}

fn print_log(log: &Log) {
    output::line(format_args!(
        "Station {}, batch {} ({}), key {}",
        log.station,
        log.batch,
        log.model,
        log.key.fingerprint()
    ));
    output::line(format_args!(
        "{} lines in order: {} runs, {} devices, {} labels printed again.",
        log.lines.len(),
        log.runs(),
        log.devices(),
        log.reprints()
    ));
    for device in log.duplicates() {
        output::line(format_args!("Device {device} is in it more than once."));
    }
}

fn print_report(report: &ImportReport) -> anyhow::Result<()> {
    output::line(format_args!(
        "{} devices are new, {} were known, up to line {}.",
        report.made, report.known, report.seq
    ));
    print_findings(&report.findings.iter().map(finding_json).collect::<anyhow::Result<Vec<_>>>()?);
    Ok(())
}

fn print_json(report: &ImportReport) -> anyhow::Result<()> {
    let findings = report.findings.iter().map(finding_json).collect::<anyhow::Result<Vec<_>>>()?;
    let shown = json!({"made": report.made, "known": report.known, "seq": report.seq, "found": findings});
    output::line(serde_json::to_string_pretty(&shown)?);
    Ok(())
}
