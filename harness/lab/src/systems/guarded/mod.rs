//! `guarded`: a correct system, as small as can be, that must raise no alarm.
//!
//! It buys its correctness with bluntness: a session whose statement failed inside a transaction refuses everything
//! until the rollback; a connection that was touched by a cancel, by raw SQL or by an open transaction is closed
//! instead of being lent again. It is the harness's control: whatever alarms here is the harness's own defect.
//!
//! Inside a fixture everybody takes turns on one connection, whole sessions at a time.
//!
//! It is also the base of [`crate::zoo`]: each switch of [`Flaw`] takes one piece of that care away. So every exhibit
//! differs in one point from a system that is known to be correct. This file owns the pool, `lease` the session, `wiring` the
//! registry.

mod lease;
mod wiring;

use std::cell::{Cell, RefCell};
use std::marker::PhantomData;
use std::rc::{Rc, Weak};
use std::sync::Arc;

use sqlx::{Connection, Executor, SqliteConnection};
use tokio::sync::{Mutex, Semaphore};

use crate::systems::unstale::panic_with;
use lease::Lease;
use unstale_harness::database::{Connector, Database};
use unstale_harness::history::{Class, Failure, Reply, Report};
use unstale_harness::plan::{Command, StaleUse};
use unstale_harness::system::{Capabilities, Capability, Port, System, needed};
use unstale_harness::workload::{get, put};
use wiring::{Cache, Guard, Registry};

/// What a pool may get wrong: each switch is one defect, and a system has at most one of them thrown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// A connection that is lent stays on the shelf.
    Shares,
    /// Every actor uses the session that was opened first.
    StaticSession,
    /// A connection is checked, and taken afterwards: whoever checks meanwhile takes the same one.
    CheckThenUse,
    /// The health check, and with it the release gate, believes everything.
    AlwaysHealthy,
    /// The release gate believes no connection.
    AlwaysSick,
    /// What was begun is not rolled back before the connection is lent again.
    KeepsTransaction,
    /// A commit is sent only with the next statement.
    CommitsLater,
    /// A connection that is lost inside a transaction is replaced, and the transaction goes on.
    RecoversInside,
    /// The rollback of the first savepoint is taken for that of the transaction.
    DepthOffByOne,
    /// A retained handle holds the connection instead of the session.
    HandleKeepsConnection,
    /// A retained handle is known by its place, and reaches whatever session is there now.
    HandleByPlace,
    /// An open that is cut off keeps its permit.
    LeaksOnCancel,
    /// An open that fails keeps its permit.
    LeaksOnError,
    /// The listener of a session stays when the session ends.
    KeepsListeners,
    /// What everybody shares works on the connection of the session in which it was first used.
    CaptiveSession,
    /// What was resolved in a session is kept when the session is replaced.
    KeepsRepository,
    /// What belongs to a session is kept by who asked for it.
    CacheByTask,
    /// What stands in for a service stays when the unit of work panics.
    KeepsOverrides,
    /// After a transaction that has to be rolled back, the rest of the clean-up is left out.
    CleanupCascades,
    /// What stands in for a service in a registry of one's own does so in every registry.
    SharesOverrides,
    /// Only what is made from a service directly is built anew when it changes.
    MissesTransitive,
    /// Two who ask at once both build.
    BuildsTwice,
    /// Inside a fixture a commit does nothing.
    FakesCommit,
}

/// Which of the systems that `guarded` can be: the correct one, or one with a flaw.
pub trait Variant: 'static {
    /// The name of the system.
    const NAME: &'static str;
    /// What is wrong with it.
    const FLAW: Option<Flaw>;

    /// What the system can do: no more than it needs to be wrong.
    fn capabilities() -> Capabilities {
        Capabilities::sqlite().and(Capabilities::services()).with(Capability::Reports)
    }
}

/// Nothing is wrong.
pub struct Flawless;

impl Variant for Flawless {
    const NAME: &'static str = "guarded";
    const FLAW: Option<Flaw> = None;
}

