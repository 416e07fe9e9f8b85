//! `check!`: what fails, what is kept, and its environment knobs.

use std::panic::catch_unwind;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

use unstale_harness::check::check;
use unstale_harness::database::Database;
use unstale_harness::generate::Profile;
use unstale_harness::history::Failure;
use unstale_harness::plan;
use unstale_harness::system::{Capabilities, Port, System};

/// Claims whatever it is asked for, and does nothing.
struct Liar;

impl System for Liar {
    const NAME: &'static str = "liar";

    fn capabilities() -> Capabilities {
        Capabilities::NONE
    }

    async fn start(_: &Database) -> Result<Self, Failure> {
        Ok(Self)
    }

    async fn actor(&self, mut port: Port) {
        while port.next().await.is_some() {
            port.run(std::future::ready(Ok::<_, Failure>(()))).await;
        }
    }

    async fn stop(&self) {}
}

/// Does not even start.
struct Absent;

impl System for Absent {
    const NAME: &'static str = "absent";

    fn capabilities() -> Capabilities {
        Capabilities::NONE
    }

    async fn start(_: &Database) -> Result<Self, Failure> {
        Err(Failure::new(unstale_harness::history::FailureClass::Closed, "not today"))
    }

    async fn actor(&self, _: Port) {}

    async fn stop(&self) {}
}

fn said<S: System>(root: &Path) -> String {
    let panic = catch_unwind(|| check::<S>(Profile::default(), root)).expect_err("the check fails");
    panic.downcast_ref::<String>().cloned().expect("its text is formatted")
}

#[test]
fn failing_plan_is_kept_and_run_first_the_next_time() {
    let root = tempfile::tempdir().expect("a temporary folder");
    let first = said::<Liar>(root.path());
    assert!(first.contains(" breaks "), "{first}");
    assert!(first.contains("kept as "), "{first}");
    let second = said::<Liar>(root.path());
    assert!(second.starts_with("a regression breaks again: "), "{second}");
}

fn kept<S: System>(root: &Path) -> Vec<PathBuf> {
    let folder = root.join("scenarios").join("regressions").join(S::NAME);
    let mut files: Vec<_> =
        std::fs::read_dir(folder).expect("it is there").map(|it| it.expect("a file").path()).collect();
    files.sort();
    files
}

/// Panics at two commands, and skips all others.
struct Clumsy;

impl System for Clumsy {
    const NAME: &'static str = "clumsy";

    fn capabilities() -> Capabilities {
        Capabilities::NONE
    }

    async fn start(_: &Database) -> Result<Self, Failure> {
        Ok(Self)
    }

    async fn actor(&self, mut port: Port) {
        while let Some(command) = port.next().await {
            assert!(!matches!(command, plan::Command::Scan | plan::Command::Slow), "it cannot do that");
        }
    }

    async fn stop(&self) {}
}

#[test]
fn each_finding_is_shown_and_kept_in_a_file_of_its_own() {
    let root = tempfile::tempdir().expect("a temporary folder");
    let text = said::<Clumsy>(root.path());
    assert_eq!(text.matches(" breaks no-panic\n").count(), 2, "{text}");
    let files = kept::<Clumsy>(root.path());
    assert_eq!(files.len(), 2, "{files:?}");
    for file in &files {
        let file = file.display();
        assert!(
            text.contains(&format!("kept as {file}\nrun it again: UNSTALE_REPLAY={file} cargo test check::each_")),
            "{text}"
        );
    }
    let again = said::<Clumsy>(root.path());
    assert_eq!(again.matches("a regression breaks again: ").count(), 2, "{again}");
    assert!(!again.contains("plan "), "both are known: {again}");
}

/// Panics once in its life.
struct Nervous;

static HAS_PANICKED: AtomicBool = AtomicBool::new(false);

impl System for Nervous {
    const NAME: &'static str = "nervous";

    fn capabilities() -> Capabilities {
        Capabilities::NONE
    }

    async fn start(_: &Database) -> Result<Self, Failure> {
        Ok(Self)
    }

    async fn actor(&self, mut port: Port) {
        while port.next().await.is_some() {
            assert!(HAS_PANICKED.swap(true, Ordering::Relaxed), "only this time");
        }
    }

