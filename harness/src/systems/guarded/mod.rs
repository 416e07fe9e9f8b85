//! `guarded`: a correct system, as small as can be, that must raise no alarm.
//!
//! It buys its correctness with bluntness: a session whose statement failed inside a transaction refuses everything
//! until the rollback; a connection that was touched by a cancel, by raw SQL or by an open transaction is closed
//! instead of being lent again. It is the harness's control: whatever alarms here is the harness's own defect.
//!
//! It is also the base of [`crate::zoo`]: each switch of [`Flaw`] takes one piece of that care away. So every exhibit
//! differs in one point from a system that is known to be correct. This file owns the pool, `lease` the session.

mod lease;

use std::cell::{Cell, RefCell};
use std::marker::PhantomData;
use std::rc::{Rc, Weak};
use std::sync::Arc;

use sqlx::{Connection, Executor, SqliteConnection};
use tokio::sync::{Mutex, Semaphore};

use crate::database::{Connector, Database};
use crate::history::{Class, Failure, Reply, Report};
use crate::plan::{Command, StaleUse};
use crate::system::{Capabilities, Capability, Port, System};
use crate::workload::{get, put};
use lease::Lease;

/// What a pool may get wrong: each switch is one defect, and by default nothing is.
pub trait Flaw: 'static {
    /// The name of the system.
    const NAME: &'static str;
    /// A connection that is lent stays on the shelf.
    const SHARES: bool = false;
    /// Every actor uses the session that was opened first.
    const STATIC_SESSION: bool = false;
    /// A connection is checked, and taken afterwards: whoever checks meanwhile takes the same one.
    const CHECK_THEN_USE: bool = false;
    /// The health check, and with it the release gate, believes everything.
    const ALWAYS_HEALTHY: bool = false;
    /// The release gate believes no connection.
    const ALWAYS_SICK: bool = false;
    /// What was begun is not rolled back before the connection is lent again.
    const KEEPS_TRANSACTION: bool = false;
    /// A commit is sent only with the next statement.
    const COMMITS_LATER: bool = false;
    /// A connection that is lost inside a transaction is replaced, and the transaction goes on.
    const RECOVERS_INSIDE: bool = false;
    /// The rollback of the first savepoint is taken for that of the transaction.
    const DEPTH_OFF_BY_ONE: bool = false;
    /// A retained handle holds the connection instead of the session.
    const HANDLE_KEEPS_CONNECTION: bool = false;
    /// A retained handle is known by its place, and reaches whatever session is there now.
    const HANDLE_BY_PLACE: bool = false;
    /// An open that is cut off keeps its permit.
    const LEAKS_ON_CANCEL: bool = false;
    /// An open that fails keeps its permit.
    const LEAKS_ON_ERROR: bool = false;
    /// The listener of a session stays when the session ends.
    const KEEPS_LISTENERS: bool = false;

    /// What the system can do: no more than it needs to be wrong.
    fn capabilities() -> Capabilities {
        Capabilities::sqlite().with(Capability::Retention).with(Capability::Reports)
    }
}

/// Nothing is wrong.
pub struct Flawless;

impl Flaw for Flawless {
    const NAME: &'static str = "guarded";
}

/// A pool of raw connections behind a gate.
pub struct Guarded<F: Flaw = Flawless> {
    pool: Rc<Pool<F>>,
    /// For [`Flaw::STATIC_SESSION`].
    first: RefCell<Option<Session<F>>>,
}

type Session<F> = Rc<Mutex<Lease<F>>>;

/// A connection; only a flaw makes two users of it.
type Kept = Rc<Mutex<SqliteConnection>>;

struct Pool<F> {
    idle: RefCell<Vec<Kept>>,
    permits: Arc<Semaphore>,
    closed: Cell<bool>,
    connector: Connector,
    sessions: Cell<u32>,
    opened: Cell<u32>,
    flaw: PhantomData<F>,
}

/// What an actor keeps for later.
struct Retained<F: Flaw> {
    session: Weak<Mutex<Lease<F>>>,
    connection: Option<Kept>,
}

impl<F: Flaw> System for Guarded<F> {
    const NAME: &'static str = F::NAME;

    fn capabilities() -> Capabilities {
        F::capabilities()
    }

    async fn start(database: &Database) -> Result<Self, Failure> {
        let pool = Pool {
            idle: RefCell::default(),
            permits: Arc::new(Semaphore::new(usize::from(database.connections()))),
            closed: Cell::new(false),
            connector: database.connector(),
            sessions: Cell::new(0),
            opened: Cell::new(0),
            flaw: PhantomData,
        };
        Ok(Self { pool: Rc::new(pool), first: RefCell::default() })
    }

