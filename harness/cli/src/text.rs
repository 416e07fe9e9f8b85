//! The texts that several verbs print: reports, shrinking.
//!
//! Owns the width and the colors of reports. It prints nothing itself.

use std::io::IsTerminal;

use unstale_harness::cause::parts_at;
use unstale_harness::history::History;
use unstale_harness::oracle::Violation;
use unstale_harness::plan::{Plan, PlanFile};
use unstale_harness::report::{Report, timeline};
use unstale_harness::shrink::{Certificate, Shrinking};

/// The width of a report in a file.
const WIDTH: usize = 120;

/// No report is wider, whatever `COLUMNS` says.
const WIDTH_MAX: usize = 1000;

/// The report of one run, as wide as the terminal, in colors where there is one.
pub(crate) fn report(plan: &Plan, history: &History, violation: Option<&Violation>) -> String {
    on_terminal(plan, history, violation, false)
}

/// The same with no more than the violation needs.
pub(crate) fn brief_report(plan: &Plan, history: &History, violation: &Violation) -> String {
    on_terminal(plan, history, Some(violation), true)
}

fn on_terminal(plan: &Plan, history: &History, violation: Option<&Violation>, brief: bool) -> String {
    let columns = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
    let terminal = || terminal_size::terminal_size_of(std::io::stdout()).map(|(width, _)| usize::from(width.0));
    let width = columns.or_else(terminal).unwrap_or(100).min(WIDTH_MAX);
    let color = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    Report { plan, history, violation, width, color, brief }.to_string()
}

/// The same without colors, for a file.
pub(crate) fn plain_report(plan: &Plan, history: &History, violation: Option<&Violation>) -> String {
    for_file(plan, history, violation).to_string()
}

/// What happened in a run, drawn for a page.
pub(crate) fn drawing(plan: &Plan, history: &History, violation: Option<&Violation>) -> String {
    timeline(&for_file(plan, history, violation), parts_at(history).map(|(at, _)| at))
}

fn for_file<'a>(plan: &'a Plan, history: &'a History, violation: Option<&'a Violation>) -> Report<'a> {
    Report { plan, history, violation, width: WIDTH, color: false, brief: false }
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

/// A plan as it stands in a file, for a system.
pub(crate) fn plan_of(plan: &Plan, system: &str) -> String {
    PlanFile { system: Some(system.to_owned()), ..PlanFile::from(plan.clone()) }.to_string()
}
