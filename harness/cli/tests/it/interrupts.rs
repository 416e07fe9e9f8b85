//! Ctrl-C ends a run early and loses nothing; a run that was interrupted never passes.
//!
//! A signal is sent when the command is known to be under way: it has printed a line, or it reads its standard input.

use std::path::Path;
use std::process::{Child, Output};

use rustix::process::{Pid, Signal, kill_process};

use crate::command::{NESTED, feed, finding, profile, start, text, wait_for};

fn interrupt(child: &Child) {
    kill_process(Pid::from_child(child), Signal::INT).expect("the command runs");
}

/// Starts the command, gives it a file on standard input, and interrupts it once it reads it.
fn interrupted(arguments: &[&str], file: &str) -> Output {
    let mut child = start(arguments);
    let mut input = child.stdin.take().expect("it is piped");
    feed(&mut input, file);
    drop(input);
    interrupt(&child);
    child.wait_with_output().expect("it ends")
}

#[test]
fn interrupted_and_clean_says_so_and_exits_130() {
    let mut child = start(&["explore", "--system", "control-sim", "--for", "5m"]);
    let mut stdout = child.stdout.take().expect("it is piped");
    wait_for(|line| line.starts_with("exploring control-sim"), &mut stdout);
    interrupt(&child);
    let rest = std::io::read_to_string(&mut stdout).expect("its output is a text");
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(130), "{rest}");
    assert!(rest.contains(" s, interrupted\n"), "{rest}");
    assert_eq!(rest.lines().last(), Some("interrupted: no invariant broke until then"), "{rest}");
    assert_eq!(text(&output.stderr), "unstale: interrupted, ending soon; a second Ctrl-C ends it at once\n");
}

#[test]
fn interrupted_and_clean_says_so_in_json() {
    let endless = profile("control-sim", "pass", 1, "");
    let explored = ["explore", "--system", "control-sim", "--for", "5m", "--json", "--profile", "/dev/stdin"];
    let output = interrupted(&explored, &endless);
    assert_eq!(output.status.code(), Some(130), "{}", text(&output.stderr));
    let value: serde_json::Value = serde_json::from_slice(&output.stdout).expect("standard output is one JSON value");
    assert_eq!(value["verdict"], "interrupted");
    assert_eq!(value["interrupted"], true);

    let plan = std::fs::read_to_string(finding(NESTED)).expect("it is in the repository");
    let replayed = ["replay", "/dev/stdin", "--system", "control", "--times", "4294967295", "--json"];
    let output = interrupted(&replayed, &plan);
    assert_eq!(output.status.code(), Some(130), "{}", text(&output.stderr));
    let value: serde_json::Value = serde_json::from_slice(&output.stdout).expect("standard output is one JSON value");
    assert_eq!(value["verdict"], "interrupted");
    assert_eq!(value["agreed"][0], value["agreed"][1], "every run that was done passed");
}

#[test]
fn interrupted_scenario_is_neither_as_expected_nor_broken() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let endless = folder.path().join("endless.toml");
    let text = profile("control-sim", "pass", 1_000_000_000, "");
    std::fs::write(&endless, text).expect("the folder can be written");
    let endless = endless.display().to_string();
    let nested = finding(NESTED);
    let mut child = start(&["run", &nested, &endless, &nested]);
    let mut stdout = child.stdout.take().expect("it is piped");
    wait_for(|line| line.ends_with(": as expected\n"), &mut stdout);
    interrupt(&child);
    let rest = std::io::read_to_string(&mut stdout).expect("its output is a text");
    assert_eq!(child.wait().expect("it ends").code(), Some(130), "{rest}");
    let expected =
        format!("{endless}: interrupted\n{nested}: interrupted\n3 scenarios, 0 not as expected, 2 interrupted\n");
    assert_eq!(rest, expected);
}

#[test]
fn interrupted_zoo_says_how_many_were_tried() {
    let mut child = start(&["zoo", "--backend", "sqlite"]);
    let mut stdout = child.stdout.take().expect("it is piped");
    wait_for(|line| line.starts_with("caught"), &mut stdout);
    interrupt(&child);
    let rest = std::io::read_to_string(&mut stdout).expect("its output is a text");
    assert_eq!(child.wait().expect("it ends").code(), Some(130), "{rest}");
    assert!(rest.lines().last().is_some_and(|line| line.starts_with("interrupted: ")), "{rest}");
}

#[test]
fn interrupted_nightly_prints_the_rows_that_are_there() {
    let mut child = start(&["nightly", "zoo-listener-stays", "zoo-misses-transitive"]);
    let mut stdout = child.stdout.take().expect("it is piped");
    wait_for(|line| line.starts_with("| `listener-stays` | 20 of 20 |"), &mut stdout);
    interrupt(&child);
    let rest = std::io::read_to_string(&mut stdout).expect("its output is a text");
    assert_eq!(child.wait().expect("it ends").code(), Some(130), "{rest}");
    let last = rest.lines().last();
    assert!(
        last.is_some_and(|line| line.starts_with("interrupted: ") && line.ends_with(" searches were made")),
        "{rest}"
    );
}

/// The one for all interrupts: also when something is being shrunk, what was found is in its file and in the summary. In
/// the simulation a plan that broke breaks again, so that no file stays unshrunk.
#[test]
fn interrupt_ends_with_a_summary_and_loses_nothing() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let out = folder.path().display().to_string();
    let mut child = start(&["explore", "--system", "zoo-residue-sim", "--for", "5m", "--out", &out]);
    let mut stdout = child.stdout.take().expect("it is piped");
    wait_for(|line| line.contains(" distinct violations") && !line.contains(" 0 distinct"), &mut stdout);
    interrupt(&child);
    let printed = std::io::read_to_string(&mut stdout).expect("its output is a text");
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(2), "{}", text(&output.stderr));
    assert!(printed.contains(" s, interrupted\n"), "{printed}");
    let last = printed.trim_end().lines().last().and_then(|line| line.strip_prefix("unstale replay "));
    assert!(last.is_some_and(|file| Path::new(file).is_file()), "{printed}");
    assert!(!printed.contains("-unshrunk-"), "{printed}");
}

#[test]
fn second_interrupt_ends_it_at_once() {
    let mut child = start(&["replay", "/dev/stdin"]);
    // The file never ends, so that the first interrupt cannot end the command.
    let mut input = child.stdin.take().expect("it is piped");
    feed(&mut input, "");
    interrupt(&child);
    wait_for(|line| line.ends_with("a second Ctrl-C ends it at once\n"), child.stderr.take().expect("it is piped"));
    interrupt(&child);
    assert_eq!(child.wait().expect("it ends").code(), Some(130));
    drop(input);
}
