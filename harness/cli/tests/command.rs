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
fn replay_on_the_control_passes() {
    let output = unstale(&["replay", &finding(NESTED), "--system", "control", "--times", "1"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stdout));
}

#[test]
fn former_name_of_a_system_still_finds_it() {
    let output = unstale(&["replay", &finding(NESTED), "--system", "guarded", "--times", "1"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let output =
        unstale(&["explore", "--system", "guarded", "--backend", "sim", "--plans", "1", "--out", "/proc/nowhere"]);
    let said = text(&output.stdout);
    assert!(said.contains("exploring control-sim on sim, seed 0"), "{said}");
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
    let refused = unstale(&["explore", "--system", "sqlx-pool", "--backend", "sim"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(&refused.stderr).contains("sqlx-pool does not run on sim"), "{}", text(&refused.stderr));
}

#[test]
fn unknown_system_lists_those_that_exist() {
    let output = unstale(&["explore", "--system", "nothing"]);
    assert_eq!(output.status.code(), Some(1));
    let said = text(&output.stderr);
    assert!(
        said.contains(
            "no system is called `nothing`; there are: unstale, unstale-pg, unstale-sim, sqlx-pool, sqlx-pool-pg, "
        ),
        "{said}"
    );
}

#[test]
fn server_that_cannot_be_had_is_one_error_without_the_password() {
    let nowhere = |backend: &str, folder: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_unstale"));
        command.args(["explore", "--system", "unstale", "--plans", "3", "--backend", backend]);
        command.env("UNSTALE_PG_BIN", folder).output().expect("the command was built")
    };
    for (backend, says) in [
        ("postgres", "UNSTALE_PG_BIN is `/nowhere`"),
        ("postgres://app:secret@127.0.0.1:1/app", "the server at 127.0.0.1:1 cannot be used"),
        ("postgres://app:secret@no-such-host.invalid/app", "the host `no-such-host.invalid` is not to be found"),
        ("mysql://app:secret@127.0.0.1/app", "it is not one of PostgreSQL's"),
    ] {
        let output = nowhere(backend, "/nowhere");
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{backend}: {said}");
        assert!(said.contains(says) && said.trim_end().lines().count() == 1, "{backend}: {said}");
        assert!(!said.contains("secret") && output.stdout.is_empty(), "{backend}: {said}");
    }
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
        "version = 1\nsystem = \"control\"\nexpect = \"inconclusive\"\nplans = 40\n[profile]\ncancels = false\n";
    std::fs::write(&profile, written).expect("the folder can be written");
    let profile = profile.display().to_string();
    let output = unstale(&["explore", "--system", "control", "--plans", "40", "--profile", &profile]);
    assert_eq!(output.status.code(), Some(3), "{}", text(&output.stdout));
    assert!(text(&output.stdout).contains("the capability `cancellation` is declared and was never exercised"));
    assert_eq!(unstale(&["run", &profile]).status.code(), Some(0));
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

#[test]
fn folder_that_cannot_be_written_prints_the_plan() {
    let output = unstale(&["explore", "--system", "sqlx-pool", "--plans", "60", "--out", "/proc/nowhere"]);
    assert_eq!(output.status.code(), Some(2), "{}", text(&output.stdout));
    let printed = text(&output.stdout);
    assert!(printed.contains("not written: /proc/nowhere"), "{printed}");
    assert!(printed.contains("[actors]"), "{printed}");
}

#[test]
fn folder_that_cannot_be_written_puts_the_plan_into_json() {
    let output =
        unstale(&["explore", "--system", "zoo-static-session", "--plans", "10", "--json", "--out", "/proc/nowhere"]);
    assert_eq!(output.status.code(), Some(2), "{}", text(&output.stderr));
    let value: serde_json::Value = serde_json::from_slice(&output.stdout).expect("standard output is one JSON value");
    assert!(value["violations"][0]["plan"].is_null());
    assert!(value["unwritten"][0].as_str().is_some_and(|it| it.contains("[actors]")), "{value:#}");
}

#[test]
fn shrink_prints_what_it_cannot_write_and_every_removal() {
    let output = unstale(&["shrink", &finding(NESTED), "--out", "/proc/nowhere"]);
    assert_eq!(output.status.code(), Some(2), "{}", text(&output.stderr));
    let printed = text(&output.stdout);
    assert!(printed.contains("not written: /proc/nowhere"), "{printed}");
    assert!(printed.contains("[actors]"), "{printed}");
    let row = printed.lines().find(|it| it.trim_start().starts_with("without a 1: open ")).expect("a row of its own");
    assert!(row.contains("makes no sense: `begin`: "), "{printed}");
    let json = unstale(&["shrink", &finding(NESTED), "--json", "--out", "/proc/nowhere"]);
    let value: serde_json::Value = serde_json::from_slice(&json.stdout).expect("standard output is one JSON value");
    assert!(value["unwritten"].as_str().is_some_and(|it| it.contains("[actors]")), "{value:#}");
}

/// What each wrong input must be answered with, by every verb that reads the file.
#[test]
fn wrong_files_get_one_clear_error() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let scenario = |rest: &str| format!("version = 1\nsystem = \"control\"\n{rest}");
    let file = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).expect("the folder can be written");
        path.display().to_string()
    };
    let cases = [
        (
            file("step.toml", scenario("[actors]\na = [\"open\", \"jump\"]").as_bytes()),
            ":4:15: expected a command: open",
        ),
        (file("syntax.toml", scenario("[actors\n").as_bytes()), ":3:8: "),
        (file("system.toml", b"version = 1\nsystem = \"no\"\n[actors]\na = [\"open\"]"), "no system is called `no`"),
        (file("newer.toml", b"version = 2\nanything"), ":2:9: "),
        (file("newest.toml", b"version = 2\nnew = 1"), ":1:11: expected version 1, found 2"),
        (file("binary.toml", &[0xff, 0, 0x80, b'\n']), "cannot read the plan: stream did not contain valid UTF-8"),
        (file("empty.toml", b""), ":1:1: expected `version = 1`"),
        (folder.path().join("none.toml").display().to_string(), "cannot read the plan: No such file"),
        (folder.path().display().to_string(), "cannot read the plan: Is a directory"),
    ];
    for verb in ["replay", "shrink", "run"] {
        for (path, expected) in &cases {
            is_refused(&[verb, path], expected);
        }
    }
    let profile = |name: &str, version: u32, expect: &str| {
        let text = format!("version = {version}\nsystem = \"control\"\nexpect = \"{expect}\"\nplans = 1\n[profile]\n");
        file(name, text.as_bytes())
    };
    is_refused(&["run", &profile("newer-profile.toml", 2, "pass")], ":1:11: expected version 1, found 2");
    is_refused(&["run", &profile("ending.toml", 1, "perhaps")], ":3:10: unknown variant `perhaps`, expected one of");
}

