//! Certificates: small plans on which every schedule was run, every fault, and a cancel at every poll of every command.

use std::path::Path;

use unstale_harness::plan::{Plan, PlanFile};
use unstale_lab::sim::Simulated;
use unstale_lab::sim::control::SimControl;
use unstale_lab::sim::every::{Everything, everything};
use unstale_lab::sim::system::Unstale;

use crate::flawed::{BlindRetry, RecoveryInside};

fn plan(storage: &str, actors: [&str; 2]) -> Plan {
    let steps = actors.map(|it| it.split("; ").map(|it| format!("{it:?}")).collect::<Vec<_>>().join(", "));
    let [a, b] = steps;
    let text = format!("version = 1\nstorage = \"{storage}\"\nconnections = 1\n[actors]\na = [{a}]\nb = [{b}]");
    PlanFile::parse(&text, Path::new("certificate")).expect("the plan is well formed").plan
}

fn run<S: Simulated>(name: &str, storage: &str, actors: [&str; 2]) -> Everything {
    run_with::<S>(name, storage, actors, 2)
}

fn run_with<S: Simulated>(name: &str, storage: &str, actors: [&str; 2], disturbances: usize) -> Everything {
    let all = everything::<S>(&plan(storage, actors), disturbances);
    let Everything { schedules, cancelled, faulted, broken } = &all;
    let of = if broken.is_some() { "more".to_owned() } else { schedules.to_string() };
    println!("{name}, {storage}: explored {schedules} of {of}, {cancelled} cancelled, {faulted} with a fault");
    all
}

#[track_caller]
fn assert_unbroken(all: &Everything) {
    if let Some((plan, verdict)) = &all.broken {
        panic!("{verdict:?}\n{}", PlanFile::from(plan.clone()));
    }
}

/// Nothing breaks on both manners of connection, and cancels and faults did land.
#[track_caller]
fn certify(name: &str, actors: [&str; 2]) {
    for storage in ["sim", "sim-ordered"] {
        let all = run::<Unstale>(name, storage, actors);
        assert_unbroken(&all);
        assert!(all.cancelled > 1000 && all.faulted > 1000, "{all:?}");
    }
}

#[test]
fn close_against_use() {
    certify("close against use", ["open; close", "open; get k1"]);
}

#[test]
fn recover_against_use() {
    certify("recover against use", ["open; put k1 1", "open; get k1"]);
}

#[test]
fn commit_against_loss() {
    certify("commit against loss", ["open; begin; put k1 1; commit", "open"]);
}

#[test]
fn drain_against_acquire() {
    certify("drain against acquire", ["open; get k1", "close-pool"]);
}

/// More commands than the others, so fewer disturbances: whether the transaction is still open has to be asked, and the
/// question may be cut off as well.
#[test]
fn cancel_against_a_transaction_that_ends_by_itself() {
    let actors = ["open; begin; put k1 1; insert k1 2 or rollback; get k1", "open"];
    for storage in ["sim-ordered", "sim-only"] {
        let all = run_with::<Unstale>("cancel against or rollback", storage, actors, 1);
        assert_unbroken(&all);
        assert!(all.cancelled > 1000, "{all:?}");
    }
}

#[test]
fn control_is_certified_too() {
    let all = run::<SimControl>("control-sim", "sim-ordered", ["open; put k1 1", "open"]);
    assert_unbroken(&all);
}

#[test]
fn blind_retry_is_not_certified() {
    assert!(run::<SimControl<BlindRetry>>("blind retry", "sim", ["open; put k1 1", "open; get k1"]).broken.is_some());
}

#[test]
fn recovery_inside_a_transaction_is_not_certified() {
    let all = run::<SimControl<RecoveryInside>>("recovery inside", "sim", ["open; begin; put k1 1; commit", "open"]);
    assert!(all.broken.is_some());
}
