//! The results of an exploration, as JSON.
//!
//! Owns the fields. The verdict is given.

use serde::Serialize;
use unstale_harness::explore::{CauseFound, Finding, KnownFound, Unsure};

use crate::coverage;
use crate::explored::Outcome;
use crate::status::Status;

/// The JSON value of one exploration.
#[derive(Serialize)]
pub(crate) struct Json {
    verdict: Status,
    interrupted: bool,
    seconds: f64,
    /// The causes of the violations, the one that most plans met first.
    causes: Vec<JsonCause>,
    /// The causes that were known before.
    known: Vec<JsonKnown>,
    violations: Vec<JsonViolation>,
    unsure: Vec<JsonUnsure>,
    unwritten: Vec<String>,
    threads_given_up: u64,
    gaps: Vec<String>,
    unmet: Vec<String>,
    #[serde(flatten)]
    coverage: coverage::Json,
}

#[derive(Serialize)]
struct JsonCause {
    /// What `--known` takes.
    signature: String,
    plans: u64,
    faces: usize,
    /// The commands of the shortest plan.
    commands: usize,
}

#[derive(Serialize)]
struct JsonKnown {
    signature: String,
    reported: String,
    fixed: Option<String>,
    plans: u64,
    /// Whether no plan of a whole run has met it.
    no_longer_seen: bool,
}

#[derive(Serialize)]
struct JsonUnsure {
    invariant: String,
    /// How often it was run again, and did not break.
    runs: u32,
    /// The file of its plan, or the plan itself.
    plan: String,
}

#[derive(Serialize)]
struct JsonViolation {
    invariant: String,
    count: u64,
    commands: usize,
    plan: Option<String>,
    cause: String,
    fingerprint: String,
    after_plans: u64,
    after_seconds: f64,
    shrink_seconds: f64,
    shrink_runs: u32,
    /// Whether shrinking came to its end.
    complete: bool,
    /// How often the minimal plan broke, of how many runs that decided nothing.
    reproduced: (u32, u32),
    /// How often the drawn plan broke.
    given: (u32, u32),
    certificate: Vec<String>,
}

impl Json {
    /// The value of this exploration, whose verdict is given.
    pub(crate) fn of(outcome: &Outcome<'_>) -> Self {
        let Outcome { subject, explored, status, is_whole, unmet } = outcome;
        Self {
            verdict: *status,
            interrupted: explored.interrupted,
            seconds: explored.took.as_secs_f64(),
            causes: explored.causes().iter().map(JsonCause::of).collect(),
            known: explored.known.iter().map(|found| JsonKnown::of(found, *is_whole)).collect(),
            violations: explored.findings.iter().map(JsonViolation::of).collect(),
            unsure: explored.unsure.iter().map(JsonUnsure::of).collect(),
            unwritten: explored.unwritten.clone(),
            threads_given_up: explored.threads_given_up,
            gaps: explored.coverage.gaps(subject.capabilities()),
            unmet: unmet.to_vec(),
            coverage: coverage::Json::of(&explored.coverage, *subject),
        }
    }
}

impl JsonCause {
    fn of(found: &CauseFound<'_>) -> Self {
        let commands = found.faces.first().map_or(0, |face| face.counterexample.plan.commands());
        Self { signature: found.cause.to_string(), plans: found.plans, faces: found.faces.len(), commands }
    }
}

impl JsonKnown {
    fn of(found: &KnownFound, is_whole: bool) -> Self {
        let KnownFound { known, plans, .. } = found;
        Self {
            signature: known.cause.to_string(),
            reported: known.reported.clone(),
            fixed: known.fixed.clone(),
            plans: *plans,
            no_longer_seen: *plans == 0 && is_whole,
        }
    }
}

impl JsonUnsure {
    fn of(unsure: &Unsure) -> Self {
        let Unsure { invariant, runs, kept, .. } = unsure;
        let plan = kept.as_ref().map_or_else(Clone::clone, |path| path.display().to_string());
        Self { invariant: invariant.to_string(), runs: *runs, plan }
    }
}

impl JsonViolation {
    fn of(finding: &Finding) -> Self {
        let found = &finding.counterexample;
        Self {
            invariant: found.violation.invariant.to_string(),
            count: finding.count,
            commands: found.plan.commands(),
            plan: finding.path.as_ref().map(|path| path.display().to_string()),
            cause: finding.cause.to_string(),
            fingerprint: finding.fingerprint.clone(),
            after_plans: finding.after_plans,
            after_seconds: finding.after.as_secs_f64(),
            shrink_seconds: finding.shrinking.as_secs_f64(),
            shrink_runs: found.certificate.runs,
            complete: found.certificate.complete,
            reproduced: (found.reproduced.hits, found.reproduced.runs),
            given: (found.given.hits, found.given.runs),
            certificate: found.certificate.to_string().lines().map(str::to_owned).collect(),
        }
    }
}
