//! What an exploration has found: distinct findings, what broke once and not again, and what was exercised.
//!
//! Owns when two findings are one. It runs nothing and writes no file; it removes the file of a finding that another one
//! explains.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use crate::cause::Cause;
use crate::chain::Run;
use crate::coverage::Coverage;
use crate::invariant::Invariant;
use crate::known_found::KnownFound;
use crate::plan::Plan;
use crate::shrink::{Counterexample, embeds};

/// One distinct violation.
#[derive(Clone, Debug)]
pub struct Finding {
    /// Its minimal plan, with everything that is known about it.
    pub counterexample: Counterexample,
    /// What makes it distinct.
    pub fingerprint: String,
    /// What went wrong first in its minimal plan.
    pub cause: Cause,
    /// How many plans broke this way.
    pub count: u64,
    /// How many plans had been run when it was found.
    pub after_plans: u64,
    /// How long it took to find, shrinking not included.
    pub after: Duration,
    /// How long shrinking took.
    pub shrinking: Duration,
    /// Where its plan was written.
    pub path: Option<PathBuf>,
}

/// A violating plan that broke once and not again: its first run is the only evidence.
#[derive(Clone, Debug)]
pub struct Unsure {
    /// What broke.
    pub invariant: Invariant,
    /// The generated plan.
    pub plan: Plan,
    /// The run in which it broke.
    pub run: Run,
    /// How often it was run again.
    pub runs: u32,
    /// The plan's file, or its text.
    pub kept: Result<PathBuf, String>,
}

impl fmt::Display for Unsure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { invariant, runs, kept, .. } = self;
        write!(f, "broke {invariant} once and not again in {runs} runs: ")?;
        match kept {
            Ok(path) => write!(f, "{}", path.display()),
            Err(text) => f.write_str(text),
        }
    }
}

/// The result of an exploration.
#[derive(Clone, Debug, Default)]
pub struct Explored {
    /// The distinct violations, in the order in which their minimal plans were found. None contains another.
    pub findings: Vec<Finding>,
    /// The causes that were known before, each with how many plans met it. They have no findings.
    pub known: Vec<KnownFound>,
    /// Violating plans that did not break again when they were run once more.
    pub unsure: Vec<Unsure>,
    /// What was exercised.
    pub coverage: Coverage,
    /// How long it took.
    pub took: Duration,
    /// Whether it was stopped from outside.
    pub interrupted: bool,
    /// How many threads the system blocked for ever; they stay until the process ends.
    pub threads_given_up: u64,
    /// Files that could not be written, with the reason and the plan itself.
    pub unwritten: Vec<String>,
}

impl Finding {
    /// Whether a plan that breaks this shows nothing new: it contains the minimal one, or is of the same shape.
    pub(crate) fn explains(&self, plan: &Plan, invariant: Invariant) -> bool {
        self.counterexample.violation.invariant == invariant && embeds(&self.counterexample.plan, plan)
    }
}

/// The findings of one cause.
#[derive(Clone, Debug)]
pub struct CauseFound<'a, F = Finding> {
    /// What went wrong first.
    pub cause: &'a Cause,
    /// How many plans broke by it.
    pub plans: u64,
    /// How it showed itself, the fewest commands first.
    pub faces: Vec<&'a F>,
}

/// Findings by their causes, the one that most plans met first; of each finding its cause and how many plans broke by it.
pub(crate) fn by_cause<'a, F>(findings: &'a [F], of: impl Fn(&'a F) -> (&'a Cause, u64)) -> Vec<CauseFound<'a, F>> {
    let mut causes: BTreeMap<&Cause, (u64, Vec<&F>)> = BTreeMap::new();
    for finding in findings {
        let (cause, count) = of(finding);
        let (plans, faces) = causes.entry(cause).or_default();
        *plans += count;
        faces.push(finding);
    }
    let causes = causes.into_iter().map(|(cause, (plans, faces))| CauseFound { cause, plans, faces });
    let mut causes: Vec<_> = causes.collect();
    causes.sort_by_key(|found| std::cmp::Reverse(found.plans));
    causes
}

impl Explored {
    /// The findings by their causes, the one that most plans met first.
    pub fn causes(&self) -> Vec<CauseFound<'_>> {
        let mut causes = by_cause(&self.findings, |finding| (&finding.cause, finding.count));
        for found in &mut causes {
            found.faces.sort_by_key(|face| face.counterexample.plan.commands());
        }
        causes
    }

    /// Adds a finding, and removes those that it explains.
    pub(crate) fn add(&mut self, mut finding: Finding) {
        let all = std::mem::take(&mut self.findings);
        let (explained, others): (Vec<_>, Vec<_>) = all
            .into_iter()
            .partition(|it| finding.explains(&it.counterexample.plan, it.counterexample.violation.invariant));
        self.findings = others;
        for it in explained {
            finding.count += it.count;
            finding.after_plans = finding.after_plans.min(it.after_plans);
            finding.after = finding.after.min(it.after);
            if let Some(path) = it.path.filter(|it| Some(it) != finding.path.as_ref()) {
                // A file that cannot be removed stays: one plan too many does no harm.
                let _ = std::fs::remove_file(path);
            }
        }
        self.findings.push(finding);
    }
}
