//! The results of an exploration, as text and as JSON.
//!
//! Owns the wording and the fields. The verdict is given.

use std::collections::BTreeMap;

use serde::Serialize;
use unstale_harness::chain::Subject;
use unstale_harness::explore::{Explored, Finding, THREADS_GIVEN_UP_MAX};

use crate::console::{Console, say};
use crate::status::Status;
use crate::text;

/// Prints every finding, the coverage and the verdict.
pub(crate) fn print(subject: &dyn Subject, explored: &Explored, status: Status, console: &Console) {
    for (at, finding) in explored.findings.iter().enumerate() {
        let found = &finding.counterexample;
        say!(console, "\n── {} of {}: {} ──", at + 1, explored.findings.len(), finding.fingerprint);
        console.text(text::report(&found.plan, &found.run.history, Some(&found.violation)));
        say!(
            console,
            "found after {} plans and {:.1} s, in {} plans; {} commands, shrunk with {} runs in {:.1} s{}; {}",
            finding.after_plans,
            finding.after.as_secs_f64(),
            finding.count,
            found.plan.commands(),
            found.certificate.runs,
            finding.shrinking.as_secs_f64(),
            text::out_of_budget(&found.certificate),
            found.rates(),
        );
        console.text(text::indented(&found.certificate));
        if let Some(path) = &finding.path {
            say!(console, "reproduce: unstale replay {}", path.display());
        }
    }
    for unsure in &explored.unsure {
        say!(console, "\n{unsure}");
        console.text(text::report(&unsure.plan, &unsure.run.history, unsure.run.violation()));
    }
    for unwritten in &explored.unwritten {
        say!(console, "\nnot written: {unwritten}");
    }
    if explored.threads_given_up > 0 {
        say!(console, "\n{}", text::given_up(explored.threads_given_up));
    }
    say!(console, "\n{}", text::coverage(&explored.coverage, subject.backend()));
    let coverage = &explored.coverage;
    let seconds = explored.took.as_secs_f64();
    say!(console, "{} plans, {} commands in {seconds:.1} s{}", coverage.plans, coverage.commands, stopped(explored));
    match status {
        Status::Pass => say!(console, "pass: no invariant broke"),
        Status::Violation => say!(console, "violation: {} distinct", explored.findings.len()),
        Status::Interrupted => say!(console, "interrupted: no invariant broke until then"),
        Status::Inconclusive => {
            say!(console, "inconclusive:");
            for gap in coverage.gaps(subject.capabilities()) {
                say!(console, "  {gap}");
            }
            for unsure in &explored.unsure {
                say!(console, "  {unsure}");
            }
            if let Some(why) = &coverage.first_inconclusive {
                say!(console, "  {} plans were inconclusive, the first: {why}", coverage.inconclusive);
            }
        }
    }
    if let Some(path) = explored.findings.iter().find_map(|finding| finding.path.as_ref()) {
        say!(console, "unstale replay {}", path.display());
    } else if !explored.unwritten.is_empty() {
        say!(console, "save a plan from above as plan.toml, and: unstale replay plan.toml");
    }
}

fn stopped(explored: &Explored) -> &'static str {
    if explored.interrupted {
        ", interrupted"
    } else if explored.threads_given_up >= THREADS_GIVEN_UP_MAX {
        ", stopped because too many threads are blocked"
    } else {
        ""
    }
}

/// The JSON value of one exploration.
#[derive(Serialize)]
pub(crate) struct Json {
    verdict: Status,
    interrupted: bool,
    plans: u64,
    commands: u64,
    seconds: f64,
    violations: Vec<JsonViolation>,
    unsure: Vec<String>,
    unwritten: Vec<String>,
    threads_given_up: u64,
    gaps: Vec<String>,
    sometimes: BTreeMap<&'static str, u64>,
    fault_phase: BTreeMap<String, BTreeMap<&'static str, u64>>,
}

#[derive(Serialize)]
struct JsonViolation {
    invariant: String,
    count: u64,
    commands: usize,
    plan: Option<String>,
    fingerprint: String,
    after_plans: u64,
    after_seconds: f64,
    shrink_seconds: f64,
    reproduced: (u32, u32),
    given: (u32, u32),
}

impl Json {
    /// The value of this exploration, whose verdict is given.
    pub(crate) fn of(subject: &dyn Subject, explored: &Explored, verdict: Status) -> Self {
        let mut fault_phase: BTreeMap<_, BTreeMap<_, _>> = BTreeMap::new();
        for ((row, column), count) in &explored.coverage.landed {
            fault_phase.entry(row.clone()).or_default().insert(*column, *count);
        }
        Self {
            verdict,
            interrupted: explored.interrupted,
            plans: explored.coverage.plans,
            commands: explored.coverage.commands,
            seconds: explored.took.as_secs_f64(),
            violations: explored.findings.iter().map(JsonViolation::of).collect(),
            unsure: explored.unsure.iter().map(ToString::to_string).collect(),
            unwritten: explored.unwritten.clone(),
            threads_given_up: explored.threads_given_up,
            gaps: explored.coverage.gaps(subject.capabilities()),
            sometimes: explored.coverage.sometimes().collect(),
            fault_phase,
        }
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
            fingerprint: finding.fingerprint.clone(),
            after_plans: finding.after_plans,
            after_seconds: finding.after.as_secs_f64(),
            shrink_seconds: finding.shrinking.as_secs_f64(),
            reproduced: (found.reproduced.hits, found.reproduced.runs),
            given: (found.given.hits, found.given.runs),
        }
    }
}
