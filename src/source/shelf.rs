//! The shelf: raw connections in deadpool's managed pool, with what has to be known of each before it is lent.
//!
//! Owns age, idleness, suspicion and what a connection owes, and how many callers open one at a time. How one is opened is
//! each database's own ([`Open`]); who waits how long is decided above the source.

use std::ops::{Deref, DerefMut};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use deadpool::managed::{self, Metrics, Object, Pool, PoolError, RecycleError, RecycleResult};
use tokio::sync::Notify;

use super::{AcquireError, Class, Condition, Failure, Usage, tokio as surroundings};
use crate::policy::Policy;
use crate::sync::Shared;

/// How one database's connections are opened.
pub trait Open: Send + Sync + 'static {
    /// What is opened.
    type Connection: Send + 'static;
    /// What is known of a connection beside it.
    type Mark: Send + 'static;

    /// The database is the connection: it is opened once and kept for good.
    fn is_only(&self) -> bool {
        false
    }

    /// Opens one.
    ///
    /// # Errors
    /// Why not. [`Class::NotUpYet`] if it may be possible soon.
    ///
    /// # Cancel safety
    /// Cancel safe: what was opened is closed.
    fn open(&self) -> impl Future<Output = Result<(Self::Connection, Self::Mark), Failure>> + Send;
}

/// The connections of one database.
pub(super) struct Shelf<O: Open> {
    pool: Pool<Opener<O>>,
    max: u32,
    probe_idle_after: Duration,
    probe_writes_after: Duration,
    /// Whatever has not answered since this moment has to be probed; microseconds on the source's clock.
    suspect_before: AtomicU64,
    doors: Arc<Doors>,
}

impl<O: Open> Shelf<O> {
    /// An empty one under the limits of this policy.
    pub(super) fn new(open: O, policy: &Policy) -> Self {
        let max = if open.is_only() { 1 } else { policy.sessions_max };
        let doors = Arc::new(Doors::new(policy.connects_max));
        let opener = Opener {
            open,
            connect_timeout: policy.connect_timeout,
            lifetime_max: policy.lifetime_max,
            lifetime_jitter: policy.lifetime_jitter,
            doors: Arc::clone(&doors),
        };
        let size = usize::try_from(max.max(1)).unwrap_or(usize::MAX);
        let pool = Pool::builder(opener).max_size(size).build().expect("a pool without time-outs needs no runtime");
        Self {
            pool,
            max,
            probe_idle_after: policy.probe_idle_after,
            probe_writes_after: policy.probe_writes_after,
            suspect_before: AtomicU64::new(0),
            doors,
        }
    }

    pub(super) fn opener(&self) -> &O {
        &self.pool.manager().open
    }

    /// Lends one, and opens it if there is none. Where enough callers are opening one already, it waits for what comes of
    /// that, or for one that comes back, whichever is first.
    pub(super) async fn acquire(&self) -> Result<(Lease<O>, Condition), AcquireError> {
        if let Some(lent) = self.attempt().await? {
            return Ok(lent);
        }
        let _waiting = self.doors.wait();
        let failures = self.doors.failures();
        loop {
            // Before the attempt: what happens during it is not missed.
            let mut changed = pin!(self.doors.changed.notified());
            changed.as_mut().enable();
            if let Some(lent) = self.attempt().await? {
                return Ok(lent);
            }
            changed.await;
            if let Some(failure) = self.doors.failed_since(failures) {
                return Err(AcquireError::Connect(failure));
            }
        }
    }

    /// None if enough callers are opening one.
    async fn attempt(&self) -> Result<Option<(Lease<O>, Condition)>, AcquireError> {
        match self.pool.get().await {
            Ok(object) => {
                let condition = self.condition(&object);
                Ok(Some((Lease { object: Some(object) }, condition)))
            }
            Err(PoolError::Backend(None)) => Ok(None),
            Err(PoolError::Backend(Some(failure))) => Err(AcquireError::Connect(failure)),
            Err(PoolError::Closed) => Err(AcquireError::Closed),
            Err(_) => Err(AcquireError::Connect(Failure::new(Class::NotUpYet, "the shelf gave nothing"))),
        }
    }

