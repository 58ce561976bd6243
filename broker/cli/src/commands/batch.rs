//! `mooring batch`: how many devices may be made, and until when.

use std::process::ExitCode;

use anyhow::Context as _;
use comfy_table::Table;
use comfy_table::presets::UTF8_HORIZONTAL_ONLY;
use mooring_store::{Batch, BatchFinding, NewBatch, Store};
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::{open_store, runtime};
use crate::args::BatchCommand;
use crate::output;
use crate::station::BatchOrder;

pub(super) fn run(command: BatchCommand) -> anyhow::Result<ExitCode> {
    runtime()?.block_on(async {
        match command {
            BatchCommand::Create { name, model, quota, until, config } => {
                let (_, store) = open_store(&config).await?;
                let now = OffsetDateTime::now_utc();
                anyhow::ensure!(until > now, "--until: {until} is over");
                store.create_batch(&NewBatch { name: name.clone(), model: model.clone(), quota, until }, now).await?;
                let detail = json!({"model": model, "quota": quota, "until": until.unix_timestamp()});
                store.append_audit("operator", "batch.create", &format!("batch:{name}"), &detail, now).await?;
                output::line(format_args!("Batch {name}: {quota} devices of the model {model}, until {until}."));
                output::line(format_args!(
                    "Next: mooring device create --model {model} --batch {name}, or mooring batch order {name} for a station."
                ));
            }
            BatchCommand::Change { name, quota, until, config } => {
                let (_, store) = open_store(&config).await?;
                store.change_batch(&name, quota, until).await?;
                let detail = json!({"quota": quota, "until": until.map(OffsetDateTime::unix_timestamp)});
                let now = OffsetDateTime::now_utc();
                store.append_audit("operator", "batch.change", &format!("batch:{name}"), &detail, now).await?;
                output::line(table(&[find(&store, &name).await?]));
            }
            BatchCommand::List { json, config } => {
                let (_, store) = open_store(&config).await?;
                let batches = store.batches().await?;
                if json {
                    batches.iter().try_for_each(|batch| batch_json(batch).map(output::line))?;
                } else {
                    output::line(table(&batches));
                }
            }
            BatchCommand::Show { name, json, config } => {
                let (_, store) = open_store(&config).await?;
                let batch = find(&store, &name).await?;
                let findings = store.batch_findings(&name).await?;
                if json {
                    let mut shown = batch_json(&batch)?;
                    let rows = findings.iter().map(finding_json).collect::<anyhow::Result<Vec<_>>>()?;
                    if let Some(fields) = shown.as_object_mut() {
                        fields.insert("found".to_owned(), Value::Array(rows));
                    }
                    output::line(serde_json::to_string_pretty(&shown)?);
                } else {
                    output::line(table(&[batch]));
                    print_findings(&findings);
                }
            }
            BatchCommand::Order { name, config } => {
                let (settings, store) = open_store(&config).await?;
                let Batch { name, model, quota, until, .. } = find(&store, &name).await?;
                let enrolment_days = settings.certificates.enrolment_days;
                output::text(&BatchOrder { name, model, quota, until, enrolment_days }.to_json()?);
            }
        }
        Ok(ExitCode::SUCCESS)
    })
}

async fn find(store: &Store, name: &str) -> anyhow::Result<Batch> {
    store.batch(name).await?.with_context(|| format!("there is no batch {name:?}"))
}

fn table(batches: &[Batch]) -> Table {
    let mut table = Table::new();
    let header = ["batch", "model", "quota", "made", "enrolled", "until", "kept out", "to look at"];
    table.load_style(UTF8_HORIZONTAL_ONLY).set_header(header);
    for batch in batches {
        table.add_row([
            batch.name.clone(),
            batch.model.clone(),
            batch.quota.to_string(),
            batch.made.to_string(),
            batch.enrolled.to_string(),
            batch.until.date().to_string(),
            batch.refused.to_string(),
            batch.findings.to_string(),
        ]);
    }
    table
}

/// What somebody should look at, one a row.
pub(super) fn print_findings(findings: &[BatchFinding]) {
    if findings.is_empty() {
        return;
    }
    let mut table = Table::new();
    table.load_style(UTF8_HORIZONTAL_ONLY).set_header(["what", "device or certificate", "where", "why"]);
    for finding in findings {
        let BatchFinding { kind, subject, source, detail, .. } = finding;
        table.add_row([kind.as_str(), subject, source, detail]);
    }
    output::line(table);
}

fn batch_json(batch: &Batch) -> anyhow::Result<Value> {
    Ok(json!({
        "name": batch.name,
        "model": batch.model,
        "quota": batch.quota,
        "made": batch.made,
        "enrolled": batch.enrolled,
        "until": batch.until.format(&Rfc3339)?,
        "kept_out": batch.refused,
        "to_look_at": batch.findings,
    }))
}

/// A finding as JSON.
pub(super) fn finding_json(finding: &BatchFinding) -> anyhow::Result<Value> {
    Ok(json!({
        "kind": finding.kind.as_str(),
        "subject": finding.subject,
        "source": finding.source,
        "detail": finding.detail,
        "at": finding.at.format(&Rfc3339)?,
    }))
}
