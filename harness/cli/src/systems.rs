//! The systems that the command knows by name.
//!
//! Owns the list and a description of each. Nothing is run or printed here.

use std::sync::atomic::AtomicBool;

use unstale_harness::chain::{Of, Subject};
use unstale_harness::plan::Backend;
use unstale_lab::sim::{self, SimulatedSystem};
use unstale_lab::storm::history::History;
use unstale_lab::storm::system::StormSystem;
use unstale_lab::storm::systems::{Library, SqlxPool as StressedPool};
use unstale_lab::storm::{self, StormError};
use unstale_lab::systems::control::{PostgresControl, SqliteControl, WithRequest};
use unstale_lab::systems::sqlx_pool::{SqlxPgPool, SqlxPgPoolTrusting, SqlxPool};
use unstale_lab::systems::unstale::{Unstale, UnstalePg, UnstalePgResolving};
use unstale_lab::zoo;
use unstale_wire::fleet;

use crate::error::CommandError;

/// One system with a sentence about it.
#[derive(Clone, Copy)]
pub(crate) struct Known {
    pub(crate) subject: &'static dyn Subject,
    pub(crate) about: &'static str,
    /// Whether it is broken on purpose.
    pub(crate) is_exhibit: bool,
}

/// Runs a storm over one system.
pub(crate) type Stress = fn(&storm::Storm, &AtomicBool, &mut dyn FnMut(usize, u32)) -> Result<History, StormError>;

/// The systems that a storm can be run over.
pub(crate) const STRESSED: [(&str, Stress); 2] =
    [(Library::NAME, storm::pass::<Library>), (StressedPool::NAME, storm::pass::<StressedPool>)];

/// Every system, exhibits last.
pub(crate) fn all() -> Vec<Known> {
    static SQLX_POOL: Of<SqlxPool> = Of::new();
    static SQLX_POOL_PG: Of<SqlxPgPool> = Of::new();
    static SQLX_POOL_TRUSTING_PG: Of<SqlxPgPoolTrusting> = Of::new();
    static CONTROL: Of<SqliteControl> = Of::new();
    static CONTROL_PG: Of<PostgresControl> = Of::new();
    static CONTROL_REQUEST_PG: Of<PostgresControl<WithRequest>> = Of::new();
    static UNSTALE: Of<Unstale> = Of::new();
    static UNSTALE_PG: Of<UnstalePg> = Of::new();
    static UNSTALE_PG_RESOLVING: Of<UnstalePgResolving> = Of::new();
    static UNSTALE_SIM: SimulatedSystem<sim::system::Unstale> = SimulatedSystem::new();
    static CONTROL_SIM: SimulatedSystem<sim::control::SimControl> = SimulatedSystem::new();
    let systems: [(&'static dyn Subject, &'static str); 11] = [
        (&UNSTALE, "the library `unstale` over SQLite"),
        (&UNSTALE_PG, "the library `unstale` over PostgreSQL"),
        (&UNSTALE_PG_RESOLVING, "the same with a resolver of commits whose answer is missing"),
        (&UNSTALE_SIM, "the library `unstale` over the simulated database, in virtual time"),
        (&SQLX_POOL, "sqlx's own SqlitePool and Transaction, unmodified"),
        (&SQLX_POOL_PG, "sqlx's own PgPool and Transaction, unmodified"),
        (&SQLX_POOL_TRUSTING_PG, "the same without `test_before_acquire`"),
        (&CONTROL, "the control on SQLite, correct and as small as possible; it must raise no alarm"),
        (&CONTROL_PG, "the control on PostgreSQL; it must raise no alarm"),
        (&CONTROL_REQUEST_PG, "the same with a request of its own, which adds to a number; it must raise no alarm"),
        (&CONTROL_SIM, "the control over the simulated database; it must raise no alarm"),
    ];
    let systems = systems.into_iter().map(|(subject, about)| Known { subject, about, is_exhibit: false });
    // Of ours the whole system is named: whatever plan was found in a part of it can be run there.
    let ours = measures().map(|measure| (measure.in_full, measure.defect));
    let broken = broken().chain(ours);
    systems.chain(broken.map(|(subject, about)| Known { subject, about, is_exhibit: true })).collect()
}

