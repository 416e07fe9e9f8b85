//! The systems that the command knows by name.

use serde::Serialize;
use unstale_harness::chain::{Of, Subject};
use unstale_harness::plan;
use unstale_lab::sim::{self, SimulatedSystem};
use unstale_lab::systems::control::{PostgresControl, SqliteControl};
use unstale_lab::systems::sqlx_pool::{SqlxPgPool, SqlxPgPoolTrusting, SqlxPool};
use unstale_lab::systems::unstale::{Unstale, UnstalePg};
use unstale_lab::zoo;
use unstale_wire::fleet;

use crate::args::{Backend, Systems};
use crate::{CommandError, Status, output};

/// Every system, those of the zoo last.
pub fn all() -> Vec<(&'static dyn Subject, &'static str)> {
    static SQLX_POOL: Of<SqlxPool> = Of::new();
    static SQLX_POOL_PG: Of<SqlxPgPool> = Of::new();
    static SQLX_POOL_TRUSTING_PG: Of<SqlxPgPoolTrusting> = Of::new();
    static CONTROL: Of<SqliteControl> = Of::new();
    static CONTROL_PG: Of<PostgresControl> = Of::new();
    static UNSTALE: Of<Unstale> = Of::new();
    static UNSTALE_PG: Of<UnstalePg> = Of::new();
    static UNSTALE_SIM: SimulatedSystem<sim::system::Unstale> = SimulatedSystem::new();
    static CONTROL_SIM: SimulatedSystem<sim::control::SimControl> = SimulatedSystem::new();
    let mut all: Vec<(&'static dyn Subject, &'static str)> = vec![
        (&UNSTALE, "the library `unstale` over SQLite"),
        (&UNSTALE_PG, "the library `unstale` over PostgreSQL"),
        (&UNSTALE_SIM, "the library `unstale` over the simulated database, in virtual time"),
        (&SQLX_POOL, "sqlx's own SqlitePool and Transaction, unmodified"),
        (&SQLX_POOL_PG, "sqlx's own PgPool and Transaction, unmodified"),
        (&SQLX_POOL_TRUSTING_PG, "the same without `test_before_acquire`"),
        (&CONTROL, "the control, a correct system as small as can be; it must raise no alarm"),
        (&CONTROL_PG, "the control on PostgreSQL"),
        (&CONTROL_SIM, "the control over the simulated database, in virtual time"),
    ];
    all.extend(zoo::WIRINGS);
    all.extend(zoo::EXHIBITS.iter().map(|exhibit| (exhibit.subject, exhibit.defect)));
    all
}

/// Names by which systems were known before, as they stand in plan files.
const FORMER_NAMES: [(&str, &str); 3] =
    [("guarded", "control"), ("guarded-pg", "control-pg"), ("guarded-sim", "control-sim")];

/// The system of this name, which may be a former one.
///
/// # Errors
/// [`CommandError::UnknownSystem`], with the names that exist.
pub fn named(name: &str) -> Result<&'static dyn Subject, CommandError> {
    let all = all();
    let current = FORMER_NAMES.iter().find(|(former, _)| *former == name).map_or(name, |(_, current)| current);
    all.iter().map(|it| it.0).find(|it| it.name() == current).ok_or_else(|| {
        let known: Vec<_> = all.iter().map(|it| it.0.name()).collect();
        CommandError::UnknownSystem { name: name.to_owned(), known: known.join(", ") }
    })
}

/// What `explore` explores: the system of this name, on this database if it runs on several; by default the library, on
/// everything that it runs on.
///
/// # Errors
/// [`CommandError::UnknownSystem`]; [`CommandError::Usage`] if it does not run on this database; [`CommandError::NoServer`].
pub(crate) fn wanted(name: Option<&str>, backend: Option<&Backend>) -> Result<Vec<&'static dyn Subject>, CommandError> {
    let fits = |it: &&'static dyn Subject| backend.is_none_or(|backend| it.backend() == backend.into());
    let Some(name) = name else {
        // What needs no server, unless that is asked for.
        return match backend {
            None => Ok(vec![named("unstale-sim")?, named("unstale")?]),
            Some(_) => ["unstale-sim", "unstale", "unstale-pg"]
                .into_iter()
                .map(named)
                .filter(|it| it.as_ref().map_or(true, fits))
                .map(|it| it.and_then(ready))
                .collect(),
        };
    };
    let subject = named(name)?;
    if fits(&subject) {
        return Ok(vec![ready(subject)?]);
    }
    // The same system on another database has the name of both.
    let elsewhere = ["sim", "pg"].into_iter().filter_map(|it| named(&format!("{name}-{it}")).ok()).find(fits);
    match elsewhere {
        Some(subject) => Ok(vec![ready(subject)?]),
        None => {
            let wanted = backend.map_or(subject.backend(), plan::Backend::from);
            Err(CommandError::Usage(format!("{name} does not run on {wanted}: `unstale systems` says what does")))
        }
    }
}

/// The subject, once there is a server for it, if it needs one.
///
/// # Errors
/// [`CommandError::NoServer`].
pub(crate) fn ready(subject: &'static dyn Subject) -> Result<&'static dyn Subject, CommandError> {
    if subject.backend() == plan::Backend::Postgres {
        fleet::ready().map_err(CommandError::NoServer)?;
    }
    Ok(subject)
}

impl From<&Backend> for plan::Backend {
    fn from(backend: &Backend) -> Self {
        match backend {
            Backend::Sqlite => Self::Sqlite,
            Backend::Postgres | Backend::Given(_) => Self::Postgres,
            Backend::Sim => Self::Sim,
        }
    }
}

#[derive(Serialize)]
struct Listed {
    name: &'static str,
    about: &'static str,
    capabilities: Vec<String>,
}

/// Prints the list.
///
/// # Errors
/// None.
pub(crate) fn list(options: &Systems) -> Result<Status, CommandError> {
    let all = all();
    let listed = all.into_iter().map(|(it, about)| Listed {
        name: it.name(),
        about,
        capabilities: it.capabilities().iter().map(|it| it.to_string()).collect(),
    });
    if options.json {
        output::json(&listed.collect::<Vec<_>>());
    } else {
        for it in listed {
            println!("{:<28} {}\n{:<28} can: {}", it.name, it.about, "", it.capabilities.join(", "));
        }
    }
    Ok(Status::Pass)
}
