//! A system that never gives its thread back: a violation with its plan saved, and everything ends in time.

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use unstale_harness::chain::{Chain, Of, Subject};
use unstale_harness::database::Database;
use unstale_harness::explore::{Exploration, Finding, StopAt, explore};
use unstale_harness::generate::Profile;
use unstale_harness::history::{By, Failure, What};
use unstale_harness::oracle::Invariant;
use unstale_harness::plan::{ActorId, Command, PlanFile};
use unstale_harness::scenario::replay;
use unstale_harness::system::{Capabilities, Port, System};

/// What the system does at `get`; at anything else it answers at once.
#[derive(PartialEq, Eq)]
enum Wrong {
    Sleeps,
    Deadlocks,
    TurnsInACircle,
    PanicsAtStop,
}

const SLEEPS: u8 = Wrong::Sleeps as u8;
const DEADLOCKS: u8 = Wrong::Deadlocks as u8;
const TURNS_IN_A_CIRCLE: u8 = Wrong::TurnsInACircle as u8;
const PANICS_AT_STOP: u8 = Wrong::PanicsAtStop as u8;

/// The files of the plans that deadlocked.
static DEADLOCKED: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

struct Blocker<const WRONG: u8>;

impl<const WRONG: u8> System for Blocker<WRONG> {
    const NAME: &'static str = "blocker";

    fn capabilities() -> Capabilities {
        Capabilities::NONE
    }

    async fn start(database: &Database) -> Result<Self, Failure> {
        if WRONG == DEADLOCKS {
            DEADLOCKED
                .lock()
                .expect("no test fails with it")
                .push(database.connect_options().get_filename().to_owned());
        }
        Ok(Self)
    }

    async fn actor(&self, mut port: Port) {
        let lock = Mutex::new(());
        while let Some(command) = port.next().await {
            let block = async {
                if matches!(command, Command::Get(key) if key.0 > 0) {
                    match WRONG {
                        SLEEPS => std::thread::sleep(Duration::from_secs(3600)),
                        DEADLOCKS => {
                            let _held = lock.lock();
                            drop(lock.lock());
                        }
                        TURNS_IN_A_CIRCLE => loop {
                            tokio::task::yield_now().await;
                        },
                        _ => {}
                    }
                }
                Ok::<_, Failure>(())
            };
            port.run(block).await;
        }
    }

    async fn stop(&self) {
        assert!(WRONG != PANICS_AT_STOP, "it cannot be stopped");
    }
}

const PLAN: &str = "version = 1\n[actors]\na = [\"open\", \"put k1 1\", \"get k1\", \"close\"]";

fn plan() -> PlanFile {
    PlanFile::parse(PLAN, Path::new("p.toml")).expect("the plan is written by hand")
}

/// Replays the plan once and expects that its `get` hangs.
fn hangs_in_replay(subject: &dyn Subject) {
    let begun = Instant::now();
    let again = replay(&Chain::new(subject), &plan(), 1);
    let violation = again.run.violation().expect("it hangs");
    assert_eq!(violation.invariant, Invariant::NoHang);
    assert_eq!(violation.by, Some(By { actor: ActorId::new(0), step: 2 }));
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
}

#[test]
fn sleeping_thread_is_given_up_and_its_command_hangs() {
    let subject = Of::<Blocker<SLEEPS>>::new();
    hangs_in_replay(&subject);
    let history = Chain::new(&subject).run(&plan().plan).history;
    assert_eq!(history.events.last().map(|it| &it.what), Some(&What::ThreadGivenUp));
}

#[test]
fn deadlocked_thread_is_given_up_and_its_command_hangs() {
    hangs_in_replay(&Of::<Blocker<DEADLOCKS>>::new());
    let files = DEADLOCKED.lock().expect("no test fails with it");
    assert!(!files.is_empty() && files.iter().all(|it| !it.exists()), "left: {files:?}");
}

#[test]
fn endless_turns_are_given_up_and_their_command_hangs() {
    hangs_in_replay(&Of::<Blocker<TURNS_IN_A_CIRCLE>>::new());
}

#[test]
fn panic_at_stop_is_a_violation() {
    let run = Chain::new(&Of::<Blocker<PANICS_AT_STOP>>::new()).run(&plan().plan);
    assert_eq!(run.violation().map(|it| it.invariant), Some(Invariant::NoPanic));
}

#[test]
fn exploration_of_a_system_that_blocks_ends_in_time_with_its_plan_saved() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let exploration = Exploration {
        plans: 40,
        stop_at: StopAt::Found(Invariant::NoHang),
        jobs: 2,
        time: Duration::from_secs(20),
        shrink_time: Duration::from_secs(4),
        folder: Some(folder.path().to_owned()),
        profile: Profile { faults: false, ..Profile::default() },
        ..Exploration::default()
    };
    let begun = Instant::now();
    let explored = explore(&Of::<Blocker<SLEEPS>>::new(), &exploration, &AtomicBool::new(false), |_| {});
    assert!(begun.elapsed() < Duration::from_secs(60), "{:?}", begun.elapsed());
    assert!(explored.threads_given_up > 0);
    // It also claims writes that it never does.
    let hangs = |it: &&Finding| it.counterexample.violation.invariant == Invariant::NoHang;
    let finding = explored.findings.iter().find(hangs).expect("a thread that sleeps for ever is found");
    let path = finding.path.as_ref().expect("it was written");
    assert_eq!(PlanFile::read(path).expect("it can be read").plan, finding.counterexample.plan);
}
