//! `unstale`: the library under test, on SQLite.
//!
//! The actor is generic over the source, so that what runs on a real database also runs on a simulated one. As in an
//! application, what it runs statements on is a service that the registry resolves in its scope, and what it keeps for too
//! long is that service. The application itself is in `application`'s file.

mod application;
mod postgres;

pub(crate) use application::{others_go_on, panic_with};
pub use postgres::{OnPostgres, UnstalePg, UnstalePgResolving, WithResolver};

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use unstale::registry::Dep;
use unstale::source::Source;
use unstale::{Event, Handle, ListenerGuard, Policy, Scope, Sessions, SqliteSource, Validity};

use application::{Application, Rows, Unit};

use super::at_once::AtOnce;

use unstale_harness::database::Database;
use unstale_harness::history::{BuildRecorder, Failure, Reply, Report};
use unstale_harness::library::transaction;
use unstale_harness::plan::{Command, Key, Usage, Value};
use unstale_harness::system::{Capabilities, Capability, Port, System, needed};
use unstale_harness::workload::{get, get_for_update, put, statement};

/// A source on which the core workload's statements can be run through a handle.
pub trait Served: Source + Sized {
    /// Runs a single-statement command.
    ///
    /// # Cancel safety
    /// Cancels of the plan land inside; the session is as the library leaves it.
    fn statement(handle: &Handle<Self>, command: &Command, port: &mut Port) -> impl Future<Output = ()>;

    /// Uses a handle that may be stale.
    ///
    /// # Cancel safety
    /// As [`Served::statement`].
    fn stale(handle: &Handle<Self>, usage: Usage) -> impl Future<Output = Result<Reply, Failure>>;

    /// Reads a row in order to write it.
    ///
    /// # Cancel safety
    /// As [`Served::statement`].
    fn get_for_update(handle: &Handle<Self>, key: Key) -> impl Future<Output = Result<Option<Value>, Failure>>;
}

async fn actor<S: Served>(application: &Application<S>, mut port: Port) {
    let mut unit = Unit::new(application);
    let mut retained: Option<Dep<Rows<S>>> = None;
    while let Some(command) = port.next().await {
        match (&command, &unit.scope) {
            (Command::Open, None) => {
                let opened = port.run(unit.open()).await;
                unit.scope = opened;
            }
            (Command::ClosePool, None) => {
                port.run(async { unit.sessions().await.map(|it| it.close()) }).await;
            }
            (Command::Close, Some(_)) => {
                if let Some(scope) = unit.scope.take() {
                    port.run(scope.end()).await;
                }
            }
            (Command::Race(key), Some(scope)) => {
                port.ask(Box::pin(race(&unit, scope, *key)), Reply::clone).await;
            }
            (Command::Abandon(key), Some(_)) => {
                if let Some(scope) = unit.scope.take() {
                    port.run(Box::pin(abandon(&unit, scope, *key))).await;
                }
            }
            (Command::Retain, Some(open)) => {
                if let Some(kept) = port.run(unit.rows(open)).await {
                    retained = Some(kept);
                }
            }
            (Command::Stale(usage), _) => {
                if let Some(rows) = &retained {
                    port.ask(S::stale(&rows.db, *usage), Reply::clone).await;
                }
            }
            (Command::Use(usage), _) => {
                if let Some(rows) = unit.resolved() {
                    port.ask(S::stale(&rows.db, *usage), Reply::clone).await;
                }
            }
            (Command::Swap(key, value), Some(scope)) => {
                port.ask(Box::pin(swap(&unit, scope, *key, *value)), Reply::clone).await;
            }
            (Command::Autonomous(usage), Some(_)) => {
                port.ask(Box::pin(autonomous(&unit, *usage)), Reply::clone).await;
            }
            (command, _) if needed(command) == Some(Capability::Registry) => {
                // On the heap, like few others: it would make every actor several times as large.
                Box::pin(registry_command(&mut unit, command, &mut port)).await;
            }
            (Command::Begin(_) | Command::Commit | Command::Rollback | Command::Drop, Some(scope)) => {
                transaction(scope, &command, &mut port).await;
            }
            (command, Some(scope)) => match unit.rows(scope).await {
                Ok(rows) => S::statement(&rows.db, command, &mut port).await,
                Err(failure) => {
                    port.run(std::future::ready(Err::<(), _>(failure))).await;
                }
            },
            (_, None) => {}
        }
    }
}

