//! Every plan under `scenarios/` gives the verdict that stands in its file.

use std::path::{Path, PathBuf};

use unstale_harness::chain::{Chain, Of, Subject};
use unstale_harness::plan::PlanFile;
use unstale_harness::scenario::replay;
use unstale_harness::systems::guarded::Guarded;
use unstale_harness::systems::sqlx_pool::SqlxPool;

fn scenarios() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios/findings");
    let entries = std::fs::read_dir(&folder).expect("the folder of findings is part of the repository");
    let mut paths: Vec<_> = entries.map(|it| it.expect("it can be listed").path()).collect();
    paths.retain(|it| it.extension().is_some_and(|it| it == "toml"));
    paths.sort();
    paths
}

#[test]
fn each_finding_is_found_again() {
    let paths = scenarios();
    assert!(!paths.is_empty());
    for path in paths {
        let file = PlanFile::read(&path).unwrap_or_else(|error| panic!("{error}"));
        let chain = Chain::new(const { &Of::<SqlxPool>::new() as &dyn Subject });
        let again = replay(&chain, &file, 1);
        assert_eq!(again.meets(file.expect), Ok(()), "{}", path.display());
    }
}

#[test]
fn no_finding_is_found_in_the_correct_system() {
    for path in scenarios() {
        let file = PlanFile::read(&path).unwrap_or_else(|error| panic!("{error}"));
        let chain = Chain::new(const { &Of::<Guarded>::new() as &dyn Subject });
        let run = chain.run(&file.plan);
        assert_eq!(run.violation(), None, "{}", path.display());
    }
}
