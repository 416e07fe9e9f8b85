//! Wrong input is refused before anything is run, with one error that says what to do.

use std::fs;

use crate::command::{NESTED, command, finding, is_refused, profile, text};

#[test]
fn unknown_system_lists_those_that_exist_and_the_nearest() {
    for verb in [&["explore"][..], &["compare"], &["replay", "x.toml"], &["shrink", "x.toml"]] {
        let arguments = [verb, &["--system", "sqlx-pol"]].concat();
        is_refused(&arguments, "invalid value 'sqlx-pol' for '--system <NAME>'");
        is_refused(&arguments, "[possible values: unstale, unstale-pg, unstale-pg-resolving, unstale-sim, sqlx-pool, ");
        is_refused(&arguments, "a similar value exists: 'sqlx-pool'");
    }
    is_refused(&["storm", "--system", "unstale"], "[possible values: unstale-pg, sqlx-pool-pg]");
    is_refused(&["explore", "--strategy", "ptc"], "[possible values: mixed, random, deep, pct, pos, serial]");
    is_refused(&["explroe"], "a similar subcommand exists: 'explore'");
    is_refused(
        &["explore", "--system", "sqlx-pool", "--backend", "sim"],
        "sqlx-pool does not run on sim: `unstale systems`",
    );
}

#[test]
fn server_that_cannot_be_had_is_one_error_without_the_password() {
    let nowhere = |backend: &str, folder: &str| {
        let mut command = command(&["explore", "--system", "unstale", "--plans", "3", "--backend", backend]);
        command.env("UNSTALE_PG_BIN", folder).output().expect("the command was built")
    };
    for (backend, says) in [
        ("postgres", "UNSTALE_PG_BIN is `/nowhere`"),
        ("postgres://app:secret@127.0.0.1:1/app", "the server at 127.0.0.1:1 cannot be used"),
        ("postgres://app:secret@no-such-host.invalid/app", "the host `no-such-host.invalid` cannot be found"),
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
    is_refused(&["explore", "--sytem", "x"], "a similar argument exists: '--system'");
    is_refused(&["replay", "no-such-file.toml"], "no-such-file.toml: cannot read the plan");
    is_refused(&["shrink", "no-such-file.toml"], "no-such-file.toml: cannot read the plan");
    is_refused(&["compare", "no-such-file.toml"], "no-such-file.toml: cannot read the plan");
    is_refused(&["run", "no-such-file.toml"], "no-such-file.toml: cannot read the scenario");
    is_refused(&["explore", "--profile", "no-such-file.toml"], "no-such-file.toml: cannot read the profile");
}

/// What each wrong input must be answered with, by every verb that reads the file.
#[test]
fn wrong_files_get_one_clear_error() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let scenario = |rest: &str| format!("version = 1\nsystem = \"control\"\n{rest}");
    let file = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        fs::write(&path, bytes).expect("the folder can be written");
        path.display().to_string()
    };
    let cases = [
        (
            file("step.toml", scenario("[actors]\na = [\"open\", \"jump\"]").as_bytes()),
            ":4:15: expected a command: open",
        ),
        (file("syntax.toml", scenario("[actors\n").as_bytes()), ":3:8: "),
        (
            file("system.toml", b"version = 1\nsystem = \"no\"\n[actors]\na = [\"open\"]"),
            "system.toml: no system is called `no`; there are: unstale, unstale-pg, ",
        ),
        (file("newer.toml", b"version = 2\nanything"), ":2:9: "),
        (file("newest.toml", b"version = 2\nnew = 1"), ":1:11: expected version 1, found 2"),
        (
            file("binary.toml", &[0xff, 0, 0x80, b'\n']),
            ": stream did not contain valid UTF-8; it must be a text in UTF-8",
        ),
        (file("empty.toml", b""), ":1:1: expected `version = 1`"),
        (
            folder.path().join("none.toml").display().to_string(),
            ": No such file or directory (os error 2); check the path",
        ),
        (folder.path().display().to_string(), ": Is a directory (os error 21); give the path of a file in it"),
    ];
    for verb in ["replay", "shrink", "run"] {
        for (path, expected) in &cases {
            is_refused(&[verb, path], expected);
        }
    }
    let wrong = |name: &str, text: String| file(name, text.as_bytes());
    let newer = profile("control", "pass", 1, "").replace("version = 1", "version = 2");
    is_refused(&["run", &wrong("newer-profile.toml", newer)], ":1:11: expected version 1, found 2");
    let ending = profile("control", "perhaps", 1, "");
    is_refused(&["run", &wrong("ending.toml", ending)], ":3:10: unknown variant `perhaps`, expected one of");
}

