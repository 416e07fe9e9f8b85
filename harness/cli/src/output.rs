//! What all verbs print in the same way: JSON, reports, coverage.

use std::fmt::Write as _;
use std::io::IsTerminal;
use std::path::Path;

use serde::Serialize;
use unstale_harness::coverage::{Coverage, OPERATIONS, disturbances};
use unstale_harness::history::History;
use unstale_harness::oracle::Violation;
use unstale_harness::plan::{Backend, Plan};
use unstale_harness::report::{Report, html};
use unstale_harness::shrink::{Certificate, Shrinking};

use crate::CommandError;

/// Prints one JSON value.
pub(crate) fn json(value: &impl Serialize) {
    let text = serde_json::to_string_pretty(value).expect("plain structs with string keys always serialize");
    println!("{text}");
}

/// The report of one run, as wide as the terminal, in colors where there is one.
pub(crate) fn report(plan: &Plan, history: &History, violation: Option<&Violation>) -> String {
    let width = std::env::var("COLUMNS").ok().and_then(|it| it.parse().ok()).unwrap_or(100);
    let color = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    Report { plan, history, violation, width, color }.to_string()
}

/// The same without colors, for a file.
pub(crate) fn plain_report(plan: &Plan, history: &History, violation: Option<&Violation>) -> String {
    Report { plan, history, violation, width: 120, color: false }.to_string()
}

/// Writes an HTML report.
///
/// # Errors
/// [`CommandError::Write`].
pub(crate) fn write_html(path: &Path, title: &str, sections: &[(String, String)]) -> Result<(), CommandError> {
    std::fs::write(path, html(title, sections))
        .map_err(|source| CommandError::Write { path: path.display().to_string(), source })
}

/// How far shrinking has got.
pub(crate) fn shrinking(now: Shrinking) -> String {
    format!("shrinking {}: {} commands after {} runs", now.invariant, now.commands, now.runs)
}

/// What has to be said of a search that could not be finished.
pub(crate) fn out_of_budget(certificate: &Certificate) -> &'static str {
    if certificate.complete { "" } else { " (out of budget: a smaller one may exist)" }
}

/// The certificate of a minimal plan, as it stands under its report.
pub(crate) fn indented(certificate: &Certificate) -> String {
    certificate.to_string().lines().map(|it| format!("    {it}\n")).collect()
}

/// What it means that the system blocked so many threads.
pub(crate) fn given_up(threads: u64) -> String {
    let (plural, verb) = if threads == 1 { ("", "was") } else { ("s", "were") };
    format!("{threads} thread{plural} that the system blocks {verb} given up, and will stay until this process ends")
}

/// The coverage table.
pub(crate) fn coverage(coverage: &Coverage, backend: Backend) -> String {
    let mut text = String::new();
    let mut line = |it: std::fmt::Arguments<'_>| {
        text.write_fmt(it).expect("writing to a string cannot fail");
        text.push('\n');
    };
    line(format_args!("evaluated (times)"));
    for (invariant, count) in &coverage.evaluated {
        line(format_args!("  {invariant:<24} {count:>10}"));
    }
    line(format_args!("sometimes (plans)"));
    for (situation, count) in coverage.sometimes() {
        let never = if count == 0 { "  never met" } else { "" };
        line(format_args!("  {situation:<40} {count:>8}{never}"));
    }
    let heads: String = OPERATIONS.iter().map(|it| format!(" {it:>14}")).collect();
    line(format_args!("landed {:<18}{heads}", ""));
    let mut nowhere = Vec::new();
    for row in disturbances(backend) {
        if coverage.landed.keys().all(|it| it.0 != row) {
            nowhere.push(row);
            continue;
        }
        let cells = OPERATIONS.iter().map(|column| {
            let count = coverage.landed.get(&(row.clone(), *column)).copied().unwrap_or(0);
            if count == 0 { format!(" {:>14}", "·") } else { format!(" {count:>14}") }
        });
        line(format_args!("  {row:<23}{}", cells.collect::<String>()));
    }
    if !nowhere.is_empty() {
        line(format_args!("landed nowhere: {}", nowhere.join(", ")));
    }
    text
}
