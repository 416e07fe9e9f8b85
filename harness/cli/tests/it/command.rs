//! Running the built command.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Output, Stdio};

/// A finding of sqlx's pool on SQLite that is replayed in no time.
pub(crate) const NESTED: &str = "nested-begin-rolls-back-the-outer.toml";

/// The command with these arguments, not started.
pub(crate) fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_unstale"));
    command.args(arguments);
    command
}

/// Runs the command to its end.
pub(crate) fn unstale(arguments: &[&str]) -> Output {
    command(arguments).output().expect("the command was built")
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The path of a finding.
pub(crate) fn finding(name: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scenarios/findings").join(name).display().to_string()
}

/// The text of a profile for a system, with a verdict that it must give.
pub(crate) fn profile(system: &str, expect: &str, plans: u64, lines: &str) -> String {
    format!("version = 1\nsystem = \"{system}\"\nexpect = \"{expect}\"\nplans = {plans}\n[profile]\n{lines}\n")
}

/// Exit status 1, nothing on standard output, and one error that says this.
pub(crate) fn is_refused(arguments: &[&str], expected: &str) {
    let output = unstale(arguments);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{arguments:?}: {said}");
    assert!(said.contains(expected), "{arguments:?}: {said}");
    assert!(said.starts_with("unstale: ") || said.starts_with("error: "), "{arguments:?}: {said}");
    assert_eq!(text(&output.stdout), "", "{arguments:?}");
}

/// A command that runs, with pipes to all of its streams.
pub(crate) fn start(arguments: &[&str]) -> Child {
    let mut command = command(arguments);
    let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().expect("the command was built")
}

/// Waits until the command prints such a line.
pub(crate) fn wait_for(is_wanted: impl Fn(&str) -> bool, output: impl std::io::Read) {
    let mut output = BufReader::new(output);
    let mut read = String::new();
    loop {
        let before = read.len();
        let length = output.read_line(&mut read).expect("the command's output is a text");
        assert_ne!(length, 0, "the output ended without such a line:\n{read}");
        if is_wanted(&read[before..]) {
            return;
        }
    }
}

/// Writes a file to standard input. A pipe holds less than this, so that the command reads it when this returns.
pub(crate) fn feed(input: &mut ChildStdin, file: &str) {
    use std::io::Write;
    let padding = "# padding\n".repeat(1 << 15);
    input.write_all(format!("{padding}{file}").as_bytes()).expect("the command reads its standard input");
}
