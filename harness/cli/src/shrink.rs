//! `shrink`: the plan of a file, as small as possible.

use std::cell::Cell;
use std::time::{Duration, Instant};

use serde::Serialize;
use unstale_harness::oracle::Verdict;
use unstale_harness::plan::{Expectation, PlanFile};
use unstale_harness::report::Section;
use unstale_harness::shrink::{Budget, Counterexample, NotAgain, Shrinking, shrink as search};

use crate::args::Shrink;
use crate::console::{Console, say};
use crate::error::CommandError;
use crate::files::{self, ReportFile};
use crate::progress::ProgressLine;
use crate::status::Status;
use crate::{interrupt, pinned, systems, text};

/// How long the measurement at the end may go on after the time for shrinking is over.
const MEASURING_MAX: Duration = Duration::from_secs(30);

#[derive(Serialize)]
struct Json {
    verdict: String,
    commands_before: usize,
    commands: Option<usize>,
    runs: Option<u32>,
    complete: Option<bool>,
    reproduced: Option<(u32, u32)>,
    /// How often the plan of the file broke.
    given: Option<(u32, u32)>,
    certificate: Vec<String>,
    plan: Option<String>,
    /// The plan itself, if it could not be written, with the reason.
    unwritten: Option<String>,
}

/// Runs `shrink`.
///
/// # Errors
/// The file cannot be read, or its plan makes no sense for the system, or the folder or the report could not be written.
pub(crate) fn shrink(options: &Shrink, console: &Console) -> Result<Status, CommandError> {
    let file = files::plan(&options.file)?;
    let subject = pinned::subject(&file, options.system.as_deref(), &options.file)?;
    let chain = pinned::admitted(subject, &file, &options.file)?;
    files::check_folder(&options.out)?;
    let report = ReportFile::check(options.report.as_deref())?;
    systems::start_server_of(subject)?;
    let first = chain.run(&file.plan);
    let Some(violation) = first.violation() else {
        let status = if first.judgement.verdict == Verdict::Pass { Status::Pass } else { Status::Inconclusive };
        nothing(options, &file, &pinned::verdict(&first.judgement.verdict), console);
        return Ok(status);
    };
    let begun = Instant::now();
    let is_over = || begun.elapsed() > options.time || interrupt::is_requested();
    let is_stopped = || begun.elapsed() > options.time + MEASURING_MAX || interrupt::is_requested();
    let line = ProgressLine::begin(console, options.json);
    let smallest = Cell::new(usize::MAX);
    let progress = |now: Shrinking| {
        let text = text::shrinking(now);
        if now.commands < smallest.replace(now.commands) { line.tell_news(&text) } else { line.tell(&text) }
    };
    let budget = Budget { runs: u32::MAX, is_over: &is_over, is_stopped: &is_stopped, progress: &progress };
    let found = search(&chain, &file.plan, violation.invariant, budget);
    drop(line);
    let found = match found {
        Ok(found) => found,
        Err(NotAgain { runs }) => {
            let invariant = violation.invariant;
            let (status, why) = if interrupt::is_requested() {
                (Status::Interrupted, format!("interrupted before {invariant} broke again"))
            } else {
                (Status::Inconclusive, format!("inconclusive: {invariant} broke once and not again in {runs} runs"))
            };
            nothing(options, &file, &why, console);
            return Ok(status);
        }
    };
    let smaller = PlanFile {
        plan: found.plan.clone(),
        system: Some(subject.name().to_owned()),
        expect: Some(Expectation::Violation(found.violation.invariant)),
        origin: Some(format!("shrunk from {}", options.file.display())),
        recorded: found.run.history.trace(),
    };
    let stem = options.file.file_stem().map_or("plan".into(), |stem| stem.to_string_lossy());
    let name = format!("{stem}-minimal.toml");
    let written = files::write_plan(&options.out, &name, &smaller);
    if options.json {
        console.json(&json(&file, &found, written));
    } else {
        print(&file, &found, written, console);
    }
    report.write(console, "unstale shrink", || {
        let picture = text::plain_report(&found.plan, &found.run.history, Some(&found.violation));
        let text = format!("{picture}\n{}\n\n{smaller}", found.rates());
        let drawing = Some(text::drawing(&found.plan, &found.run.history, Some(&found.violation)));
        let certificate = Section { title: "certificate".into(), drawing: None, text: found.certificate.to_string() };
        vec![Section { title: name, drawing, text }, certificate]
    });
    Ok(Status::Violation)
}

fn print(file: &PlanFile, found: &Counterexample, written: Result<String, String>, console: &Console) {
    console.text(text::report(&found.plan, &found.run.history, Some(&found.violation)));
    say!(
        console,
        "{} → {} commands with {} runs{}; {}",
        file.plan.commands(),
        found.plan.commands(),
        found.certificate.runs,
        text::out_of_budget(&found.certificate),
        found.rates(),
    );
    console.text(text::indented(&found.certificate));
    match written {
        Ok(path) => say!(console, "unstale replay {path}"),
        Err(why) => {
            say!(console, "not written: {why}");
            say!(console, "save it as plan.toml, and: unstale replay plan.toml");
        }
    }
}

fn json(file: &PlanFile, found: &Counterexample, written: Result<String, String>) -> Json {
    let (plan, unwritten) = written.map_or_else(|why| (None, Some(why)), |path| (Some(path), None));
    Json {
        verdict: format!("violation of {}", found.violation.invariant),
        commands_before: file.plan.commands(),
        commands: Some(found.plan.commands()),
        runs: Some(found.certificate.runs),
        complete: Some(found.certificate.complete),
        reproduced: Some((found.reproduced.hits, found.reproduced.runs)),
        given: Some((found.given.hits, found.given.runs)),
        certificate: found.certificate.to_string().lines().map(str::to_owned).collect(),
        plan,
        unwritten,
    }
}

fn nothing(options: &Shrink, file: &PlanFile, verdict: &str, console: &Console) {
    if !options.json {
        say!(console, "nothing to shrink: {verdict}");
        return;
    }
    console.json(&Json {
        verdict: verdict.to_owned(),
        commands_before: file.plan.commands(),
        commands: None,
        runs: None,
        complete: None,
        reproduced: None,
        given: None,
        certificate: Vec::new(),
        plan: None,
        unwritten: None,
    });
}
