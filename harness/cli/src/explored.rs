//! The results of an exploration, as text.
//!
//! Owns the wording, and what of it fits a screen. The verdict is given; the fields of the JSON are [`crate::explored_json`]'s.

use std::path::Path;

use unstale_harness::chain::Subject;
use unstale_harness::explore::{CauseFound, Explored, Finding, THREADS_GIVEN_UP_MAX, Unsure};
use unstale_harness::report::{CauseRow, Section, causes_table};
use unstale_harness::shrink::Rate;

use crate::console::{Console, say};
use crate::status::Status;
use crate::{coverage, text};

/// The end of an exploration: its verdict, and what it rests on.
pub(crate) struct Outcome<'a> {
    pub(crate) subject: &'a dyn Subject,
    pub(crate) explored: &'a Explored,
    pub(crate) status: Status,
    /// Whether nothing ended it before its budget: what was not seen then is not there any more.
    pub(crate) is_whole: bool,
    /// A line for each requirement that was not reached.
    pub(crate) unmet: &'a [String],
}

/// So many causes are shown in full.
const SHOWN_MAX: usize = 3;

/// Prints the causes, findings, the coverage and the verdict: all of it, or what fits a screen.
pub(crate) fn print(outcome: &Outcome<'_>, all: bool, console: &Console) {
    let Outcome { subject, explored, .. } = outcome;
    let causes = explored.causes();
    if !causes.is_empty() {
        console.text(format!("\n{}", table(&causes)));
    }
    if !explored.known.is_empty() {
        console.text(format!("\n{}", known(outcome)));
    }
    for (at, cause) in causes.iter().enumerate() {
        if all {
            cause.faces.iter().for_each(|finding| print_finding(finding, at + 1, causes.len(), console));
        } else if let Some(finding) = cause.faces.first() {
            print_briefly(finding, at + 1, causes.len(), console);
        }
    }
    for unsure in &explored.unsure {
        say!(console, "\n{unsure}");
        // Beside findings that break again it is of less weight.
        if all || causes.is_empty() {
            console.text(text::report(&unsure.plan, &unsure.run.history, unsure.run.violation()));
        }
    }
    for unwritten in &explored.unwritten {
        say!(console, "\nnot written: {unwritten}");
    }
    if explored.threads_given_up > 0 {
        say!(console, "\n{}", text::given_up(explored.threads_given_up));
    }
    if all {
        say!(console, "\n{}", coverage::text(&explored.coverage, *subject));
    } else {
        console.text(format!("\n{}", coverage::missing(&explored.coverage, *subject, !causes.is_empty())));
        let folder = causes.iter().flat_map(|cause| &cause.faces).find_map(|finding| finding.path.as_ref()?.parent());
        let plans = folder.map_or_else(String::new, |folder| format!("; their plans are in {}", folder.display()));
        say!(console, "`--all` prints every finding and the whole coverage{plans}");
    }
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

/// Prints a finding with all that is known of it.
fn print_finding(finding: &Finding, at: usize, of: usize, console: &Console) {
    let found = &finding.counterexample;
    say!(console, "\n── {at} of {of}: {} ──", finding.fingerprint);
    console.text(text::report(&found.plan, &found.run.history, Some(&found.violation)));
    console.text(about(finding));
}

/// Prints the shortest finding of a cause, without what `--all` adds; of a cause that few plans met, only how to run it.
fn print_briefly(finding: &Finding, at: usize, of: usize, console: &Console) {
    let Finding { counterexample: found, cause, path, .. } = finding;
    let again = path.as_ref().map(|path| replay(path, found.reproduced));
    if at > SHOWN_MAX {
        let gap = if at == SHOWN_MAX + 1 { "\n" } else { "" };
        return say!(console, "{gap}{at:>2}  {}", again.unwrap_or_else(|| finding.fingerprint.clone()));
    }
    say!(console, "\n── {at} of {of}: {cause} ──");
    console.text(text::brief_report(&found.plan, &found.run.history, &found.violation));
    if let Some(path) = path.as_ref().filter(|_| !found.certificate.complete) {
        say!(console, "shrink it further: unstale shrink {} --for 5m", path.display());
    }
    if let Some(again) = again {
        say!(console, "{again} ({})", found.rates());
    }
}

/// A line for each cause.
fn table(causes: &[CauseFound<'_>]) -> String {
    let rows = causes.iter().map(|found| {
        let commands = found.faces.first().map_or(0, |face| face.counterexample.plan.commands());
        CauseRow { cause: found.cause.to_string(), plans: found.plans, faces: found.faces.len(), commands }
    });
    causes_table(&rows.collect::<Vec<_>>())
}

/// A line for each cause that was known before.
fn known(outcome: &Outcome<'_>) -> String {
    let Outcome { explored, is_whole, .. } = outcome;
    explored.known.iter().fold("    known causes\n".to_owned(), |text, found| match found.plans {
        0 if *is_whole => format!("{text}    {}; known: {}, no longer seen\n", found.known.cause, found.known.reported),
        _ => format!("{text}    {found}\n"),
    })
}

/// The parts of a report: the verdict, each cause with its drawing, each finding with its plan, what broke once, and what was
/// covered.
pub(crate) fn sections(outcome: &Outcome<'_>) -> Vec<Section> {
    let Outcome { subject, explored, .. } = outcome;
    let name = subject.name();
    let plain = |title: String, text: String| Section { title, drawing: None, text };
    let mut all = vec![plain(format!("verdict on {name}"), verdict(outcome))];
    let causes = explored.causes();
    if !causes.is_empty() {
        all.push(plain(format!("causes in {name}"), table(&causes)));
    }
    if !explored.known.is_empty() {
        all.push(plain(format!("known causes in {name}"), known(outcome)));
    }
    for (at, cause) in causes.iter().enumerate() {
        let faces = cause.faces.iter().enumerate();
        all.extend(faces.map(|(face, finding)| section(finding, (at + 1, face + 1, cause.faces.len()), name)));
    }
    for unsure in &explored.unsure {
        let picture = text::plain_report(&unsure.plan, &unsure.run.history, unsure.run.violation());
        let title = format!("broke {} once and not again in {} runs", unsure.invariant, unsure.runs);
        all.push(plain(title, format!("{picture}\n{}", text::plan_of(&unsure.plan, name))));
    }
    all.push(plain(format!("coverage of {name}"), coverage::text(&explored.coverage, *subject)));
    all
}

/// A finding: the number of its cause, its own, and of how many. The first of a cause has the drawing.
fn section(finding: &Finding, (cause, face, faces): (usize, usize, usize), name: &str) -> Section {
    let found = &finding.counterexample;
    let picture = text::plain_report(&found.plan, &found.run.history, Some(&found.violation));
    let replay = match &finding.path {
        Some(_) => String::new(),
        None => format!("reproduce: save the plan as plan.toml, and: unstale replay plan.toml --system {name}\n"),
    };
    let is_first = face == 1;
    let title = if is_first {
        format!("{cause}. {}", finding.cause)
    } else {
        format!("{cause}. face {face} of {faces}: {}", finding.fingerprint)
    };
    let drawing = is_first.then(|| text::drawing(&found.plan, &found.run.history, Some(&found.violation)));
    let (about, plan) = (about(finding), text::plan_of(&found.plan, name));
    Section { title, drawing, text: format!("{}\n\n{picture}\n{about}{replay}\n{plan}", finding.fingerprint) }
}

/// The command that runs a plan again, often enough to see it break.
fn replay(path: &Path, rate: Rate) -> String {
    let times = if rate.is_steady() { String::new() } else { format!(" --times {}", rate.runs_to_see_it()) };
    format!("unstale replay {}{times}", path.display())
}

/// What is known of a finding beside its picture: how it was found and shrunk, what that has tried, and how to run it again.
fn about(finding: &Finding) -> String {
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
    about += &text::indented(&found.certificate);
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
    let Outcome { subject, explored, status, unmet, .. } = outcome;
    let coverage = &explored.coverage;
    let seconds = explored.took.as_secs_f64();
    let stopped = stopped(explored);
    let ran = format!("{} plans, {} commands in {seconds:.1} s{stopped}\n", coverage.plans, coverage.commands);
    let came_to = match status {
        Status::Pass if met_known(explored) > 0 => {
            format!("pass: nothing broke but what is known, in {} plans\n", met_known(explored))
        }
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

/// How many plans broke by what was known before.
fn met_known(explored: &Explored) -> u64 {
    explored.known.iter().map(|found| found.plans).sum()
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
