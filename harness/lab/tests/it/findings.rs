//! Every plan under `scenarios/` gives the verdict that stands in its file.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use unstale_harness::chain::{Chain, Of, Subject};
use unstale_harness::explore::{Exploration, StopAt, explore};
use unstale_harness::oracle::Invariant;
use unstale_harness::plan::PlanFile;
use unstale_harness::scenario::replay;
use unstale_lab::sim::{self, SimulatedSystem};
use unstale_lab::systems::control::SqliteControl;
use unstale_lab::systems::sqlx_pool::SqlxPool;
use unstale_lab::systems::unstale::Unstale;
use unstale_lab::zoo::WIRINGS;

fn scenarios(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scenarios").join(folder);
    let entries = std::fs::read_dir(&folder).expect("the folder is part of the repository");
    let mut paths: Vec<_> = entries.map(|it| it.expect("it can be listed").path()).collect();
    paths.retain(|it| it.extension().is_some_and(|it| it == "toml"));
    paths.sort();
    paths
}

fn read(path: &Path) -> PlanFile {
    PlanFile::read(path).unwrap_or_else(|error| panic!("{error}"))
}

/// Each plan of a folder gives its verdict on the system that it names, one of these; how many there are.
fn gives_its_verdict(folder: &str, systems: &[&'static dyn Subject]) -> usize {
    let paths = scenarios(folder);
    for path in &paths {
        let file = read(path);
        let named = systems.iter().find(|system| file.system.as_deref() == Some(system.name()));
        let chain = Chain::new(*named.expect("there is such a system"));
        assert_eq!(replay(&chain, &file, 1).meets(file.expect), Ok(()), "{}", path.display());
    }
    paths.len()
}

#[test]
fn each_finding_is_found_again() {
    assert!(gives_its_verdict("findings", &[const { &Of::<SqlxPool>::new() }]) > 0);
}

#[test]
fn no_finding_is_found_in_the_control() {
    for path in ["findings", "wirings"].into_iter().flat_map(scenarios) {
        let file = read(&path);
        let chain = Chain::new(const { &Of::<SqliteControl>::new() as &dyn Subject });
        let run = chain.run(&file.plan);
        assert_eq!(run.violation(), None, "{}", path.display());
    }
}

#[test]
fn each_wiring_fails_as_it_did() {
    assert_eq!(gives_its_verdict("wirings", &WIRINGS.iter().map(|wiring| wiring.0).collect::<Vec<_>>()), 3);
}

#[test]
fn each_plan_that_once_broke_the_library_passes() {
    static LIBRARY: Of<Unstale> = Of::new();
    static SIMULATED: SimulatedSystem<sim::system::Unstale> = SimulatedSystem::new();
    assert!(gives_its_verdict("passes", &[&LIBRARY, &SIMULATED]) > 0);
}

/// Within fifty plans. Further seeds are the nightly run's.
#[test]
fn each_wiring_is_found_soon() {
    for (subject, _) in WIRINGS {
        let stop_at = StopAt::Found(Invariant::NoCrossScope);
        let time = Duration::from_secs(120);
        let exploration = Exploration { plans: 50, stop_at, time, ..Exploration::default() };
        let explored = explore(subject, &exploration, &AtomicBool::new(false), |_| {});
        let found = explored.findings.iter().any(|it| it.counterexample.violation.invariant == Invariant::NoCrossScope);
        assert!(found, "{}", subject.name());
    }
}
