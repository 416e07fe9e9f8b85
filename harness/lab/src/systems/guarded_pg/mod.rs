//! `guarded-pg`: a correct system on PostgreSQL, as small as can be, that must raise no alarm.
//!
//! As [`guarded`](super::guarded) on SQLite it buys its correctness with bluntness, and what a network adds costs more of
//! it: every call has a time limit; every connection is asked whether it answers before it is lent; a call that was cut
//! off, or not answered, costs the connection, whose process on the server is told to end, so that nobody waits for what was
//! abandoned there. It is the harness's control: whatever alarms here is the harness's own defect.
//!
//! It is also the base of the exhibits of [`crate::zoo`] on PostgreSQL: each switch of [`Flaw`] takes one piece of that care
//! away. This file owns the pool, `lease` the session. It has neither a registry nor a fixture: those are no business of the
//! database's.

mod lease;

use std::cell::{Cell, RefCell};
use std::marker::PhantomData;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Connection, Executor, PgConnection};
use tokio::sync::{Mutex, Semaphore};
use tokio::time::{sleep, timeout};

use lease::Lease;
use unstale_harness::database::Database;
use unstale_harness::history::{Class, Failure, Reply};
use unstale_harness::plan::{Command, StaleUse};
use unstale_harness::system::{Capabilities, Capability, Port, System};

/// What a pool may get wrong: each switch is one defect, and a system has at most one of them thrown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// A rollback takes as long as it takes.
    RollsBackForEver,
    /// Whether a connection answers is waited for as long as it takes.
    ProbesForEver,
    /// What a connection in doubt still does is waited for as long as it takes, with the permit in hand.
    AwaitsAbandoned,
    /// A connection is reset with `discard all` before it is lent, under a driver that still knows its prepared statements.
    DiscardsStatements,
    /// A query is prepared by name on the first connections, and not on those that take their place.
    PreparesOnce,
    /// Whatever was left on a connection goes to its next borrower.
    KeepsResidue,
    /// A statement that was refused is taken for a connection that is lost, and done again on another one.
    MistakesAreLosses,
    /// A connection that is lost is taken for a statement that was refused.
    LossesAreMistakes,
    /// Who finds one connection dead opens all of them anew.
    Storms,
}

/// Which of the systems that `guarded-pg` can be: the correct one, or one with a flaw.
pub trait Variant: 'static {
    /// The name of the system.
    const NAME: &'static str;
    /// What is wrong with it.
    const FLAW: Option<Flaw>;

    /// What the system can do: no more than it needs to be wrong.
    fn capabilities() -> Capabilities {
        Capabilities::postgres().with(Capability::Retention)
    }
}

/// Nothing is wrong.
pub struct Flawless;

impl Variant for Flawless {
    const NAME: &'static str = "guarded-pg";
    const FLAW: Option<Flaw> = None;
}

/// Longer than anything takes here, and well below the wait that the harness takes for one without an end.
const CALL_MAX: Duration = Duration::from_secs(2);

/// The longest that a connection may take to say that it is there.
const PROBE_MAX: Duration = Duration::from_millis(500);

/// How often a connection is asked for that cannot be had, and a process to end that has not.
const TRIES_MAX: u32 = 4;

/// Between two tries.
const PAUSE: Duration = Duration::from_millis(10);

/// A pool of raw connections behind a gate.
pub struct GuardedPg<V = Flawless>(Rc<Pool>, PhantomData<V>);

type Session = Rc<Mutex<Lease>>;

/// What all actors share. Whatever is wrong with it, it is compiled once.
struct Pool {
    flaw: Option<Flaw>,
    idle: RefCell<Vec<Kept>>,
    permits: Arc<Semaphore>,
    closed: Cell<bool>,
    connections: usize,
    options: PgConnectOptions,
    /// For [`Flaw::PreparesOnce`].
    prepared: Cell<usize>,
}

/// A connection.
struct Kept {
    connection: PgConnection,
    /// The server's process behind it.
    pid: i32,
}

impl<V: Variant> System for GuardedPg<V> {
    const NAME: &'static str = V::NAME;

    fn capabilities() -> Capabilities {
        V::capabilities()
    }

    async fn start(database: &Database) -> Result<Self, Failure> {
        Ok(Self(Rc::new(Pool::new(database, V::FLAW)), PhantomData))
    }

    fn actor(&self, port: Port) -> impl Future<Output = ()> {
        self.0.actor(port)
    }

    async fn stop(&self) {
        // Closing cannot fail, and each connection has its time limit.
        let _ = self.0.close().await;
    }
}

impl Pool {
    fn new(database: &Database, flaw: Option<Flaw>) -> Self {
        let options = database.pg_connect_options();
        // What is kept prepared is refused when its tables have changed.
        let is_kept = flaw == Some(Flaw::DiscardsStatements);
        let options = if is_kept { options } else { options.statement_cache_capacity(0) };
        Self {
            flaw,
            idle: RefCell::default(),
            permits: Arc::new(Semaphore::new(usize::from(database.connections()))),
            closed: Cell::new(false),
            connections: usize::from(database.connections()),
            options,
            prepared: Cell::new(0),
        }
    }

    fn has(&self, flaw: Flaw) -> bool {
        self.flaw == Some(flaw)
    }