#[test]
fn numbers_of_a_profile_are_refused_out_of_their_ranges() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("profile.toml");
    for (plans, lines, expected) in [
        (1, "actors = 0", "expected `actors` = 1 to 8, found 0"),
        (1, "actors = 255", "expected `actors` = 1 to 8, found 255"),
        (1, "connections = 9", "expected `connections` = 1 to 8, found 9"),
        (1, "connections = 0", "expected `connections` = 1 to 8, found 0"),
        (1, "steps = 0", "expected `steps` = 1 to 255, found 0"),
        (1, "keys = 0", "expected `keys` = 1 to 255, found 0"),
        (1, "keys = 256", "invalid value: integer `256`, expected u8"),
        (1, "storage = []", "expected at least one `storage`, found none"),
        (0, "", "expected `plans` = 1 or more, found 0"),
    ] {
        fs::write(&path, profile("control-sim", "pass", plans, lines)).expect("the folder can be written");
        let path = path.display().to_string();
        is_refused(&["run", &path], expected);
        is_refused(&["explore", "--system", "control-sim", "--profile", &path], expected);
    }
    is_refused(
        &["explore", "--profile", &finding(NESTED)],
        "holds a plan, expected a `[profile]`: try `unstale replay ",
    );
}

#[test]
fn all_scenarios_are_read_before_the_first_is_run() {
    is_refused(&["run", &finding(NESTED), "none.toml"], "none.toml: cannot read the scenario");
    is_refused(&["run", "--json", &finding(NESTED), "none.toml"], "none.toml: cannot read the scenario");
}

/// That nothing stands on standard output shows that nothing was run.
#[test]
fn places_that_cannot_be_written_are_refused_before_a_run() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("file");
    fs::write(&file, "kept").expect("the folder can be written");
    let (folder, file) = (folder.path().display().to_string(), file.display().to_string());
    let below = format!("{file}/below");
    let nested = finding(NESTED);
    for verb in [&["explore", "--system", "control-sim"][..], &["shrink", &nested]] {
        for place in ["/proc/nowhere", &file, &below] {
            is_refused(&[verb, &["--out", place]].concat(), &format!("cannot write {place}: "));
            is_refused(&[verb, &["--out", place]].concat(), "; give another folder with --out");
        }
    }
    for verb in [&["explore", "--system", "control-sim"][..], &["shrink", &nested], &["replay", &nested]] {
        for place in ["nope/x.html", &folder, &below] {
            is_refused(&[verb, &["--report", place]].concat(), &format!("cannot write {place}: "));
            is_refused(&[verb, &["--report", place]].concat(), "; give another file with --report");
        }
    }
    let report = format!("{folder}/report.html");
    is_refused(&["replay", "none.toml", "--report", &report], "cannot read the plan");
    let left: Vec<_> =
        fs::read_dir(&folder).expect("it is there").map(|it| it.expect("it can be read").path()).collect();
    assert_eq!(left, [std::path::Path::new(&file)], "nothing is left behind");
    assert_eq!(fs::read_to_string(&file).expect("it is there"), "kept");
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
        (["storm", "--for", "8761h"], "at most 8760h, found `8761h`"),
        (["explore", "--for", "18446744073709551615s"], "at most 8760h"),
        (["explore", "--shard", "1/18446744073709551615"], "found `1/18446744073709551615`"),
        (["explore", "--seed", "-1"], "unexpected argument '-1' found"),
        (["explore", "--seed", "18446744073709551616"], "invalid value '18446744073709551616' for '--seed <SEED>'"),
        (["explore", "--backend", "oracle"], "expected sqlite, sim, postgres, or postgres://"),
        (["storm", "--restarts", "0"], "invalid value '0' for '--restarts <N>'"),
        (["storm", "--connections", "81"], "invalid value '81' for '--connections <N>'"),
        (["zoo", "--plans", "0"], "invalid value '0' for '--plans <N>'"),
    ] {
        is_refused(&arguments, expected);
    }
    is_refused(&["replay", &finding(NESTED), "--times", "0"], "invalid value '0' for '--times <N>'");
}
