//! What an exploration says of its coverage: the same numbers in the text and in the JSON, and those that must be reached.

use serde_json::Value;

use crate::command::{is_refused, text, unstale};

/// An exploration of the simulation in one job: two runs come to the same.
fn explored(system: &str, plans: &str, further: &[&str]) -> (Option<i32>, String) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let out = folder.path().display().to_string();
    let explore = ["explore", "--system", system, "--plans", plans, "--jobs", "1", "--seed", "3", "--out", &out];
    let output = unstale(&[&explore[..], further].concat());
    (output.status.code(), text(&output.stdout))
}

/// The lines between this one and the next that is not indented.
fn section<'a>(text: &'a str, heading: &str) -> Vec<&'a str> {
    let mut lines = text.lines().skip_while(|line| !line.starts_with(heading)).skip(1);
    let section: Vec<_> = lines.by_ref().take_while(|line| line.starts_with("  ")).collect();
    assert!(!section.is_empty(), "{heading}: {text}");
    section
}

fn number(word: &str) -> u64 {
    word.parse().unwrap_or_else(|_| panic!("`{word}` is no number"))
}

/// The words before the first number, and that number.
fn named(line: &str) -> (String, u64) {
    let words: Vec<_> = line.split_whitespace().collect();
    let at = words.iter().position(|word| word.parse::<u64>().is_ok()).unwrap_or_else(|| panic!("no number: {line}"));
    (words[..at].join(" "), number(words[at]))
}

/// A name, and the two numbers of `3 of 4` behind it; what follows is returned as well.
fn tally<'a>(words: &'a [&'a str]) -> (&'a str, [u64; 2], &'a [&'a str]) {
    assert_eq!(words[2], "of", "{words:?}");
    (words[0], [number(words[1]), number(words[3])], &words[4..])
}

fn is_tally(value: &Value, [succeeded, tried]: [u64; 2], name: &str) {
    assert_eq!((value["succeeded"].as_u64(), value["tried"].as_u64()), (Some(succeeded), Some(tried)), "{name}");
}

#[test]
fn every_number_of_the_coverage_in_the_text_is_in_the_json() {
    let (_, text) = explored("zoo-residue-sim", "80", &["--all"]);
    let (_, json) = explored("zoo-residue-sim", "80", &["--json"]);
    let json: Value = serde_json::from_str(&json).expect("standard output is one JSON value");

    for (heading, field) in [("evaluated", "evaluated"), ("capabilities", "capabilities"), ("sometimes", "sometimes")] {
        for (name, count) in section(&text, heading).into_iter().map(named) {
            assert_eq!(json[field][&name].as_u64(), Some(count), "{heading}: {name}");
        }
    }
    for line in section(&text, "commands (succeeded of asked)") {
        let words: Vec<_> = line.split_whitespace().collect();
        let mut rest = &words[..];
        while !rest.is_empty() {
            let (kind, counts, further) = tally(rest);
            is_tally(&json["alphabet"][kind], counts, kind);
            rest = further;
        }
    }
    let operations = unstale_harness::model::Operation::ALL;
    for line in section(&text, "disturbances") {
        let words: Vec<_> = line.split_whitespace().collect();
        let (name, counts, cells) = tally(&words);
        if name == "all" {
            is_tally(&json["disturbed"], counts, name);
            continue;
        }
        is_tally(&json["disturbances"][name], counts, name);
        assert_eq!(cells.len(), operations.len(), "{line}");
        for (operation, cell) in operations.iter().zip(cells) {
            let landed = if *cell == "·" { None } else { Some(number(cell)) };
            assert_eq!(json["fault_phase"][name][operation.to_string()].as_u64(), landed, "{name} in {operation}");
        }
    }
    let nowhere = text.lines().find_map(|line| line.strip_prefix("landed nowhere: ")).unwrap_or_default();
    for (name, drawn) in nowhere.split(", ").filter_map(|it| it.strip_suffix(')')?.split_once(" (of ")) {
        is_tally(&json["disturbances"][name], [0, number(drawn)], name);
    }
    let ran = text.lines().find(|line| line.contains(" plans, ") && line.contains(" commands in ")).expect("a summary");
    let words: Vec<_> = ran.split_whitespace().collect();
    assert_eq!((json["plans"].as_u64(), json["commands"].as_u64()), (Some(number(words[0])), Some(number(words[2]))));
    assert_eq!(json["inconclusive"], 0);
}

