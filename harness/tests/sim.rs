//! The simulation: the real library raises no alarm in it, and a plan gives the same history every time.

use std::sync::atomic::AtomicBool;
use std::time::Duration;

use unstale_harness::chain::{Chain, Subject};
use unstale_harness::explore::{Exploration, explore};
use unstale_harness::generate::{Profile, generate, random_for};
use unstale_harness::sim::SimulatedSystem;
use unstale_harness::sim::system::Unstale;

static SUBJECT: SimulatedSystem<Unstale> = SimulatedSystem::new();

#[test]
fn same_plan_gives_the_same_history() {
    let chain = Chain::new(&SUBJECT);
    for plan in 0..500 {
        let plan = generate(&Profile::default(), SUBJECT.capabilities(), None, &mut random_for(7, plan));
        let [first, second] = [(), ()].map(|()| format!("{:?}", chain.run(&plan).history));
        assert_eq!(first, second);
    }
}

#[test]
fn library_raises_no_alarm() {
    let exploration = Exploration { plans: 10_000, time: Duration::from_secs(60), ..Exploration::default() };
    let explored = explore(&SUBJECT, &exploration, &AtomicBool::new(false), |_| {});
    let found: Vec<_> = explored.findings.iter().map(|it| &it.fingerprint).collect();
    assert!(found.is_empty(), "{found:#?}");
    assert_eq!(explored.coverage.gaps(SUBJECT.capabilities()), Vec::<String>::new());
}
