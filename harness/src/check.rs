//! `check!`: the harness inside a `#[test]`.
//!
//! Owns the environment knobs, the replay of kept regressions, and the text of a failing test. Plans come from the
//! proptest strategy; proptest's own shrinking is off, since it would treat every failure as the same one.
//!
//! It goes on after a finding, so that one that is not repaired yet does not hide the others; what is known already is not
//! reported again.

use std::fmt::Write as _;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use crate::cause::Cause;
use crate::chain::{Chain, Of, Run};
use crate::explored::by_cause;
use crate::finding_file::{FindingFile, Stage};
use crate::generate::{Profile, plans};
use crate::invariant::Invariant;
use crate::known::KnownFile;
use crate::known_found::{KnownFound, is_recognized, is_taken};
use crate::plan::{Plan, PlanError, PlanFile};
use crate::report::{CauseRow, Report, causes_table};
use crate::scenario::replay;
use crate::shrink::{Budget, Counterexample, NotAgain, Rate, embeds, shrink};
use crate::system::System;
use crate::verdict::{Verdict, Violation};

/// Explores a system inside a test and fails with the minimal counterexample of each finding.
///
/// `check!(MySystem)` runs 256 plans of the default profile; `check!(MySystem, profile)` those of another one. Plans
/// that failed are kept in `scenarios/regressions/NAME/` of the crate, a file for each finding, and run first the next time.
/// An inconclusive plan fails the test as well: it is not a pass. So does a plan that broke once and not again, which the
/// message says. Each message ends with the commands that run its plan again.
///
/// A plan is carried out in *turns*. A turn `a` lets one actor run its next command to its end, or until it has to wait for
/// another actor; a turn `a/` lets it run to the next gate within the command: each reply on PostgreSQL, each wake by the
/// driver's thread on SQLite. So `a/ a/ b a` stops an actor at its second round trip while another one goes on. The
/// [profile](crate::generate::Profile) says how such schedules are drawn and how deep (`strategy`, `gates`), and whether the
/// system's own tasks may be late (`late_tasks`).
///
/// These are all the environment knobs that there are; a value that is not a number of the range fails the test. The last two
/// are for tests with PostgreSQL, see the module `trials` of `unstale-wire`.
///
/// | knob | meaning | range | without it |
/// | --- | --- | --- | --- |
/// | `UNSTALE_PLANS` | how many plans each `check!` runs | from 1 | 256 |
/// | `UNSTALE_SEED` | the seed of all plans | from 0 | 0 |
/// | `UNSTALE_REPLAY` | the one plan that is run, ten times and until it breaks, by each `check!` of the system that it names | a plan file | plans are drawn |
/// | `UNSTALE_ALL` | whether it goes on to the last plan, however many findings there are, and shows them by their causes | 0 or 1 | 0: it ends after four |
/// | `UNSTALE_KNOWN` | the causes that are reported already: they are counted and fail no test | a file as `unstale explore --known` reads it | none is known |
/// | `UNSTALE_REQUIRE` | what must be available, or tests that need it fail | `postgres` | they are ignored |
/// | `UNSTALE_PG_BIN` | where PostgreSQL's `initdb` is | a folder | `PATH` and the usual places are searched |
///
/// For a nightly run: `UNSTALE_PLANS=20000 UNSTALE_SEED=$(date +%Y%m%d) cargo test`. The command `unstale` has flags
/// instead; it looks at `NO_COLOR` and `COLUMNS` like others do.
#[macro_export]
macro_rules! check {
    ($system:ty) => {
        $crate::check!($system, $crate::generate::Profile::default())
    };
    ($system:ty, $profile:expr) => {
        $crate::check::check::<$system>($profile, ::std::path::Path::new(env!("CARGO_MANIFEST_DIR")))
    };
}