/// A pool of raw connections behind a gate.
pub struct Guarded<V = Flawless>(Shared, PhantomData<V>);

/// What all actors share. Whatever is wrong with it, it is compiled once.
struct Shared {
    pool: Rc<Pool>,
    registry: Rc<Registry>,
    /// For [`Flaw::StaticSession`].
    first: RefCell<Option<Session>>,
    /// For [`Flaw::KeepsOverrides`].
    never_given_up: RefCell<Vec<Guard>>,
}

type Session = Rc<Mutex<Lease>>;

/// A connection; only a flaw makes two users of it.
type Kept = Arc<Mutex<SqliteConnection>>;

struct Pool {
    flaw: Option<Flaw>,
    idle: RefCell<Vec<Kept>>,
    /// The one connection of a fixture, on which its transaction is open.
    test: RefCell<Option<Kept>>,
    /// For [`Flaw::CaptiveSession`].
    captive: RefCell<Option<Kept>>,
    permits: Arc<Semaphore>,
    closed: Cell<bool>,
    connector: Connector,
    sessions: Cell<u32>,
    opened: Cell<u32>,
}

/// One actor: a unit of work.
struct Unit {
    session: Option<Session>,
    /// What was resolved in the session.
    cache: Cache,
    registry: Rc<Registry>,
    guards: Vec<Guard>,
}

impl Unit {
    /// What was resolved in a session goes with it.
    fn session_changed(&mut self, kept: bool) {
        if !kept && !self.registry.has(Flaw::CacheByTask) {
            self.cache = Cache::default();
        }
    }
}

/// What an actor keeps for later.
struct Retained {
    session: Weak<Mutex<Lease>>,
    connection: Option<Kept>,
}

impl<V: Variant> System for Guarded<V> {
    const NAME: &'static str = V::NAME;

    fn capabilities() -> Capabilities {
        V::capabilities()
    }

    async fn start(database: &Database) -> Result<Self, Failure> {
        Ok(Self(Shared::start(database, V::FLAW).await?, PhantomData))
    }

    fn actor(&self, port: Port) -> impl Future<Output = ()> {
        self.0.actor(port)
    }

    fn report(&self) -> impl Future<Output = Report> {
        self.0.report()
    }

    fn stop(&self) -> impl Future<Output = ()> {
        self.0.stop()
    }
}

impl Shared {
    async fn start(database: &Database, flaw: Option<Flaw>) -> Result<Self, Failure> {
        let connector = database.connector();
        let test = if database.fixture() {
            let mut connection = connector.connect().await?;
            connection.execute("begin immediate").await?;
            Some(Arc::new(Mutex::new(connection)))
        } else {
            None
        };
        let sessions_max = if test.is_some() { 1 } else { database.connections() };
        let pool = Pool {
            flaw,
            idle: RefCell::default(),
            test: RefCell::new(test),
            captive: RefCell::default(),
            permits: Arc::new(Semaphore::new(usize::from(sessions_max))),
            closed: Cell::new(false),
            connector,
            sessions: Cell::new(0),
            opened: Cell::new(0),
        };
        let registry = Registry::new(database.build_recorder(), flaw);
        let (first, never_given_up) = Default::default();
        Ok(Self { pool: Rc::new(pool), registry, first, never_given_up })
    }

