//! Every broken system on PostgreSQL is caught by the right invariant, and its plan is shrunk to the smallest that is known, or
//! to one command more: a real server does not always answer in the same order.
//!
//! Each is searched with one seed here. Further seeds are the nightly run's (`unstale nightly`).

use std::sync::atomic::AtomicBool;
use std::time::Duration;

use unstale_harness::explore::{Exploration, StopAt, explore};
use unstale_harness::plan::Backend;
use unstale_lab::zoo::EXHIBITS;
use unstale_wire::trial;
use unstale_wire::trials::Trial;

/// A plan waits for a server more than it computes.
const JOBS: usize = 4;

/// A run of a plan with a fault takes up to a second.
const SHRINK_MAX: Duration = Duration::from_secs(120);

/// Now and then another form of the same defect comes out, from which no move leads on: of 27 plans two were this much longer,
/// and seven by one command.
const LONGER_MAX: usize = 2;

#[expect(clippy::unused_async, reason = "a trial is an async function")]
async fn is_caught_and_minimal(name: &str) {
    let exhibit = EXHIBITS.iter().find(|it| it.subject.name() == name).expect("the zoo has it");
    let stop_at = StopAt::Found(exhibit.invariant);
    let time = Duration::from_secs(400);
    let exploration =
        Exploration { plans: 4000, stop_at, time, jobs: JOBS, shrink_time: SHRINK_MAX, ..Exploration::default() };
    let explored = explore(exhibit.subject, &exploration, &AtomicBool::new(false), |_| {});
    let found: Vec<_> = explored.findings.iter().map(|it| &it.counterexample).collect();
    let smallest = found.iter().filter(|it| it.violation.invariant == exhibit.invariant);
    let smallest = smallest.min_by_key(|it| it.plan.commands()).unwrap_or_else(|| panic!("{name} got away"));
    let commands = smallest.plan.commands();
    let known = exhibit.smallest_known;
    assert!(
        (known..=known + LONGER_MAX).contains(&commands),
        "{name}: {commands} commands, {known} known: {:#?}",
        smallest.plan
    );
}

macro_rules! exhibits {
    ($($test:ident => $name:literal;)*) => {
        $(async fn $test() { is_caught_and_minimal($name).await; })*

        pub(crate) fn trials() -> Vec<Trial> {
            vec![trial!(every_exhibit_has_a_test), $(trial!($test)),*]
        }

        async fn every_exhibit_has_a_test() {
            let here = EXHIBITS.iter().filter(|exhibit| exhibit.backend() == Backend::Postgres);
            let names: Vec<_> = here.map(|exhibit| exhibit.subject.name()).collect();
            assert_eq!(names, [$($name),*]);
        }
    };
}

exhibits! {
    endless_rollback => "zoo-endless-rollback-pg";
    endless_probe => "zoo-endless-probe-pg";
    lost_permit => "zoo-lost-permit-pg";
    discarded_statements => "zoo-discarded-statements-pg";
    prepared_once => "zoo-prepared-once-pg";
    residue => "zoo-residue-pg";
    mistake_for_loss => "zoo-mistake-for-loss-pg";
    loss_for_mistake => "zoo-loss-for-mistake-pg";
    refused_commit => "zoo-refused-commit-pg";
    read_only_kept => "zoo-read-only-kept-pg";
    refused_login => "zoo-refused-login-pg";
    reconnect_storm => "zoo-reconnect-storm-pg";
}
