//! `zoo`: its tables, what its exhibits can do, its figures and how it ends.

use crate::command::{is_refused, text, unstale};

fn json(arguments: &[&str]) -> (Option<i32>, serde_json::Value) {
    let output = unstale(arguments);
    let value = serde_json::from_slice(&output.stdout).expect("standard output is one JSON value");
    (output.status.code(), value)
}

#[test]
fn figures_are_a_row_for_each_exhibit_and_what_they_come_to() {
    let output = unstale(&["zoo", "zoo-residue-sim", "zoo-loss-for-mistake-sim", "--seeds", "3"]);
    let printed = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{printed}{}", text(&output.stderr));
    let rows: Vec<&str> = printed.lines().collect();
    assert!(rows[0].starts_with("| exhibit | found | plans, median (quartiles) |"), "{printed}");
    assert!(rows[2].starts_with("| `zoo-residue-sim` | 3 of 3 | "), "{printed}");
    assert!(rows[2].ends_with(" | no-residue (3) |"), "{printed}");
    assert!(rows[3].starts_with("| `zoo-loss-for-mistake-sim` | 3 of 3 | "), "{printed}");
    assert_eq!(rows[..4].iter().map(|row| row.split('|').count()).collect::<Vec<_>>(), [7; 4], "{printed}");
    assert!(rows[5].starts_with("2 of 2 were found with every seed, 2 with at least one; "), "{printed}");
}

#[test]
fn figures_in_json_name_every_search() {
    let (status, value) = json(&["zoo", "zoo-residue-sim", "--seed", "7", "--seeds", "2", "--json"]);
    assert_eq!(status, Some(0));
    let exhibit = &value["exhibits"][0];
    assert_eq!((&exhibit["found"], &exhibit["of"], &exhibit["is_due"]), (&2.into(), &2.into(), &true.into()));
    let seeds: Vec<_> = exhibit["searches"].as_array().expect("an array").iter().map(|one| &one["seed"]).collect();
    assert_eq!(seeds, [7, 8]);
    assert!(exhibit["plans"]["median"].is_number() && exhibit["seconds"]["upper"].is_number(), "{value}");
}

#[test]
fn with_everything_that_the_control_can_do_whatever_breaks_counts() {
    let (status, value) = json(&["zoo", "zoo-static-session", "--capabilities", "all", "--json"]);
    assert_eq!(status, Some(0));
    assert_eq!((&value[0]["verdict"], &value[0]["expected_invariant"]), (&"caught".into(), &serde_json::Value::Null));
    let (_, value) = json(&["zoo", "zoo-static-session", "--json"]);
    assert_eq!(value[0]["expected_invariant"], "no-cross-scope");
}

#[test]
fn what_is_not_found_yet_is_said_and_is_no_failure() {
    // Of so few plans nobody expects it.
    let arguments = ["zoo", "race-at-gate-8-sim", "--plans", "2"];
    let output = unstale(&arguments);
    let printed = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{printed}");
    assert!(printed.starts_with("not found yet  race-at-gate-8-sim"), "{printed}");
    let (status, value) = json(&["zoo", "zoo-residue-sim", "--plans", "1", "--seeds", "1", "--json"]);
    assert_eq!((status, &value["exhibits"][0]["found"]), (Some(3), &0.into()), "the zoo must be found");
}

#[test]
fn profile_decides_what_is_drawn() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("serial.toml");
    let text =
        "version = 1\nsystem = \"control-sim\"\nexpect = \"pass\"\nplans = 1\n[profile]\nactors = 1\nsteps = 1\n";
    std::fs::write(&path, text).expect("the folder is writable");
    let path = path.display().to_string();
    // One command of one actor leaves nothing for the next borrower.
    let arguments = ["zoo", "zoo-residue-sim", "--plans", "300", "--seeds", "1", "--json", "--profile", &path];
    let (status, value) = json(&arguments);
    assert_eq!((status, &value["exhibits"][0]["found"]), (Some(3), &0.into()));
}

#[test]
fn zoo_refuses_what_is_not_there() {
    is_refused(&["zoo", "zoo-of-nothing"], "invalid value 'zoo-of-nothing' for '[NAME]...'");
    is_refused(&["zoo", "--of", "bears"], "invalid value 'bears' for '--of <TABLE>'");
    is_refused(&["zoo", "zoo-residue-sim", "--backend", "sqlite"], "not on that database: zoo-residue-sim");
    is_refused(&["zoo", "--of", "races", "--backend", "sqlite"], "not on that database: nothing of this table");
    is_refused(&["zoo", "--profile", "nope.toml"], "cannot read");
}
