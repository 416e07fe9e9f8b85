//! `explore --known`: what is reported already is counted and is no violation.

use std::fs;

use crate::command::{is_refused, text, unstale};

#[test]
fn wrong_files_of_known_causes_are_refused_before_a_run() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).expect("the folder can be written");
        path.display().to_string()
    };
    let entry = |signature: &str| format!("version = 1\n[[cause]]\nsignature = \"{signature}\"\nreported = \"#1\"\n");
    for (path, expected) in [
        ("nowhere.toml".to_owned(), "nowhere.toml: cannot read the file of known causes: No such file"),
        (folder.path().display().to_string(), "Is a directory (os error 21); give the path of a file in it"),
        (file("newer.toml", "version = 2"), ":1:11: expected version 1, found 2: this build reads no other version"),
        (file("key.toml", &format!("{}since = 1", entry("ordinary use"))), ":5:1: unknown field `since`"),
        (file("none.toml", &entry("a bug")), ":3:14: no cause has the signature `a bug`; copy one from the table"),
    ] {
        is_refused(&["explore", "--system", "control-sim", "--known", &path], expected);
    }
    let place = folder.path().display().to_string();
    is_refused(
        &["explore", "--system", "control-sim", "--write-known", &place],
        ": is a directory; give another file with --write-known",
    );
}

#[test]
fn causes_of_a_run_are_known_in_the_next() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (out, known) = (folder.path().join("out").display().to_string(), folder.path().join("known.toml"));
    let known = known.display().to_string();
    let explore = ["explore", "--system", "zoo-residue-sim", "--plans", "200", "--jobs", "1", "--out", &out];
    let output = unstale(&[&explore[..], &["--write-known", &known]].concat());
    assert_eq!(output.status.code(), Some(2), "{}", text(&output.stderr));
    let printed = text(&output.stdout);
    let written = fs::read_to_string(&known).expect("it was written");
    let signatures: Vec<&str> = written.lines().filter_map(|line| line.strip_prefix("signature = ")).collect();
    assert!(!signatures.is_empty(), "{written}");
    for signature in &signatures {
        assert!(printed.contains(signature.trim_matches('"')), "{signature} is not in the table\n{printed}");
    }

    let output = unstale(&[&explore[..], &["--known", &known, "--json"]].concat());
    let value: serde_json::Value = serde_json::from_slice(&output.stdout).expect("standard output is one JSON value");
    assert_ne!(output.status.code(), Some(2), "{value:#}");
    assert_eq!(value["violations"], serde_json::json!([]), "{value:#}");
    let seen = value["known"].as_array().expect("a list");
    assert_eq!(seen.len(), signatures.len());
    assert!(seen.iter().all(|it| it["plans"].as_u64() > Some(0) && it["no_longer_seen"] == false), "{value:#}");
    assert_eq!(seen[0]["reported"], "not reported yet");

    let printed = text(&unstale(&[&explore[..], &["--known", &known]].concat()).stdout);
    assert!(printed.contains("; known: not reported yet, "), "{printed}");
    let healthy = ["explore", "--system", "control-sim", "--plans", "50", "--out", &out, "--known", &known];
    let printed = text(&unstale(&healthy).stdout);
    assert!(printed.contains("; known: not reported yet, no longer seen\n"), "{printed}");
}
