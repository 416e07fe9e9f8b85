//! Scenario files: a profile for generated plans, or one pinned plan, with the expected verdict.
//!
//! Owns the distinction of the two and the replay of a pinned plan. A pinned plan whose cancels and faults did not land
//! proves nothing, and is inconclusive.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use serde::Deserialize;

use crate::chain::{Chain, Run, not_landed};
use crate::generate::Profile;
use crate::plan::file::{check_version, text_error};
use crate::plan::{Expectation, PlanError, PlanFile};
use crate::verdict::Verdict;

/// The content of a scenario file.
#[derive(Clone, Debug)]
pub enum Scenario {
    /// One plan.
    Pinned(PlanFile),
    /// A profile, explored for a while.
    Profile(ProfileFile),
}

/// A profile with its system.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProfileFile {
    /// The version of the format.
    #[serde(rename = "version")]
    _version: u32,
    /// The system to explore.
    pub system: String,
    /// The expected verdict of the exploration.
    pub expect: Ending,
    /// How many plans.
    pub plans: u64,
    /// The profile from which they are drawn.
    pub profile: Profile,
}

/// The expected end of an exploration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Ending {
    /// Nothing breaks.
    Pass,
    /// Something breaks.
    Violation,
    /// Not enough is tried.
    Inconclusive,
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pass => "pass",
            Self::Violation => "violation",
            Self::Inconclusive => "inconclusive",
        })
    }
}

impl Scenario {
    /// Reads a scenario file.
    ///
    /// # Errors
    /// [`PlanError`], with file, line, column and what was expected.
    pub fn read(path: &Path) -> Result<Self, PlanError> {
        let text = std::fs::read_to_string(path).map_err(|source| PlanError::Read { path: path.to_owned(), source })?;
        if !text.lines().any(|it| it.trim() == "[profile]") {
            return PlanFile::parse(&text, path).map(Self::Pinned);
        }
        check_version(&text, path)?;
        toml::from_str(&text).map(Self::Profile).map_err(|error| text_error(&text, path, &error))
    }
}

/// The replay of a pinned plan.
#[derive(Clone, Debug)]
pub struct Replay {
    /// The run that is reported: one that broke something, if any did.
    pub run: Run,
    /// How many runs agreed with its verdict, and of how many.
    pub agreed: (u32, u32),
    /// The first step of it that differs from the recorded one.
    pub divergence: Option<String>,
    /// Cancels and faults that did not land in it.
    pub not_landed: Vec<String>,
}

impl Replay {
    /// Checks that the plan gave the expected verdict.
    ///
    /// # Errors
    /// What it gave instead.
    pub fn meets(&self, expect: Option<Expectation>) -> Result<(), String> {
        match (&self.run.judgement.verdict, expect) {
            (Verdict::Inconclusive(why), _) => Err(format!("inconclusive: {why}")),
            _ if !self.not_landed.is_empty() => {
                Err(format!("inconclusive: this did not land: {}", self.not_landed.join(", ")))
            }
            (Verdict::Pass, Some(Expectation::Pass) | None) | (Verdict::Violation(_), None) => Ok(()),
            (Verdict::Violation(it), Some(Expectation::Violation(expected))) if it.invariant == expected => Ok(()),
            (Verdict::Violation(it), Some(expected)) => Err(format!("violation {}, expected {expected}", it.invariant)),
            (Verdict::Pass, Some(expected)) => Err(format!("pass, expected {expected}")),
        }
    }
}

/// Runs a pinned plan so many times, at least once.
pub fn replay(chain: &Chain<'_>, file: &PlanFile, times: u32) -> Replay {
    let mut replays = Replays::begin(chain, file);
    while replays.runs < times {
        replays.run_again();
    }
    replays.end()
}

/// A pinned plan that is run again and again.
pub struct Replays<'a> {
    chain: &'a Chain<'a>,
    file: &'a PlanFile,
    /// The run that is reported: the first that broke something, or else the first inconclusive one, or else any.
    told: Run,
    /// How many runs came to each kind of verdict.
    came_to: BTreeMap<String, u32>,
    /// How many runs there were.
    pub runs: u32,
}

impl<'a> Replays<'a> {
    /// Runs it for the first time.
    pub fn begin(chain: &'a Chain<'a>, file: &'a PlanFile) -> Self {
        let told = run_until_landed(chain, file);
        let came_to = BTreeMap::from([(kind(&told.judgement.verdict), 1)]);
        Self { chain, file, told, came_to, runs: 1 }
    }

    /// Runs it once more.
    pub fn run_again(&mut self) {
        let run = run_until_landed(self.chain, self.file);
        *self.came_to.entry(kind(&run.judgement.verdict)).or_default() += 1;
        self.runs += 1;
        if weight(&run.judgement.verdict) > weight(&self.told.judgement.verdict) {
            self.told = run;
        }
    }

    /// What the runs come to. A plan that broke once has broken, however often it did not.
    pub fn end(self) -> Replay {
        let Self { file, told, came_to, runs, .. } = self;
        let agreed = (came_to.get(&kind(&told.judgement.verdict)).copied().unwrap_or(0), runs);
        let divergence = diverges(&file.recorded, &told.history.trace());
        let not_landed = not_landed(&file.plan, &told.history);
        Replay { run: told, agreed, divergence, not_landed }
    }
}

fn weight(verdict: &Verdict) -> u8 {
    match verdict {
        Verdict::Pass => 0,
        Verdict::Inconclusive(_) => 1,
        Verdict::Violation(_) => 2,
    }
}

/// How often a plan is run before a cancel that never landed counts as unable to land.
const TRIES: u32 = 5;

/// A cancel may lose against a reply that arrives before the first poll returns; such a run proves nothing and is
/// retried.
fn run_until_landed(chain: &Chain<'_>, file: &PlanFile) -> Run {
    let mut run = chain.run(&file.plan);
    for _ in 1..TRIES {
        if not_landed(&file.plan, &run.history).is_empty() {
            break;
        }
        run = chain.run(&file.plan);
    }
    run
}

fn kind(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Pass => "pass".into(),
        Verdict::Violation(it) => it.invariant.to_string(),
        Verdict::Inconclusive(_) => "inconclusive".into(),
    }
}

/// Returns the first step at which two traces differ. A plan without a recorded trace never diverges.
fn diverges(recorded: &[String], now: &[String]) -> Option<String> {
    if recorded.is_empty() {
        return None;
    }
    let at = (0..recorded.len().max(now.len())).find(|it| recorded.get(*it) != now.get(*it))?;
    let show = |lines: &[String]| lines.get(at).map_or_else(|| "the end".to_owned(), |it| format!("`{it}`"));
    Some(format!("step {}: recorded {}, now {}", at + 1, show(recorded), show(now)))
}