/// The first of several calls that ends counts; the others are dropped where they wait.
async fn race<S: Served>(unit: &Unit<'_, S>, scope: &Scope<S>, key: Key) -> Result<Reply, Failure> {
    let rows = unit.rows(scope).await?;
    AtOnce::of(|| S::stale(&rows.db, Usage::Get(key))).first().await
}

/// The same, and the scope is dropped while they are under way.
async fn abandon<S: Served>(unit: &Unit<'_, S>, scope: Scope<S>, key: Key) -> Result<Reply, Failure> {
    let rows = unit.rows(&scope).await?;
    AtOnce::of(|| S::stale(&rows.db, Usage::Get(key))).first_after(|_| drop(scope)).await
}

/// Reads the row and writes it anew, both or neither.
async fn swap<S: Served>(unit: &Unit<'_, S>, scope: &Scope<S>, key: Key, value: Value) -> Result<Reply, Failure> {
    let rows = unit.rows(scope).await?;
    let both = |db: Handle<S>| async move {
        let found = S::get_for_update(&db, key).await?;
        if found.is_some() {
            S::stale(&db, Usage::Put(key, value)).await?;
        }
        Ok::<_, Failure>(Reply::Value(found))
    };
    rows.db.atomic("swap", both).await
}

/// In a scope of its own, beside the unit's.
async fn autonomous<S: Served>(unit: &Unit<'_, S>, usage: Usage) -> Result<Reply, Failure> {
    let scope = unit.open().await?;
    let rows = unit.rows(&scope).await?;
    let reply = S::stale(&rows.db, usage).await?;
    scope.end().await?;
    Ok(reply)
}

async fn registry_command<S: Served>(unit: &mut Unit<'_, S>, command: &Command, port: &mut Port) {
    let done = || Ok::<_, Failure>(());
    match command {
        Command::Resolve(wanted) if wanted.needs_session() && unit.scope.is_none() => {}
        Command::Resolve(wanted) => {
            port.ask(unit.resolve(*wanted), |builds| Reply::Services(builds.clone())).await;
        }
        Command::Override(service) => {
            port.ask(async { unit.stand_in(*service) }, |build| Reply::Services(vec![*build])).await;
        }
        Command::Restore => {
            port.run(async {
                unit.restore();
                done()
            })
            .await;
        }
        Command::Invalidate(service) => {
            port.run(async { unit.invalidate(*service) }).await;
        }
        Command::WarmUp => {
            port.run(unit.warm_up()).await;
        }
        Command::Fork => {
            port.run(async {
                unit.fork();
                done()
            })
            .await;
        }
        Command::Replace if unit.scope.is_some() => {
            let old = unit.scope.take();
            let replaced = async {
                if let Some(old) = old {
                    old.end().await?;
                }
                unit.open().await
            };
            let opened = port.run(replaced).await;
            unit.scope = opened;
        }
        Command::Crash => {
            let held = unit.take_all();
            port.run(async {
                panic_with(held);
                done()
            })
            .await;
        }
        _ => {}
    }
}

/// An application over the library while it runs, and a listener to its sessions.
pub struct Running<S: Source> {
    application: Application<S>,
    told: Arc<Told>,
    _listening: ListenerGuard,
}

/// What a listener was told.
#[derive(Default)]
struct Told {
    opened: AtomicU32,
    closed: AtomicU32,
}

impl<S: Served> Running<S> {
    /// An application over these sessions.
    pub fn over(sessions: Sessions<S>, build_recorder: BuildRecorder) -> Self {
        let told: Arc<Told> = Arc::default();
        let listening = sessions.listen({
            let told = Arc::clone(&told);
            move |event| {
                match event {
                    Event::Opened { .. } => told.opened.fetch_add(1, Ordering::Relaxed),
                    Event::Closed { .. } => told.closed.fetch_add(1, Ordering::Relaxed),
                    _ => 0,
                };
            }
        });
        Self { application: Application::new(sessions, build_recorder), told, _listening: listening }
    }