    async fn actor(&self, mut port: Port) {
        let mut unit =
            Unit { session: None, cache: Cache::default(), registry: Rc::clone(&self.registry), guards: Vec::new() };
        let mut retained = Retained { session: Weak::new(), connection: None };
        while let Some(command) = port.next().await {
            match (&command, &unit.session) {
                (Command::Open, None) => {
                    unit.session_changed(false);
                    unit.session = port.run(self.session()).await;
                }
                (Command::ClosePool, None) => {
                    port.run(self.pool.close()).await;
                }
                (Command::Close, Some(_)) => {
                    let lease = unit.session.take();
                    port.run(async move {
                        drop(lease);
                        Ok::<_, Failure>(())
                    })
                    .await;
                }
                (Command::Retain, Some(lease)) => {
                    if port.run(std::future::ready(Ok::<_, Failure>(()))).await.is_some() {
                        let connection =
                            lease.lock().await.connection().filter(|_| self.pool.has(Flaw::HandleKeepsConnection));
                        retained = Retained { session: Rc::downgrade(lease), connection };
                    }
                }
                (Command::Stale(usage), now) => {
                    let by_place = now.as_ref().filter(|_| self.pool.has(Flaw::HandleByPlace)).map(Rc::downgrade);
                    let handle = by_place.unwrap_or_else(|| retained.session.clone());
                    port.ask(use_retained(handle, retained.connection.clone(), *usage), Reply::clone).await;
                }
                (command, _) if needed(command) == Some(Capability::Registry) => {
                    self.registry_command(&mut unit, command, &mut port).await;
                }
                (_, Some(lease)) => lease.lock().await.serve(&command, &mut port).await,
                (_, None) => {}
            }
        }
    }

    async fn report(&self) -> Report {
        let idle = u32::try_from(self.pool.idle.borrow().len()).unwrap_or(u32::MAX);
        let (sessions, opened) = (self.pool.sessions.get(), self.pool.opened.get());
        Report {
            healthy: !self.pool.closed.get() || self.pool.has(Flaw::AlwaysHealthy),
            connections: idle + sessions,
            lent: sessions,
            sessions,
            listeners: if self.pool.has(Flaw::KeepsListeners) { opened } else { sessions },
            told_opened: opened,
            told_closed: opened - sessions,
        }
    }

    async fn stop(&self) {
        drop(self.first.take());
        drop(self.pool.captive.take());
        // Closing cannot fail: it waits for nothing but the connections on the shelf.
        let _ = self.pool.close().await;
        // A test's transaction goes with its connection.
        let test = self.pool.test.take();
        if let Some(test) = test {
            discard(test).await;
        }
    }

    async fn registry_command(&self, unit: &mut Unit, command: &Command, port: &mut Port) {
        let done = || Ok::<_, Failure>(());
        match command {
            Command::Resolve(wanted) if wanted.needs_session() && unit.session.is_none() => {}
            Command::Resolve(wanted) => {
                let builds = unit.registry.resolve(*wanted, &unit.cache);
                port.ask(builds, |it| Reply::Services(it.clone())).await;
            }
            Command::Override(service) => {
                let stand_in = async {
                    let (build, guard) = unit.registry.stand_in(*service);
                    unit.guards.push(guard);
                    Ok::<_, Failure>(build)
                };
                port.ask(stand_in, |build| Reply::Services(vec![*build])).await;
            }
            Command::Restore => {
                port.run(async {
                    drop(unit.guards.pop());
                    done()
                })
                .await;
            }
            Command::Invalidate(service) => {
                port.run(async {
                    unit.registry.outdate(*service, true);
                    done()
                })
                .await;
            }
            Command::WarmUp => {
                port.run(unit.registry.warm_up()).await;
            }
            Command::Fork => {
                let fork = async {
                    unit.registry = unit.registry.fork();
                    unit.cache = Cache::default();
                    done()
                };
                port.run(fork).await;
            }
            Command::Replace if unit.session.is_some() => {
                drop(unit.session.take());
                unit.session_changed(self.pool.has(Flaw::KeepsRepository));
                unit.session = port.run(self.session()).await;
            }
            Command::Crash => {
                let session = unit.session.take();
                let in_transaction = session.as_ref().is_some_and(|it| it.try_lock().is_ok_and(|it| it.is_open()));
                if self.pool.has(Flaw::KeepsOverrides) || self.pool.has(Flaw::CleanupCascades) && in_transaction {
                    self.never_given_up.borrow_mut().append(&mut unit.guards);
                }
                let held = (session, std::mem::take(&mut unit.guards));
                unit.registry = Rc::clone(&self.registry);
                unit.session_changed(false);
                port.run(async {
                    panic_with(held);
                    done()
                })
                .await;
            }
            _ => {}
        }
    }

