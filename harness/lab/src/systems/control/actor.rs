//! One actor of the control: a unit of work, and which command does what in it.
//!
//! Owns what all actors share, and what one of them has: its session, what it resolved, its overrides, its retained handle.

use std::cell::RefCell;
use std::rc::{Rc, Weak};

use futures_util::future::lazy;
use tokio::sync::Mutex;

use super::Flaw;
use super::connection::{Connection, Source};
use super::lease::Lease;
use super::pool::{Kept, Pool};
use super::registry::{Cache, Guard, Registry};
use crate::systems::at_once::AtOnce;
use crate::systems::unstale::panic_with;
use unstale_harness::history::{BuildRecorder, Failure, FailureClass, Reply, Report};
use unstale_harness::plan::{Command, Key, Service, Usage, Wanted};
use unstale_harness::system::{Capability, Port, needed};

/// The state that all actors share. It is compiled once for each source, with any flaw.
pub(crate) struct Shared<S: Source> {
    pool: Rc<Pool<S>>,
    registry: Rc<Registry>,
    /// For [`Flaw::StaticSession`].
    first: RefCell<Option<Session<S>>>,
    /// For [`Flaw::KeepsOverrides`].
    never_given_up: RefCell<Vec<Guard>>,
    /// For [`Flaw::LeavesToWaiters`].
    left_to_waiters: RefCell<Vec<Session<S>>>,
}

type Session<S> = Rc<Mutex<Lease<S>>>;

/// One actor.
struct Unit<'a, S: Source> {
    shared: &'a Shared<S>,
    session: Option<Session<S>>,
    /// What was resolved in the session.
    cache: Cache,
    registry: Rc<Registry>,
    guards: Vec<Guard>,
    retained: Retained<S>,
    /// The service `rows` as it was resolved last.
    rows: Retained<S>,
    /// For [`Flaw::SkipsEverySecond`]: how many commands came to its sessions.
    commands: u32,
}

/// What an actor keeps for later.
struct Retained<S: Source> {
    session: Weak<Mutex<Lease<S>>>,
    /// For [`Flaw::HandleKeepsConnection`].
    connection: Option<Kept<S>>,
    /// For [`Flaw::ServiceKeepsSession`].
    _open: Option<Session<S>>,
}

impl<S: Source> Retained<S> {
    fn nothing() -> Self {
        Self { session: Weak::new(), connection: None, _open: None }
    }

    fn of(session: &Session<S>) -> Self {
        Self { session: Rc::downgrade(session), ..Self::nothing() }
    }
}

impl<S: Source> Shared<S> {
    pub(crate) fn new(source: S, sessions_max: u8, build_recorder: BuildRecorder, flaw: Option<Flaw>) -> Self {
        let pool = Rc::new(Pool::new(source, sessions_max, flaw));
        let (first, never_given_up, left_to_waiters) = Default::default();
        Self { pool, registry: Registry::new(build_recorder, flaw), first, never_given_up, left_to_waiters }
    }

    pub(crate) async fn begin_test(&self) -> Result<(), Failure> {
        self.pool.begin_test().await
    }

    pub(crate) async fn actor(&self, mut port: Port) {
        let mut unit = Unit {
            shared: self,
            session: None,
            cache: Cache::default(),
            registry: Rc::clone(&self.registry),
            guards: Vec::new(),
            retained: Retained::nothing(),
            rows: Retained::nothing(),
            commands: 0,
        };
        while let Some(command) = port.next().await {
            unit.serve(&command, &mut port).await;
        }
    }

    pub(crate) fn report(&self) -> Report {
        self.pool.report()
    }

    pub(crate) async fn stop(&self) {
        drop(self.first.take());
        drop(self.left_to_waiters.take());
        self.pool.stop().await;
    }

    fn has(&self, flaw: Flaw) -> bool {
        self.pool.has(flaw)
    }

    /// A session ends, with whatever is open in it.
    async fn end(&self, session: Option<Session<S>>) -> Result<(), Failure> {
        if let Some(session) = session.filter(|_| self.has(Flaw::CommitsOnClose)) {
            session.lock().await.end_by_commit().await?;
        }
        Ok(())
    }

