//! `shrink`: the plan of a file, as small as it gets.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::ProgressBar;
use serde::Serialize;
use unstale_harness::explore::write_atomically;
use unstale_harness::oracle::Verdict;
use unstale_harness::plan::{Expectation, PlanFile};
use unstale_harness::shrink::{Budget, Counterexample, Shrinking, shrink as search};

use crate::args::Shrink;
use crate::{CommandError, Status, output, pinned};

#[derive(Serialize)]
struct Json {
    verdict: String,
    commands_before: usize,
    commands: Option<usize>,
    runs: Option<u32>,
    complete: Option<bool>,
    reproduced: Option<(u32, u32)>,
    certificate: Vec<String>,
    plan: Option<String>,
    /// The plan itself, if it could not be written, with the reason.
    unwritten: Option<String>,
}

/// Runs `shrink`.
///
/// # Errors
/// The file cannot be read, or its plan makes no sense for the system, or the report cannot be written.
pub(crate) fn shrink(options: &Shrink) -> Result<Status, CommandError> {
    let file = PlanFile::read(&options.file)?;
    let subject = pinned::subject(&file, options.system.as_deref(), &options.file)?;
    let chain = pinned::admitted(subject, &file, &options.file)?;
    let first = chain.run(&file.plan);
    let Some(violation) = first.violation() else {
        let status = if first.judgement.verdict == Verdict::Pass { Status::Pass } else { Status::Inconclusive };
        nothing(options, &file, &pinned::verdict(&first.judgement.verdict));
        return Ok(status);
    };
    let begun = Instant::now();
    let is_over = || begun.elapsed() > options.time;
    let progress = Told::new(!options.json);
    let budget = Budget { runs: u32::MAX, is_over: &is_over, progress: &|now| progress.tell(now) };
    let found = search(&chain, &file.plan, violation.invariant, budget);
    progress.bar.finish_and_clear();
    let Some(found) = found else {
        nothing(options, &file, &format!("inconclusive: {} broke once and not again", violation.invariant));
        return Ok(Status::Inconclusive);
    };
    let smaller = PlanFile {
        plan: found.plan.clone(),
        system: Some(subject.name().to_owned()),
        expect: Some(Expectation::Violation(found.violation.invariant)),
        origin: Some(format!("shrunk from {}", options.file.display())),
        recorded: found.run.history.trace(),
    };
    let name = format!("{}-minimal.toml", options.file.file_stem().map_or("plan".into(), |it| it.to_string_lossy()));
    let written = write_atomically(&options.out, &name, &smaller.to_string())
        .map(|path| path.display().to_string())
        .map_err(|error| format!("{}: {error}; the plan was:\n{smaller}", options.out.join(&name).display()));
    if options.json {
        output::json(&json(&file, &found, written));
    } else {
        print(&file, &found, written);
    }
    if let Some(path) = &options.report {
        let text = output::plain_report(&found.plan, &found.run.history, Some(&found.violation));
        let sections = [(name, text), ("certificate".into(), found.certificate.to_string())];
        output::write_html(path, "unstale shrink", &sections)?;
    }
    Ok(Status::Violation)
}

fn print(file: &PlanFile, found: &Counterexample, written: Result<String, String>) {
    print!("{}", output::report(&found.plan, &found.run.history, Some(&found.violation)));
    let (hits, runs) = found.reproduced;
    println!(
        "{} → {} commands with {} runs{}; replays {hits} of {runs}",
        file.plan.commands(),
        found.plan.commands(),
        found.certificate.runs,
        output::out_of_budget(&found.certificate),
    );
    print!("{}", output::indented(&found.certificate));
    match written {
        Ok(path) => println!("unstale replay {path}"),
        Err(why) => {
            println!("not written: {why}");
            println!("save it as plan.toml, and: unstale replay plan.toml");
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
        reproduced: Some(found.reproduced),
        certificate: found.certificate.to_string().lines().map(str::to_owned).collect(),
        plan,
        unwritten,
    }
}

fn nothing(options: &Shrink, file: &PlanFile, verdict: &str) {
    if !options.json {
        println!("nothing to shrink: {verdict}");
        return;
    }
    output::json(&Json {
        verdict: verdict.to_owned(),
        commands_before: file.plan.commands(),
        commands: None,
        runs: None,
        complete: None,
        reproduced: None,
        certificate: Vec::new(),
        plan: None,
        unwritten: None,
    });
}

/// Says how far shrinking has got: a bar on a terminal, a line for each step forward elsewhere.
struct Told {
    bar: ProgressBar,
    lines: bool,
    smallest: std::cell::Cell<usize>,
}

impl Told {
    fn new(aloud: bool) -> Self {
        let terminal = aloud && std::io::stderr().is_terminal();
        let bar = if terminal { ProgressBar::new_spinner() } else { ProgressBar::hidden() };
        bar.enable_steady_tick(Duration::from_millis(100));
        Self { bar, lines: aloud && !terminal, smallest: usize::MAX.into() }
    }

    fn tell(&self, now: Shrinking) {
        self.bar.set_message(output::shrinking(now));
        if self.lines && now.commands < self.smallest.replace(now.commands) {
            println!("  {}", output::shrinking(now));
        }
    }
}
