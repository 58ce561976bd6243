//! `mooring conformance`: any broker against the standard.

use std::process::ExitCode;

use mooring_conformance::{Credentials, Options, Outcome, Tls, WebSocket};

use crate::args::ConformanceArgs;
use crate::output;

/// Exit 1 when a case fails.
pub(super) fn run(args: ConformanceArgs) -> anyhow::Result<ExitCode> {
    let json = args.json;
    let report = mooring_conformance::run(&options(args)?, &mut |result| {
        if !json && matches!(result.outcome, Outcome::Fail(_)) {
            output::line(format_args!("FAIL {}", result.id));
        }
    })?;
    if json {
        output::line(report.to_json());
    } else {
        output::line(&report);
    }
    Ok(if report.failed() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn options(args: ConformanceArgs) -> anyhow::Result<Options> {
    let identity = args.cert.as_deref().zip(args.key.as_deref());
    let host = args.target.rsplit_once(':').map_or(args.target.as_str(), |(host, _)| host);
    let tls = args.ca.as_deref().map(|ca| Tls::from_pem(ca, identity, host)).transpose()?;
    let websocket = args.websocket.as_deref().map(|text| websocket(text, tls.clone()));
    Ok(Options {
        tls,
        websocket,
        username: args.username,
        password: args.password,
        filter: args.filter,
        slow: args.slow,
        scram: args.scram_user.zip(args.scram_password).map(|(name, password)| Credentials { name, password }),
        ..Options::new(args.target)
    })
}

/// `host:port/path`; the path is `/mqtt` unless it says otherwise.
fn websocket(text: &str, tls: Option<Tls>) -> WebSocket {
    let (target, path) = text.split_once('/').unwrap_or((text, "mqtt"));
    WebSocket { target: target.to_owned(), path: format!("/{path}"), tls }
}