/// The zoo, and the two wirings.
fn broken() -> impl Iterator<Item = (&'static dyn Subject, &'static str)> {
    zoo::WIRINGS.into_iter().chain(zoo::EXHIBITS.iter().map(|exhibit| (exhibit.subject, exhibit.defect)))
}

/// What was built to measure the harness.
fn measures() -> impl Iterator<Item = &'static zoo::Measure> {
    zoo::OURS.iter().chain(zoo::RACES).chain(zoo::LOST_UPDATES)
}

/// The names of all systems.
pub(crate) fn names() -> Vec<&'static str> {
    all().iter().map(|known| known.subject.name()).collect()
}

/// The system that is no exhibit and breaks all the same: the nightly search looks for a known defect in it.
pub(crate) const SQLX_POOL: &str = "sqlx-pool";

/// The names of all systems that the nightly search knows.
pub(crate) fn searched() -> Vec<&'static str> {
    broken().map(|(subject, _)| subject.name()).chain([SQLX_POOL]).collect()
}

/// The names of all exhibits.
pub(crate) fn exhibits() -> Vec<&'static str> {
    let of_zoo = zoo::EXHIBITS.iter().map(|exhibit| exhibit.subject.name());
    of_zoo.chain(measures().map(|measure| measure.subject.name())).collect()
}

/// Names by which systems were known before, as they stand in plan files.
pub(crate) const FORMER_NAMES: [(&str, &str); 3] =
    [("guarded", "control"), ("guarded-pg", "control-pg"), ("guarded-sim", "control-sim")];

/// The system of this name, which may be a former one.
pub(crate) fn named(name: &str) -> Option<&'static dyn Subject> {
    let current = FORMER_NAMES.iter().find(|(former, _)| *former == name).map_or(name, |(_, current)| current);
    all().into_iter().map(|known| known.subject).find(|subject| subject.name() == current)
}

/// The system that a file names.
///
/// # Errors
/// [`CommandError::UnknownSystem`], with the names that exist.
pub(crate) fn named_in(file: &str, name: &str) -> Result<&'static dyn Subject, CommandError> {
    let known = || names().join(", ");
    named(name).ok_or_else(|| CommandError::UnknownSystem { file: file.into(), name: name.into(), known: known() })
}

/// The library, on what needs no server, or on this database.
pub(crate) fn library(backend: Option<Backend>) -> Vec<&'static dyn Subject> {
    let fits = |subject: &&'static dyn Subject| match backend {
        None => subject.backend() != Backend::Postgres,
        Some(backend) => subject.backend() == backend,
    };
    ["unstale-sim", "unstale", "unstale-pg"].into_iter().filter_map(named).filter(fits).collect()
}

/// The system of this name on this database, if it runs on several.
///
/// # Errors
/// [`CommandError::Usage`] if there is none of this name, or it does not run there.
pub(crate) fn on(name: &str, backend: Option<Backend>) -> Result<&'static dyn Subject, CommandError> {
    let fits = |subject: &&'static dyn Subject| backend.is_none_or(|backend| subject.backend() == backend);
    // The same system on another database has the name of both.
    let name = named(name).map_or(name, |subject| subject.name());
    let names = [name.to_owned(), format!("{name}-sim"), format!("{name}-pg")];
    names.iter().filter_map(|name| named(name)).find(fits).ok_or_else(|| {
        let there = backend.map_or_else(String::new, |backend| format!(" on {backend}"));
        CommandError::Usage(format!("{name} does not run{there}: `unstale systems` lists what does"))
    })
}

/// Starts the server that the system needs, if it needs one.
///
/// # Errors
/// [`CommandError::NoServer`].
pub(crate) fn start_server_of(subject: &dyn Subject) -> Result<(), CommandError> {
    match subject.backend() {
        Backend::Postgres => fleet::ready().map_err(CommandError::NoServer),
        Backend::Sqlite | Backend::Sim => Ok(()),
    }
}
