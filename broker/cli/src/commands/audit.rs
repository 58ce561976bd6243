//! `mooring audit`: what was done, by whom, and whether the record of it is whole.

use std::process::ExitCode;

use comfy_table::Table;
use comfy_table::presets::UTF8_HORIZONTAL_ONLY;
use mooring_store::{AuditVerdict, PageRequest};
use serde_json::json;
use time::format_description::well_known::Rfc3339;

use super::{open_store_to_read, runtime};
use crate::args::AuditCommand;
use crate::output;

pub(super) fn run(command: AuditCommand) -> anyhow::Result<ExitCode> {
    runtime()?.block_on(async {
        match command {
            AuditCommand::Verify { head, config } => {
                let (_, store) = open_store_to_read(&config).await?;
                let verdict = store.verify_audit().await?;
                let keeps_head = match &head {
                    Some(head) => store.audit_hash(head.seq).await? == Some(head.hash),
                    None => true,
                };
                Ok(tell(&verdict, keeps_head))
            }
            AuditCommand::Show { limit, json, config } => {
                let (_, store) = open_store_to_read(&config).await?;
                let mut table = Table::new();
                table.load_style(UTF8_HORIZONTAL_ONLY).set_header(["row", "at", "who", "did", "to", "detail"]);
                for row in store.audit(&PageRequest::first(limit)).await?.items {
                    let at = row.at.format(&Rfc3339)?;
                    if json {
                        output::line(json!({
                            "row": row.seq, "at": at, "actor": row.actor, "action": row.action, "subject": row.subject, "detail": row.detail,
                        }));
                    } else {
                        let detail = row.detail.to_string();
                        table.add_row([row.seq.to_string(), at, row.actor, row.action, row.subject, detail]);
                    }
                }
                if !json {
                    output::line(table);
                }
                Ok(ExitCode::SUCCESS)
            }
        }
    })
}

fn tell(verdict: &AuditVerdict, keeps_head: bool) -> ExitCode {
    match verdict {
        AuditVerdict::Intact { rows, head } => {
            let head: String = head.iter().map(|byte| format!("{byte:02x}")).collect();
            output::line(format_args!("{rows} rows, each fits the one before it."));
            output::line(format_args!("Write the head down elsewhere: {rows}:{head}"));
            if !keeps_head {
                output::line(
                    "The head that was written down before is no longer in it: the end was cut off, or written anew.",
                );
                return ExitCode::FAILURE;
            }
            ExitCode::SUCCESS
        }
        AuditVerdict::Broken { seq } => {
            output::line(format_args!("Row {seq} does not fit: it, or the one before it, was changed or taken away."));
            ExitCode::FAILURE
        }
    }
}
