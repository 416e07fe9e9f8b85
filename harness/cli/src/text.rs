//! The texts that several verbs print: reports, coverage, shrinking.
//!
//! Owns the width and the colors of reports. It prints nothing itself.

use std::fmt::Write as _;
use std::io::IsTerminal;

use unstale_harness::coverage::{Coverage, OPERATIONS, disturbances};
use unstale_harness::history::History;
use unstale_harness::oracle::Violation;
use unstale_harness::plan::{Backend, Plan};
use unstale_harness::report::Report;
use unstale_harness::shrink::{Certificate, Shrinking};

/// The width of a report in a file.
const WIDTH: usize = 120;

/// No column of counts is narrower.
const CELL_MIN: usize = 6;

/// No report is wider, whatever `COLUMNS` says.
const WIDTH_MAX: usize = 1000;

/// The report of one run, as wide as the terminal, in colors where there is one.
pub(crate) fn report(plan: &Plan, history: &History, violation: Option<&Violation>) -> String {
    let columns = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
    let terminal = || terminal_size::terminal_size_of(std::io::stdout()).map(|(width, _)| usize::from(width.0));
    let width = columns.or_else(terminal).unwrap_or(100).min(WIDTH_MAX);
    let color = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    Report { plan, history, violation, width, color }.to_string()
}

/// The same without colors, for a file.
pub(crate) fn plain_report(plan: &Plan, history: &History, violation: Option<&Violation>) -> String {
    Report { plan, history, violation, width: WIDTH, color: false }.to_string()
}

/// How far shrinking has got.
pub(crate) fn shrinking(now: Shrinking) -> String {
    format!("shrinking {}: {} commands after {} runs", now.invariant, now.commands, now.runs)
}

/// A remark on a search that was not finished; empty if it was.
pub(crate) fn out_of_budget(certificate: &Certificate) -> &'static str {
    if certificate.complete { "" } else { " (out of budget: a smaller one may exist)" }
}

/// The certificate of a minimal plan, as it stands under its report.
pub(crate) fn indented(certificate: &Certificate) -> String {
    certificate.to_string().lines().map(|it| format!("    {it}\n")).collect()
}

/// A remark on the threads that the system blocked.
pub(crate) fn given_up(threads: u64) -> String {
    let (plural, verb) = if threads == 1 { ("", "was") } else { ("s", "were") };
    format!("{threads} thread{plural} blocked by the system {verb} given up, and will stay until this process ends")
}

/// The coverage table.
pub(crate) fn coverage(coverage: &Coverage, backend: Backend) -> String {
    let mut text = String::new();
    let mut line = |words: std::fmt::Arguments<'_>| {
        text.write_fmt(words).expect("writing to a string cannot fail");
        text.push('\n');
    };
    line(format_args!("evaluated (times)"));
    for (invariant, count) in &coverage.evaluated {
        line(format_args!("  {invariant:<24} {count:>10}"));
    }
    line(format_args!("sometimes (plans)"));
    let longest = coverage.sometimes().map(|(situation, _)| situation.len()).max().unwrap_or(0);
    for (situation, count) in coverage.sometimes() {
        let never = if count == 0 { "  never met" } else { "" };
        line(format_args!("  {situation:<longest$} {count:>8}{never}"));
    }
    // Each column is as wide as its head, so that the table fits more terminals.
    let cell = |head: &str, text: String| format!("  {text:>width$}", width = head.len().max(CELL_MIN));
    let heads: String = OPERATIONS.iter().map(|head| cell(head, (*head).to_owned())).collect();
    line(format_args!("landed {:<18}{heads}", ""));
    let mut nowhere = Vec::new();
    for row in disturbances(backend) {
        if coverage.landed.keys().all(|(landed, _)| *landed != row) {
            nowhere.push(row);
            continue;
        }
        let cells = OPERATIONS.iter().map(|head| match coverage.landed.get(&(row.clone(), *head)) {
            None | Some(0) => cell(head, "·".to_owned()),
            Some(count) => cell(head, count.to_string()),
        });
        line(format_args!("  {row:<23}{}", cells.collect::<String>()));
    }
    if !nowhere.is_empty() {
        line(format_args!("landed nowhere: {}", nowhere.join(", ")));
    }
    text
}
