//! `zoo`: each deliberately broken system is explored until it is caught.
//!
//! Owns the report on each: all that can run here, or those of one backend. The search itself is in
//! [`crate::exhibits`].

use serde::Serialize;
use unstale_harness::explore::explore as run;
use unstale_harness::plan::Backend;
use unstale_lab::zoo::{EXHIBITS, Exhibit};

use crate::args::Zoo;
use crate::console::{Console, say};
use crate::error::CommandError;
use crate::exhibits::{self, Choice};
use crate::interrupt;
use crate::status::Status;

#[derive(Serialize)]
struct Exhibited {
    name: &'static str,
    origin: &'static str,
    verdict: &'static str,
    /// Whether it was caught; none if that was interrupted.
    found: Option<bool>,
    invariant: Option<String>,
    expected_invariant: String,
    plans: u64,
    seconds: f64,
    minimal_commands: Option<usize>,
    smallest_known: usize,
}

/// Runs `zoo`.
///
/// # Errors
/// A backend was asked for that is not here.
pub(crate) fn zoo(options: &Zoo, console: &Console) -> Result<Status, CommandError> {
    let backend = options.backend.as_ref().map(Backend::from);
    let fits = |exhibit: &&Exhibit| backend.is_none_or(|backend| exhibit.backend() == backend);
    let choice = if backend.is_some() { Choice::Named } else { Choice::All };
    let wanted = EXHIBITS.iter().filter(fits).collect();
    let wanted = exhibits::that_can_run(wanted, |exhibit: &&Exhibit| exhibit.subject, choice, console)?;
    let mut all = Vec::new();
    for exhibit in &wanted {
        let shown = show(exhibit, options);
        if !options.json && shown.found.is_some() {
            print(&shown, console);
        }
        all.push(shown);
    }
    let tried = all.iter().filter(|shown| shown.found.is_some()).count();
    if options.json {
        console.json(&all);
    } else if tried < all.len() {
        say!(console, "interrupted: {tried} of {} exhibits were tried", all.len());
    }
    // An exhibit that is not caught is a defect of the harness: its passes cannot be believed.
    Ok(if all.iter().any(|shown| shown.found == Some(false)) {
        Status::Inconclusive
    } else if tried < all.len() {
        Status::Interrupted
    } else {
        Status::Pass
    })
}

/// Explores one until it is caught, or interrupted.
fn show(exhibit: &Exhibit, options: &Zoo) -> Exhibited {
    let exploration = exhibits::exploration(exhibit.subject, exhibit.invariant, options.seed, options.plans);
    let explored = run(exhibit.subject, &exploration, interrupt::flag(), |_| {});
    let caught = exhibits::caught(&explored, exhibit.invariant);
    let (verdict, found) = match caught {
        // What is shrunk when it is interrupted is not as small as it must get.
        _ if explored.interrupted => ("interrupted", None),
        Some(_) => ("caught", Some(true)),
        None => ("missed", Some(false)),
    };
    let finding = caught.or(explored.findings.first());
    let counterexample = finding.map(|finding| &finding.counterexample);
    Exhibited {
        name: exhibit.subject.name(),
        origin: exhibit.origin,
        verdict,
        found,
        invariant: counterexample.map(|it| it.violation.invariant.to_string()),
        expected_invariant: exhibit.invariant.to_string(),
        plans: finding.map_or(explored.coverage.plans, |finding| finding.after_plans),
        seconds: finding.map_or(explored.took, |finding| finding.after).as_secs_f64(),
        minimal_commands: counterexample.map(|it| it.plan.commands()),
        smallest_known: exhibit.smallest_known,
    }
}

fn print(shown: &Exhibited, console: &Console) {
    let verdict = if shown.found == Some(true) { "caught" } else { "MISSED" };
    say!(
        console,
        "{verdict}  {:<28} {:<24} after {:>4} plans, {:.2} s; {} commands (smallest known {})",
        shown.name,
        shown.invariant.as_deref().unwrap_or("nothing"),
        shown.plans,
        shown.seconds,
        shown.minimal_commands.map_or_else(|| "no".to_owned(), |commands| commands.to_string()),
        shown.smallest_known,
    );
}
