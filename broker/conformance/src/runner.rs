//! Runs cases in parallel, a bounded number at a time.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::Instant;

use crate::case::{Case, CaseResult, Outcome};
use crate::cases::cases;
use crate::error::Error;
use crate::options::Options;
use crate::report::Report;
use crate::stream::Stream;
use crate::target::{RunState, Target};

/// Runs the cases that the options ask for; `progress` sees each result as it comes.
///
/// # Errors
/// [`Error::Unreachable`] when nobody listens at the target; what a server does wrong is in the report.
pub fn run(options: &Options, progress: &mut dyn FnMut(&CaseResult)) -> Result<Report, Error> {
    Stream::open(&options.target, options.tls.as_ref(), options.answer)
        .map_err(|source| Error::Unreachable { target: options.target.clone(), source })?;
    let started = Instant::now();
    let state = RunState::new();
    let mut chosen: Vec<(usize, Case)> =
        cases().into_iter().enumerate().filter(|(_, case)| is_chosen(case, options)).collect();
    // Long cases first, so that they do not run alone at the end.
    chosen.sort_by_key(|(_, case)| !case.slow);
    let mut results = run_all(&chosen, options, &state, progress);
    results.sort_by_key(|(index, _)| *index);
    let results = results.into_iter().map(|(_, result)| result).collect();
    Ok(Report::new(options.target.clone(), results, started.elapsed()))
}

fn run_all(
    chosen: &[(usize, Case)],
    options: &Options,
    state: &RunState,
    progress: &mut dyn FnMut(&CaseResult),
) -> Vec<(usize, CaseResult)> {
    let next = AtomicUsize::new(0);
    let (sender, results) = mpsc::channel();
    std::thread::scope(|scope| {
        for _ in 0..options.parallel.clamp(1, chosen.len().max(1)) {
            let sender = sender.clone();
            let next = &next;
            scope.spawn(move || {
                loop {
                    let Some((index, case)) = chosen.get(next.fetch_add(1, Ordering::Relaxed)) else { return };
                    // The receiver outlives the scope.
                    let _ = sender.send((*index, run_one(case, options, state)));
                }
            });
        }
        drop(sender);
        results.iter().inspect(|(_, result)| progress(result)).collect()
    })
}

fn run_one(case: &Case, options: &Options, state: &RunState) -> CaseResult {
    let started = Instant::now();
    let outcome = if case.slow && !options.slow {
        Outcome::Skipped { reason: "takes tens of seconds; not asked for".into() }
    } else {
        let target = Target::new(options, state, case.version);
        let check = (case.run)(&target).and_then(|()| if case.attack { target.still_serves() } else { Ok(()) });
        check.into()
    };
    CaseResult {
        id: case.id.clone(),
        statements: case.statements.clone(),
        version: case.version,
        chapter: case.chapter,
        title: case.title,
        outcome,
        elapsed: started.elapsed(),
    }
}

fn is_chosen(case: &Case, options: &Options) -> bool {
    let version = options.version.is_none_or(|version| version == case.version);
    let filter = options.filter.as_deref().is_none_or(|filter| {
        case.id.contains(filter)
            || case.chapter.contains(filter)
            || case.statements.iter().any(|id| id.contains(filter))
    });
    version && filter
}
