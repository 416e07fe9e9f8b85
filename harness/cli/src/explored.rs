//! The results of an exploration, as text and as JSON.
//!
//! Owns the wording and the fields. The verdict is given.

use std::path::Path;

use serde::Serialize;
use unstale_harness::chain::Subject;
use unstale_harness::explore::{CauseFound, Explored, Finding, THREADS_GIVEN_UP_MAX, Unsure};
use unstale_harness::shrink::Rate;

use crate::console::{Console, say};
use crate::status::Status;
use crate::{coverage, text};

/// The end of an exploration: its verdict, and what it rests on.
pub(crate) struct Outcome<'a> {
    pub(crate) subject: &'a dyn Subject,
    pub(crate) explored: &'a Explored,
    pub(crate) status: Status,
    /// A line for each requirement that was not reached.
    pub(crate) unmet: &'a [String],
}

/// So many causes are shown in full.
const SHOWN_MAX: usize = 3;

/// Prints the causes, findings, the coverage and the verdict: all of it, or what fits a screen.
pub(crate) fn print(outcome: &Outcome<'_>, all: bool, console: &Console) {
    let Outcome { subject, explored, .. } = outcome;
    let causes = explored.causes();
    if explored.findings.len() > 1 {
        console.text(format!("\n{}", table(&causes)));
    }
    for (at, cause) in causes.iter().enumerate().take(if all { usize::MAX } else { SHOWN_MAX }) {
        for finding in cause.faces.iter().take(if all { usize::MAX } else { 1 }) {
            let found = &finding.counterexample;
            say!(console, "\n── {} of {}: {} ──", at + 1, causes.len(), finding.fingerprint);
            console.text(text::report(&found.plan, &found.run.history, Some(&found.violation)));
            console.text(about(finding, all));
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
    let covered = if all { coverage::text } else { coverage::missing };
    say!(console, "\n{}", covered(&explored.coverage, *subject));
    console.text(verdict(outcome));
    let written = |finding: &Finding| Some(replay(finding.path.as_ref()?, finding.counterexample.reproduced));
    let unsure = |unsure: &Unsure| {
        let Unsure { runs, kept, .. } = unsure;
        Some(replay(kept.as_ref().ok()?, Rate { hits: 0, runs: *runs }))
    };
    let first = causes.iter().flat_map(|cause| cause.faces.iter().copied());
    let commands = first.filter_map(written).chain(explored.unsure.iter().filter_map(unsure));
    if let Some(command) = commands.into_iter().next() {
        say!(console, "{command}");
    } else if !explored.unwritten.is_empty() {
        say!(console, "save a plan from above as plan.toml, and: unstale replay plan.toml");
    }
}

/// A line for each cause.
fn table(causes: &[CauseFound<'_>]) -> String {
    let named: Vec<String> = causes.iter().map(|found| found.cause.to_string()).collect();
    let width = named.iter().map(String::len).max().unwrap_or(0);
    let head = format!("    {:width$}  {:>9}  {:>5}  {}\n", "cause", "plans", "faces", "shortest");
    named.iter().zip(causes).enumerate().fold(head, |text, (at, (name, found))| {
        let shortest = found.faces.first().map_or(0, |face| face.counterexample.plan.commands());
        let commands = if shortest == 1 { "command" } else { "commands" };
        let CauseFound { plans, faces, .. } = found;
        format!("{text}{:>2}  {name:width$}  {plans:>9}  {:>5}  {shortest} {commands}\n", at + 1, faces.len())
    })
}

/// The parts of a report: the verdict, each finding with its plan, what broke once, and what was covered.
pub(crate) fn sections(outcome: &Outcome<'_>) -> Vec<(String, String)> {
    let Outcome { subject, explored, .. } = outcome;
    let name = subject.name();
    let finding = |finding: &Finding| {
        let found = &finding.counterexample;
        let picture = text::plain_report(&found.plan, &found.run.history, Some(&found.violation));
        let replay = match &finding.path {
            Some(_) => String::new(),
            None => format!("reproduce: save the plan as plan.toml, and: unstale replay plan.toml --system {name}\n"),
        };
        let plan = text::plan_of(&found.plan, name);
        (finding.fingerprint.clone(), format!("{picture}\n{}{replay}\n{plan}", about(finding, true)))
    };
    let unsure = |unsure: &Unsure| {
        let picture = text::plain_report(&unsure.plan, &unsure.run.history, unsure.run.violation());
        let title = format!("broke {} once and not again in {} runs", unsure.invariant, unsure.runs);
        (title, format!("{picture}\n{}", text::plan_of(&unsure.plan, name)))
    };
    let first = (format!("verdict on {name}"), verdict(outcome));
    let last = (format!("coverage of {name}"), coverage::text(&explored.coverage, *subject));
    let causes = explored.causes();
    let listed = (!causes.is_empty()).then(|| (format!("causes in {name}"), table(&causes)));
    let faces = causes.iter().flat_map(|cause| cause.faces.iter().copied());
    let all = [first].into_iter().chain(listed).chain(faces.map(finding));
    all.chain(explored.unsure.iter().map(unsure)).chain([last]).collect()
}

/// The command that runs a plan again, often enough to see it break.
fn replay(path: &Path, rate: Rate) -> String {
    let times = if rate.is_steady() { String::new() } else { format!(" --times {}", rate.runs_to_see_it()) };
    format!("unstale replay {}{times}", path.display())
}

/// What is known of a finding beside its picture: how it was found and shrunk, perhaps what that has tried, and how to run it
/// again.
fn about(finding: &Finding, all: bool) -> String {
    let found = &finding.counterexample;
    let mut about = format!(
        "found after {} plans and {:.1} s, in {} plans; {} commands, shrunk with {} runs in {:.1} s{}; {}\n",
        finding.after_plans,
        finding.after.as_secs_f64(),
        finding.count,
        found.plan.commands(),
        found.certificate.runs,
        finding.shrinking.as_secs_f64(),
        text::out_of_budget(&found.certificate),
        found.rates(),
    );
    if all {
        about += &text::indented(&found.certificate);
    }
    if let Some(path) = finding.path.as_ref().filter(|_| !found.certificate.complete) {
        about += &format!("shrink it further: unstale shrink {} --for 5m\n", path.display());
    }
    if let Some(path) = &finding.path {
        about += &format!("reproduce: {}\n", replay(path, found.reproduced));
    }
    about
}

/// How much was run, and what it comes to.
fn verdict(outcome: &Outcome<'_>) -> String {
    let Outcome { subject, explored, status, unmet } = outcome;
    let coverage = &explored.coverage;
    let seconds = explored.took.as_secs_f64();
    let stopped = stopped(explored);
    let ran = format!("{} plans, {} commands in {seconds:.1} s{stopped}\n", coverage.plans, coverage.commands);
    let came_to = match status {
        Status::Pass => "pass: no invariant broke\n".to_owned(),
        Status::Violation => violation(explored),
        Status::Interrupted => "interrupted: no invariant broke until then\n".to_owned(),
        Status::Inconclusive => {
            let gaps = coverage.gaps(subject.capabilities());
            let unsure = explored.unsure.iter().map(ToString::to_string);
            let inconclusive = coverage.first_inconclusive.iter().map(|why| match coverage.inconclusive {
                1 => format!("a plan was inconclusive: {why}"),
                count => format!("{count} plans were inconclusive, the first: {why}"),
            });
            let all = gaps.into_iter().chain(unmet.iter().cloned()).chain(unsure).chain(inconclusive);
            all.fold("inconclusive:\n".to_owned(), |text, why| format!("{text}  {why}\n"))
        }
    };
    ran + &came_to
}

fn violation(explored: &Explored) -> String {
    let (faces, causes) = (explored.findings.len(), explored.causes().len());
    match (faces, causes) {
        (1, _) => "violation: 1 distinct\n".to_owned(),
        (faces, 1) => format!("violation: {faces} distinct, of one cause\n"),
        (faces, causes) => format!("violation: {faces} distinct, of {causes} causes\n"),
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
    seconds: f64,
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
        let Outcome { subject, explored, status, unmet } = outcome;
        Self {
            verdict: *status,
            interrupted: explored.interrupted,
            seconds: explored.took.as_secs_f64(),
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
