//! `mooring batch`: how many devices may be made, and until when.

use std::process::ExitCode;

use comfy_table::Table;
use comfy_table::presets::UTF8_HORIZONTAL_ONLY;
use mooring_store::BatchFinding;
use serde::Deserialize;
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::{load_config, runtime};
use crate::args::BatchCommand;
use crate::operator::{OperatorApi, encoded, text};
use crate::output;
use crate::station::BatchOrder;

pub(super) fn run(command: BatchCommand) -> anyhow::Result<ExitCode> {
    runtime()?.block_on(async {
        match command {
            BatchCommand::Create { name, model, quota, until, config } => {
                let api = OperatorApi::open(&config).await?;
                let wish = json!({"name": name, "model": model, "quota": quota, "until": until.format(&Rfc3339)?});
                api.post(BATCHES, &wish).await?;
                output::line(format_args!("Batch {name}: {quota} devices of the model {model}, until {until}."));
                output::line(format_args!(
                    "Next: mooring device create --model {model} --batch {name}, or mooring batch order {name} for a station."
                ));
            }
            BatchCommand::Change { name, quota, until, config } => {
                let until = until.map(|until| until.format(&Rfc3339)).transpose()?;
                let wish = json!({"quota": quota, "until": until});
                let changed = OperatorApi::open(&config).await?.patch(&path(&name), &wish).await?;
                output::line(table(&[changed]));
            }
            BatchCommand::List { json, config } => {
                let batches = OperatorApi::open(&config).await?.get(BATCHES).await?;
                let batches = batches.get("items").and_then(Value::as_array).cloned().unwrap_or_default();
                if json {
                    batches.iter().for_each(output::line);
                } else {
                    output::line(table(&batches));
                }
            }
            BatchCommand::Show { name, json, config } => {
                let batch = OperatorApi::open(&config).await?.get(&path(&name)).await?;
                if json {
                    output::line(serde_json::to_string_pretty(&batch)?);
                } else {
                    let found = batch.get("found").and_then(Value::as_array).cloned().unwrap_or_default();
                    output::line(table(&[batch]));
                    print_findings(&found);
                }
            }
            BatchCommand::Order { name, config } => {
                let enrolment_days = load_config(&config.local)?.certificates.enrolment_days;
                let batch: OrderedBatch =
                    serde_json::from_value(OperatorApi::open(&config).await?.get(&path(&name)).await?)?;
                let OrderedBatch { name, model, quota, until } = batch;
                output::text(&BatchOrder { name, model, quota, until, enrolment_days }.to_json()?);
            }
        }
        Ok(ExitCode::SUCCESS)
    })
}

const BATCHES: &str = "/v1/operator/batches";

fn path(name: &str) -> String {
    format!("{BATCHES}/{}", encoded(name))
}

/// What an order needs of a batch.
#[derive(Deserialize)]
struct OrderedBatch {
    name: String,
    model: String,
    quota: u64,
    #[serde(with = "time::serde::rfc3339")]
    until: OffsetDateTime,
}

fn table(batches: &[Value]) -> Table {
    let mut table = Table::new();
    let header = ["batch", "model", "quota", "made", "enrolled", "until", "kept out", "to look at"];
    table.load_style(UTF8_HORIZONTAL_ONLY).set_header(header);
    for batch in batches {
        let until = text(batch, "until");
        let day = until.split('T').next().unwrap_or_default().to_owned();
        let [name, model, quota, made, enrolled] =
            ["name", "model", "quota", "made", "enrolled"].map(|key| text(batch, key));
        table.add_row([name, model, quota, made, enrolled, day, text(batch, "kept_out"), text(batch, "to_look_at")]);
    }
    table
}

/// What somebody should look at, one a row.
pub(super) fn print_findings(findings: &[Value]) {
    if findings.is_empty() {
        return;
    }
    let mut table = Table::new();
    table.load_style(UTF8_HORIZONTAL_ONLY).set_header(["what", "device or certificate", "where", "why"]);
    for finding in findings {
        table.add_row(["kind", "subject", "source", "detail"].map(|key| text(finding, key)));
    }
    output::line(table);
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
