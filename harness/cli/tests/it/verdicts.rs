//! What each verb comes to: exit statuses, reports, JSON.

use std::fs;
use std::process::Stdio;

use crate::command::{NESTED, command, finding, profile, text, unstale, wait_for};

#[test]
fn replay_of_a_finding_exits_2_and_says_how_sure_it_is() {
    let output = unstale(&["replay", &finding(NESTED), "--times", "3"]);
    assert_eq!(output.status.code(), Some(2), "{}", text(&output.stderr));
    let printed = text(&output.stdout);
    assert!(printed.contains("violation of rolled-back-invisible: 3 of 3 runs"), "{printed}");
    assert!(printed.trim_end().lines().last().is_some_and(|it| it.starts_with("unstale replay ")), "{printed}");
}

#[test]
fn replay_on_the_control_passes() {
    let output = unstale(&["replay", &finding(NESTED), "--system", "control", "--times", "1"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stdout));
}

#[test]
fn former_name_of_a_system_still_finds_it() {
    let output = unstale(&["replay", &finding(NESTED), "--system", "guarded", "--times", "1"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let explored = unstale(&["explore", "--system", "guarded", "--backend", "sim", "--plans", "1"]);
    assert!(text(&explored.stdout).contains("exploring control-sim on sim, seed 0"), "{}", text(&explored.stdout));
}

#[test]
fn explore_without_a_system_explores_the_library_on_both_of_its_databases() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let out = folder.path().display().to_string();
    let output = unstale(&["explore", "--plans", "400", "--out", &out]);
    let said = text(&output.stdout);
    assert!(said.contains("exploring unstale-sim on sim, seed 0"), "{said}");
    assert!(said.contains("exploring unstale on sqlite, seed 0"), "{said}");
    assert_ne!(output.status.code(), Some(2), "{said}");
    let simulated = unstale(&["explore", "--system", "unstale", "--backend", "sim", "--plans", "5", "--out", &out]);
    assert!(text(&simulated.stdout).contains("exploring unstale-sim on sim"));
}

#[test]
fn exploration_without_cancels_exits_3() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("profile.toml");
    fs::write(&path, profile("control", "inconclusive", 40, "cancels = false")).expect("the folder can be written");
    let path = path.display().to_string();
    let output = unstale(&["explore", "--system", "control", "--plans", "40", "--profile", &path]);
    assert_eq!(output.status.code(), Some(3), "{}", text(&output.stdout));
    assert!(text(&output.stdout).contains("the capability `cancellation` is declared and was never exercised"));
    assert_eq!(unstale(&["run", &path]).status.code(), Some(0));
}

#[test]
fn json_is_all_that_stands_on_standard_output() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let out = folder.path().display().to_string();
    let output = unstale(&["explore", "--system", "sqlx-pool", "--plans", "30", "--json", "--out", &out]);
    let value: serde_json::Value = serde_json::from_slice(&output.stdout).expect("standard output is one JSON value");
    assert_eq!(value["plans"], 30);
    assert!(value["fault_phase"].is_object());
}

/// A folder in which the file of the first finding cannot be written, since a folder has its name.
fn folder_with_taken_names(arguments: &[&str]) -> tempfile::TempDir {
    let (seen, taken) = (tempfile::tempdir(), tempfile::tempdir());
    let (seen, taken) = (seen.expect("a temporary folder"), taken.expect("a temporary folder"));
    let out = seen.path().display().to_string();
    assert_eq!(unstale(&[arguments, &["--out", &out]].concat()).status.code(), Some(2));
    for file in fs::read_dir(seen.path()).expect("findings are written there") {
        let name = file.expect("the folder can be read").file_name();
        fs::create_dir_all(taken.path().join(name).join("taken")).expect("the folder can be written");
    }
    taken
}

