//! Systems that are broken on purpose: whether they can run here, and the search for what breaks in one.
//!
//! Owns what is left out where there is no server, how much a search may spend, and what counts as found. `zoo`, `figures` and
//! `nightly` call it. It prints no result.

use std::time::Duration;

use unstale_harness::chain::Subject;
use unstale_harness::explore::{Exploration, Explored, Finding, StopAt};
use unstale_harness::oracle::Invariant;
use unstale_harness::plan::Backend;
use unstale_wire::server::Binaries;

use crate::console::Console;
use crate::error::CommandError;
use crate::systems;

/// Whether the user asked for these systems.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Choice {
    /// By name, or by the name of their database.
    Named,
    /// They are simply all.
    All,
}

/// How many plans run at once there, and how long shrinking may take: a plan waits for a server far more than it computes.
const ON_POSTGRES: (usize, Duration) = (4, Duration::from_secs(90));

/// An exhibit is explored for as long as its plans take, but no longer than this.
const TIME_MAX: Duration = Duration::from_secs(600);

/// Those that can run here, and their server is started. Without a server, and without a request for one, the exhibits
/// that need one are left out, and a line on standard error says so.
///
/// # Errors
/// [`CommandError::NoServer`] if a server was asked for, or cannot be started.
pub(crate) fn that_can_run<T>(
    mut wanted: Vec<T>,
    subject: impl Fn(&T) -> &'static dyn Subject,
    choice: Choice,
    console: &Console,
) -> Result<Vec<T>, CommandError> {
    let needs_server = |one: &T| subject(one).backend() == Backend::Postgres;
    let needing = wanted.iter().filter(|one| needs_server(one)).count();
    match Binaries::find() {
        Err(error) if needing > 0 && choice == Choice::Named => return Err(CommandError::NoServer(error)),
        Err(error) if needing > 0 => {
            console.note(format_args!("{needing} exhibits on postgres are left out: {error}"));
            wanted.retain(|one| !needs_server(one));
        }
        _ => {}
    }
    if let Some(one) = wanted.iter().find(|one| needs_server(one)) {
        systems::start_server_of(subject(one))?;
    }
    Ok(wanted)
}

/// How an exhibit is explored until this happens.
pub(crate) fn exploration(subject: &dyn Subject, stop_at: StopAt, seed: u64, plans: u64) -> Exploration {
    let default = Exploration::default();
    let (jobs, shrink_time) = match subject.backend() {
        Backend::Postgres => ON_POSTGRES,
        Backend::Sqlite => (default.jobs, default.shrink_time),
        Backend::Sim => (1, default.shrink_time),
    };
    Exploration { seed, plans, stop_at, jobs, shrink_time, time: TIME_MAX, ..default }
}

/// The finding that breaks this invariant, or any if none is given.
pub(crate) fn caught(explored: &Explored, invariant: Option<Invariant>) -> Option<&Finding> {
    let is_wanted =
        |finding: &&Finding| invariant.is_none_or(|invariant| finding.counterexample.violation.invariant == invariant);
    explored.findings.iter().find(is_wanted)
}

/// What ends the search for this.
pub(crate) fn stop_at(invariant: Option<Invariant>) -> StopAt {
    invariant.map_or(StopAt::First, StopAt::Found)
}
