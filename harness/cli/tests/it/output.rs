//! Output that cannot be written ends the command without a panic, and hides no violation.

use std::process::{Command, Output, Stdio};

use crate::command::{NESTED, command, finding, start, text, unstale, wait_for};

/// Runs the command with a standard output that nobody reads.
fn unread(arguments: &[&str]) -> Output {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    command(arguments).stdout(writer).output().expect("the command was built")
}

#[test]
fn closed_pipe_ends_it_quietly_with_141() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let out = folder.path().display().to_string();
    for arguments in [
        &["systems"][..],
        &["systems", "--json"],
        &["--help"],
        &["explore", "--system", "control-sim", "--for", "5m", "--out", &out],
        &["zoo", "--backend", "sim"],
        &["replay", &finding(NESTED), "--system", "control", "--times", "1"],
        &["run", &finding(NESTED)],
    ] {
        let output = unread(arguments);
        assert_eq!(output.status.code(), Some(141), "{arguments:?}: {}", text(&output.stderr));
        assert_eq!(text(&output.stderr), "", "{arguments:?}");
    }
}

#[test]
fn reader_that_leaves_in_the_middle_ends_it_quietly_with_141() {
    let mut child = start(&["zoo", "--backend", "sqlite"]);
    wait_for(|line| line.starts_with("caught"), child.stdout.take().expect("it is piped"));
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(141), "{}", text(&output.stderr));
    assert_eq!(text(&output.stderr), "");
}

#[test]
fn closed_pipe_hides_no_violation() {
    let output = unread(&["replay", &finding(NESTED), "--times", "1"]);
    assert_eq!(output.status.code(), Some(2), "{}", text(&output.stderr));
    assert_eq!(text(&output.stderr), "");
}

#[cfg(target_os = "linux")]
mod full {
    use std::fs::File;

    use super::*;

    fn full() -> File {
        File::options().write(true).open("/dev/full").expect("Linux has such a device")
    }

    #[test]
    fn full_device_is_one_line_and_1() {
        for arguments in [&["systems"][..], &["systems", "--json"], &["--help"], &["run", &finding(NESTED)]] {
            let output = command(arguments).stdout(full()).output().expect("the command was built");
            let said = text(&output.stderr);
            assert_eq!(output.status.code(), Some(1), "{arguments:?}: {said}");
            assert!(said.starts_with("unstale: cannot write to standard output: No space left on device"), "{said}");
            assert_eq!(said.lines().count(), 1, "{arguments:?}: {said}");
        }
    }

    #[test]
    fn full_device_hides_no_violation() {
        let mut command = command(&["replay", &finding(NESTED), "--times", "1"]);
        let output = command.stdout(full()).output().expect("the command was built");
        assert_eq!(output.status.code(), Some(2));
        assert!(text(&output.stderr).contains("cannot write to standard output"));
    }

    #[test]
    fn full_standard_error_changes_no_status() {
        for (arguments, status) in [
            (&["replay", "none.toml"][..], 1),
            (&["explore", "--plans", "0"], 1),
            (&["systems"], 0),
            (&["replay", &finding(NESTED), "--times", "1"], 2),
        ] {
            let output = command(arguments).stderr(full()).output().expect("the command was built");
            assert_eq!(output.status.code(), Some(status), "{arguments:?}");
        }
    }

    #[test]
    fn report_on_a_full_device_hides_no_violation() {
        let report = |system: &str| {
            let arguments = ["replay", &finding(NESTED), "--system", system, "--times", "1", "--report", "/dev/full"];
            let output = unstale(&arguments);
            let said = text(&output.stderr);
            assert!(said.starts_with("unstale: cannot write /dev/full: No space left on device"), "{said}");
            output.status.code()
        };
        assert_eq!(report("sqlx-pool"), Some(2));
        assert_eq!(report("control"), Some(1));
    }
}

#[test]
fn closed_streams_change_no_status() {
    let shell = |line: &str| {
        let mut shell = Command::new("sh");
        shell.args(["-c", line, env!("CARGO_BIN_EXE_unstale"), &finding(NESTED)]).stdout(Stdio::null());
        shell.status().expect("there is a shell").code()
    };
    assert_eq!(shell("exec \"$0\" replay none.toml 2>&-"), Some(1));
    assert_eq!(shell("exec \"$0\" systems 2>&- <&-"), Some(0));
    assert_eq!(shell("exec \"$0\" replay \"$1\" --times 1 >&- 2>&-"), Some(2));
}
