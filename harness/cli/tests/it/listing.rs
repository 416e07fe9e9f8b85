//! What the command says of itself: systems, exhibits, help.

use crate::command::{text, unstale};

#[test]
fn exhibits_are_listed_apart_from_systems() {
    let output = unstale(&["systems"]);
    assert_eq!(output.status.code(), Some(0));
    let printed = text(&output.stdout);
    let (systems, exhibits) = printed.split_once("\nexhibits: ").expect("a heading of its own");
    assert!(systems.starts_with("systems\n  unstale "), "{printed}");
    assert!(systems.contains("sqlx-pool-pg") && !systems.contains("zoo-"), "{printed}");
    assert!(exhibits.contains("zoo-static-session") && exhibits.contains("wiring-captive-services"), "{printed}");
    assert!(!exhibits.contains("zoo: "), "the heading says it already: {printed}");
}

#[test]
fn list_in_json_says_which_are_exhibits() {
    let output = unstale(&["systems", "--json"]);
    let value: serde_json::Value = serde_json::from_slice(&output.stdout).expect("standard output is one JSON value");
    let all = value.as_array().expect("an array");
    let kind = |name: &str| all.iter().find(|listed| listed["name"] == name).map(|listed| listed["kind"].clone());
    assert_eq!(kind("sqlx-pool"), Some("system".into()));
    assert_eq!(kind("zoo-static-session"), Some("exhibit".into()));
}

#[test]
fn help_lists_the_exit_statuses() {
    let output = unstale(&["--help"]);
    assert_eq!(output.status.code(), Some(0));
    let printed = text(&output.stdout);
    for status in ["0 ", "1 ", "2 ", "3 ", "130 ", "141 "] {
        assert!(printed.lines().any(|line| line.trim_start().starts_with(status)), "{status}: {printed}");
    }
}
