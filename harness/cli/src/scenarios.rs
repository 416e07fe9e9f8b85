//! `run`: scenario files, each compared with the verdict that it must give.
//!
//! Owns that all files are read and understood before the first one is run.

use std::path::Path;
use std::time::Duration;

use unstale_harness::chain::{Chain, Subject};
use unstale_harness::explore::{Exploration, Explored, explore};
use unstale_harness::plan::PlanFile;
use unstale_harness::scenario::{Ending, ProfileFile, Scenario, replay};
use unstale_harness::system::Capabilities;

use crate::args::RunScenarios;
use crate::console::{Console, say};
use crate::error::CommandError;
use crate::status::Status;
use crate::{files, interrupt, pinned, systems};

/// A profile is explored for as long as its plans take, but no longer than this.
const PROFILE_TIME_MAX: Duration = Duration::from_secs(600);

/// A scenario that is ready to be run.
enum Ready {
    Pinned(Chain<'static>, PlanFile),
    Profile(&'static dyn Subject, ProfileFile),
}

/// Runs `run`.
///
/// # Errors
/// A file cannot be read, or its plan makes no sense for its system.
pub(crate) fn run(options: &RunScenarios, console: &Console) -> Result<Status, CommandError> {
    let ready = options.files.iter().map(|path| prepared(path)).collect::<Result<Vec<_>, _>>()?;
    for scenario in &ready {
        systems::start_server_of(scenario.subject())?;
    }
    let mut failed = 0;
    let mut interrupted = 0;
    let mut results = Vec::new();
    for (path, scenario) in options.files.iter().zip(&ready) {
        let text = match scenario.outcome() {
            None => {
                interrupted += 1;
                "interrupted".into()
            }
            Some(Err(why)) => {
                failed += 1;
                why
            }
            Some(Ok(())) => "as expected".into(),
        };
        if !options.json {
            say!(console, "{}: {text}", path.display());
        }
        results.push((path.display().to_string(), text));
    }
    if options.json {
        console.json(&results);
    } else {
        let all = ready.len();
        let left = if interrupted > 0 { format!(", {interrupted} interrupted") } else { String::new() };
        say!(console, "{all} scenario{}, {failed} not as expected{left}", if all == 1 { "" } else { "s" });
    }
    Ok(match (failed, interrupted) {
        (0, 0) => Status::Pass,
        (0, _) => Status::Interrupted,
        _ => Status::Violation,
    })
}

fn prepared(path: &Path) -> Result<Ready, CommandError> {
    Ok(match files::scenario(path)? {
        Scenario::Pinned(file) => {
            let subject = pinned::subject(&file, None, path)?;
            Ready::Pinned(pinned::admitted(subject, &file, path)?, file)
        }
        Scenario::Profile(file) => Ready::Profile(systems::named_in(&path.display().to_string(), &file.system)?, file),
    })
}

impl Ready {
    fn subject(&self) -> &dyn Subject {
        match self {
            Self::Pinned(chain, _) => chain.subject,
            Self::Profile(subject, _) => *subject,
        }
    }

    /// Whether it ended as expected, or what it did instead; none if it was interrupted.
    fn outcome(&self) -> Option<Result<(), String>> {
        if interrupt::is_requested() {
            return None;
        }
        match self {
            Self::Pinned(chain, file) => Some(replay(chain, file, 1).meets(file.expect)),
            Self::Profile(subject, file) => explored(*subject, file),
        }
    }
}

fn explored(subject: &dyn Subject, file: &ProfileFile) -> Option<Result<(), String>> {
    let exploration = Exploration {
        profile: file.profile.clone(),
        plans: file.plans,
        time: PROFILE_TIME_MAX,
        ..Exploration::default()
    };
    let explored = explore(subject, &exploration, interrupt::flag(), |_| {});
    met(file.expect, &explored, subject.capabilities())
}

/// Whether an exploration ended as expected, or what it did instead; none if it was interrupted before anything broke.
fn met(expect: Ending, explored: &Explored, capabilities: Capabilities) -> Option<Result<(), String>> {
    let verdict = if !explored.findings.is_empty() || !explored.unsure.is_empty() {
        Ending::Violation
    } else if explored.interrupted {
        return None;
    } else if explored.coverage.gaps(capabilities).is_empty() && explored.coverage.inconclusive == 0 {
        Ending::Pass
    } else {
        Ending::Inconclusive
    };
    let as_expected = verdict == expect;
    Some(if as_expected { Ok(()) } else { Err(format!("{verdict}, expected {expect}")) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interrupted_exploration_is_neither_as_expected_nor_broken() {
        let capabilities = Capabilities::of([]);
        for expect in [Ending::Pass, Ending::Inconclusive, Ending::Violation] {
            let explored = |interrupted| Explored { interrupted, ..Explored::default() };
            assert_eq!(met(expect, &explored(true), capabilities), None);
            assert!(met(expect, &explored(false), capabilities).is_some(), "it ran to its end");
        }
    }
}