    /// Takes a connection back.
    pub(super) fn give_back(&self, mut lease: Lease<O>, left: Left) {
        if let Some(mut object) = lease.object.take() {
            object.left = left;
            object.idle_since = surroundings::now();
            drop(object);
            self.doors.came_back();
        }
    }

    /// Whatever has not answered since now has to be probed.
    pub(super) fn suspect_all(&self) {
        self.suspect_before.store(micros(surroundings::now()), Ordering::Release);
    }

    pub(super) fn close(&self) {
        self.pool.close();
        self.doors.came_back();
    }

    pub(super) fn usage(&self) -> Usage {
        let status = self.pool.status();
        let count = |it: usize| u32::try_from(it).unwrap_or(u32::MAX);
        Usage { size: count(status.size), in_use: count(status.size.saturating_sub(status.available)), max: self.max }
    }

    fn condition(&self, kept: &Kept<O>) -> Condition {
        let idle = surroundings::now().saturating_sub(kept.idle_since);
        let suspect = micros(kept.answered) < self.suspect_before.load(Ordering::Acquire);
        let suspect = !kept.only && !kept.is_new() && (suspect || idle > self.probe_idle_after);
        match kept.left {
            Left::Transaction => Condition::Unclean,
            Left::Residue => Condition::Owing { suspect },
            Left::Nothing if suspect => Condition::Suspect,
            Left::Nothing if !kept.only && !kept.is_new() && idle >= self.probe_writes_after => Condition::Recent,
            Left::Nothing => Condition::Good,
        }
    }
}

/// What the last borrower left on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Left {
    Nothing,
    /// What statements leave.
    Residue,
    /// Perhaps a transaction: it could not be cleaned.
    Transaction,
}

/// A connection while it is lent. Dropped, it is closed, and its place is free at once; one that is the database comes back,
/// to be cleaned before it is lent again.
pub struct Lease<O: Open> {
    object: Option<Object<Opener<O>>>,
}

impl<O: Open> Lease<O> {
    fn kept(&self) -> &Kept<O> {
        self.object.as_ref().expect("only taken when the lease ends")
    }

    fn kept_mut(&mut self) -> &mut Kept<O> {
        self.object.as_mut().expect("only taken when the lease ends")
    }

    pub(super) fn mark(&self) -> &O::Mark {
        &self.kept().mark
    }

    /// It has answered just now.
    pub(super) fn vouch(&mut self) {
        self.kept_mut().answered = surroundings::now();
    }

    /// Closes it.
    pub(super) fn discard(mut self) {
        drop(self.object.take().map(Object::take));
    }
}

impl<O: Open> Deref for Lease<O> {
    type Target = O::Connection;

    fn deref(&self) -> &O::Connection {
        &self.kept().connection
    }
}

impl<O: Open> DerefMut for Lease<O> {
    fn deref_mut(&mut self) -> &mut O::Connection {
        &mut self.kept_mut().connection
    }
}

impl<O: Open> Drop for Lease<O> {
    fn drop(&mut self) {
        match self.object.take() {
            Some(mut object) if object.only => object.left = Left::Transaction,
            Some(object) => drop(Object::take(object)),
            None => {}
        }
    }
}

/// What stands on the shelf.
struct Kept<O: Open> {
    connection: O::Connection,
    mark: O::Mark,
    opened: Duration,
    lifetime: Duration,
    idle_since: Duration,
    /// When it is known to have answered.
    answered: Duration,
    left: Left,
    /// The database is gone with it.
    only: bool,
}

impl<O: Open> Kept<O> {
    fn is_new(&self) -> bool {
        self.opened == self.idle_since
    }
}

