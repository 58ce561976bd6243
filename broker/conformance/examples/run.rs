//! Runs the suite: `run HOST:PORT [FILTER] [--json] [--slow] [--websocket=HOST:PORT]`.

use mooring_conformance::{Options, Outcome, WebSocket, run};

#[expect(clippy::print_stdout, clippy::print_stderr, reason = "an example shows its result")]
fn main() -> std::process::ExitCode {
    let (flags, words): (Vec<String>, Vec<String>) = std::env::args().skip(1).partition(|word| word.starts_with("--"));
    let Some(target) = words.first() else {
        eprintln!("usage: run HOST:PORT [FILTER] [--json] [--slow] [--websocket=HOST:PORT]");
        return std::process::ExitCode::from(2);
    };
    let mut options = Options::new(target);
    options.filter = words.get(1).cloned();
    options.slow = flags.iter().any(|flag| flag == "--slow");
    options.websocket = flags.iter().find_map(|flag| flag.strip_prefix("--websocket=")).map(|target| WebSocket {
        target: target.into(),
        path: "/mqtt".into(),
        tls: None,
    });
    let mut progress = |result: &mooring_conformance::CaseResult| {
        if matches!(result.outcome, Outcome::Fail(_)) {
            eprintln!("FAIL {}", result.id);
        }
    };
    match run(&options, &mut progress) {
        Err(error) => {
            eprintln!("{error}");
            std::process::ExitCode::from(2)
        }
        Ok(report) => {
            println!(
                "{}",
                if flags.iter().any(|flag| flag == "--json") { report.to_json() } else { report.to_string() }
            );
            std::process::ExitCode::from(u8::from(report.failed()))
        }
    }
}