/// Runs the plans of one `check!`; `root` is the folder of the crate under test.
///
/// # Panics
/// With the report of each minimal counterexample if an invariant breaks, and if a kept regression breaks again.
pub fn check<S: System>(profile: Profile, root: &Path) {
    let subject = Of::<S>::new();
    let chain = Chain::new(&subject);
    if let Some(path) = std::env::var_os("UNSTALE_REPLAY") {
        return replay_alone(&chain, Path::new(&path));
    }
    let folder = root.join("scenarios").join("regressions").join(S::NAME);
    let mut failures = Failures {
        seen: Vec::new(),
        known: known_causes(),
        messages: Vec::new(),
        shrinking: Duration::ZERO,
        is_all: knob("UNSTALE_ALL", 0..=1, 0) == 1,
    };
    for path in regressions(&folder) {
        failures.regression(&chain, path);
    }
    let seed = knob("UNSTALE_SEED", 0..=u64::MAX, 0);
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let config = Config { max_shrink_iters: 0, failure_persistence: None, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, rng);
    let strategy = plans(profile, S::capabilities(), S::extension());
    for number in 0..knob("UNSTALE_PLANS", 1..=u64::MAX, 256) {
        let plan = strategy.new_tree(&mut runner).expect("the strategy never rejects").current();
        let run = chain.run(&plan);
        match &run.judgement.verdict {
            Verdict::Pass => continue,
            Verdict::Violation(violation) => {
                let drawn = Drawn { plan: &plan, run: &run, violation, number, seed };
                failures.violation(&chain, &drawn, &folder);
            }
            // If the harness fails, it fails again, and nothing more can be said.
            Verdict::Inconclusive(why) => {
                failures.messages.push(format!("plan {number} of seed {seed} is inconclusive: {why}"));
                break;
            }
        }
        if failures.messages.len() >= MESSAGES_MAX && !failures.is_all {
            break;
        }
    }
    for known in &failures.known {
        println!("{known}");
    }
    assert!(failures.messages.is_empty(), "{}", failures.text());
}

/// A test that has so much to say is ended, unless it is to go on.
const MESSAGES_MAX: usize = 4;

/// How long all shrinking of one test may take; a finding that is left unshrunk is reported all the same.
const SHRINKING_MAX: Duration = Duration::from_secs(20);

/// How long the shrinking of one finding may take in a test that goes on to its last plan.
const SHRINKING_OF_ONE_MAX: Duration = Duration::from_secs(10);

/// How long a measurement may take beyond that.
const MEASURING_MAX: Duration = Duration::from_secs(10);

/// How often the plan of `UNSTALE_REPLAY` is run at least, and at most if it does not break.
const REPLAYS: (u32, u32) = (10, 200);

/// What one `check!` has to say.
struct Failures {
    /// What broke.
    seen: Vec<Seen>,
    /// The causes that are reported already.
    known: Vec<KnownFound>,
    messages: Vec<String>,
    /// How long shrinking took until now.
    shrinking: Duration,
    /// Whether it goes on to the last plan.
    is_all: bool,
}

/// A finding: what broke, by its smallest plan.
struct Seen {
    invariant: Invariant,
    smallest: Plan,
    cause: Cause,
    /// How many plans broke this way.
    plans: u64,
    /// Its message, of all.
    message: usize,
}

/// A drawn plan that broke something.
struct Drawn<'a> {
    plan: &'a Plan,
    run: &'a Run,
    violation: &'a Violation,
    number: u64,
    seed: u64,
}

impl Failures {
    /// Runs a kept plan again.
    fn regression(&mut self, chain: &Chain<'_>, path: PathBuf) {
        let file = PlanFile::read(&path).unwrap_or_else(|error| panic!("{error}"));
        let replayed = replay(chain, &file, 1);
        let path = path.display();
        match &replayed.run.judgement.verdict {
            Verdict::Pass => {}
            Verdict::Violation(violation) => {
                let invariant = violation.invariant;
                let cause = Cause::of(&replayed.run.history, violation);
                if is_recognized(&mut self.known, &cause, &file.plan, invariant) {
                    return;
                }
                let report = report(&file.plan, &replayed.run, violation);
                let again = run_again(&format!("UNSTALE_REPLAY={path}"));
                let message = format!("a regression breaks again: {path}\n{report}\ncause: {cause}\n{again}");
                self.add(invariant, file.plan, cause, message);
            }
            Verdict::Inconclusive(why) => {
                self.messages.push(format!("a regression is inconclusive: {path}: {why}"));
            }
        }
    }