#[test]
fn finding_that_cannot_be_written_is_printed_as_a_plan() {
    let explore = ["explore", "--system", "zoo-static-session", "--plans", "10", "--jobs", "1"];
    let folder = folder_with_taken_names(&explore);
    let out = folder.path().display().to_string();
    let output = unstale(&[&explore[..], &["--out", &out]].concat());
    assert_eq!(output.status.code(), Some(2), "{}", text(&output.stderr));
    let printed = text(&output.stdout);
    assert!(printed.contains(&format!("not written: {out}")), "{printed}");
    assert!(printed.contains("[actors]"), "{printed}");

    let output = unstale(&[&explore[..], &["--json", "--out", &out]].concat());
    assert_eq!(output.status.code(), Some(2), "{}", text(&output.stderr));
    let value: serde_json::Value = serde_json::from_slice(&output.stdout).expect("standard output is one JSON value");
    assert!(value["violations"][0]["plan"].is_null());
    assert!(value["unwritten"][0].as_str().is_some_and(|text| text.contains("[actors]")), "{value:#}");
}

#[test]
fn shrink_prints_what_it_cannot_write_and_every_removal() {
    let shrink = ["shrink", &finding(NESTED)];
    let folder = folder_with_taken_names(&shrink);
    let out = folder.path().display().to_string();
    let output = unstale(&[&shrink[..], &["--out", &out]].concat());
    assert_eq!(output.status.code(), Some(2), "{}", text(&output.stderr));
    let printed = text(&output.stdout);
    assert!(printed.contains(&format!("not written: {out}")), "{printed}");
    assert!(printed.contains("[actors]"), "{printed}");
    let row = printed.lines().find(|line| line.trim_start().starts_with("without a 1: open "));
    assert!(row.expect("a row of its own").contains("makes no sense: `begin`: "), "{printed}");
    let json = unstale(&[&shrink[..], &["--json", "--out", &out]].concat());
    let value: serde_json::Value = serde_json::from_slice(&json.stdout).expect("standard output is one JSON value");
    assert!(value["unwritten"].as_str().is_some_and(|text| text.contains("[actors]")), "{value:#}");
}

#[test]
fn report_is_written_in_the_place_of_an_older_one() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let report = folder.path().join("report.html");
    fs::write(&report, "x".repeat(1 << 20)).expect("the folder can be written");
    let path = report.display().to_string();
    let output = unstale(&["replay", &finding(NESTED), "--times", "1", "--report", &path]);
    assert_eq!(output.status.code(), Some(2), "{}", text(&output.stderr));
    let page = fs::read_to_string(&report).expect("it is written");
    assert!(page.starts_with("<!DOCTYPE html>") && page.ends_with("</html>\n"), "{page}");
}

#[test]
fn width_of_a_report_is_bounded_whatever_the_terminal_says() {
    for columns in ["0", "1", "18446744073709551615", "-3", "wide", ""] {
        let mut command = command(&["replay", &finding(NESTED), "--times", "1"]);
        let output = command.env("COLUMNS", columns).output().expect("the command was built");
        assert_eq!(output.status.code(), Some(2), "COLUMNS={columns}: {}", text(&output.stderr));
    }
}

#[test]
fn command_alone_says_what_runs_and_where_help_is() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut child = command(&[]).current_dir(folder.path()).stdout(Stdio::piped()).spawn().expect("it was built");
    let line = |line: &str| line.starts_with("no command given: exploring the library") && line.contains("--help");
    wait_for(line, child.stdout.take().expect("it is piped"));
    child.kill().expect("it runs");
    child.wait().expect("it ends");
}

#[test]
fn report_has_the_verdict_the_plan_the_command_that_replays_it_and_the_coverage() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (out, report) = (folder.path().join("out"), folder.path().join("report.html"));
    let (out, path) = (out.display().to_string(), report.display().to_string());
    let explore = ["explore", "--system", "zoo-residue-sim", "--plans", "60", "--jobs", "1"];
    let output = unstale(&[&explore[..], &["--out", &out, "--report", &path]].concat());
    assert_eq!(output.status.code(), Some(2), "{}", text(&output.stderr));
    let page = fs::read_to_string(&report).expect("it is written");
    for part in [
        "<h2>verdict on zoo-residue-sim</h2>",
        "60 plans, ",
        "violation: ",
        "found after ",
        "replays 10 of 10",
        "without a 1: open",
        &format!("reproduce: unstale replay {out}/"),
        "version = 1\nsystem = &quot;zoo-residue-sim&quot;",
        "[actors]\na = [",
        "<h2>coverage of zoo-residue-sim</h2>",
        "evaluated (times)",
        "landed of drawn",
    ] {
        assert!(page.contains(part), "{part}: {page}");
    }
}
