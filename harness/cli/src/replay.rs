//! `replay`: the plan of a file, run again and compared with what was recorded.

use serde::Serialize;
use unstale_harness::chain::Chain;
use unstale_harness::oracle::{Invariant, Verdict};
use unstale_harness::plan::PlanFile;
use unstale_harness::scenario::{self, Replay};
use unstale_harness::worker::threads_given_up;

use crate::args::Replay as Options;
use crate::console::{Console, say};
use crate::error::CommandError;
use crate::files::{self, ReportFile};
use crate::status::Status;
use crate::{interrupt, pinned, systems, text};

#[derive(Serialize)]
struct Json {
    file: String,
    verdict: String,
    agreed: (u32, u32),
    interrupted: bool,
    divergence: Option<String>,
    not_landed: Vec<String>,
}

/// Runs `replay`.
///
/// # Errors
/// The file cannot be read, or its plan makes no sense for the system, or the report could not be written.
pub(crate) fn replay(options: &Options, console: &Console) -> Result<Status, CommandError> {
    let file = files::plan(&options.file)?;
    let subject = pinned::subject(&file, options.system.as_deref(), &options.file)?;
    let chain = pinned::admitted(subject, &file, &options.file)?;
    let report = ReportFile::check(options.report.as_deref())?;
    systems::start_server_of(subject)?;
    let again = run_until_interrupted(&chain, &file, options.times);
    let interrupted = again.agreed.1 < options.times;
    let status = status(&again, interrupted);
    let violation = again.run.violation();
    if options.json {
        console.json(&json(options, &again, status, interrupted));
    } else {
        console.text(text::report(&file.plan, &again.run.history, violation));
        print(options, &file, &again, interrupted, console);
        if status != Status::Pass {
            say!(console, "unstale replay {} --system {}", options.file.display(), subject.name());
        }
    }
    report.write(console, "unstale replay", || {
        let text = text::plain_report(&file.plan, &again.run.history, violation);
        vec![(options.file.display().to_string(), text)]
    });
    Ok(status)
}

/// Runs the plan so many times, or fewer if that is interrupted, but at least once. The last run is reported.
fn run_until_interrupted(chain: &Chain<'_>, file: &PlanFile, times: u32) -> Replay {
    let mut last = scenario::replay(chain, file, 1);
    let mut broken = vec![broken_by(&last)];
    while u32::try_from(broken.len()).unwrap_or(u32::MAX) < times && !interrupt::is_requested() {
        last = scenario::replay(chain, file, 1);
        broken.push(broken_by(&last));
    }
    let count = |agreed: usize| u32::try_from(agreed).unwrap_or(u32::MAX);
    let agreed = broken.iter().filter(|other| **other == broken_by(&last)).count();
    Replay { agreed: (count(agreed), count(broken.len())), ..last }
}

/// What two runs that agree have in common: the invariant that broke, if one did; none if the run proves nothing.
fn broken_by(replay: &Replay) -> Option<Option<Invariant>> {
    match &replay.run.judgement.verdict {
        Verdict::Pass => Some(None),
        Verdict::Violation(violation) => Some(Some(violation.invariant)),
        Verdict::Inconclusive(_) => None,
    }
}

fn print(options: &Options, file: &PlanFile, again: &Replay, interrupted: bool, console: &Console) {
    let (agreed, times) = again.agreed;
    say!(console, "{}: {agreed} of {times} runs", pinned::verdict(&again.run.judgement.verdict));
    if interrupted {
        say!(console, "interrupted: {times} of {} runs were done", options.times);
    }
    if let Some(divergence) = &again.divergence {
        say!(console, "diverged from what was recorded at {divergence}");
    } else if !file.recorded.is_empty() {
        say!(console, "every step as recorded");
    }
    for fault in &again.not_landed {
        say!(console, "did not land: {fault}");
    }
    if threads_given_up() > 0 {
        say!(console, "{}", text::given_up(threads_given_up()));
    }
}

fn status(again: &Replay, interrupted: bool) -> Status {
    match &again.run.judgement.verdict {
        Verdict::Violation(_) => Status::Violation,
        _ if interrupted => Status::Interrupted,
        Verdict::Pass if again.not_landed.is_empty() => Status::Pass,
        Verdict::Pass | Verdict::Inconclusive(_) => Status::Inconclusive,
    }
}

fn json(options: &Options, again: &Replay, status: Status, interrupted: bool) -> Json {
    let verdict = match status {
        Status::Interrupted => status.to_string(),
        _ => pinned::verdict(&again.run.judgement.verdict),
    };
    Json {
        file: options.file.display().to_string(),
        verdict,
        agreed: again.agreed,
        interrupted,
        divergence: again.divergence.clone(),
        not_landed: again.not_landed.clone(),
    }
}