    async fn stop(&self) {}
}

#[test]
fn what_broke_once_and_not_again_is_called_that_and_fails() {
    let root = tempfile::tempdir().expect("a temporary folder");
    let text = said::<Nervous>(root.path());
    assert!(
        text.contains("breaks no-panic once and not again in 40 runs: the run below is the only evidence\n"),
        "{text}"
    );
    assert!(text.contains("\nrun it again: UNSTALE_REPLAY="), "{text}");
    assert!(text.contains("\ndraw it again: UNSTALE_SEED=0 UNSTALE_PLANS="), "{text}");
    assert_eq!(kept::<Nervous>(root.path()).len(), 1);
}

#[test]
fn kept_plan_is_run_alone() {
    let root = tempfile::tempdir().expect("a temporary folder");
    said::<Liar>(root.path());
    let file = kept::<Liar>(root.path())[0].display().to_string();
    let text = with_knob("UNSTALE_REPLAY", &file);
    assert!(text.contains(&format!("{file} breaks ")) && text.contains(" in 10 of 10 runs\n"), "{text}");
    let of_another = kept_for_another_system(root.path(), &file);
    let text = with_knob("UNSTALE_REPLAY", &of_another);
    assert!(!text.contains(" breaks "), "the plan is not of this system: {text}");
    let text = with_knob("UNSTALE_REPLAY", "/nowhere.toml");
    assert!(text.contains("UNSTALE_REPLAY: /nowhere.toml: cannot read the plan: "), "{text}");
}

fn kept_for_another_system(root: &Path, file: &str) -> String {
    let text = std::fs::read_to_string(file).expect("it was kept");
    let other = root.join("other.toml");
    std::fs::write(&other, text.replace("system = \"liar\"", "system = \"other\"")).expect("the folder can be written");
    other.display().to_string()
}

#[test]
fn plan_of_which_nothing_can_be_said_is_no_pass() {
    let root = tempfile::tempdir().expect("a temporary folder");
    let text = said::<Absent>(root.path());
    assert!(text.contains("is inconclusive: the harness failed: the system did not start: not today"), "{text}");
}

/// What `UNSTALE_KNOWN` is tried on, in a process of its own.
#[test]
#[should_panic = "cause: "]
fn subject_of_known_causes() {
    let root = tempfile::tempdir().expect("a temporary folder");
    check::<Liar>(Profile::default(), root.path());
}

/// What the knobs are tried on, in a process of its own.
#[test]
#[should_panic = "of seed"]
fn subject_of_the_knobs() {
    let root = tempfile::tempdir().expect("a temporary folder");
    check::<Liar>(Profile::default(), root.path());
}

fn with_knob(name: &str, value: &str) -> String {
    output_with("check::subject_of_the_knobs", &[(name, value)]).1
}