    async fn actor(&self, mut port: Port) {
        let mut session: Option<Session<F>> = None;
        let mut retained = Retained { session: Weak::new(), connection: None };
        while let Some(command) = port.next().await {
            match (&command, &session) {
                (Command::Open, None) => session = port.run(self.session()).await,
                (Command::ClosePool, None) => {
                    port.run(self.pool.close()).await;
                }
                (Command::Close, Some(_)) => {
                    let lease = session.take();
                    port.run(async move {
                        drop(lease);
                        Ok::<_, Failure>(())
                    })
                    .await;
                }
                (Command::Retain, Some(lease)) => {
                    if port.run(std::future::ready(Ok::<_, Failure>(()))).await.is_some() {
                        let connection = lease.lock().await.connection().filter(|_| F::HANDLE_KEEPS_CONNECTION);
                        retained = Retained { session: Rc::downgrade(lease), connection };
                    }
                }
                (Command::Stale(usage), now) => {
                    let by_place = now.as_ref().filter(|_| F::HANDLE_BY_PLACE).map(Rc::downgrade);
                    let handle = by_place.unwrap_or_else(|| retained.session.clone());
                    port.ask(use_retained(handle, retained.connection.clone(), *usage), Reply::clone).await;
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
            healthy: !self.pool.closed.get() || F::ALWAYS_HEALTHY,
            connections: idle + sessions,
            lent: sessions,
            sessions,
            listeners: if F::KEEPS_LISTENERS { opened } else { sessions },
            told_opened: opened,
            told_closed: opened - sessions,
        }
    }

    async fn stop(&self) {
        drop(self.first.take());
        // Closing cannot fail: it waits for nothing but the connections on the shelf.
        let _ = self.pool.close().await;
    }
}

impl<F: Flaw> Guarded<F> {
    async fn session(&self) -> Result<Session<F>, Failure> {
        if let Some(first) = self.first.borrow().as_ref() {
            return Ok(Rc::clone(first));
        }
        let session = Rc::new(Mutex::new(self.pool.open().await?));
        if F::STATIC_SESSION {
            *self.first.borrow_mut() = Some(Rc::clone(&session));
        }
        Ok(session)
    }
}

impl<F: Flaw> Pool<F> {
    async fn open(self: &Rc<Self>) -> Result<Lease<F>, Failure> {
        let permits = Arc::clone(&self.permits);
        let mut permit = Some(permits.acquire_owned().await.map_err(|it| Failure::new(Class::Closed, it))?);
        if F::LEAKS_ON_CANCEL {
            permit.take().into_iter().for_each(tokio::sync::OwnedSemaphorePermit::forget);
        }
        let connection = self.connection().await;
        if F::LEAKS_ON_CANCEL {
            self.permits.add_permits(1);
            permit = Arc::clone(&self.permits).try_acquire_owned().ok();
        }
        if F::LEAKS_ON_ERROR && connection.is_err() {
            permit.take().into_iter().for_each(tokio::sync::OwnedSemaphorePermit::forget);
        }
        Ok(Lease::new(Rc::clone(self), connection?, permit))
    }

    /// A connection that has answered.
    async fn connection(&self) -> Result<Kept, Failure> {
        let kept = match self.take() {
            Some(kept) => kept,
            None => Rc::new(Mutex::new(self.connector.connect().await?)),
        };
        kept.lock().await.execute("select count(*) from kv").await?;
        if F::CHECK_THEN_USE {
            self.idle.borrow_mut().retain(|it| !Rc::ptr_eq(it, &kept));
        }
        Ok(kept)
    }

    fn take(&self) -> Option<Kept> {
        let mut idle = self.idle.borrow_mut();
        if F::SHARES || F::CHECK_THEN_USE { idle.last().cloned() } else { idle.pop() }
    }

    fn put_back(&self, connection: Kept) {
        let mut idle = self.idle.borrow_mut();
        if !idle.iter().any(|it| Rc::ptr_eq(it, &connection)) {
            idle.push(connection);
        }
    }

    async fn close(&self) -> Result<(), Failure> {
        self.closed.set(true);
        self.permits.close();
        loop {
            let Some(connection) = self.idle.borrow_mut().pop() else {
                return Ok(());
            };
            discard(connection).await;
        }
    }
}

/// Closes a connection, unless a flaw has left it with somebody else.
async fn discard(connection: Kept) {
    if let Some(connection) = Rc::into_inner(connection) {
        // What cannot be closed in order is closed by being dropped.
        let _ = connection.into_inner().close().await;
    }
}

async fn use_retained<F: Flaw>(
    session: Weak<Mutex<Lease<F>>>,
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
