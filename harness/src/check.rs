//! `check!`: the harness inside a `#[test]`.
//!
//! Owns the environment knobs, the replay of kept regressions, and the text of a failing test. Plans come from the
//! proptest strategy; proptest's own shrinking is off, since it would treat every failure as the same one.

use std::path::Path;
use std::time::{Duration, Instant};

use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use crate::chain::{Chain, Of};
use crate::explore::write_atomically;
use crate::generate::{Profile, plans};
use crate::plan::{Expectation, PlanFile};
use crate::report::Report;
use crate::scenario::replay;
use crate::shrink::{Budget, shrink};
use crate::system::System;
use crate::verdict::Verdict;

/// Explores a system inside a test and fails with the minimal counterexample.
///
/// `check!(MySystem)` runs 256 plans of the default profile; `check!(MySystem, profile)` those of another one. Plans
/// that failed are kept in `scenarios/regressions/NAME/` of the crate and run first the next time. An inconclusive plan
/// fails the test as well: it is not a pass.
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
/// With the report of the minimal counterexample if an invariant breaks, and if a kept regression breaks again.
pub fn check<S: System>(profile: Profile, root: &Path) {
    let subject = Of::<S>::new();
    let chain = Chain::new(&subject);
    let folder = root.join("scenarios").join("regressions").join(S::NAME);
    for path in regressions(&folder) {
        let file = PlanFile::read(&path).unwrap_or_else(|error| panic!("{error}"));
        let replayed = replay(&chain, &file, 1);
        if let Some(violation) = replayed.run.violation() {
            let report = Report {
                plan: &file.plan,
                history: &replayed.run.history,
                violation: Some(violation),
                width: 100,
                color: false,
            };
            panic!("a regression breaks again: {}\n{report}", path.display());
        }
        if let Verdict::Inconclusive(why) = &replayed.run.judgement.verdict {
            panic!("a regression is inconclusive: {}: {why}", path.display());
        }
    }
    let seed = knob("UNSTALE_SEED", 0, 0);
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let config = Config { max_shrink_iters: 0, failure_persistence: None, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, rng);
    let strategy = plans(profile, S::capabilities(), S::extension());
    for number in 0..knob("UNSTALE_PLANS", 1, 256) {
        let plan = strategy.new_tree(&mut runner).expect("the strategy never rejects").current();
        let run = chain.run(&plan);
        let violation = match &run.judgement.verdict {
            Verdict::Pass => continue,
            Verdict::Violation(violation) => violation,
            Verdict::Inconclusive(why) => panic!("plan {number} of seed {seed} is inconclusive: {why}"),
        };
        let begun = Instant::now();
        let is_over = || begun.elapsed() > Duration::from_secs(20);
        let budget = Budget { runs: 3000, is_over: &is_over, progress: &|_| {} };
        let found = shrink(&chain, &plan, violation.invariant, budget);
        let (plan, history, violation) = match &found {
            Some(it) => (&it.plan, &it.run.history, &it.violation),
            None => (&plan, &run.history, violation),
        };
        let report = Report { plan, history, violation: Some(violation), width: 100, color: false };
        let file = PlanFile {
            plan: plan.clone(),
            system: Some(S::NAME.to_owned()),
            expect: Some(Expectation::Violation(violation.invariant)),
            origin: Some(format!("check!, plan {number} of seed {seed}")),
            recorded: history.trace(),
        };
        let kept = match write_atomically(&folder, &format!("{}.toml", violation.invariant), &file.to_string()) {
            Ok(path) => format!("kept as {}", path.display()),
            Err(error) => format!("could not be kept ({error}):\n{file}"),
        };
        panic!("plan {number} of seed {seed} breaks {}\n{report}\n{kept}", violation.invariant);
    }
}

fn regressions(folder: &Path) -> Vec<std::path::PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return Vec::new();
    };
    let mut paths: Vec<_> = entries.flatten().map(|it| it.path()).collect();
    paths.retain(|it| it.extension().is_some_and(|it| it == "toml"));
    paths.sort();
    paths
}

fn knob(name: &str, least: u64, default: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) => text
            .parse()
            .ok()
            .filter(|it| *it >= least)
            .unwrap_or_else(|| panic!("{name} must be a number from {least}, not `{text}`")),
        Err(std::env::VarError::NotPresent) => default,
        Err(std::env::VarError::NotUnicode(text)) => panic!("{name} must be a number, not {}", text.display()),
    }
}
