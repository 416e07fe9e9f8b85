//! Whether a pass can be believed: the control raises no alarm, and an exploration that could not see says so. That
//! every broken one is caught is in `zoo.rs`.

use std::sync::atomic::AtomicBool;
use std::time::Duration;

use unstale_harness::chain::{Of, Subject};
use unstale_harness::explore::{Exploration, Explored, explore};
use unstale_harness::generate::{Kind, Profile};
use unstale_harness::shrink::{Counterexample, embeds};
use unstale_lab::systems::control::SqliteControl;
use unstale_lab::systems::sqlx_pool::SqlxPool;
use unstale_lab::systems::unstale::Unstale;

fn run(subject: &dyn Subject, exploration: Exploration) -> Explored {
    explore(subject, &Exploration { time: Duration::from_secs(120), ..exploration }, &AtomicBool::new(false), |_| {})
}

#[test]
fn control_raises_no_alarm() {
    let explored = run(&Of::<SqliteControl>::new(), Exploration { plans: 1500, ..Exploration::default() });
    let found: Vec<_> = explored.findings.iter().map(|it| &it.fingerprint).collect();
    assert!(found.is_empty(), "{found:#?}");
    assert_eq!(explored.coverage.gaps(Of::<SqliteControl>::new().capabilities()), Vec::<String>::new());
}

#[test]
fn library_raises_no_alarm() {
    let explored = run(&Of::<Unstale>::new(), Exploration { plans: 1500, ..Exploration::default() });
    let found: Vec<_> = explored.findings.iter().map(|it| &it.fingerprint).collect();
    assert!(found.is_empty(), "{found:#?}");
    assert_eq!(explored.coverage.gaps(Of::<Unstale>::new().capabilities()), Vec::<String>::new());
}

#[test]
fn generator_that_never_cancels_is_inconclusive() {
    let profile = Profile { cancels: false, ..Profile::default() };
    let explored = run(&Of::<SqliteControl>::new(), Exploration { plans: 600, profile, ..Exploration::default() });
    let gaps = explored.coverage.gaps(Of::<SqliteControl>::new().capabilities());
    assert!(gaps.iter().any(|it| it.contains("`cancellation`")), "{gaps:?}");
}

#[test]
fn generator_that_never_nests_is_inconclusive() {
    let profile = Profile { without: vec![Kind::Nest], ..Profile::default() };
    let explored = run(&Of::<SqliteControl>::new(), Exploration { plans: 600, profile, ..Exploration::default() });
    let gaps = explored.coverage.gaps(Of::<SqliteControl>::new().capabilities());
    assert!(gaps.iter().any(|it| it.contains("`nesting`")), "{gaps:?}");
}

#[test]
fn nested_begin_of_sqlx_is_found_and_minimal() {
    // One defect, seen by whoever looks first: a nested begin that fails has rolled back the outer transaction.
    let faces = [
        "rolled-back-invisible: open; begin; begin immediate; put",
        "rolled-back-invisible: open; begin; begin immediate; put; rollback",
        "transaction-agreement: open; begin; begin immediate; put; commit",
        "transaction-agreement: open; begin; put; begin immediate; get",
        "committed-durable: open; begin; put; begin immediate; commit",
    ];
    let explored = run(&Of::<SqlxPool>::new(), Exploration { plans: 600, ..Exploration::default() });
    let found: Vec<_> = explored.findings.iter().map(|it| it.fingerprint.as_str()).collect();
    assert!(found.iter().any(|it| faces.contains(it)), "{found:#?}");
    let all: Vec<_> = explored.findings.iter().map(|it| &it.counterexample).collect();
    for (at, one) in all.iter().enumerate() {
        let same = |other: &&Counterexample| other.violation.invariant == one.violation.invariant;
        let contains = |other: &&Counterexample| embeds(&one.plan, &other.plan);
        let others = all.iter().enumerate().filter(|it| it.0 != at).map(|it| *it.1);
        assert_eq!(others.filter(same).filter(contains).count(), 0, "contained in another: {:?} {found:#?}", one.plan);
    }
}
