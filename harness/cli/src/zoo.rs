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
use crate::explore::interrupted;
use crate::{CommandError, Status, output};

#[derive(Serialize)]
struct Exhibited {
    name: &'static str,
    origin: &'static str,
    found: bool,
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
pub(crate) fn zoo(options: &Zoo) -> Result<Status, CommandError> {
    let wanted = wanted(options)?;
    let mut all = Vec::new();
    for exhibit in &wanted {
        let Some(shown) = show(exhibit, options) else { break };
        if !options.json {
            print(&shown);
        }
        all.push(shown);
    }
    if !options.json && all.len() < wanted.len() {
        println!("stopped by Ctrl-C: {} of {} were tried", all.len(), wanted.len());
    }
    let caught = all.len() == wanted.len() && all.iter().all(|it| it.found);
    if options.json {
        output::json(&all);
    }
    // A zoo system that gets away is the harness's own defect: nothing it passes can be believed.
    Ok(if caught { Status::Pass } else { Status::Inconclusive })
}

/// The exhibits to try. Where no backend is named and there is no server, those that need one are left out, and that is
/// said where it does not get into a JSON value.
fn wanted(options: &Zoo) -> Result<Vec<&'static Exhibit>, CommandError> {
    let backend = options.backend.as_ref().map(Backend::from);
    let fits = |it: &&Exhibit| backend.is_none_or(|backend| it.backend() == backend);
    let mut wanted: Vec<_> = EXHIBITS.iter().filter(fits).collect();
    let needs_server = |it: &Exhibit| it.backend() == Backend::Postgres;
    let needing = wanted.iter().filter(|it| needs_server(it)).count();
    match Binaries::find() {
        Err(error) if needing > 0 && backend.is_some() => Err(CommandError::Usage(error.to_string())),
        Err(error) if needing > 0 => {
            eprintln!("{needing} exhibits on postgres are left out: {error}");
            wanted.retain(|it| !needs_server(it));
            Ok(wanted)
        }
        _ => Ok(wanted),
    }
}

/// Explores one until it is caught; none if that was interrupted.
fn show(exhibit: &Exhibit, options: &Zoo) -> Option<Exhibited> {
    let default = Exploration::default();
    let (jobs, shrink_time) = match exhibit.backend() {
        Backend::Postgres => ON_POSTGRES,
        _ => (1, default.shrink_time),
    };
    let exploration = Exploration {
        seed: options.seed,
        plans: options.plans,
        stop_at: StopAt::Found(exhibit.invariant),
        jobs,
        shrink_time,
        // As long as the plans take.
        time: Duration::from_secs(600),
        ..default
    };
    let explored = run(exhibit.subject, &exploration, interrupted(), |_| {});
    if explored.interrupted {
        return None;
    }
    let wanted = |it: &&Finding| it.counterexample.violation.invariant == exhibit.invariant;
    let finding = explored.findings.iter().find(wanted).or(explored.findings.first());
    let found = finding.map(|it| &it.counterexample);
    Some(Exhibited {
        name: exhibit.subject.name(),
        origin: exhibit.origin,
        found: found.is_some_and(|it| it.violation.invariant == exhibit.invariant),
        invariant: found.map(|it| it.violation.invariant.to_string()),
        expected_invariant: exhibit.invariant.to_string(),
        plans: finding.map_or(explored.coverage.plans, |it| it.after_plans),
        seconds: finding.map_or(explored.took, |it| it.after).as_secs_f64(),
        minimal_commands: found.map(|it| it.plan.commands()),
        smallest_known: exhibit.smallest_known,
    })
}

/// How many plans run at once there, and how long shrinking may take: a plan waits for a server far more than it computes.
const ON_POSTGRES: (usize, Duration) = (4, Duration::from_secs(90));

fn print(shown: &Exhibited) {
    let caught = if shown.found { "caught" } else { "MISSED" };
    println!(
        "{caught}  {:<28} {:<24} after {:>4} plans, {:.2} s; {} commands (smallest known {})",
        shown.name,
        shown.invariant.as_deref().unwrap_or("nothing"),
        shown.plans,
        shown.seconds,
        shown.minimal_commands.map_or_else(|| "no".to_owned(), |it| it.to_string()),
        shown.smallest_known,
    );
}
