//! Shrinking what breaks now and then: the minimal plan breaks about as often as the one that was given, and none is lost.
//!
//! The system is a coin: whether a plan breaks is tossed, with a probability that depends on what is in the plan.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use unstale_harness::chain::{Chain, Subject};
use unstale_harness::extension::Extension;
use unstale_harness::history::{Event, History, What};
use unstale_harness::limits::Limits;
use unstale_harness::oracle::Invariant;
use unstale_harness::plan::{Actor, Command, Expectation, Plan, PlanFile};
use unstale_harness::scenario::replay;
use unstale_harness::shrink::{Budget, Counterexample, NotAgain, TOLERATED, shrink};
use unstale_harness::system::{Capabilities, Capability};

/// A plan breaks with a transaction that writes and commits; more rarely where nobody scans.
struct Coin {
    usually: f64,
    without_scan: f64,
    tossed: AtomicU64,
}

impl Coin {
    fn new(usually: f64, without_scan: f64, seed: u64) -> Self {
        Self { usually, without_scan, tossed: AtomicU64::new(seed << 32) }
    }

    fn probability(&self, plan: &Plan) -> f64 {
        let all = || plan.steps().map(|(_, _, step)| &step.command);
        if !plan.actors.iter().any(commits_a_write) {
            0.0
        } else if all().any(|command| *command == Command::Scan) {
            self.usually
        } else {
            self.without_scan
        }
    }

    /// The next number from 0 to 1 (splitmix64).
    fn toss(&self) -> f64 {
        let mut mixed = self.tossed.fetch_add(1, Ordering::Relaxed).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let bits = u32::try_from((mixed ^ (mixed >> 31)) >> 32).expect("the upper half fits");
        f64::from(bits) / f64::from(u32::MAX)
    }
}

fn commits_a_write(actor: &Actor) -> bool {
    let mut wanted = [Command::Begin(unstale_harness::plan::BeginMode::Plain), Command::Commit].into_iter().peekable();
    let (mut wrote, mut begun) = (false, false);
    for step in &actor.steps {
        match &step.command {
            Command::Put(..) => wrote |= begun,
            command if wanted.peek() == Some(command) && (!begun || wrote) => {
                begun = true;
                wanted.next();
            }
            _ => {}
        }
    }
    wanted.peek().is_none()
}

impl Subject for Coin {
    fn name(&self) -> &'static str {
        "coin"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::of([Capability::Transactions])
    }

    fn extension(&self) -> Option<&'static dyn Extension> {
        None
    }

    fn execute(&self, plan: &Plan, _: &Limits) -> History {
        let breaks = self.toss() < self.probability(plan);
        let event = breaks.then(|| Event { by: None, what: What::Panicked("the coin fell".into()) });
        History { events: event.into_iter().collect(), planned: plan.actors.len(), ..History::default() }
    }
}

const NOISE: &str = r#"
    version = 1
    [actors]
    a = ["open", "begin", "get k2", "put k1 1", "get k3", "commit", "close", "open", "get k1"]
    b = ["open", "get k2", "scan", "delete k2", "close"]
    c = ["open", "get k1", "close"]"#;

/// The transaction, and the scan of another session or of the same.
const SMALLEST: usize = 5;

fn given() -> Plan {
    PlanFile::parse(NOISE, Path::new("noise.toml")).unwrap_or_else(|error| panic!("{error}")).plan
}

fn shrunk(coin: &Coin) -> Result<Counterexample, NotAgain> {
    let budget = Budget { runs: 3000, is_over: &|| false, is_stopped: &|| false, progress: &|_| {} };
    shrink(&Chain::new(coin), &given(), Invariant::NoPanic, budget)
}

#[test]
fn minimal_plan_breaks_about_as_often_as_the_one_that_was_given() {
    // The rarer it breaks, the fewer candidates can be tried with the same number of runs.
    let cases = [(0.9, 0.3, 19), (0.5, 0.1, 17), (0.5, 0.25, 15), (0.3, 0.15, 9), (0.2, 0.02, 8)];
    for (usually, without_scan, small_min) in cases {
        let (mut as_often, mut small) = (0, 0);
        for seed in 0..20 {
            let coin = Coin::new(usually, without_scan, seed);
            let found = shrunk(&coin).expect("what breaks now and then is not lost");
            as_often += u32::from(coin.probability(&found.plan) >= usually / TOLERATED);
            small += u32::from(found.plan.commands() <= SMALLEST + 2);
        }
        assert!(as_often >= 19, "{usually}: {as_often} of 20 break as often");
        assert!(small >= small_min, "{usually}: {small} of 20 are small");
    }
}

#[test]
fn rare_violation_is_reported_with_its_rate_and_not_thrown_away() {
    let mut misjudged = 0;
    for seed in 0..20 {
        let coin = Coin::new(0.15, 0.0, seed);
        let found = shrunk(&coin).expect("it broke again");
        assert!(found.run.violation().is_some() && found.reproduced.runs >= 40, "{}", found.rates());
        let (from, to) = found.reproduced.interval();
        misjudged += u32::from(!(from..=to).contains(&coin.probability(&found.plan)));
    }
    assert!(misjudged <= 3, "{misjudged} of 20 rates are far from the truth");
}

#[test]
fn plan_that_breaks_every_time_is_not_shrunk_to_one_that_does_not() {
    let mut steady = 0;
    for seed in 0..20 {
        let coin = Coin::new(1.0, 0.5, seed);
        let found = shrunk(&coin).expect("it breaks every time");
        steady += u32::from(coin.probability(&found.plan) == 1.0);
        assert!(found.plan.commands() <= SMALLEST, "{} commands", found.plan.commands());
    }
    assert!(steady >= 19, "{steady} of 20 break every time");
}

#[test]
fn replay_of_what_breaks_now_and_then_reports_a_run_that_broke() {
    let file = PlanFile { expect: Some(Expectation::Violation(Invariant::NoPanic)), ..PlanFile::from(given()) };
    for seed in 0..20 {
        let coin = Coin::new(0.2, 0.2, seed);
        let replayed = replay(&Chain::new(&coin), &file, 60);
        assert!(replayed.run.violation().is_some(), "it broke in some of 60 runs");
        assert!((1..60).contains(&replayed.agreed.0) && replayed.agreed.1 == 60, "{:?}", replayed.agreed);
        assert_eq!(replayed.meets(file.expect), Ok(()));
        assert!(replayed.meets(Some(Expectation::Pass)).is_err());
    }
}

#[test]
fn what_does_not_break_again_says_how_often_it_was_tried() {
    let coin = Coin::new(0.0, 0.0, 1);
    assert_eq!(shrunk(&coin).err(), Some(NotAgain { runs: 40 }));
}
