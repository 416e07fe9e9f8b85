//! `zoo`: each deliberately broken system is explored until it is caught.
//!
//! Owns which exhibits are tried: all that can run here, or those of one backend. What cannot is named, with the reason.

use std::time::Duration;

use serde::Serialize;
use unstale_harness::explore::{Exploration, Finding, StopAt, explore as run};
use unstale_harness::plan::Backend;
use unstale_lab::zoo::{EXHIBITS, Exhibit};
use unstale_wire::server::Binaries;

use crate::args::Zoo;
use crate::console::{Console, say};
use crate::error::CommandError;
use crate::status::Status;
use crate::{interrupt, systems};

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

/// How many plans run at once there, and how long shrinking may take: a plan waits for a server far more than it computes.
const ON_POSTGRES: (usize, Duration) = (4, Duration::from_secs(90));

/// An exhibit is explored for as long as its plans take, but no longer than this.
const TIME_MAX: Duration = Duration::from_secs(600);

/// Runs `zoo`.
///
/// # Errors
/// A backend was asked for that is not here.
pub(crate) fn zoo(options: &Zoo, console: &Console) -> Result<Status, CommandError> {
    let wanted = wanted(options, console)?;
    if let Some(exhibit) = wanted.iter().find(|exhibit| needs_server(exhibit)) {
        systems::start_server_of(exhibit.subject)?;
    }
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
    // An exhibit that gets away is the harness's own defect: nothing that it passes can be believed.
    Ok(if all.iter().any(|shown| shown.found == Some(false)) {
        Status::Inconclusive
    } else if tried < all.len() {
        Status::Interrupted
    } else {
        Status::Pass
    })
}

/// The exhibits to try. Where no backend is named and there is no server, those that need one are left out, and a line on
/// standard error says so.
fn wanted(options: &Zoo, console: &Console) -> Result<Vec<&'static Exhibit>, CommandError> {
    let backend = options.backend.as_ref().map(Backend::from);
    let fits = |exhibit: &&Exhibit| backend.is_none_or(|backend| exhibit.backend() == backend);
    let mut wanted: Vec<_> = EXHIBITS.iter().filter(fits).collect();
    let needing = wanted.iter().filter(|exhibit| needs_server(exhibit)).count();
    match Binaries::find() {
        Err(error) if needing > 0 && backend.is_some() => Err(CommandError::NoServer(error)),
        Err(error) if needing > 0 => {
            console.note(format_args!("{needing} exhibits on postgres are left out: {error}"));
            wanted.retain(|exhibit| !needs_server(exhibit));
            Ok(wanted)
        }
        _ => Ok(wanted),
    }
}

fn needs_server(exhibit: &Exhibit) -> bool {
    exhibit.backend() == Backend::Postgres
}

/// Explores one until it is caught, or interrupted.
fn show(exhibit: &Exhibit, options: &Zoo) -> Exhibited {
    let default = Exploration::default();
    let (jobs, shrink_time) = match exhibit.backend() {
        Backend::Postgres => ON_POSTGRES,
        Backend::Sqlite | Backend::Sim => (1, default.shrink_time),
    };
    let exploration = Exploration {
        seed: options.seed,
        plans: options.plans,
        stop_at: StopAt::Found(exhibit.invariant),
        jobs,
        shrink_time,
        time: TIME_MAX,
        ..default
    };
    let explored = run(exhibit.subject, &exploration, interrupt::flag(), |_| {});
    let wanted = |finding: &&Finding| finding.counterexample.violation.invariant == exhibit.invariant;
    let caught = explored.findings.iter().find(wanted);
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