/// Opens connections for the pool, and decides which are too old.
struct Opener<O> {
    open: O,
    connect_timeout: Duration,
    lifetime_max: Duration,
    lifetime_jitter: f64,
    doors: Arc<Doors>,
}

impl<O: Open> managed::Manager for Opener<O> {
    type Type = Kept<O>;
    /// None: enough callers are opening one.
    type Error = Option<Failure>;

    async fn create(&self) -> Result<Kept<O>, Option<Failure>> {
        let Some(mut door) = self.doors.enter() else { return Err(None) };
        let limit = self.connect_timeout;
        let opened = match surroundings::within(limit, self.open.open()).await {
            Some(opened) => opened,
            None => Err(Failure::new(Class::NotUpYet, format!("it could not be opened within {limit:?}"))),
        };
        door.came_to(opened.as_ref().err());
        let (connection, mark) = opened.map_err(Some)?;
        let opened = surroundings::now();
        let spread = self.lifetime_jitter * rand::random::<f64>();
        let only = self.open.is_only();
        let lifetime = if only { Duration::MAX } else { self.lifetime_max.mul_f64(1.0 - spread) };
        let left = Left::Nothing;
        Ok(Kept { connection, mark, opened, lifetime, idle_since: opened, answered: opened, left, only })
    }

    async fn recycle(&self, kept: &mut Kept<O>, _: &Metrics) -> RecycleResult<Option<Failure>> {
        let age = surroundings::now().saturating_sub(kept.opened);
        if age > kept.lifetime {
            return Err(RecycleError::message("older than its lifetime"));
        }
        Ok(())
    }
}

/// How many callers open a connection at a time, so that an outage ends in no storm: after a failure one of them tries, and
/// all others hear what came of it.
struct Doors {
    max: u32,
    state: Shared<Opening>,
    changed: Notify,
    /// How many callers wait for a change.
    waiting: AtomicUsize,
}

#[derive(Default)]
struct Opening {
    /// How many are being opened.
    under_way: u32,
    /// The last one could not be opened yet.
    outage: bool,
    failures: u64,
    /// What the last failure was, for those who waited.
    last: Option<(Class, String)>,
}

impl Doors {
    fn new(max: u32) -> Self {
        Self { max, state: Shared::default(), changed: Notify::new(), waiting: AtomicUsize::new(0) }
    }

    fn enter(&self) -> Option<Door<'_>> {
        self.state.with(|it| {
            let max = if it.outage { 1 } else { self.max.max(1) };
            (it.under_way < max).then(|| it.under_way += 1)
        })?;
        Some(Door { doors: self })
    }

    fn wait(&self) -> Waiting<'_> {
        self.waiting.fetch_add(1, Ordering::SeqCst);
        Waiting(self)
    }

    /// Something may be had now.
    fn came_back(&self) {
        if self.waiting.load(Ordering::SeqCst) > 0 {
            self.changed.notify_waiters();
        }
    }

    fn failures(&self) -> u64 {
        self.state.with(|it| it.failures)
    }

    fn failed_since(&self, failures: u64) -> Option<Failure> {
        self.state.with(|it| match &it.last {
            Some((class, text)) if it.failures > failures => Some(Failure::new(*class, text.clone())),
            _ => None,
        })
    }
}

struct Waiting<'a>(&'a Doors);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::SeqCst);
    }
}

/// The place of one caller who opens a connection.
struct Door<'a> {
    doors: &'a Doors,
}

impl Door<'_> {
    fn came_to(&mut self, failure: Option<&Failure>) {
        self.doors.state.with(|it| {
            it.outage = failure.is_some_and(|it| it.class == Class::NotUpYet);
            if let Some(failure) = failure {
                it.failures += 1;
                it.last = Some((failure.class, failure.to_string()));
            }
        });
    }
}

impl Drop for Door<'_> {
    fn drop(&mut self) {
        self.doors.state.with(|it| it.under_way -= 1);
        self.doors.came_back();
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