#[test]
fn finding_has_its_rates_in_the_text_and_in_the_json() {
    let (status, text) = explored("zoo-residue-sim", "80", &["--all"]);
    let (_, json) = explored("zoo-residue-sim", "80", &["--json"]);
    assert_eq!(status, Some(2), "{text}");
    let json: Value = serde_json::from_str(&json).expect("standard output is one JSON value");
    let found = &json["violations"][0];
    let about = text.lines().find(|line| line.starts_with("found after ")).expect("a finding");
    let (count, commands, runs) = (&found["count"], &found["commands"], &found["shrink_runs"]);
    assert!(about.starts_with(&format!("found after {} plans and ", found["after_plans"])), "{about}");
    assert!(
        about.contains(&format!(", in {count} plans; {commands} commands, shrunk with {runs} runs in ")),
        "{about}"
    );
    assert!(about.ends_with("; replays 10 of 10"), "{about}");
    assert_eq!((&found["reproduced"], &found["given"]), (&serde_json::json!([10, 10]), &serde_json::json!([3, 3])));
    assert_eq!(found["complete"], true);
    let rows = found["certificate"].as_array().expect("an array");
    assert!(rows.iter().all(|row| text.contains(row.as_str().expect("a line"))), "{rows:?}");
}

#[test]
fn requirement_that_is_not_reached_exits_3_with_a_line_of_its_own() {
    let required =
        ["--require", "plans=41", "--require", "evaluated.no-panic=40", "--require", "landed.cancel=1000000"];
    let (status, text) = explored("control-sim", "40", &required);
    assert_eq!(status, Some(3), "{text}");
    assert!(text.contains("\n  required plans=41, reached 40\n"), "{text}");
    assert!(text.contains("\n  required landed.cancel=1000000, reached "), "{text}");
    assert!(!text.contains("evaluated.no-panic"), "it was reached: {text}");

    let (status, json) = explored("control-sim", "40", &[&required[..], &["--json"]].concat());
    assert_eq!(status, Some(3), "{json}");
    let json: Value = serde_json::from_str(&json).expect("standard output is one JSON value");
    assert_eq!(json["unmet"][0], "required plans=41, reached 40");
    assert_eq!(json["unmet"].as_array().map(Vec::len), Some(2));
}

#[test]
fn requirements_that_are_reached_change_nothing() {
    let (status, text) = explored("control-sim", "3000", &[]);
    assert_eq!(status, Some(0), "{text}");
    let required = ["--require", "plans=3000", "--require", "sometimes.cancel-landed=5", "--require", "command.nest=5"];
    let (status, text) = explored("control-sim", "3000", &required);
    assert_eq!(status, Some(0), "{text}");
}

#[test]
fn requirement_that_nothing_has_is_refused_with_those_that_there_are() {
    let refused = |requirement: &str, expected: &str| {
        is_refused(&["explore", "--system", "control-sim", "--plans", "5", "--require", requirement], expected);
    };
    refused(
        "evaluated.no-stale=1",
        "nothing is called `evaluated.no-stale`; behind `evaluated.` there are: no-stale-use, ",
    );
    refused(
        "landed.cut=1",
        "nothing is called `landed.cut`; behind `landed.` there are: cancel, fault, cancel@before-send, ",
    );
    refused("never=1", "nothing is called `never`; there are: plans, commands, evaluated.NAME, ");
    refused("plans", "expected NAME=N, as evaluated.no-stale-use=100, found `plans`");
    refused("plans=0", "expected a number from 1 behind `plans=`, found `0`");
}
