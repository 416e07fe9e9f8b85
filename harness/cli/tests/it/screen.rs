//! The first screen of an exploration: the causes, three of them in full, and where the rest is.

use std::fs;

use crate::command::{command, text};

/// How many lines of a terminal with 100 columns it takes.
fn lines_of(said: &str) -> usize {
    said.lines().map(|line| line.chars().count().max(1).div_ceil(100)).sum()
}

#[test]
fn exploration_that_finds_much_fits_a_screen() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (out, report) = (folder.path().join("found").display().to_string(), folder.path().join("report.html"));
    let path = report.display().to_string();
    let explore = ["explore", "--system", "sqlx-pool", "--plans", "400", "--out", &out, "--report", &path];
    let output = command(&explore).env("COLUMNS", "100").output().expect("the command was built");
    assert_eq!(output.status.code(), Some(2), "{}", text(&output.stderr));
    let printed = text(&output.stdout);
    let said: String =
        printed.lines().filter(|line| !line.contains(" a second, ")).map(|line| format!("{line}\n")).collect();
    assert!(lines_of(&said) <= 60, "{} lines\n{said}", lines_of(&said));
    assert!(printed.lines().count() < said.lines().count() + 10, "progress is told now and then\n{printed}");

    let causes = said.lines().filter(|line| line.ends_with(" commands") || line.ends_with(" command")).count();
    assert!(causes > 1, "{said}");
    let pictures = said.matches("\n── ").count();
    assert_eq!(pictures, causes.min(3), "{said}");
    assert_eq!(said.matches("\n  violated    ").count(), pictures, "{said}");
    let replays = said.lines().filter(|line| line.contains("unstale replay ")).count();
    assert_eq!(replays, causes + 1, "each has its command, and the first has it again at the end\n{said}");
    assert!(said.contains(&format!("; their plans are in {out}\n")), "{said}");

    let page = fs::read_to_string(&report).expect("it is written");
    assert_eq!(page.matches("<svg ").count(), causes, "one for each cause");
    assert!(
        page.contains("class=\"claimed\"") && page.contains("class=\"real\"") && !page.contains("<script"),
        "{page}"
    );
}
