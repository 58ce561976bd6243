//! `mooring conformance`: any broker against the standard.

use std::process::ExitCode;

use mooring_conformance::{Options, Outcome, Tls};

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
    Ok(Options { tls, filter: args.filter, slow: args.slow, ..Options::new(args.target) })
}
