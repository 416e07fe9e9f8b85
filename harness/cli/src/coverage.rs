//! The coverage of an exploration, as text and as JSON.
//!
//! Owns the tables and the fields. Every number of the text is in the JSON; what is counted is [`unstale_harness`]'s business.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Serialize;
use unstale_harness::chain::Subject;
use unstale_harness::coverage::{Coverage, Tally};
use unstale_harness::model::Operation;

/// No column of counts is narrower.
const CELL_MIN: usize = 6;

/// How many kinds of commands stand in a line.
const KINDS_IN_LINE: usize = 4;

/// What of the coverage is missing, in a few lines; after a violation that is of less weight, and shorter.
pub(crate) fn missing(coverage: &Coverage, subject: &dyn Subject, is_broken: bool) -> String {
    let (asked, unasked): (Vec<_>, Vec<_>) = coverage.evaluated.iter().partition(|(_, count)| **count > 0);
    let unasked: Vec<String> = unasked.iter().map(|(invariant, _)| invariant.to_string()).collect();
    let declared = coverage.capabilities(subject.capabilities());
    let never: Vec<String> = declared.filter(|it| it.1 == 0).map(|(capability, _)| capability.to_string()).collect();
    let rows: Vec<_> = coverage.disturbances(subject.backend()).collect();
    let all: Tally = rows.iter().map(|(_, tally)| *tally).sum();
    let nowhere = rows.iter().filter(|(_, tally)| tally.succeeded == 0).count();
    let mut text = format!("evaluated {} of {} invariants", asked.len(), coverage.evaluated.len());
    if !unasked.is_empty() && !is_broken {
        text += &format!("; never {}", unasked.join(", "));
    }
    text += &format!("{}landed {} disturbances", if is_broken { ", " } else { "\n" }, of(all));
    if nowhere > 0 && !is_broken {
        text += &format!("; {nowhere} of {} kinds landed nowhere", rows.len());
    }
    if !never.is_empty() {
        text += &format!("\nnever exercised: {}", never.join(", "));
    }
    text + "\n"
}

/// The coverage of a system as tables.
pub(crate) fn text(coverage: &Coverage, subject: &dyn Subject) -> String {
    let mut text = String::new();
    let mut line = |words: std::fmt::Arguments<'_>| {
        text.write_fmt(words).expect("writing to a string cannot fail");
        text.push('\n');
    };
    line(format_args!("evaluated (times)"));
    for (invariant, count) in &coverage.evaluated {
        line(format_args!("  {invariant:<24} {count:>10}"));
    }
    line(format_args!("capabilities exercised (times)"));
    for (capability, count) in coverage.capabilities(subject.capabilities()) {
        let never = if count == 0 { "  never" } else { "" };
        // A capability does not pad itself.
        line(format_args!("  {:<24} {count:>10}{never}", capability.to_string()));
    }
    line(format_args!("commands (succeeded of asked)"));
    let kinds: Vec<_> =
        coverage.alphabet.iter().map(|(kind, tally)| format!("{kind:<15} {:>13}", of(*tally))).collect();
    for some in kinds.chunks(KINDS_IN_LINE) {
        line(format_args!("  {}", some.join("   ")));
    }
    line(format_args!("sometimes (plans)"));
    let longest = coverage.sometimes().map(|(situation, _)| situation.len()).max().unwrap_or(0);
    for (situation, count) in coverage.sometimes() {
        let never = if count == 0 { "  never met" } else { "" };
        line(format_args!("  {situation:<longest$} {count:>8}{never}"));
    }
    // Each column is as wide as its head, so that the table fits more terminals.
    let cell =
        |head: Operation, text: String| format!("  {text:>width$}", width = head.to_string().len().max(CELL_MIN));
    let heads: String = Operation::ALL.into_iter().map(|head| cell(head, head.to_string())).collect();
    line(format_args!("{:<25}  {:>13}{heads}", "disturbances", "landed of drawn"));
    let mut nowhere = Vec::new();
    for (row, tally) in coverage.disturbances(subject.backend()) {
        if tally.succeeded == 0 {
            nowhere.push(format!("{row} (of {})", tally.tried));
            continue;
        }
        let cells = Operation::ALL.into_iter().map(|head| match coverage.landed.get(&(row, head)) {
            None | Some(0) => cell(head, "·".to_owned()),
            Some(count) => cell(head, count.to_string()),
        });
        line(format_args!("  {row:<23}  {:>15}{}", of(tally), cells.collect::<String>()));
    }
    let total: Tally = coverage.disturbances(subject.backend()).map(|(_, tally)| tally).sum();
    line(format_args!("  {:<23}  {:>15}", "all", of(total)));
    if !nowhere.is_empty() {
        line(format_args!("landed nowhere: {}", nowhere.join(", ")));
    }
    text
}

fn of(tally: Tally) -> String {
    format!("{} of {}", tally.succeeded, tally.tried)
}

/// The coverage of a system as fields of its exploration.
#[derive(Serialize)]
pub(crate) struct Json {
    plans: u64,
    commands: u64,
    inconclusive: u64,
    first_inconclusive: Option<String>,
    evaluated: BTreeMap<String, u64>,
    capabilities: BTreeMap<String, u64>,
    /// For each kind of command, how often it succeeded and was asked for.
    alphabet: BTreeMap<String, JsonTally>,
    sometimes: BTreeMap<&'static str, u64>,
    /// For each cancel and fault, how often it landed and was drawn.
    disturbances: BTreeMap<String, JsonTally>,
    disturbed: JsonTally,
    fault_phase: BTreeMap<String, BTreeMap<String, u64>>,
}

#[derive(Serialize)]
struct JsonTally {
    succeeded: u64,
    tried: u64,
}

impl From<Tally> for JsonTally {
    fn from(Tally { tried, succeeded }: Tally) -> Self {
        Self { succeeded, tried }
    }
}

impl Json {
    /// The value of this coverage.
    pub(crate) fn of(coverage: &Coverage, subject: &dyn Subject) -> Self {
        let mut fault_phase: BTreeMap<_, BTreeMap<_, _>> = BTreeMap::new();
        for ((row, column), count) in &coverage.landed {
            fault_phase.entry(row.to_string()).or_default().insert(column.to_string(), *count);
        }
        let all: Vec<_> = coverage.disturbances(subject.backend()).collect();
        let disturbed: Tally = all.iter().map(|(_, tally)| *tally).sum();
        let disturbances = all.into_iter().map(|(row, tally)| (row.to_string(), tally.into())).collect();
        let capabilities = coverage.capabilities(subject.capabilities());
        Self {
            plans: coverage.plans,
            commands: coverage.commands,
            inconclusive: coverage.inconclusive,
            first_inconclusive: coverage.first_inconclusive.clone(),
            evaluated: coverage.evaluated.iter().map(|(invariant, count)| (invariant.to_string(), *count)).collect(),
            capabilities: capabilities.map(|(capability, count)| (capability.to_string(), count)).collect(),
            alphabet: coverage.alphabet.iter().map(|(kind, tally)| (kind.to_string(), (*tally).into())).collect(),
            sometimes: coverage.sometimes().collect(),
            disturbances,
            disturbed: disturbed.into(),
            fault_phase,
        }
    }
}
