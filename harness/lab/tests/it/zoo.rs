//! Every broken system is caught by the right invariant, and its plan is shrunk to the smallest that is known, whatever
//! the seed.

use std::sync::atomic::AtomicBool;
use std::time::Duration;

use unstale_harness::explore::{Exploration, StopAt, explore};
use unstale_harness::plan::Backend;
use unstale_lab::zoo::EXHIBITS;

/// Now and then another form of the same defect comes out, some commands longer, from which no move leads on.
fn is_caught_and_minimal(name: &str, seeds: u64, longer: usize) {
    let exhibit = EXHIBITS.iter().find(|it| it.subject.name() == name).expect("the zoo has it");
    for seed in 0..seeds {
        let stop_at = StopAt::Found(exhibit.invariant);
        let time = Duration::from_secs(120);
        let exploration = Exploration { seed, plans: 4000, stop_at, time, ..Exploration::default() };
        let explored = explore(exhibit.subject, &exploration, &AtomicBool::new(false), |_| {});
        let found: Vec<_> = explored.findings.iter().map(|it| &it.counterexample).collect();
        let found = found.into_iter().find(|it| it.violation.invariant == exhibit.invariant);
        let found = found.unwrap_or_else(|| panic!("{name} got away with seed {seed}"));
        let (commands, known) = (found.plan.commands(), exhibit.smallest_known);
        assert!(
            (known..=known + longer).contains(&commands),
            "{name}, seed {seed}: {commands}, known {known}: {:#?}",
            found.plan
        );
        assert!(found.certificate.complete, "{name}, seed {seed}: out of budget");
    }
}

macro_rules! exhibits {
    ($($test:ident => $name:literal, $seeds:literal seeds $(, up to $longer:literal longer)?;)*) => {
        $(#[test] fn $test() { is_caught_and_minimal($name, $seeds, [1, $($longer)?].into_iter().max().unwrap_or(1)); })*

        #[test]
        fn every_exhibit_has_a_test() {
            let here = EXHIBITS.iter().filter(|exhibit| exhibit.backend() != Backend::Postgres);
            let names: Vec<_> = here.map(|exhibit| exhibit.subject.name()).collect();
            assert_eq!(names, [$($name),*]);
        }
    };
}

// One seed for those that take hundreds of plans to show.
exhibits! {
    shared_connection => "zoo-shared-connection", 5 seeds;
    static_session => "zoo-static-session", 5 seeds;
    check_then_use => "zoo-check-then-use", 5 seeds;
    no_rollback_on_drop => "zoo-no-rollback-on-drop", 5 seeds;
    lying_commit => "zoo-lying-commit", 5 seeds;
    released_connection => "zoo-released-connection", 5 seeds;
    handle_by_place => "zoo-handle-by-place", 5 seeds;
    always_healthy => "zoo-always-healthy", 5 seeds;
    always_sick => "zoo-always-sick", 5 seeds;
    recovers_inside => "zoo-recovers-inside", 1 seeds;
    depth_off_by_one => "zoo-depth-off-by-one", 1 seeds;
    leak_on_cancel => "zoo-leak-on-cancel", 5 seeds;
    leak_on_error => "zoo-leak-on-error", 5 seeds;
    listener_stays => "zoo-listener-stays", 5 seeds;
    captive_session => "zoo-captive-session", 5 seeds;
    kept_repository => "zoo-kept-repository", 1 seeds;
    cleanup_cascades => "zoo-cleanup-cascades", 2 seeds;
    faked_commit => "zoo-faked-commit", 5 seeds;
    override_stays => "zoo-override-stays", 5 seeds;
    override_shared => "zoo-override-shared", 5 seeds;
    misses_transitive => "zoo-misses-transitive", 1 seeds;
    cached_by_task => "zoo-cached-by-task", 2 seeds;
    built_twice => "zoo-built-twice", 5 seeds;
    blind_retry => "zoo-blind-retry", 5 seeds;
    residue => "zoo-residue-sim", 5 seeds;
    mistake_for_loss => "zoo-mistake-for-loss-sim", 5 seeds, up to 3 longer;
    loss_for_mistake => "zoo-loss-for-mistake-sim", 5 seeds;
}
