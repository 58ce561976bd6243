//! What a run found.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

use crate::case::{CaseResult, Outcome};
use crate::statement::{Standing, statements};
use crate::wire::Version;

/// The results of a run.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// The target as it was given.
    pub target: String,
    /// How many cases there are in each chapter, and how they ended.
    pub chapters: Vec<ChapterCount>,
    /// How the normative statements of each version stand to the suite.
    pub coverage: Vec<Coverage>,
    /// The results in the order of the suite.
    pub results: Vec<CaseResult>,
    /// How long the run took.
    #[serde(skip)]
    pub elapsed: Duration,
}

/// The counts of one chapter in one version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ChapterCount {
    /// The version of its cases.
    pub version: Version,
    /// The chapter.
    pub chapter: &'static str,
    /// Cases that passed.
    pub passed: usize,
    /// Cases that failed.
    pub failed: usize,
    /// Cases that were skipped.
    pub skipped: usize,
}

/// How the normative statements of a version stand to the suite.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Coverage {
    /// The version.
    pub version: Version,
    /// Statements that a case checks.
    pub cased: usize,
    /// Statements that bind a server and cannot be seen from outside.
    pub unseen: usize,
    /// Statements that bind clients alone.
    pub client: usize,
}

impl Coverage {
    fn of(version: Version) -> Self {
        let count = |is: fn(&Standing) -> bool| statements(version).iter().filter(|one| is(&one.standing)).count();
        Self {
            version,
            cased: count(|standing| matches!(standing, Standing::Cased)),
            unseen: count(|standing| matches!(standing, Standing::Unseen(_))),
            client: count(|standing| matches!(standing, Standing::Client)),
        }
    }
}

impl Report {
    pub(crate) fn new(target: String, results: Vec<CaseResult>, elapsed: Duration) -> Self {
        let chapters = count(&results);
        let coverage = [Version::V311, Version::V5].map(Coverage::of).to_vec();
        Self { target, chapters, coverage, results, elapsed }
    }

    /// Whether a case failed.
    pub fn failed(&self) -> bool {
        self.failures().next().is_some()
    }

    /// The results of the cases that failed.
    pub fn failures(&self) -> impl Iterator<Item = &CaseResult> {
        self.results.iter().filter(|result| matches!(result.outcome, Outcome::Fail(_)))
    }

    /// The report as JSON, one object.
    pub fn to_json(&self) -> String {
        // The types hold strings and numbers alone, so there is nothing that JSON could refuse.
        serde_json::to_string_pretty(self).unwrap_or_default()
    }

    fn sum(&self) -> (usize, usize, usize) {
        let add =
            |sum: (usize, usize, usize), c: &ChapterCount| (sum.0 + c.passed, sum.1 + c.failed, sum.2 + c.skipped);
        self.chapters.iter().fold((0, 0, 0), add)
    }
}

fn count(results: &[CaseResult]) -> Vec<ChapterCount> {
    let mut chapters: Vec<ChapterCount> = Vec::new();
    for result in results {
        let (version, chapter) = (result.version, result.chapter);
        let known = chapters.iter().position(|count| count.version == version && count.chapter == chapter);
        let index = known.unwrap_or_else(|| {
            chapters.push(ChapterCount { version, chapter, passed: 0, failed: 0, skipped: 0 });
            chapters.len() - 1
        });
        let Some(count) = chapters.get_mut(index) else { continue };
        match result.outcome {
            Outcome::Pass => count.passed += 1,
            Outcome::Fail(_) => count.failed += 1,
            Outcome::Skipped { .. } => count.skipped += 1,
        }
    }
    chapters.sort_by_key(|count| count.version);
    chapters
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for result in self.failures() {
            fmt_failure(f, result)?;
        }
        for result in &self.results {
            if let Outcome::Skipped { reason } = &result.outcome {
                writeln!(f, "SKIP {}: {reason}", result.id)?;
            }
        }
        writeln!(f, "{:<7} {:<44} {:>6} {:>6} {:>7}", "version", "chapter", "passed", "failed", "skipped")?;
        for count in &self.chapters {
            let ChapterCount { version, chapter, passed, failed, skipped } = count;
            writeln!(f, "{:<7} {chapter:<44} {passed:>6} {failed:>6} {skipped:>7}", version.to_string())?;
        }
        let (passed, failed, skipped) = self.sum();
        writeln!(f, "{:<7} {:<44} {passed:>6} {failed:>6} {skipped:>7}", "", "all")?;
        for Coverage { version, cased, unseen, client } in &self.coverage {
            writeln!(
                f,
                "MQTT {version}: of {} normative statements {cased} have cases, {unseen} cannot be seen from outside, \
                 {client} bind clients alone",
                cased + unseen + client
            )?;
        }
        writeln!(f, "{} cases against {} in {:.1} s", self.results.len(), self.target, self.elapsed.as_secs_f32())
    }
}

fn fmt_failure(f: &mut fmt::Formatter<'_>, result: &CaseResult) -> fmt::Result {
    let Outcome::Fail(failure) = &result.outcome else { return Ok(()) };
    writeln!(f, "FAIL {} {}", result.id, result.statements.join(" "))?;
    writeln!(f, "     rule      {}", result.title)?;
    writeln!(f, "     expected  {}", failure.expected)?;
    writeln!(f, "     got       {}", failure.got)?;
    if !failure.got_hex.is_empty() {
        writeln!(f, "     bytes     {}", failure.got_hex)?;
    }
    writeln!(f, "     at        {}", failure.at)?;
    for line in &failure.exchange {
        writeln!(f, "       {line}")?;
    }
    Ok(())
}
