//! `replay` and `run`: plans from files.

use std::path::Path;

use serde::Serialize;
use unstale_harness::chain::{Chain, Subject};
use unstale_harness::explore::{Exploration, explore};
use unstale_harness::oracle::Verdict;
use unstale_harness::plan::PlanFile;
use unstale_harness::scenario::{Ending, ProfileFile, Replay, Scenario, replay as run_again};
use unstale_harness::worker::threads_given_up;

use crate::args::{Replay as Options, RunScenarios};
use crate::explore::interrupted;
use crate::{CommandError, Status, output, systems};

#[derive(Serialize)]
struct Json {
    file: String,
    verdict: String,
    agreed: (u32, u32),
    divergence: Option<String>,
    not_landed: Vec<String>,
}

/// Runs `replay`.
///
/// # Errors
/// The file cannot be read, or its plan makes no sense for the system.
pub(crate) fn replay(options: &Options) -> Result<Status, CommandError> {
    let file = PlanFile::read(&options.file)?;
    let subject = subject(&file, options.system.as_deref(), &options.file)?;
    let chain = admitted(subject, &file, &options.file)?;
    let again = run_again(&chain, &file, options.times);
    let status = status(&again);
    if options.json {
        output::json(&json(&options.file, &again));
    } else {
        print!("{}", output::report(&file.plan, &again.run.history, again.run.violation()));
        let (agreed, times) = again.agreed;
        println!("{}: {agreed} of {times} runs", verdict(&again.run.judgement.verdict));
        if let Some(divergence) = &again.divergence {
            println!("diverged from what was recorded at {divergence}");
        } else if !file.recorded.is_empty() {
            println!("every step as recorded");
        }
        for it in &again.not_landed {
            println!("did not land: {it}");
        }
        if threads_given_up() > 0 {
            println!("{}", output::given_up(threads_given_up()));
        }
        if status != Status::Pass {
            println!("unstale replay {} --system {}", options.file.display(), subject.name());
        }
    }
    if let Some(path) = &options.report {
        let text = output::plain_report(&file.plan, &again.run.history, again.run.violation());
        output::write_html(path, "unstale replay", &[(options.file.display().to_string(), text)])?;
    }
    Ok(status)
}

/// Runs `run`: each scenario must give its verdict.
///
/// # Errors
/// A file cannot be read, or its plan makes no sense for its system.
pub(crate) fn run(options: &RunScenarios) -> Result<Status, CommandError> {
    let mut failed = 0;
    let mut results = Vec::new();
    for path in &options.files {
        let outcome = match Scenario::read(path)? {
            Scenario::Pinned(file) => {
                let subject = subject(&file, None, path)?;
                let chain = admitted(subject, &file, path)?;
                run_again(&chain, &file, 1).meets(file.expect)
            }
            Scenario::Profile(file) => run_profile(&file)?,
        };
        failed += usize::from(outcome.is_err());
        let text = outcome.err().unwrap_or_else(|| "as expected".into());
        if !options.json {
            println!("{}: {text}", path.display());
        }
        results.push((path.display().to_string(), text));
    }
    if options.json {
        output::json(&results);
    } else {
        println!("{} scenarios, {failed} not as expected", options.files.len());
    }
    Ok(if failed == 0 { Status::Pass } else { Status::Violation })
}

fn run_profile(file: &ProfileFile) -> Result<Result<(), String>, CommandError> {
    let subject = systems::ready(systems::named(&file.system)?)?;
    let exploration = Exploration {
        profile: file.profile.clone(),
        plans: file.plans,
        time: std::time::Duration::from_secs(600),
        ..Exploration::default()
    };
    let explored = explore(subject, &exploration, interrupted(), |_| {});
    let verdict = if !explored.findings.is_empty() || !explored.unsure.is_empty() {
        Ending::Violation
    } else if explored.coverage.gaps(subject.capabilities()).is_empty() && explored.coverage.inconclusive == 0 {
        Ending::Pass
    } else {
        Ending::Inconclusive
    };
    let as_expected = verdict == file.expect;
    Ok(if as_expected { Ok(()) } else { Err(format!("{verdict}, expected {}", file.expect)) })
}

pub(crate) fn subject(file: &PlanFile, given: Option<&str>, path: &Path) -> Result<&'static dyn Subject, CommandError> {
    let missing = || CommandError::Usage(format!("{} names no system: give one with --system", path.display()));
    systems::ready(systems::named(given.or(file.system.as_deref()).ok_or_else(missing)?)?)
}

pub(crate) fn admitted(
    subject: &'static dyn Subject,
    file: &PlanFile,
    path: &Path,
) -> Result<Chain<'static>, CommandError> {
    let chain = Chain::new(subject);
    let inadmissible = |why| CommandError::Inadmissible { file: path.display().to_string(), why };
    chain.admits(&file.plan).map_err(inadmissible)?;
    Ok(chain)
}

fn status(again: &Replay) -> Status {
    match &again.run.judgement.verdict {
        Verdict::Violation(_) => Status::Violation,
        Verdict::Pass if again.not_landed.is_empty() => Status::Pass,
        Verdict::Pass | Verdict::Inconclusive(_) => Status::Inconclusive,
    }
}

pub(crate) fn verdict(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Pass => "pass".into(),
        Verdict::Violation(it) => format!("violation of {}", it.invariant),
        Verdict::Inconclusive(why) => format!("inconclusive: {why}"),
    }
}

fn json(path: &Path, again: &Replay) -> Json {
    Json {
        file: path.display().to_string(),
        verdict: verdict(&again.run.judgement.verdict),
        agreed: again.agreed,
        divergence: again.divergence.clone(),
        not_landed: again.not_landed.clone(),
    }
}
