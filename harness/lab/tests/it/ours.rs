//! The exhibits that were built to measure the harness: each shows its defect in a plan by hand, which its control does not, and
//! those that are within reach are found.
//!
//! What is not found yet is in the figures (`unstale zoo --of ours --seeds N`), and in no test.

use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use unstale_harness::chain::{Chain, Of, Subject};
use unstale_harness::explore::{Exploration, StopAt, explore};
use unstale_harness::history::{History, What};
use unstale_harness::plan::{Backend, PlanFile};
use unstale_lab::sim::SimulatedSystem;
use unstale_lab::sim::control::SimControl;
use unstale_lab::systems::control::SqliteControl;
use unstale_lab::zoo::{LOST_UPDATES, OURS, RACES, Reach};

static CONTROL: Of<SqliteControl> = Of::new();
static CONTROL_SIM: SimulatedSystem<SimControl> = SimulatedSystem::new();

/// The history of a plan on a system.
fn run(subject: &dyn Subject, plan: &str) -> History {
    let file = PlanFile::parse(&format!("version = 1\n{plan}"), Path::new("shown")).expect("the plan is well formed");
    let chain = Chain::new(subject);
    chain.admits(&file.plan).expect("the plan makes sense");
    chain.run(&file.plan).history
}

/// The defect is to be seen on the exhibit, and not on its control.
#[track_caller]
fn shows(name: &str, plan: &str, is_seen: impl Fn(&History) -> bool) {
    let exhibit = OURS.iter().find(|exhibit| exhibit.subject.name() == name).expect("the table has it");
    let control: &dyn Subject = if exhibit.backend() == Backend::Sim { &CONTROL_SIM } else { &CONTROL };
    let broken = run(exhibit.in_full, plan);
    assert!(is_seen(&broken), "{name} does not show it: {:#?}", broken.trace());
    let sound = run(control, plan);
    assert!(!is_seen(&sound), "the control shows it: {:#?}", sound.trace());
}

fn says(history: &History, line: &str) -> bool {
    history.trace().iter().any(|said| said == line)
}

#[test]
fn nested_transaction_is_refused() {
    let plan = "storage = \"wal\"\n[actors]\na = [\"open\", \"begin\", \"begin\"]";
    shows("ours-nested-refused", plan, |history| says(history, "a3 failed (mistake)"));
}

#[test]
fn listener_is_told_twice() {
    let plan = "storage = \"wal\"\n[actors]\na = [\"open\", \"close\"]";
    let openings = |history: &History| {
        // One of the plan's, and one for each observer.
        let told = history.events.iter().find_map(|event| match event.what {
            What::Reported(report) => Some(report.told_opened),
            _ => None,
        });
        let done = history.commands().values().filter(|span| span.step.to_string() == "open").count();
        (told, u32::try_from(done).ok())
    };
    shows("ours-told-twice", plan, |history| openings(history).0 != openings(history).1);
}

#[test]
fn connection_is_not_lent_again_after_a_transaction() {
    let steps = "[\"open\", \"begin\", \"commit\", \"close\", \"open\", \"get k1\"]";
    let plan = format!("storage = \"wal\"\nconnections = 1\n[actors]\na = {steps}");
    shows("ours-never-lent-again", &plan, |history| says(history, "a6 c2 served"));
}

#[test]
fn commit_is_answered_before_it_is_done() {
    let plan = "storage = \"wal\"\n[actors]\na = [\"open\", \"begin\", \"put k1 1\", \"commit\"]";
    let is_early = |history: &History| {
        let trace = history.trace();
        let at = |line: &str| trace.iter().position(|said| said == line);
        at("a4 done").expect("it is answered") < at("a4 c1 committed").expect("it is done")
    };
    shows("ours-commit-by-task", plan, is_early);
}

#[test]
fn every_second_command_is_skipped() {
    let plan = "storage = \"wal\"\n[actors]\na = [\"open\", \"put k1 1\", \"put k1 2\"]";
    shows("ours-every-second-skipped", plan, |history| says(history, "a3 skipped"));
}

#[test]
fn begin_immediate_takes_no_lock() {
    let steps = "a = [\"open\", \"begin immediate\"]\nb = [\"open\", \"begin immediate\"]";
    let plan = format!("storage = \"wal\"\nconnections = 2\nschedule = \"a a b b\"\n[actors]\n{steps}");
    shows("ours-immediate-deferred", &plan, |history| says(history, "b2 done"));
}

#[test]
fn what_follows_a_failure_is_committed_by_itself() {
    let plan = "storage = \"wal\"\n[actors]\na = [\"open\", \"begin\", \"fail\", \"put k1 1\", \"rollback\"]";
    shows("ours-autocommit-after-failure", plan, |history| says(history, "a4 c1 committed"));
}

#[test]
fn older_override_is_in_force() {
    let plan = "storage = \"wal\"\n[actors]\na = [\"override settings\", \"override settings\", \"resolve settings\"]";
    shows("ours-older-override", plan, |history| says(history, "a3 b1"));
}

#[test]
fn open_work_of_another_session_is_read() {
    let steps = "a = [\"open\", \"begin\", \"put k1 1\", \"rollback\"]\nb = [\"open\", \"get k1\"]";
    let plan = format!("storage = \"memory\"\nconnections = 2\nschedule = \"a a a b b a\"\n[actors]\n{steps}");
    shows("ours-uncommitted-read", &plan, |history| says(history, "b2 1"));
}