#[test]
fn storm_over_an_unknown_system_lists_those_that_can_stand_in_one() {
    is_refused(&["storm", "--system", "unstale"], "there are: unstale-pg, sqlx-pool-pg");
}

#[test]
fn wrong_numbers_get_one_clear_error() {
    for (arguments, expected) in [
        (["explore", "--plans", "0"], "invalid value '0' for '--plans <N>'"),
        (["explore", "--jobs", "0"], "expected 1 to 64 jobs, found `0`"),
        (["explore", "--shard", "5/2"], "expected I/N with 1 ≤ I ≤ N ≤ 10000, found `5/2`"),
        (["explore", "--shard", "0/2"], "found `0/2`"),
        (["explore", "--for", "0s"], "expected a time such as 30s, 5m or 1h, found `0s`"),
        (["explore", "--for", "9999999999999999h"], "expected a time such as"),
        (["explore", "--backend", "oracle"], "expected sqlite, sim, postgres, or postgres://"),
        (["storm", "--restarts", "0"], "invalid value '0' for '--restarts <N>'"),
        (["storm", "--connections", "81"], "invalid value '81' for '--connections <N>'"),
        (["zoo", "--plans", "0"], "invalid value '0' for '--plans <N>'"),
    ] {
        is_refused(&arguments, expected);
    }
    is_refused(&["replay", &finding(NESTED), "--times", "0"], "invalid value '0' for '--times <N>'");
}

/// Exit status 1, nothing on standard output, and one error that says this.
fn is_refused(arguments: &[&str], expected: &str) {
    let output = unstale(arguments);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{arguments:?}: {said}");
    assert!(said.contains(expected), "{arguments:?}: {said}");
    assert!(said.starts_with("unstale: ") || said.starts_with("error: "), "{arguments:?}: {said}");
    assert_eq!(text(&output.stdout), "", "{arguments:?}");
}

/// The one for all interrupts: also when something is being shrunk, what was found is in its file and in the summary.
#[cfg(unix)]
#[test]
fn interrupt_ends_with_a_summary_and_loses_nothing() {
    use std::process::Stdio;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let out = folder.path().display().to_string();
    let arguments = ["explore", "--system", "zoo-static-session", "--for", "5m", "--out", &out];
    let mut command = Command::new(env!("CARGO_BIN_EXE_unstale"));
    let child = command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let child = child.expect("the command was built");
    let written = || std::fs::read_dir(folder.path()).is_ok_and(|mut it| it.next().is_some());
    let begun = std::time::Instant::now();
    while !written() && begun.elapsed().as_secs() < 60 {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let killed = Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    assert!(killed.is_ok_and(|it| it.success()));
    let output = child.wait_with_output().expect("it ends");
    assert!(begun.elapsed().as_secs() < 90, "{:?}", begun.elapsed());
    assert_eq!(output.status.code(), Some(2), "{}", text(&output.stderr));
    let printed = text(&output.stdout);
    assert!(printed.contains(", stopped by Ctrl-C"), "{printed}");
    let last = printed.trim_end().lines().last().and_then(|it| it.strip_prefix("unstale replay "));
    assert!(last.is_some_and(|it| Path::new(it).is_file()), "{printed}");
    assert!(!printed.contains("-unshrunk-"), "{printed}");
}
