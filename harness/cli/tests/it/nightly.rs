//! `nightly`: its tables, its JSON and how it ends.

use crate::command::{is_refused, text, unstale};

#[test]
fn nightly_prints_a_row_for_each_exhibit_and_for_each_seed_of_sqlx_pool() {
    let output = unstale(&["nightly", "zoo-static-session", "zoo-residue-sim", "sqlx-pool", "--seeds", "1"]);
    let printed = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{printed}{}", text(&output.stderr));
    let rows: Vec<&str> = printed.lines().collect();
    assert!(rows[0].starts_with("| exhibit | caught by the right invariant | plans, median (most) |"), "{printed}");
    assert!(rows[2].starts_with("| `static-session` | 1 of 1 | "), "{printed}");
    assert!(rows[2].ends_with(" | 1 (1), known 1 |"), "{printed}");
    assert!(rows[3].starts_with("| `residue-sim` | 1 of 1 | "), "{printed}");
    assert_eq!(rows[4..8], ["", "sqlx-pool, rolled-back-invisible", "", rows[7]], "{printed}");
    assert!(rows[9].starts_with("| 0 | "), "{printed}");
    assert!(rows[10].starts_with("| median (most) | "), "{printed}");
    let cells = |row: &str| row.split('|').count();
    assert_eq!(rows[0..4].iter().map(|row| cells(row)).collect::<Vec<_>>(), [7; 4], "{printed}");
    assert_eq!(rows[7..11].iter().map(|row| cells(row)).collect::<Vec<_>>(), [6; 4], "{printed}");
}

#[test]
fn nightly_in_json_names_every_seed() {
    let output = unstale(&["nightly", "zoo-residue-sim", "wiring-static-session", "--seeds", "2", "--json"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let value: serde_json::Value = serde_json::from_slice(&output.stdout).expect("standard output is one JSON value");
    assert_eq!((&value["status"], &value["seeds"]), (&"pass".into(), &2.into()));
    let searched = value["searched"].as_array().expect("an array");
    assert_eq!(
        searched.iter().map(|one| &one["name"]).collect::<Vec<_>>(),
        ["zoo-residue-sim", "wiring-static-session"]
    );
    for one in searched {
        let seeds = one["seeds"].as_array().expect("an array");
        assert_eq!(seeds.iter().map(|search| search["seed"].as_u64()).collect::<Vec<_>>(), [Some(0), Some(1)]);
        assert!(seeds.iter().all(|search| search["caught"] == true), "{value}");
    }
}

#[test]
fn nightly_refuses_what_is_not_there() {
    is_refused(&["nightly", "zoo-of-nothing"], "invalid value 'zoo-of-nothing' for '[NAME]...'");
    is_refused(&["nightly", "zoo-residue-sim", "--backend", "sqlite"], "not on that database: zoo-residue-sim");
    is_refused(&["nightly", "--seeds", "0"], "invalid value '0' for '--seeds <N>'");
}
