//! `replay`: the plan of a file, run again and compared with what was recorded.

use serde::Serialize;
use unstale_harness::chain::Chain;
use unstale_harness::oracle::Verdict;
use unstale_harness::plan::PlanFile;
use unstale_harness::report::Section;
use unstale_harness::scenario::{Replay, Replays};
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
    let replayed = run_until_interrupted(&chain, &file, options.times);
    let interrupted = replayed.agreed.1 < options.times;
    let status = status(&replayed, interrupted);
    let violation = replayed.run.violation();
    if options.json {
        console.json(&json(options, &replayed, status, interrupted));
    } else {
        console.text(text::report(&file.plan, &replayed.run.history, violation));
        print(options, &file, &replayed, interrupted, console);
        if status != Status::Pass {
            say!(console, "unstale replay {} --system {}", options.file.display(), subject.name());
        }
    }
    report.write(console, "unstale replay", || {
        let picture = text::plain_report(&file.plan, &replayed.run.history, violation);
        let (agreed, times) = replayed.agreed;
        let verdict = pinned::verdict(&replayed.run.judgement.verdict);
        let again = format!("unstale replay {} --system {}", options.file.display(), subject.name());
        let text = format!("{picture}\n{verdict}: {agreed} of {times} runs\n{again}\n\n{file}");
        let drawing = Some(text::drawing(&file.plan, &replayed.run.history, violation));
        vec![Section { title: options.file.display().to_string(), drawing, text }]
    });
    Ok(status)
}

/// Runs the plan so many times, or fewer if that is interrupted, but at least once.
fn run_until_interrupted(chain: &Chain<'_>, file: &PlanFile, times: u32) -> Replay {
    let mut replays = Replays::begin(chain, file);
    while replays.runs < times && !interrupt::is_requested() {
        replays.run_again();
    }
    replays.end()
}

fn print(options: &Options, file: &PlanFile, replayed: &Replay, interrupted: bool, console: &Console) {
    let (agreed, times) = replayed.agreed;
    say!(console, "{}: {agreed} of {times} runs", pinned::verdict(&replayed.run.judgement.verdict));
    if interrupted {
        say!(console, "interrupted: {times} of {} runs were done", options.times);
    }
    if let Some(divergence) = &replayed.divergence {
        say!(console, "diverged from what was recorded at {divergence}");
    } else if !file.recorded.is_empty() {
        say!(console, "every step as recorded");
    }
    for fault in &replayed.not_landed {
        say!(console, "did not land: {fault}");
    }
    if threads_given_up() > 0 {
        say!(console, "{}", text::given_up(threads_given_up()));
    }
}

fn status(replayed: &Replay, interrupted: bool) -> Status {
    match &replayed.run.judgement.verdict {
        Verdict::Violation(_) => Status::Violation,
        _ if interrupted => Status::Interrupted,
        Verdict::Pass if replayed.not_landed.is_empty() => Status::Pass,
        Verdict::Pass | Verdict::Inconclusive(_) => Status::Inconclusive,
    }
}

fn json(options: &Options, replayed: &Replay, status: Status, interrupted: bool) -> Json {
    let verdict = match status {
        Status::Interrupted => status.to_string(),
        _ => pinned::verdict(&replayed.run.judgement.verdict),
    };
    Json {
        file: options.file.display().to_string(),
        verdict,
        agreed: replayed.agreed,
        interrupted,
        divergence: replayed.divergence.clone(),
        not_landed: replayed.not_landed.clone(),
    }
}