#[test]
fn refused_commit_is_answered_as_done() {
    let steps = "[\"open\", \"begin\", \"put k1 1\", \"commit with refuse-commit\"]";
    let plan = format!("storage = \"sim-ordered\"\n[actors]\na = {steps}");
    shows("ours-refused-commit-sim", &plan, |history| says(history, "a4 done"));
}

#[test]
fn two_that_wait_for_each_other_wait_for_ever() {
    let steps = "a = [\"open\", \"begin\", \"put k1 1\", \"put k2 2\", \"commit\"]\n\
                 b = [\"open\", \"begin\", \"put k2 3\", \"put k1 4\", \"commit\"]";
    let schedule = "a a a b b b a b a b";
    let plan = format!("storage = \"sim-ordered\"\nconnections = 2\nschedule = \"{schedule}\"\n[actors]\n{steps}");
    let is_hung = |history: &History| history.events.iter().any(|event| event.what == What::Hung);
    shows("ours-crosswise-sim", &plan, is_hung);
}

#[test]
fn two_find_the_same_idle_connection() {
    let steps = "a = [\"open\", \"close\", \"open\", \"put k1 1\"]\nb = [\"open\", \"put k1 2\"]";
    let schedule = "a a a/ a/ a/ a/ b a a b";
    let plan = format!("storage = \"sim-ordered\"\nconnections = 2\nschedule = \"{schedule}\"\n[actors]\n{steps}");
    let are_both = |history: &History| says(history, "a4 c1 served") && says(history, "b2 c1 served");
    shows("ours-race-at-gate-4-sim", &plan, are_both);
}

/// Before the gate the connection has not been looked up, and behind it, it is taken.
#[test]
fn race_is_met_at_its_own_gate_alone() {
    for (number, race) in (2..=8).zip(RACES) {
        for gate in 1..=9 {
            let steps = "a = [\"open\", \"close\", \"open\", \"put k1 1\"]\nb = [\"open\", \"put k1 2\"]";
            let schedule = format!("a a {}b a a b", "a/ ".repeat(gate));
            let plan =
                format!("storage = \"sim-ordered\"\nconnections = 2\nschedule = \"{schedule}\"\n[actors]\n{steps}");
            let history = run(race.in_full, &plan);
            let is_met = says(&history, "a4 c1 served") && says(&history, "b2 c1 served");
            assert_eq!(is_met, gate == number, "{} at gate {gate}: {:#?}", race.subject.name(), history.trace());
        }
    }
}

#[test]
fn session_that_ends_in_a_nested_transaction_is_lent_again() {
    let steps = "[\"open\", \"begin\", \"put k1 1\", \"begin\", \"close\", \"open\", \"put k2 2\"]";
    let plan = format!("storage = \"sim-ordered\"\nconnections = 1\n[actors]\na = {steps}");
    shows("ours-nested-left-open-sim", &plan, |history| says(history, "a7 c1 served"));
}

#[test]
fn permit_is_lost_to_a_caller_that_has_given_up() {
    let steps = "a = [\"open\", \"get k1\", \"close\"]\nb = [\"open cancel@poll:1\"]";
    let plan = format!("storage = \"sim-ordered\"\nconnections = 1\nschedule = \"a b a a\"\n[actors]\n{steps}");
    // The observer, whom nobody is in the way of, is refused when its limit is over.
    shows("ours-swallowed-permit-sim", &plan, |history| says(history, "c1 failed (exhausted)"));
}

#[test]
fn rollback_of_a_nested_transaction_keeps_what_it_did() {
    let steps = "[\"open\", \"begin\", \"begin\", \"put k1 1\", \"rollback\", \"commit\", \"get k1\"]";
    let plan = format!("storage = \"sim-ordered\"\n[actors]\na = {steps}");
    shows("ours-savepoint-released-sim", &plan, |history| says(history, "a7 1"));
}

#[test]
fn there_are_twenty_and_no_name_is_there_twice() {
    assert_eq!(OURS.len(), 20);
    let mut names: Vec<_> =
        OURS.iter().chain(RACES).chain(LOST_UPDATES).map(|exhibit| exhibit.subject.name()).collect();
    let all = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), all);
    assert!(OURS.iter().all(|exhibit| exhibit.in_full.name() == exhibit.subject.name()));
}

#[test]
fn those_within_reach_on_sqlite_are_found() {
    are_found(Backend::Sqlite);
}

#[test]
fn those_within_reach_in_the_simulation_are_found() {
    are_found(Backend::Sim);
}

/// With everything that the control can do, as a user's own system can.
fn are_found(backend: Backend) {
    let ours = OURS.iter().filter(|exhibit| exhibit.backend() == backend && exhibit.reach == Reach::Reliable);
    for exhibit in ours {
        let time = Duration::from_secs(120);
        let exploration = Exploration {
            plans: 4000,
            stop_at: StopAt::First,
            time,
            shrink_time: Duration::ZERO,
            ..Exploration::default()
        };
        let explored = explore(exhibit.in_full, &exploration, &AtomicBool::new(false), |_| {});
        assert!(!explored.findings.is_empty(), "{} got away", exhibit.subject.name());
    }
}