    /// Shrinks, keeps and describes a violation, unless it shows nothing new.
    fn violation(&mut self, chain: &Chain<'_>, drawn: &Drawn<'_>, folder: &Path) {
        let Drawn { plan, run, violation, number, seed } = *drawn;
        let invariant = violation.invariant;
        let mut seen = self.seen.iter_mut();
        if let Some(seen) = seen.find(|seen| seen.invariant == invariant && embeds(&seen.smallest, plan)) {
            seen.plans += 1;
            return;
        }
        if is_taken(&mut self.known, plan, &run.history, violation) {
            return;
        }
        let left = if self.is_all { SHRINKING_OF_ONE_MAX } else { SHRINKING_MAX.saturating_sub(self.shrinking) };
        let begun = Instant::now();
        let budget = Budget {
            runs: 3000,
            is_over: &|| begun.elapsed() > left,
            is_stopped: &|| begun.elapsed() > left + MEASURING_MAX,
            progress: &|_| {},
        };
        let found = shrink(chain, plan, invariant, budget);
        self.shrinking += begun.elapsed();
        let mut message = format!("plan {number} of seed {seed} breaks {invariant}");
        let (smallest, shown, stage, cause) = match &found {
            Ok(found) => {
                let Counterexample { plan, run, violation, .. } = found;
                let cause = Cause::of(&run.history, violation);
                if is_recognized(&mut self.known, &cause, plan, invariant) {
                    return;
                }
                let _ = write!(message, "\n{}", report(plan, run, violation));
                message += &found.rates();
                (plan, run, Stage::Minimal, cause)
            }
            Err(NotAgain { runs }) => {
                let _ = write!(message, " once and not again in {runs} runs: the run below is the only evidence");
                let _ = write!(message, "\n{}", report(plan, run, violation));
                (plan, run, Stage::Unshrunk, Cause::of(&run.history, violation))
            }
        };
        let _ = write!(message, "\ncause: {cause}");
        let origin = format!("check!, plan {number} of seed {seed}");
        let name = chain.subject.name();
        let file = FindingFile::of(name, smallest, invariant, shown.history.trace(), &origin, stage);
        let drawn_again = format!("UNSTALE_SEED={seed} UNSTALE_PLANS={}", number + 1);
        match file.write(folder) {
            Ok(path) => {
                let path = path.display();
                let _ = write!(message, "\nkept as {path}\n{}", run_again(&format!("UNSTALE_REPLAY={path}")));
                let _ = write!(message, "\ndraw it again: {drawn_again}");
            }
            Err(why) => {
                let _ = write!(message, "\ncould not be kept: {why}\n{}", run_again(&drawn_again));
            }
        }
        self.add(invariant, smallest.clone(), cause, message);
    }

    fn add(&mut self, invariant: Invariant, smallest: Plan, cause: Cause, message: String) {
        self.seen.push(Seen { invariant, smallest, cause, plans: 1, message: self.messages.len() });
        self.messages.push(message);
    }

