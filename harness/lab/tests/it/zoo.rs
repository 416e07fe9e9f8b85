//! Every broken system is caught by the right invariant, and its plan is shrunk to the smallest that is known.
//!
//! Each is searched with one seed here. Further seeds are the nightly run's (`unstale nightly`).

use std::sync::atomic::AtomicBool;
use std::time::Duration;

use unstale_harness::explore::{Exploration, StopAt, explore};
use unstale_harness::plan::Backend;
use unstale_lab::zoo::EXHIBITS;

/// Now and then another form of the same defect comes out, some commands longer, from which no move leads on.
fn is_caught_and_minimal(name: &str, longer: usize) {
    let exhibit = EXHIBITS.iter().find(|it| it.subject.name() == name).expect("the zoo has it");
    let stop_at = StopAt::Found(exhibit.invariant);
    let time = Duration::from_secs(120);
    let exploration = Exploration { plans: 4000, stop_at, time, ..Exploration::default() };
    let explored = explore(exhibit.subject, &exploration, &AtomicBool::new(false), |_| {});
    let found: Vec<_> = explored.findings.iter().map(|it| &it.counterexample).collect();
    let found = found.into_iter().find(|it| it.violation.invariant == exhibit.invariant);
    let found = found.unwrap_or_else(|| panic!("{name} got away"));
    let (commands, known) = (found.plan.commands(), exhibit.smallest_known);
    assert!((known..=known + longer).contains(&commands), "{name}: {commands}, known {known}: {:#?}", found.plan);
    assert!(found.certificate.complete, "{name}: out of budget");
}

macro_rules! exhibits {
    ($($test:ident => $name:literal $(, up to $longer:literal longer)?;)*) => {
        $(#[test] fn $test() { is_caught_and_minimal($name, [1, $($longer)?].into_iter().max().unwrap_or(1)); })*

        #[test]
        fn every_exhibit_has_a_test() {
            let here = EXHIBITS.iter().filter(|exhibit| exhibit.backend() != Backend::Postgres);
            let names: Vec<_> = here.map(|exhibit| exhibit.subject.name()).collect();
            assert_eq!(names, [$($name),*]);
        }
    };
}

exhibits! {
    shared_connection => "zoo-shared-connection";
    static_session => "zoo-static-session";
    check_then_use => "zoo-check-then-use";
    no_rollback_on_drop => "zoo-no-rollback-on-drop";
    lying_commit => "zoo-lying-commit";
    released_connection => "zoo-released-connection";
    handle_by_place => "zoo-handle-by-place";
    always_healthy => "zoo-always-healthy";
    always_sick => "zoo-always-sick";
    recovers_inside => "zoo-recovers-inside";
    depth_off_by_one => "zoo-depth-off-by-one", up to 2 longer;
    leak_on_cancel => "zoo-leak-on-cancel";
    leak_on_error => "zoo-leak-on-error";
    listener_stays => "zoo-listener-stays";
    captive_session => "zoo-captive-session";
    kept_repository => "zoo-kept-repository";
    cleanup_cascades => "zoo-cleanup-cascades";
    faked_commit => "zoo-faked-commit";
    override_stays => "zoo-override-stays";
    override_shared => "zoo-override-shared";
    misses_transitive => "zoo-misses-transitive";
    cached_by_task => "zoo-cached-by-task";
    built_twice => "zoo-built-twice";
    lost_memory => "zoo-lost-memory";
    expired_transaction => "zoo-expired-transaction";
    commit_on_drop => "zoo-commit-on-drop";
    commit_on_close => "zoo-commit-on-close";
    commit_outer => "zoo-commit-outer";
    nested_ignored => "zoo-nested-ignored";
    doomed_quietly => "zoo-doomed-quietly";
    failed_forgotten => "zoo-failed-forgotten";
    identity_map => "zoo-identity-map";
    early_cache => "zoo-early-cache";
    reads_elsewhere => "zoo-reads-elsewhere";
    short_scan => "zoo-short-scan";
    swallowed_conflict => "zoo-swallowed-conflict";
    says_deleted => "zoo-says-deleted";
    write_behind => "zoo-write-behind";
    refuses_to_wait => "zoo-refuses-to-wait";
    lost_wake_up => "zoo-lost-wake-up";
    lends_after_close => "zoo-lends-after-close";
    returned_twice => "zoo-returned-twice";
    counted_for_ever => "zoo-counted-for-ever";
    joins_own_session => "zoo-joins-own-session";
    waits_for_ever => "zoo-waits-for-ever";
    service_keeps_session => "zoo-service-keeps-session";
    handle_reconnects => "zoo-handle-reconnects";
    handle_names_connection => "zoo-handle-names-connection";
    left_to_waiters => "zoo-left-to-waiters";
    restores_all => "zoo-restores-all";
    fork_shares => "zoo-fork-shares";
    built_always => "zoo-built-always";
    keeps_fork => "zoo-keeps-fork";
    scoped_for_all => "zoo-scoped-for-all";
    swapped_apart => "zoo-swapped-apart", up to 2 longer;
    missed_race => "zoo-missed-race";
    blind_retry => "zoo-blind-retry";
    residue => "zoo-residue-sim";
    mistake_for_loss => "zoo-mistake-for-loss-sim", up to 3 longer;
    loss_for_mistake => "zoo-loss-for-mistake-sim";
    rollback_by_task_sim => "zoo-rollback-by-task-sim";
    swapped_unlocked_sim => "zoo-swapped-unlocked-sim", up to 2 longer;
    returned_after_close_sim => "zoo-returned-after-close-sim";
    loses_room_sim => "zoo-loses-room-sim";
    lost_wake_up_sim => "zoo-lost-wake-up-sim";
}
