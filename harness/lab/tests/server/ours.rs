//! The exhibits on PostgreSQL that were built to measure the harness: each shows its defect in a plan by hand, which its control
//! does not, and those that are within reach are found. The control with the same request of its own raises no alarm.

use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use unstale_harness::chain::{Chain, Of, Run, Subject};
use unstale_harness::explore::{Exploration, StopAt, explore};
use unstale_harness::history::What;
use unstale_harness::oracle::Invariant;
use unstale_harness::plan::{Backend, Key, PlanFile};
use unstale_lab::systems::control::{PostgresControl, WithRequest};
use unstale_lab::zoo::{OURS, Reach};
use unstale_wire::trial;
use unstale_wire::trials::Trial;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial!(limit_is_not_kept),
        trial!(reply_of_a_cancelled_call_is_taken_for_the_next_ones),
        trial!(rollback_is_taken_for_a_commit),
        trial!(statement_of_a_connection_that_was_given_up_is_done_later),
        trial!(update_is_lost),
        trial!(request_with_a_lock_raises_no_alarm),
        trial!(those_within_reach_are_found),
    ]
}

static CONTROL: Of<PostgresControl<WithRequest>> = Of::new();

/// A plan waits for a server more than it computes.
const JOBS: usize = 4;

/// Each seed draws differently, and some draw what is needed late.
const SEEDS: u64 = 4;

fn run(subject: &dyn Subject, plan: &str) -> Run {
    let text = format!("version = 1\nstorage = \"postgres\"\n{plan}");
    let file = PlanFile::parse(&text, Path::new("shown")).expect("the plan is well formed");
    Chain::new(subject).run(&file.plan)
}

/// The defect is to be seen on the exhibit, and not on its control.
#[track_caller]
fn shows(name: &str, plan: &str, is_seen: impl Fn(&Run) -> bool) {
    let exhibit = OURS.iter().find(|exhibit| exhibit.subject.name() == name).expect("the table has it");
    let broken = run(exhibit.in_full, plan);
    assert!(is_seen(&broken), "{name} does not show it: {:#?}", broken.history.trace());
    let sound = run(&CONTROL, plan);
    assert!(!is_seen(&sound), "the control shows it: {:#?}", sound.history.trace());
}

fn says(run: &Run, line: &str) -> bool {
    run.history.trace().iter().any(|said| said == line)
}

async fn limit_is_not_kept() {
    let plan =
        "connections = 1\nschedule = \"a b a b\"\n[actors]\na = [\"open\", \"get k1\"]\nb = [\"open\", \"get k1\"]";
    shows("ours-no-limit-pg", plan, |run| !says(run, "b1 blocked"));
}

async fn reply_of_a_cancelled_call_is_taken_for_the_next_ones() {
    let plan = "connections = 1\n[actors]\na = [\"open\", \"put k1 1\", \"get k1 cancel@sent\", \"get k2\"]";
    shows("ours-shifted-reply-pg", plan, |run| says(run, "a4 1"));
}

async fn rollback_is_taken_for_a_commit() {
    let plan = "connections = 1\n[actors]\na = [\"open\", \"begin\", \"put k1 1\", \"fail\", \"commit\"]";
    shows("ours-believed-commit-pg", plan, |run| says(run, "a5 done"));
}

/// A process that waits for a lock does not look at its connection.
async fn statement_of_a_connection_that_was_given_up_is_done_later() {
    let steps =
        "a = [\"open\", \"put k1 2 cancel@sent\", \"close\"]\nb = [\"open\", \"begin\", \"put k1 1\", \"commit\"]";
    let plan = format!("connections = 2\nschedule = \"b b b a a a b\"\n[actors]\n{steps}");
    let is_done = |run: &Run| {
        let rows = run.history.events.iter().find_map(|event| match &event.what {
            What::FinalState(rows) => rows.get(&Key(1)),
            _ => None,
        });
        rows == Some(&2)
    };
    shows("ours-backend-left-pg", &plan, is_done);
}

async fn update_is_lost() {
    let steps = "a = [\"open\", \"close\", \"extra add\", \"extra total\"]\nb = [\"extra add\"]";
    let schedule = "a a a/ a/ a/ a/ a/ b a a";
    let plan = format!("connections = 2\nschedule = \"{schedule}\"\n[actors]\n{steps}");
    let is_wrong = |run: &Run| run.violation().is_some_and(|violation| violation.invariant == Invariant::Extension);
    shows("ours-lost-update-8-pg", &plan, is_wrong);
}

async fn request_with_a_lock_raises_no_alarm() {
    let exploration = Exploration { plans: 200, time: Duration::from_secs(250), jobs: JOBS, ..Exploration::default() };
    let explored = explore(&CONTROL, &exploration, &AtomicBool::new(false), |_| {});
    let findings: Vec<_> = explored.findings.iter().map(|finding| &finding.fingerprint).collect();
    assert!(findings.is_empty(), "{findings:?}");
    let evaluated = explored.coverage.evaluated.get(&Invariant::Extension).copied().unwrap_or_default();
    assert!(evaluated > 0, "no total was asked for");
}

async fn those_within_reach_are_found() {
    let ours = OURS.iter().filter(|exhibit| exhibit.backend() == Backend::Postgres);
    for exhibit in ours.filter(|exhibit| exhibit.reach == Reach::Reliable) {
        let is_found = (0..SEEDS).any(|seed| {
            let exploration = Exploration {
                seed,
                plans: 4000,
                stop_at: StopAt::First,
                time: Duration::from_secs(60),
                jobs: JOBS,
                shrink_time: Duration::ZERO,
                ..Exploration::default()
            };
            !explore(exhibit.in_full, &exploration, &AtomicBool::new(false), |_| {}).findings.is_empty()
        });
        assert!(is_found, "{} got away", exhibit.subject.name());
    }
}