/// What a test of this program says with these knobs, on standard output and standard error.
fn output_with(test: &str, knobs: &[(&str, &str)]) -> (String, String) {
    let program = std::env::current_exe().expect("a test is a program");
    let mut command = Command::new(program);
    command.args(["--exact", test, "--nocapture"]).envs(knobs.iter().copied());
    let output = command.output().expect("it can be run");
    (String::from_utf8_lossy(&output.stdout).into_owned(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn known_cause_fails_no_test_and_is_counted() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("known.toml").display().to_string();
    let known = |causes: &[String]| {
        let entry = |cause: &String| format!("[[cause]]\nsignature = \"{cause}\"\nreported = \"#1\"\n");
        let text = format!("version = 1\n{}", causes.iter().map(entry).collect::<String>());
        std::fs::write(&path, text).expect("the folder can be written");
        output_with("check::subject_of_known_causes", &[("UNSTALE_KNOWN", &path), ("UNSTALE_ALL", "1")])
    };
    let mut causes = Vec::new();
    let (quiet, said) = known(&causes);
    assert!(!quiet.contains("known: "), "{quiet}");
    for line in said.lines().filter_map(|line| line.strip_prefix("cause: ")) {
        if !causes.contains(&line.to_owned()) {
            causes.push(line.to_owned());
        }
    }
    assert!(!causes.is_empty(), "{said}");
    // With all of its causes known, it does not panic as it should.
    let (counted, said) = known(&causes);
    assert!(!said.contains("\ncause: ") && counted.contains("; known: #1, "), "{counted}\n{said}");
    assert!(counted.contains("test did not panic as expected"), "{counted}\n{said}");
}

#[test]
fn file_of_known_causes_that_cannot_be_read_fails_before_a_plan() {
    let text = with_knob("UNSTALE_KNOWN", "/nowhere.toml");
    assert!(text.contains("UNSTALE_KNOWN: /nowhere.toml: cannot be read: No such file"), "{text}");
    let text = with_knob("UNSTALE_ALL", "2");
    assert!(text.contains("UNSTALE_ALL must be a number from 0 to 1, not `2`"), "{text}");
}

#[test]
fn every_finding_is_shown_by_its_cause_if_all_is_asked_for() {
    let few = output_with("check::subject_of_all", &[]).1;
    assert_eq!(few.matches(" breaks no-panic").count(), 4, "{few}");
    assert!(!few.contains("cause (its signature)"), "{few}");
    let all = output_with("check::subject_of_all", &[("UNSTALE_ALL", "1")]).1;
    assert!(all.matches(" breaks no-panic").count() > 4, "{all}");
    assert!(all.contains("    cause (its signature) ") && all.contains("\n 1  "), "{all}");
}

/// Panics at five commands, and skips all others.
struct Hopeless;

impl System for Hopeless {
    const NAME: &'static str = "hopeless";

    fn capabilities() -> Capabilities {
        Capabilities::NONE
    }

    async fn start(_: &Database) -> Result<Self, Failure> {
        Ok(Self)
    }

    async fn actor(&self, mut port: Port) {
        while let Some(command) = port.next().await {
            use plan::Command::{Delete, Fail, Insert, Scan, Slow};
            let is_beyond_it = matches!(command, Delete(_) | Insert(..) | Fail | Scan | Slow);
            assert!(!is_beyond_it, "it cannot do that");
        }
    }

    async fn stop(&self) {}
}

/// What `UNSTALE_ALL` is tried on, in a process of its own.
#[test]
#[should_panic = "of seed"]
fn subject_of_all() {
    let root = tempfile::tempdir().expect("a temporary folder");
    check::<Hopeless>(Profile::default(), root.path());
}

#[test]
fn seed_decides_which_plans_are_run() {
    let text = with_knob("UNSTALE_SEED", "7");
    assert!(text.contains("plan 0 of seed 7 breaks"), "{text}");
}

#[test]
fn number_of_plans_must_be_one() {
    for (value, expected) in [
        ("0", "UNSTALE_PLANS must be a number from 1, not `0`"),
        ("many", "UNSTALE_PLANS must be a number from 1, not `many`"),
    ] {
        let text = with_knob("UNSTALE_PLANS", value);
        assert!(text.contains(expected), "{text}");
    }
}

#[test]
fn number_of_plans_is_the_number_of_plans() {
    let program = std::env::current_exe().expect("a test is a program");
    let run = |plans: &str| {
        let mut command = Command::new(&program);
        let output =
            command.args(["--exact", "check::counted_plans", "--nocapture"]).env("UNSTALE_PLANS", plans).output();
        String::from_utf8_lossy(&output.expect("it can be run").stdout).matches("a plan starts").count()
    };
    assert_eq!((run("1"), run("3")), (1, 3));
}

/// Says how often it is started, and is right about the little that it does.
struct Loud;

impl System for Loud {
    const NAME: &'static str = "loud";

    fn capabilities() -> Capabilities {
        Capabilities::NONE
    }

    async fn start(_: &Database) -> Result<Self, Failure> {
        println!("a plan starts");
        Ok(Self)
    }

    async fn actor(&self, mut port: Port) {
        while port.next().await.is_some() {}
    }

    async fn stop(&self) {}
}

#[test]
fn counted_plans() {
    let root = tempfile::tempdir().expect("a temporary folder");
    check::<Loud>(Profile::default(), root.path());
}