    /// Begins a test: from here on everything happens inside it.
    ///
    /// # Errors
    /// What the fixture answers.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn begin_test(&self) -> Result<(), Failure> {
        self.application.begin_test().await
    }

    /// One actor: a unit of work with a scope, and a service of it that it may keep for too long.
    ///
    /// # Cancel safety
    /// Dropped, it drops its scope.
    pub async fn actor(&self, port: Port) {
        actor(&self.application, port).await;
    }

    /// What the sessions, and the listener to them, say.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn report(&self) -> Report {
        let sessions = self.application.sessions();
        let healthy = matches!(sessions.check().await, Validity::Valid { .. });
        let health = sessions.health();
        Report {
            healthy,
            connections: health.usage.size,
            lent: health.usage.in_use,
            sessions: u32::try_from(health.scopes).unwrap_or(u32::MAX),
            listeners: 0,
            told_opened: self.told.opened.load(Ordering::Relaxed),
            told_closed: self.told.closed.load(Ordering::Relaxed),
        }
    }

    /// Ends the test if there is one, and closes the sessions.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn stop(&self) {
        self.application.stop().await;
    }
}

/// What the application can do besides, on every database.
pub(crate) fn further() -> Capabilities {
    Capabilities::of([
        Capability::Sharing,
        Capability::ServiceUse,
        Capability::Autonomous,
        Capability::Swaps,
        Capability::Reports,
    ])
}

/// One way to use the library on a real database.
pub trait Setup: 'static {
    /// Where its connections come from.
    type Source: Served;
    /// The name of the system.
    const NAME: &'static str;

    /// What a pool on that database can do.
    fn pool() -> Capabilities;

    /// Its sessions on this database.
    ///
    /// # Errors
    /// What the library answers.
    fn sessions(database: &Database) -> Result<Sessions<Self::Source>, Failure>;
}

/// The library under test, on a real database.
pub struct Library<U: Setup>(Running<U::Source>);

impl<U: Setup> System for Library<U> {
    const NAME: &'static str = U::NAME;

    fn capabilities() -> Capabilities {
        U::pool().and(Capabilities::services()).and(further()).with(Capability::ReadOnlyBegin)
    }

    async fn start(database: &Database) -> Result<Self, Failure> {
        let running = Running::over(U::sessions(database)?, database.build_recorder());
        if database.fixture() {
            running.begin_test().await?;
        }
        Ok(Self(running))
    }

    async fn actor(&self, port: Port) {
        self.0.actor(port).await;
    }

    async fn report(&self) -> Report {
        self.0.report().await
    }

    async fn stop(&self) {
        self.0.stop().await;
    }
}

/// The library over a SQLite file or an in-memory database.
pub type Unstale = Library<OnSqlite>;

/// With the defaults.
pub struct OnSqlite;

impl Setup for OnSqlite {
    type Source = SqliteSource;
    const NAME: &'static str = "unstale";

    fn pool() -> Capabilities {
        Capabilities::sqlite()
    }

    fn sessions(database: &Database) -> Result<Sessions<SqliteSource>, Failure> {
        let policy = policy(database.connections());
        Ok(Sessions::new(SqliteSource::new(database.sqlite_options(), &policy), policy)?)
    }
}

/// The defaults, with the plan's number of connections.
pub fn policy(connections: u8) -> Policy {
    let mut policy = Policy::default();
    policy.sessions_max = u32::from(connections);
    // Longer than a plan: an actor that waits for a connection waits for the plan's other actors.
    policy.acquire_timeout = Duration::from_secs(30);
    policy
}

impl Served for SqliteSource {
    async fn statement(handle: &Handle<Self>, command: &Command, port: &mut Port) {
        statement(handle, command, port).await;
    }

    async fn stale(handle: &Handle<Self>, usage: Usage) -> Result<Reply, Failure> {
        Ok(match usage {
            Usage::Get(key) => Reply::Value(get(handle, key).await?),
            Usage::Put(key, value) => Reply::Changed(put(handle, key, value).await?),
        })
    }

    async fn get_for_update(handle: &Handle<Self>, key: Key) -> Result<Option<Value>, Failure> {
        Ok(get_for_update(handle, key).await?)
    }
}
