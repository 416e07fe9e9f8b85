//! The simulation: what it does is decided by the plan alone, and what the library does in it raises no alarm.

use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use unstale_harness::chain::{Chain, Run, Subject, not_landed};
use unstale_harness::explore::{Exploration, Explored, explore};
use unstale_harness::generate::{Profile, generate, random_for};
use unstale_harness::history::What;
use unstale_harness::oracle::{Invariant, Verdict};
use unstale_harness::plan::PlanFile;
use unstale_lab::sim::SimulatedSystem;
use unstale_lab::sim::control::SimControl;
use unstale_lab::sim::system::Unstale;

use crate::flawed::{BlindRetry, RecoveryInside};

static UNSTALE: SimulatedSystem<Unstale> = SimulatedSystem::new();
static CONTROL: SimulatedSystem<SimControl> = SimulatedSystem::new();

fn run(subject: &dyn Subject, exploration: Exploration) -> Explored {
    explore(subject, &Exploration { time: Duration::from_secs(120), ..exploration }, &AtomicBool::new(false), |_| {})
}

#[track_caller]
fn assert_no_alarm(subject: &dyn Subject, plans: u64) {
    let explored = run(subject, Exploration { plans, ..Exploration::default() });
    let found: Vec<_> = explored.findings.iter().map(|it| &it.fingerprint).collect();
    assert!(found.is_empty() && explored.unsure.is_empty(), "{found:#?} {:?}", explored.unsure);
    assert_eq!(explored.coverage.gaps(subject.capabilities()), Vec::<String>::new());
}

/// Runs a plan of which every cancel and fault has to land.
fn pinned(subject: &dyn Subject, steps: &str, schedule: &str) -> Run {
    let schedule = if schedule.is_empty() { String::new() } else { format!("schedule = \"{schedule}\"\n") };
    let text = format!("version = 1\nstorage = \"sim\"\nconnections = 2\n{schedule}[actors]\n{steps}");
    let plan = PlanFile::parse(&text, Path::new("pinned")).expect("the plan is well formed").plan;
    let chain = Chain::new(subject);
    chain.admits(&plan).expect("the plan makes sense");
    let run = chain.run(&plan);
    assert_eq!(not_landed(&plan, &run.history), Vec::<String>::new(), "{:#?}", run.history.trace());
    run
}

#[track_caller]
fn assert_passes(run: &Run, lines: &[&str]) {
    assert_eq!(run.judgement.verdict, Verdict::Pass, "{:#?}", run.history.trace());
    let trace = run.history.trace();
    let mut at = 0;
    for line in lines {
        let found = trace[at..].iter().position(|it| it == line);
        at += found.unwrap_or_else(|| panic!("expected `{line}` after entry {at} of {trace:#?}")) + 1;
    }
}

#[test]
fn same_plan_gives_the_same_history() {
    for number in 0..500 {
        let plan = generate(&Profile::default(), UNSTALE.capabilities(), None, &mut random_for(3, number));
        let chain = Chain::new(&UNSTALE);
        let (one, other) = (chain.run(&plan).history, chain.run(&plan).history);
        assert_eq!(format!("{one:?}"), format!("{other:?}"), "{}", PlanFile::from(plan));
    }
}

#[test]
fn library_raises_no_alarm() {
    assert_no_alarm(&UNSTALE, 10_000);
}

#[test]
fn control_raises_no_alarm() {
    assert_no_alarm(&CONTROL, 10_000);
}

#[test]
fn blind_retry_is_found_in_the_simulation() {
    let explored =
        run(&SimulatedSystem::<SimControl<BlindRetry>>::new(), Exploration { plans: 5000, ..Exploration::default() });
    let found: Vec<_> = explored.findings.iter().map(|it| it.counterexample.violation.invariant).collect();
    assert!(found.contains(&Invariant::NoDuplicateEffect), "{found:?}");
}

#[test]
fn recovery_inside_a_transaction_is_found_in_the_simulation() {
    let explored = run(
        &SimulatedSystem::<SimControl<RecoveryInside>>::new(),
        Exploration { plans: 5000, ..Exploration::default() },
    );
    let found: Vec<_> = explored.findings.iter().map(|it| it.counterexample.violation.invariant).collect();
    assert!(found.contains(&Invariant::TransactionAgreement), "{found:?}");
}

#[test]
fn writer_waits_for_the_row_and_reads_what_is_committed_then() {
    let run = pinned(
        &UNSTALE,
        "a = [\"open\", \"begin\", \"put k1 1\", \"commit\"]\nb = [\"open\", \"put k1 2\", \"get k1\"]",
        "a a a b b a b",
    );
    assert_passes(&run, &["b2 blocked", "a4 c1 committed", "b2 c2 committed", "b3 2"]);
}

#[test]
fn deadlock_costs_one_of_the_two_its_transaction() {
    let run = pinned(
        &UNSTALE,
        "a = [\"open\", \"begin\", \"put k1 1\", \"put k2 2\", \"commit\"]\n\
         b = [\"open\", \"begin\", \"put k2 3\", \"put k1 4\", \"commit\"]",
        "a a a b b b a b a b",
    );
    assert_passes(&run, &["a4 blocked", "b4 c2 rolled back", "b4 failed (no-transaction)", "a4 done, a row changed"]);
    assert_passes(&run, &["b5 failed (no-transaction)"]);
}

#[test]
fn commit_that_was_answered_by_silence_is_unknown_and_may_have_happened() {
    for (fault, committed) in [("lost-before", false), ("lost-after", true)] {
        let steps = format!("a = [\"open\", \"begin\", \"put k1 1\", \"commit with {fault}\"]");
        let run = pinned(&UNSTALE, &steps, "");
        assert_passes(&run, &["a4 failed (dead)"]);
        let happened = run.history.events.iter().any(|it| matches!(&it.what, What::FinalState(rows) if rows.len() > 1));
        assert_eq!(happened, committed, "{fault}");
    }
}

#[test]
fn frozen_commit_is_done_after_everybody_has_stopped_waiting() {
    let run = pinned(&UNSTALE, "a = [\"open\", \"begin\", \"put k1 1\", \"commit with freeze\", \"close\"]", "");
    assert_passes(&run, &["a4 failed (dead)", "a5 done", "a4 c1 committed", "plan over"]);
}

#[test]
fn connection_lost_while_idle_is_replaced_unnoticed() {
    let run = pinned(&UNSTALE, "a = [\"open\", \"put k1 1\", \"begin with lost-idle\", \"put k1 2\", \"commit\"]", "");
    assert_passes(&run, &["a3 c1 lost", "a3 c2 served", "a3 done", "a5 done"]);
}

#[test]
fn statement_cut_off_under_way_arrives_late() {
    let run = pinned(
        &UNSTALE,
        "a = [\"open\", \"put k1 1 cancel@sent\", \"close\"]\nb = [\"open\", \"get k1\", \"get k1\"]",
        "b a a b b a",
    );
    assert_passes(&run, &["a2 cancelled sent", "b2 no row", "a2 c2 wrote", "b3 1"]);
}
