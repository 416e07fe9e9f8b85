//! The simulated source: a pool of simulated connections, where deadpool stands for real ones.

use std::collections::VecDeque;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use unstale::source::{
    AcquireError, Condition, Connection, ConnectionError, Control, Lent, Serve, Source, TaskId, Usage,
};
use unstale::{Begin, ErrorClass};

use super::request::{Request, Said, Statement};
use super::world::World;
use unstale_harness::history::{ConnectionId, Reply};

/// Whether a connection does its calls strictly in order, so that it can be asked after one that was cancelled.
pub trait Order: Send + Sync + 'static {
    /// See [`Connection::ORDERED`].
    const ORDERED: bool;
}

/// As a connection to a server over a network: it cannot be asked.
#[derive(Debug)]
pub struct Network;

impl Order for Network {
    const ORDERED: bool = false;
}

/// As an embedded database: it can.
#[derive(Debug)]
pub struct Ordered;

impl Order for Ordered {
    const ORDERED: bool = true;
}

/// Lends simulated connections.
pub struct SimSource<O> {
    pool: Arc<Pool<O>>,
}

struct Pool<O> {
    world: World,
    permits: Arc<Semaphore>,
    max: u32,
    only: bool,
    probe_idle_after: Duration,
    state: Mutex<State<O>>,
}

struct State<O> {
    idle: VecDeque<Kept<O>>,
    open: u32,
    connected_before: bool,
    suspect_before: Option<Duration>,
    closed: bool,
}

/// An idle connection.
struct Kept<O> {
    connection: SimConnection<O>,
    opened: Duration,
    idle_since: Duration,
    unclean: bool,
}

/// A connection while it is lent.
pub struct SimLease<O: Order> {
    kept: Option<Kept<O>>,
    pool: Arc<Pool<O>>,
    _permit: OwnedSemaphorePermit,
}

/// A simulated connection. Dropped, it is closed.
pub struct SimConnection<O> {
    id: ConnectionId,
    world: World,
    order: PhantomData<O>,
}

impl<O: Order> SimSource<O> {
    /// A pool of at most `max` connections in this world; with `only`, of the one that is the database.
    pub(super) fn new(world: World, max: u32, only: bool, probe_idle_after: Duration) -> Self {
        let max = if only { 1 } else { max };
        let state =
            State { idle: VecDeque::new(), open: 0, connected_before: false, suspect_before: None, closed: false };
        let permits = Arc::new(Semaphore::new(max as usize));
        Self { pool: Arc::new(Pool { world, permits, max, only, probe_idle_after, state: Mutex::new(state) }) }
    }
}