    async fn actor(self: &Rc<Self>, mut port: Port) {
        let mut session: Option<Session> = None;
        let mut retained: Weak<Mutex<Lease>> = Weak::new();
        while let Some(command) = port.next().await {
            match (&command, &session) {
                (Command::Open, None) => {
                    session = port.run(self.open()).await.map(|lease| Rc::new(Mutex::new(lease)));
                }
                (Command::ClosePool, None) => {
                    port.run(self.close()).await;
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
                    let handle = Rc::downgrade(lease);
                    if let Some(kept) = port.run(std::future::ready(Ok::<_, Failure>(handle))).await {
                        retained = kept;
                    }
                }
                (Command::Stale(usage), _) => {
                    port.ask(use_retained(retained.clone(), *usage), Reply::clone).await;
                }
                (_, Some(lease)) => lease.lock().await.serve(&command, &mut port).await,
                (_, None) => {}
            }
        }
    }

    async fn open(self: &Rc<Self>) -> Result<Lease, Failure> {
        let permit = match timeout(CALL_MAX, Arc::clone(&self.permits).acquire_owned()).await {
            Ok(permit) => permit.map_err(|it| Failure::new(Class::Closed, it))?,
            Err(_) => return Err(Failure::new(Class::Exhausted, "every connection is lent")),
        };
        Ok(Lease::new(Rc::clone(self), self.connection().await?, permit))
    }

    /// A connection that has answered. One that does not is closed by being dropped: it had nothing to do.
    async fn connection(&self) -> Result<Kept, Failure> {
        loop {
            let Some(mut kept) = self.idle.borrow_mut().pop() else {
                return self.connect().await;
            };
            if self.answers(&mut kept).await {
                return Ok(kept);
            }
            if self.has(Flaw::Storms) {
                self.reconnect_all().await?;
                return self.connect().await;
            }
        }
    }

    async fn answers(&self, kept: &mut Kept) -> bool {
        let question = if self.has(Flaw::DiscardsStatements) { "discard all" } else { "select 1" };
        let question = kept.connection.execute(question);
        if self.has(Flaw::ProbesForEver) {
            return question.await.is_ok();
        }
        match timeout(PROBE_MAX, question).await {
            Ok(answer) => answer.is_ok() || self.has(Flaw::LossesAreMistakes),
            Err(_) => false,
        }
    }

    /// For [`Flaw::Storms`].
    async fn reconnect_all(&self) -> Result<(), Failure> {
        self.idle.take();
        for _ in 0..self.connections {
            let kept = self.connect().await?;
            self.put_back(kept);
        }
        Ok(())
    }

    /// While none can be had it is tried again.
    async fn connect(&self) -> Result<Kept, Failure> {
        let mut tries = 1;
        loop {
            match limited(connect(&self.options)).await {
                Err(_) if tries < TRIES_MAX => sleep(PAUSE).await,
                Ok(mut kept) if self.has(Flaw::PreparesOnce) && self.prepared.get() < self.connections => {
                    self.prepared.set(self.prepared.get() + 1);
                    limited(kept.connection.execute(PREPARE)).await?;
                    return Ok(kept);
                }
                result => return result,
            }
            tries += 1;
        }
    }

    fn put_back(&self, kept: Kept) {
        self.idle.borrow_mut().push(kept);
    }

    async fn close(&self) -> Result<(), Failure> {
        self.closed.set(true);
        self.permits.close();
        loop {
            let Some(kept) = self.idle.borrow_mut().pop() else { break };
            discard(kept).await;
        }
        Ok(())
    }
}

/// For [`Flaw::PreparesOnce`].
const PREPARE: &str = "prepare get_kv (bigint) as select k, v from kv where k = $1";

async fn connect(options: &PgConnectOptions) -> Result<Kept, sqlx::Error> {
    let mut connection = options.connect().await?;
    let pid = sqlx::query_scalar("select pg_backend_pid()").fetch_one(&mut connection).await?;
    Ok(Kept { connection, pid })
}

/// Closes a connection on which nothing is under way.
async fn discard(kept: Kept) {
    // What cannot be closed in order is closed by being dropped.
    let _ = limited(kept.connection.close()).await;
}

/// Closes a connection of which nobody knows what it does, and ends the server's process behind it: that may wait for a lock,
/// or hold one, and would not look at its connection before it is done.
async fn give_up(options: PgConnectOptions, kept: Kept) {
    let Kept { connection, pid } = kept;
    drop(connection);
    for _ in 0..TRIES_MAX {
        if limited(end(&options, pid)).await.is_ok() {
            return;
        }
        sleep(PAUSE).await;
    }
}

/// Tells a process to end until it is gone. It must be one of ours: what has ended may have left its number to another.
async fn end(options: &PgConnectOptions, pid: i32) -> Result<(), sqlx::Error> {
    let mut connection = options.connect().await?;
    let told = "select pg_terminate_backend(pid) from pg_stat_activity \
        where pid = $1 and application_name = current_setting('application_name')";
    while sqlx::query(told).bind(pid).fetch_optional(&mut connection).await?.is_some() {
        sleep(PAUSE / 5).await;
    }
    connection.close().await
}

/// Runs a call under the time limit. Of one that is not answered in time nobody knows whether it was done.
async fn limited<T>(call: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, Failure> {
    match timeout(CALL_MAX, call).await {
        Ok(result) => Ok(result?),
        Err(_) => Err(Failure::new(Class::Dead, format!("no answer within {} s", CALL_MAX.as_secs()))),
    }
}

async fn use_retained(session: Weak<Mutex<Lease>>, usage: StaleUse) -> Result<Reply, Failure> {
    let Some(session) = session.upgrade() else {
        return Err(Failure::new(Class::Stale, "this handle's session has ended: resolve it again"));
    };
    let command = match usage {
        StaleUse::Get(key) => Command::Get(key),
        StaleUse::Put(key, value) => Command::Put(key, value),
    };
    session.lock().await.serve_retained(&command).await
}
