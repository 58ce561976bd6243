//! `mooring acl diff`: what another file of rules would have decided in the last day.

use std::process::ExitCode;

use anyhow::bail;
use comfy_table::Table;
use comfy_table::presets::UTF8_HORIZONTAL_ONLY;
use mooring_auth::{DecidedAction, Decision, Rights};
use mooring_core::{Access as _, Identity, Principal, Verdict};
use mooring_protocol::{TopicFilter, TopicName};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::output;

/// Prints what is decided otherwise under the new rules than under the old ones, with the owners and grants of now under both.
pub(super) fn diff(decisions: &[Decision], old: &Rights, new: &Rights) -> anyhow::Result<ExitCode> {
    if decisions.is_empty() {
        bail!("no decision is on record here: a running server writes them down every minute, and when it ends");
    }
    let mut table = Table::new();
    table
        .load_style(UTF8_HORIZONTAL_ONLY)
        .set_header(["", "who", "client", "what", "topic", "was", "becomes", "times", "last"]);
    let (mut lost, mut gained) = (0, 0);
    for decision in decisions {
        let (Some(was), Some(becomes)) = (verdict(old, decision), verdict(new, decision)) else { continue };
        if was.allow == becomes.allow {
            continue;
        }
        *if was.allow { &mut lost } else { &mut gained } += 1;
        table.add_row(row(decision, &was, &becomes));
    }
    if lost + gained == 0 {
        output::line(format_args!("Nothing changes for the {} decisions of the last day.", decisions.len()));
        return Ok(ExitCode::SUCCESS);
    }
    output::line(table);
    output::line(format_args!(
        "Of {} decisions of the last day, {lost} become a no and {gained} a yes.",
        decisions.len()
    ));
    Ok(ExitCode::FAILURE)
}

fn verdict(rights: &Rights, decision: &Decision) -> Option<Verdict> {
    let who = Principal {
        identity: Identity::new(&decision.identity),
        client_id: decision.client_id.as_deref().map(Into::into),
        certificate_serial: None,
        presence_topic: None,
        address: "".into(),
        listener: "".into(),
    };
    match decision.action {
        DecidedAction::Publish => Some(rights.publish(&who, TopicName::parse(&decision.topic).ok()?)),
        DecidedAction::Subscribe => Some(rights.subscribe(&who, TopicFilter::parse(&decision.topic).ok()?)),
    }
}

fn row(decision: &Decision, was: &Verdict, becomes: &Verdict) -> [String; 9] {
    let said = |verdict: &Verdict| format!("{}: {}", if verdict.allow { "yes" } else { "no" }, verdict.rule);
    let action = match decision.action {
        DecidedAction::Publish => "publish",
        DecidedAction::Subscribe => "subscribe",
    };
    let last = OffsetDateTime::from_unix_timestamp_nanos(i128::from(decision.last_unix_ms) * 1_000_000);
    let last = last.ok().and_then(|last| last.replace_millisecond(0).ok()?.format(&Rfc3339).ok());
    [
        if was.allow { "-" } else { "+" }.to_owned(),
        decision.identity.to_string(),
        decision.client_id.as_deref().unwrap_or_default().to_owned(),
        action.to_owned(),
        decision.topic.to_string(),
        said(was),
        said(becomes),
        decision.count.to_string(),
        last.unwrap_or_default(),
    ]
}