impl<O: Order> Pool<O> {
    fn with<R>(&self, with: impl FnOnce(&mut State<O>) -> R) -> R {
        with(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    async fn connect(&self) -> Result<Kept<O>, AcquireError> {
        let first = self.with(|it| !it.connected_before);
        if self.only && !first {
            let gone = ConnectionError::new(ErrorClass::Rejected, "the database is gone with its only connection");
            return Err(AcquireError::Connect(gone));
        }
        let connection = SimConnection::open(&self.world).await.map_err(AcquireError::Connect)?;
        self.with(|it| {
            it.connected_before = true;
            it.open += 1;
        });
        let now = self.world.now();
        Ok(Kept { connection, opened: now, idle_since: now, unclean: false })
    }

    fn condition(&self, kept: &Kept<O>) -> Condition {
        let idle = self.world.now().saturating_sub(kept.idle_since);
        let suspect = self.with(|it| it.suspect_before.is_some_and(|moment| kept.opened <= moment));
        if kept.unclean {
            Condition::Unclean
        } else if !self.only && (suspect || idle > self.probe_idle_after) {
            Condition::Suspect
        } else {
            Condition::Good
        }
    }

    fn shelve(&self, kept: Kept<O>) {
        let closed = self.with(|state| {
            if state.closed {
                state.open -= 1;
                return Some(kept);
            }
            state.idle.push_back(kept);
            None
        });
        drop(closed);
    }
}

impl<O: Order> Source for SimSource<O> {
    type Connection = SimConnection<O>;
    type Lease = SimLease<O>;
    type Spare = SimConnection<O>;

    async fn acquire(&self) -> Result<Lent<SimLease<O>>, AcquireError> {
        self.pool.world.gate().await;
        let permits = Arc::clone(&self.pool.permits);
        let permit = permits.acquire_owned().await.map_err(|_| AcquireError::Closed)?;
        let idle = self.pool.with(|it| it.idle.pop_front());
        let (kept, condition) = match idle {
            Some(kept) => {
                let condition = self.pool.condition(&kept);
                (kept, condition)
            }
            None => (self.pool.connect().await?, Condition::Good),
        };
        let lease = SimLease { kept: Some(kept), pool: Arc::clone(&self.pool), _permit: permit };
        Ok(Lent { lease, condition })
    }

    fn give_back(&self, mut lease: SimLease<O>) {
        if let Some(kept) = lease.kept.take() {
            self.pool.shelve(Kept { idle_since: self.pool.world.now(), unclean: false, ..kept });
        }
    }

    fn give_back_unclean(&self, mut lease: SimLease<O>) {
        if let Some(kept) = lease.kept.take() {
            self.pool.shelve(Kept { unclean: true, ..kept });
        }
    }

    fn discard(&self, mut lease: SimLease<O>) {
        if lease.kept.take().is_some() {
            self.pool.with(|it| it.open -= 1);
        }
    }

    async fn spare(&self) -> Result<SimConnection<O>, ConnectionError> {
        SimConnection::open(&self.pool.world).await
    }

    fn replace(&self, lease: &mut SimLease<O>, connection: SimConnection<O>) {
        let now = self.pool.world.now();
        lease.kept = Some(Kept { connection, opened: now, idle_since: now, unclean: false });
    }

    fn suspect_all(&self) {
        let now = self.pool.world.now();
        self.pool.with(|it| it.suspect_before = Some(now));
    }

    fn is_only(&self) -> bool {
        self.pool.only
    }

    fn close(&self) {
        self.pool.permits.close();
        let idle = self.pool.with(|it| {
            it.closed = true;
            it.open -= u32::try_from(it.idle.len()).unwrap_or(it.open);
            std::mem::take(&mut it.idle)
        });
        drop(idle);
    }

    fn usage(&self) -> Usage {
        let available = u32::try_from(self.pool.permits.available_permits()).unwrap_or(u32::MAX);
        Usage {
            size: self.pool.with(|it| it.open),
            in_use: self.pool.max - available.min(self.pool.max),
            max: self.pool.max,
        }
    }

    fn now(&self) -> Duration {
        self.pool.world.now()
    }

    async fn sleep(&self, duration: Duration) {
        self.pool.world.sleep(duration).await;
    }

    fn spawn(&self, task: Pin<Box<dyn Future<Output = ()> + Send>>) -> bool {
        self.pool.world.spawn(task)
    }

    fn random(&self) -> u64 {
        self.pool.world.random()
    }

    fn task(&self) -> TaskId {
        TaskId::Task(self.pool.world.running())
    }
}

impl<O: Order> Deref for SimLease<O> {
    type Target = SimConnection<O>;

    fn deref(&self) -> &SimConnection<O> {
        &self.kept.as_ref().expect("only taken when the lease ends").connection
    }
}

impl<O: Order> DerefMut for SimLease<O> {
    fn deref_mut(&mut self) -> &mut SimConnection<O> {
        &mut self.kept.as_mut().expect("only taken when the lease ends").connection
    }
}

impl<O: Order> Drop for SimLease<O> {
    fn drop(&mut self) {
        match self.kept.take() {
            Some(kept) if self.pool.only => self.pool.shelve(Kept { unclean: true, ..kept }),
            Some(kept) => {
                self.pool.with(|it| it.open -= 1);
                drop(kept);
            }
            None => {}
        }
    }
}

impl<O> SimConnection<O> {
    /// Opens a connection in this world.
    pub(super) async fn open(world: &World) -> Result<Self, ConnectionError> {
        let id = world.connect().await?;
        Ok(Self { id, world: world.clone(), order: PhantomData })
    }
}

impl<O> Drop for SimConnection<O> {
    fn drop(&mut self) {
        self.world.close(self.id);
    }
}

impl<O: Order> Connection for SimConnection<O> {
    const ORDERED: bool = O::ORDERED;

    async fn control(&mut self, control: Control) -> Result<(), ConnectionError> {
        if control == Control::Reset {
            // A read-only transaction sets nothing on the connection here.
            return Ok(());
        }
        self.world.call(self.id, Request::Control(control)).await.map(drop)
    }

    async fn in_transaction(&mut self) -> Result<bool, ConnectionError> {
        if !O::ORDERED {
            return Ok(self.world.call(self.id, Request::InTransaction).await? == Said::InTransaction(true));
        }
        // As on SQLite, where nothing can be asked: begin is refused if a transaction is open. So a cancelled question
        // may leave one behind.
        match self.control(Control::Begin(Begin::default())).await {
            Ok(()) => self.control(Control::Rollback).await.map(|()| false),
            Err(refused) if refused.class == ErrorClass::Rejected => Ok(true),
            Err(failure) => Err(failure),
        }
    }

    async fn probe(&mut self) -> Result<(), ConnectionError> {
        self.world.call(self.id, Request::Probe).await.map(drop)
    }
}

impl<O: Order> Serve for SimConnection<O> {
    type Request = Statement;
    type Reply = Reply;

    async fn serve(&mut self, statement: Statement) -> Result<Reply, ConnectionError> {
        let Said::Reply(reply) = self.world.call(self.id, Request::Statement(statement)).await? else {
            return Err(ConnectionError::new(ErrorClass::Disconnected, "an answer to another question"));
        };
        if let Reply::FirstRows(rows) = &reply {
            for _ in rows {
                self.world.gate().await;
            }
        }
        Ok(reply)
    }
}