    /// What is said of all: in a test that goes on to its last plan by their causes, the one that most plans met first.
    fn text(&self) -> String {
        if !self.is_all || self.seen.is_empty() {
            return self.messages.join("\n\n");
        }
        let causes = by_cause(&self.seen, |seen| (&seen.cause, seen.plans));
        let rows = causes.iter().map(|found| CauseRow {
            cause: found.cause.to_string(),
            plans: found.plans,
            faces: found.faces.len(),
            commands: found.faces.iter().map(|seen| seen.smallest.commands()).min().unwrap_or(0),
        });
        let table = causes_table(&rows.collect::<Vec<_>>());
        let of_causes: Vec<usize> = causes.iter().flat_map(|found| &found.faces).map(|seen| seen.message).collect();
        let others = (0..self.messages.len()).filter(|message| !of_causes.contains(message));
        let messages = of_causes.iter().copied().chain(others).map(|message| self.messages[message].as_str());
        [table.trim_end()].into_iter().chain(messages).collect::<Vec<_>>().join("\n\n")
    }
}

/// Runs the plan of a file, if it is of this system, and fails if it breaks.
fn replay_alone(chain: &Chain<'_>, path: &Path) {
    let file = PlanFile::read(path).unwrap_or_else(|error| panic!("UNSTALE_REPLAY: {error}"));
    if file.system.as_deref().is_some_and(|system| system != chain.subject.name()) {
        return;
    }
    let path = path.display();
    chain.admits(&file.plan).unwrap_or_else(|why| panic!("UNSTALE_REPLAY: {path}: {why}"));
    let (mut rate, mut broken) = (Rate::default(), None);
    while rate.runs < REPLAYS.0 || rate.hits == 0 && rate.runs < REPLAYS.1 {
        let run = replay(chain, &file, 1).run;
        if let Verdict::Inconclusive(why) = &run.judgement.verdict {
            panic!("{path} is inconclusive: {why}");
        }
        rate.count(run.violation().is_some());
        broken = broken.or(run.violation().is_some().then_some(run));
    }
    if let Some(run) = broken
        && let Some(violation) = run.violation()
    {
        let report = report(&file.plan, &run, violation);
        panic!("{path} breaks {} in {rate} runs\n{report}", violation.invariant);
    }
    println!("{path} broke nothing in {} runs", rate.runs);
}

fn report(plan: &Plan, run: &Run, violation: &Violation) -> String {
    Report { plan, history: &run.history, violation: Some(violation), width: 100, color: false, brief: false }
        .to_string()
}

/// The command that runs a plan again; the thread of a test has its name.
fn run_again(knobs: &str) -> String {
    let thread = std::thread::current();
    let test = thread.name().filter(|name| *name != "main").map_or_else(String::new, |name| format!(" {name}"));
    format!("run it again: {knobs} cargo test{test}")
}

fn regressions(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return Vec::new();
    };
    let mut paths: Vec<_> = entries.flatten().map(|it| it.path()).collect();
    paths.retain(|it| it.extension().is_some_and(|it| it == "toml"));
    paths.sort();
    paths
}

/// The causes of the file that `UNSTALE_KNOWN` names.
fn known_causes() -> Vec<KnownFound> {
    let Some(path) = std::env::var_os("UNSTALE_KNOWN") else {
        return Vec::new();
    };
    let file = KnownFile::read(Path::new(&path)).unwrap_or_else(|error| match error {
        PlanError::Read { path, source } => panic!("UNSTALE_KNOWN: {}: cannot be read: {source}", path.display()),
        error => panic!("UNSTALE_KNOWN: {error}"),
    });
    file.causes.into_iter().map(KnownFound::new).collect()
}

fn knob(name: &str, range: RangeInclusive<u64>, default: u64) -> u64 {
    let (least, most) = (*range.start(), *range.end());
    let to = if most == u64::MAX { String::new() } else { format!(" to {most}") };
    match std::env::var(name) {
        Ok(text) => text
            .parse()
            .ok()
            .filter(|it| range.contains(it))
            .unwrap_or_else(|| panic!("{name} must be a number from {least}{to}, not `{text}`")),
        Err(std::env::VarError::NotPresent) => default,
        Err(std::env::VarError::NotUnicode(text)) => panic!("{name} must be a number, not {}", text.display()),
    }
}
