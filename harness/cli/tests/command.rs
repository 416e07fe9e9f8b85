//! The command as its users meet it: exit statuses, errors, JSON.

use std::path::Path;
use std::process::{Command, Output};

const NESTED: &str = "nested-begin-rolls-back-the-outer.toml";

fn unstale(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_unstale")).args(arguments).output().expect("the command was built")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn finding(name: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scenarios/findings").join(name).display().to_string()
}

#[test]
fn replay_of_a_finding_exits_2_and_says_how_sure_it_is() {
    let output = unstale(&["replay", &finding(NESTED), "--times", "3"]);
    assert_eq!(output.status.code(), Some(2), "{}", text(&output.stderr));
    let printed = text(&output.stdout);
    assert!(printed.contains("violation of rolled-back-invisible: 3 of 3 runs"), "{printed}");
    assert!(printed.trim_end().lines().last().is_some_and(|it| it.starts_with("unstale replay ")), "{printed}");
}

#[test]
fn replay_on_the_correct_system_passes() {
    let output = unstale(&["replay", &finding(NESTED), "--system", "guarded", "--times", "1"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stdout));
}

#[test]
fn unknown_system_lists_those_that_exist() {
    let output = unstale(&["explore", "--system", "nothing"]);
    assert_eq!(output.status.code(), Some(1));
    let said = text(&output.stderr);
    assert!(
        said.contains("no system is called `nothing`; there are: unstale, unstale-sim, sqlx-pool, guarded, zoo-"),
        "{said}"
    );
}

#[test]
fn unknown_flag_and_missing_file_exit_1() {
    assert_eq!(unstale(&["explore", "--sytem", "x"]).status.code(), Some(1));
    let output = unstale(&["replay", "no-such-file.toml"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("no-such-file.toml: cannot read the plan"));
}

#[test]
fn exploration_without_cancels_exits_3() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let profile = folder.path().join("profile.toml");
    let written =
        "version = 1\nsystem = \"guarded\"\nexpect = \"inconclusive\"\nplans = 40\n[profile]\ncancels = false\n";
    std::fs::write(&profile, written).expect("the folder can be written");
    let profile = profile.display().to_string();
    let output = unstale(&["explore", "--system", "guarded", "--plans", "40", "--profile", &profile]);
    assert_eq!(output.status.code(), Some(3), "{}", text(&output.stdout));
    assert!(text(&output.stdout).contains("the capability `cancellation` is declared and was never exercised"));
    assert_eq!(unstale(&["run", &profile]).status.code(), Some(0));
}

#[test]
fn json_is_all_that_stands_on_standard_output() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let out = folder.path().display().to_string();
    let output = unstale(&["explore", "--plans", "30", "--json", "--out", &out]);
    let value: serde_json::Value = serde_json::from_slice(&output.stdout).expect("standard output is one JSON value");
    assert_eq!(value["plans"], 30);
    assert!(value["fault_phase"].is_object());
}

#[test]
fn folder_that_cannot_be_written_prints_the_plan() {
    let output = unstale(&["explore", "--plans", "60", "--out", "/proc/nowhere"]);
    assert_eq!(output.status.code(), Some(2), "{}", text(&output.stdout));
    let printed = text(&output.stdout);
    assert!(printed.contains("not written: /proc/nowhere"), "{printed}");
    assert!(printed.contains("[actors]"), "{printed}");
}