    async fn session(&self) -> Result<Session, Failure> {
        if let Some(first) = self.first.borrow().as_ref() {
            return Ok(Rc::clone(first));
        }
        let session = Rc::new(Mutex::new(self.pool.open().await?));
        if self.pool.has(Flaw::StaticSession) {
            *self.first.borrow_mut() = Some(Rc::clone(&session));
        }
        Ok(session)
    }
}

impl Pool {
    fn has(&self, flaw: Flaw) -> bool {
        self.flaw == Some(flaw)
    }

    async fn open(self: &Rc<Self>) -> Result<Lease, Failure> {
        let permits = Arc::clone(&self.permits);
        let mut permit = Some(permits.acquire_owned().await.map_err(|it| Failure::new(Class::Closed, it))?);
        if self.has(Flaw::LeaksOnCancel) {
            permit.take().into_iter().for_each(tokio::sync::OwnedSemaphorePermit::forget);
        }
        let connection = self.connection().await;
        if self.has(Flaw::LeaksOnCancel) {
            self.permits.add_permits(1);
            permit = Arc::clone(&self.permits).try_acquire_owned().ok();
        }
        if self.has(Flaw::LeaksOnError) && connection.is_err() {
            permit.take().into_iter().for_each(tokio::sync::OwnedSemaphorePermit::forget);
        }
        Ok(Lease::new(Rc::clone(self), connection?, permit))
    }

    /// A connection that has answered.
    async fn connection(&self) -> Result<Kept, Failure> {
        let kept = match self.take() {
            Some(kept) => kept,
            None => Arc::new(Mutex::new(self.connector.connect().await?)),
        };
        kept.lock().await.execute("select count(*) from kv").await?;
        if self.has(Flaw::CheckThenUse) {
            self.idle.borrow_mut().retain(|it| !Arc::ptr_eq(it, &kept));
        }
        Ok(kept)
    }

    fn take(&self) -> Option<Kept> {
        if let Some(test) = &*self.test.borrow() {
            return Some(Arc::clone(test));
        }
        let mut idle = self.idle.borrow_mut();
        if self.has(Flaw::Shares) || self.has(Flaw::CheckThenUse) { idle.last().cloned() } else { idle.pop() }
    }

    fn put_back(&self, connection: Kept) {
        if self.test.borrow().is_some() {
            return;
        }
        let mut idle = self.idle.borrow_mut();
        if !idle.iter().any(|it| Arc::ptr_eq(it, &connection)) {
            idle.push(connection);
        }
    }

    async fn close(&self) -> Result<(), Failure> {
        self.closed.set(true);
        self.permits.close();
        loop {
            let Some(connection) = self.idle.borrow_mut().pop() else { break };
            discard(connection).await;
        }
        Ok(())
    }
}

/// Closes a connection, unless a flaw has left it with somebody else.
async fn discard(connection: Kept) {
    if let Some(connection) = Arc::into_inner(connection) {
        // What cannot be closed in order is closed by being dropped.
        let _ = connection.into_inner().close().await;
    }
}

async fn use_retained(
    session: Weak<Mutex<Lease>>,
    connection: Option<Kept>,
    usage: StaleUse,
) -> Result<Reply, Failure> {
    if let Some(session) = session.upgrade() {
        return session.lock().await.serve_retained(usage).await;
    }
    let Some(connection) = connection else {
        return Err(Failure::new(Class::Stale, "this handle's session has ended: resolve it again"));
    };
    Ok(reply(&mut *connection.lock().await, usage).await?)
}

async fn reply(connection: &mut SqliteConnection, usage: StaleUse) -> Result<Reply, sqlx::Error> {
    Ok(match usage {
        StaleUse::Get(key) => Reply::Value(get(connection, key).await?),
        StaleUse::Put(key, value) => Reply::Changed(put(connection, key, value).await?),
    })
}