    /// A session ends while calls are under way in it: the last of them gives its connection back.
    async fn abandon(&self, session: Session<S>, key: Key) -> Result<Reply, Failure> {
        let leave = |session, under_way| {
            if under_way && self.has(Flaw::LeavesToWaiters) {
                self.left_to_waiters.borrow_mut().push(session);
            }
        };
        reads(&session, key).first_after(|under_way| leave(session, under_way)).await
    }

    async fn use_retained(
        &self,
        session: Weak<Mutex<Lease<S>>>,
        connection: Option<Kept<S>>,
        usage: Usage,
    ) -> Result<Reply, Failure> {
        let command = Command::from(usage);
        if let Some(session) = session.upgrade() {
            return session.lock().await.serve_retained(&command).await;
        }
        if self.has(Flaw::HandleReconnects) {
            return Lease::open(Rc::clone(&self.pool)).await?.serve_retained(&command).await;
        }
        if self.has(Flaw::HandleNamesConnection) {
            return Err(Failure::new(FailureClass::Closed, "this connection is closed"));
        }
        let Some(connection) = connection else {
            return Err(Failure::new(FailureClass::Stale, "this handle's session has ended: resolve it again"));
        };
        connection.lock().await.answer(&command).await
    }

    async fn session(&self) -> Result<Session<S>, Failure> {
        if let Some(first) = self.first.borrow().as_ref() {
            return Ok(Rc::clone(first));
        }
        let session = Rc::new(Mutex::new(Lease::open(Rc::clone(&self.pool)).await?));
        if self.has(Flaw::StaticSession) {
            *self.first.borrow_mut() = Some(Rc::clone(&session));
        }
        Ok(session)
    }
}

impl<S: Source> Unit<'_, S> {
    async fn serve(&mut self, command: &Command, port: &mut Port) {
        if self.skips(command) {
            return;
        }
        match (command, &self.session) {
            (Command::Open, None) => {
                self.forget_resolved();
                self.session = port.run(self.shared.session()).await;
            }
            (Command::ClosePool, None) => {
                port.run(self.shared.pool.close()).await;
            }
            (Command::Close, Some(_)) => {
                let session = self.session.take();
                port.run(self.shared.end(session)).await;
            }
            (Command::Race(key), Some(session)) => {
                port.ask(reads(session, *key).first(), Reply::clone).await;
                session.lock().await.settle();
            }
            (Command::Abandon(key), Some(_)) => {
                if let Some(session) = self.session.take() {
                    port.run(self.shared.abandon(session, *key)).await;
                }
            }
            (Command::Retain, Some(session)) => {
                if port.run(done(|| ())).await.is_some() {
                    let connection = session.lock().await.connection();
                    let connection = connection.filter(|_| self.shared.has(Flaw::HandleKeepsConnection));
                    self.retained = Retained { connection, ..Retained::of(session) };
                }
            }
            (Command::Stale(usage), session) => {
                let by_place = session.as_ref().filter(|_| self.shared.has(Flaw::HandleByPlace)).map(Rc::downgrade);
                let handle = by_place.unwrap_or_else(|| self.retained.session.clone());
                let connection = self.retained.connection.clone();
                port.ask(self.shared.use_retained(handle, connection, *usage), Reply::clone).await;
            }
            (Command::Use(usage), _) => {
                let rows = self.rows.session.clone();
                port.ask(self.shared.use_retained(rows, None, *usage), Reply::clone).await;
            }
            (Command::Autonomous(usage), Some(session)) if self.shared.has(Flaw::JoinsOwnSession) => {
                port.ask(self.shared.use_retained(Rc::downgrade(session), None, *usage), Reply::clone).await;
            }
            (Command::Autonomous(usage), Some(_)) => {
                let pool = Rc::clone(&self.shared.pool);
                let request = async { Lease::open(pool).await?.serve_retained(&Command::from(*usage)).await };
                port.ask(request, Reply::clone).await;
            }
            (command, _) if needed(command) == Some(Capability::Registry) => self.serve_registry(command, port).await,
            (command, Some(session)) => session.lock().await.serve(command, port).await,
            (Command::Extra(words), None) => {
                let pool = Rc::clone(&self.shared.pool);
                let request = async { Lease::open(pool).await?.tally(words).await };
                port.ask(request, Reply::clone).await;
            }
            (_, None) => {}
        }
    }

    /// For [`Flaw::SkipsEverySecond`]. A session is closed all the same.
    fn skips(&mut self, command: &Command) -> bool {
        let counts = self.shared.has(Flaw::SkipsEverySecond) && self.session.is_some() && *command != Command::Close;
        self.commands += u32::from(counts);
        counts && self.commands.is_multiple_of(2)
    }

    async fn serve_registry(&mut self, command: &Command, port: &mut Port) {
        match command {
            Command::Resolve(wanted) if wanted.needs_session() && self.session.is_none() => {}
            Command::Resolve(wanted) => {
                let builds = self.registry.resolve(*wanted, &self.cache);
                let is_done = port.ask(builds, |builds| Reply::Services(builds.clone())).await.is_some();
                if let Some(session) =
                    self.session.as_ref().filter(|_| is_done && *wanted == Wanted::One(Service::Rows))
                {
                    let open = self.shared.has(Flaw::ServiceKeepsSession).then(|| Rc::clone(session));
                    self.rows = Retained { _open: open, ..Retained::of(session) };
                }
            }
            Command::Override(service) => {
                let build = done(|| {
                    let (build, guard) = self.registry.override_with_new(*service);
                    self.guards.push(guard);
                    build
                });
                port.ask(build, |build| Reply::Services(vec![*build])).await;
            }
            Command::Restore => {
                port.run(done(|| drop(self.guards.pop()))).await;
            }
            Command::Invalidate(service) => {
                port.run(done(|| self.registry.invalidate(*service))).await;
            }
            Command::WarmUp => {
                port.run(self.registry.warm_up()).await;
            }
            Command::Fork => {
                let fork = done(|| {
                    self.registry = self.registry.fork();
                    self.cache = Cache::default();
                });
                port.run(fork).await;
            }
            Command::Replace if self.session.is_some() => {
                drop(self.session.take());
                if !self.shared.has(Flaw::KeepsRepository) {
                    self.forget_resolved();
                }
                self.session = port.run(self.shared.session()).await;
            }
            Command::Crash => {
                let held = self.take_all();
                port.run(done(|| panic_with(held))).await;
            }
            _ => {}
        }
    }

    /// What a unit of work has when it panics; the rest of it goes on without.
    fn take_all(&mut self) -> (Option<Session<S>>, Vec<Guard>) {
        let session = self.session.take();
        let is_open = |session: &Session<S>| session.try_lock().is_ok_and(|lease| lease.is_open());
        let cascades = self.shared.has(Flaw::CleanupCascades) && session.as_ref().is_some_and(is_open);
        if cascades || self.shared.has(Flaw::KeepsOverrides) {
            self.shared.never_given_up.borrow_mut().append(&mut self.guards);
        }
        if !self.shared.has(Flaw::KeepsFork) {
            self.registry = Rc::clone(&self.shared.registry);
        }
        self.forget_resolved();
        self.rows = Retained::nothing();
        (session, std::mem::take(&mut self.guards))
    }

    /// What was resolved in a session goes with it.
    fn forget_resolved(&mut self) {
        if !self.shared.has(Flaw::CacheByTask) {
            self.cache = Cache::default();
        }
    }
}

/// A step that waits for nothing.
fn done<T>(step: impl FnOnce() -> T) -> impl Future<Output = Result<T, Failure>> {
    lazy(|_| Ok(step()))
}

/// Several reads of a row at once in a session.
fn reads<'a, S: Source>(session: &Session<S>, key: Key) -> AtOnce<'a> {
    let read = |session: Session<S>| async move { session.lock().await.serve_retained(&Command::Get(key)).await };
    AtOnce::of(|| read(Rc::clone(session)))
}
