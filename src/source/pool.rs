//! The pool: idle connections in deadpool's managed pool, with the facts that decide how each may be lent.
//!
//! Owns age, idleness, which connection is suspect, which is retired and which needs a reset. Each database opens its own
//! connections ([`Open`]); the [`ConnectLimiter`] bounds how many are opened at a time, and code above the source decides
//! how long a caller waits.

use std::ops::{Deref, DerefMut};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use deadpool::managed::{self, Metrics, Object, Pool, PoolError, RecycleError, RecycleResult};

use super::condition::{AcquireError, Condition, Usage};
use super::connect_limiter::{ConnectLimiter, ConnectPermit};
use super::error::{ConnectionError, ErrorClass};
use super::reaper::Reaper;
use super::runtime;
use crate::policy::Policy;

/// How one database's connections are opened.
pub trait Open: Send + Sync + 'static {
    /// What is opened.
    type Connection: Send + 'static;
    /// Facts about a connection beyond the connection itself.
    type Mark: Send + 'static;

    /// Whether the database is the connection: it is opened once and never closed.
    fn is_only(&self) -> bool {
        false
    }

    /// Opens a connection.
    ///
    /// # Errors
    /// [`ErrorClass::Unavailable`] if a later attempt may succeed; otherwise the reason why it cannot be opened.
    ///
    /// # Cancel safety
    /// Cancel safe: a connection that was opened is closed.
    fn open(&self) -> impl Future<Output = Result<(Self::Connection, Self::Mark), ConnectionError>> + Send;
}

/// The connections of one database.
pub(super) struct ConnectionPool<O: Open> {
    pool: Pool<Opener<O>>,
    max: u32,
    probe_idle_after: Duration,
    probe_writes_after: Duration,
    /// A connection that has not answered since this moment is suspect; microseconds on the source's clock.
    suspect_before: AtomicU64,
    limiter: Arc<ConnectLimiter>,
    reaper: Reaper,
}

impl<O: Open> ConnectionPool<O> {
    /// Creates an empty pool under the limits of this policy.
    pub(super) fn new(open: O, policy: &Policy) -> Self {
        let max = if open.is_only() { 1 } else { policy.sessions_max };
        let limiter = Arc::new(ConnectLimiter::new(policy.connects_max));
        let opener = Opener {
            open,
            connect_timeout: policy.connect_timeout,
            lifetime_max: policy.lifetime_max,
            lifetime_jitter: policy.lifetime_jitter,
            idle_max: policy.idle_max,
            generation: AtomicU64::new(0),
            limiter: Arc::clone(&limiter),
        };
        let size = usize::try_from(max.max(1)).unwrap_or(usize::MAX);
        let pool = Pool::builder(opener).max_size(size).build().expect("a pool without time-outs needs no runtime");
        let this = Self {
            pool,
            max,
            probe_idle_after: policy.probe_idle_after,
            probe_writes_after: policy.probe_writes_after,
            suspect_before: AtomicU64::new(0),
            limiter,
            reaper: Reaper::default(),
        };
        this.watch();
        this
    }

    pub(super) fn opener(&self) -> &O {
        &self.pool.manager().open
    }

    /// Lends an idle connection, or opens one. If enough callers are opening one already, waits for their result or for
    /// a returned connection, whichever is first.
    pub(super) async fn acquire(&self) -> Result<(Lease<O>, Condition), AcquireError> {
        self.when_permitted(|| self.attempt()).await
    }

    /// Opens a connection that can take the place of a lent one. Waits until nobody else is opening one, or for their failure.
    #[cfg_attr(not(feature = "postgres"), expect(dead_code, reason = "a file is never silent"))]
    pub(super) async fn spare(&self) -> Result<Spare<O>, ConnectionError> {
        let opened = self.when_permitted(async || match self.limiter.enter_alone() {
            Some(permit) => self.pool.manager().connect(permit).await.map(Some).map_err(AcquireError::Connect),
            None => Ok(None),
        });
        match opened.await {
            Ok(kept) => Ok(Spare(kept)),
            Err(AcquireError::Connect(failure)) => Err(failure),
            Err(AcquireError::Closed) => Err(ConnectionError::new(ErrorClass::Rejected, "the source is closed")),
        }
    }

    /// Attempts until there is a result: none means that enough callers are opening a connection.
    async fn when_permitted<T, F>(&self, attempt: impl Fn() -> F) -> Result<T, AcquireError>
    where
        F: Future<Output = Result<Option<T>, AcquireError>>,
    {
        if let Some(lent) = attempt().await? {
            return Ok(lent);
        }
        let _waiting = self.limiter.wait();
        let failures = self.limiter.failures();
        loop {
            // The wait begins before the attempt, so that a change during it is not missed.
            let mut changed = pin!(self.limiter.changed());
            changed.as_mut().enable();
            if let Some(lent) = attempt().await? {
                return Ok(lent);
            }
            changed.await;
            if let Some(failure) = self.limiter.failed_since(failures) {
                return Err(AcquireError::Connect(failure));
            }
        }
    }

    /// Lends a connection; none if enough callers are opening one.
    async fn attempt(&self) -> Result<Option<(Lease<O>, Condition)>, AcquireError> {
        match self.pool.get().await {
            Ok(object) => {
                let condition = self.condition(&object);
                Ok(Some((Lease { object: Some(object) }, condition)))
            }
            Err(PoolError::Backend(None)) => Ok(None),
            Err(PoolError::Backend(Some(failure))) => Err(AcquireError::Connect(failure)),
            Err(PoolError::Closed) => Err(AcquireError::Closed),
            Err(_) => Err(AcquireError::Connect(ConnectionError::new(
                ErrorClass::Unavailable,
                "the pool returned no connection",
            ))),
        }
    }

    /// Takes a connection back.
    pub(super) fn give_back(&self, mut lease: Lease<O>, left: Left) {
        if let Some(mut object) = lease.object.take() {
            object.left = left;
            object.idle_since = runtime::now();
            object.is_new = false;
            drop(object);
            self.limiter.notify();
            self.watch();
        }
    }

    /// Has idle connections closed that are too old, although nobody borrows one.
    fn watch(&self) {
        let (pool, opener) = (self.pool.weak(), self.pool.manager());
        if opener.open.is_only() {
            return;
        }
        self.reaper.watch(opener.idle_max.min(opener.lifetime_max), move || {
            // Dropped outside of the pool's lock.
            drop(pool.upgrade().map(|pool| pool.retain(|kept, _| !pool.manager().is_too_old(kept))));
        });
    }

    /// Lends no connection again that was opened before this one, or at about the same time: each is closed when it would be.
    #[cfg_attr(not(feature = "postgres"), expect(dead_code, reason = "no other server is behind the name of a file"))]
    pub(super) fn retire(&self, lease: &Lease<O>) {
        self.pool.manager().generation.fetch_max(lease.kept().generation + 1, Ordering::AcqRel);
    }

    /// Marks every connection that has not answered since now as suspect.
    pub(super) fn suspect_all(&self) {
        self.suspect_before.store(micros(runtime::now()), Ordering::Release);
    }

    pub(super) fn close(&self) {
        self.reaper.stop();
        self.pool.close();
        self.limiter.notify();
    }

    pub(super) fn usage(&self) -> Usage {
        let status = self.pool.status();
        let count = |it: usize| u32::try_from(it).unwrap_or(u32::MAX);
        Usage { size: count(status.size), in_use: count(status.size.saturating_sub(status.available)), max: self.max }
    }

    fn condition(&self, kept: &Kept<O>) -> Condition {
        let idle = runtime::now().saturating_sub(kept.idle_since);
        let suspect = micros(kept.answered) < self.suspect_before.load(Ordering::Acquire);
        let suspect = !kept.only && !kept.is_new && (suspect || idle > self.probe_idle_after);
        match kept.left {
            Left::Transaction => Condition::Unclean,
            Left::Residue => Condition::NeedsReset { suspect },
            Left::Nothing if suspect => Condition::Suspect,
            Left::Nothing if !kept.only && !kept.is_new && idle >= self.probe_writes_after => Condition::Recent,
            Left::Nothing => Condition::Good,
        }
    }
}

/// The residue of the last borrower.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Left {
    Nothing,
    /// Residue of statements, such as settings.
    #[cfg_attr(not(feature = "postgres"), expect(dead_code, reason = "only connections of PostgreSQL can be cleaned"))]
    Residue,
    /// Possibly a transaction: it could not be cleaned.
    Transaction,
}

/// A connection while it is lent. When it is dropped, the connection is closed and its place is free at once; one that is the
/// database goes back, to be cleaned before it is lent again.
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

    /// Has a spare connection take its place, and closes it.
    pub(super) fn replace(&mut self, spare: Spare<O>) {
        *self.kept_mut() = spare.0;
        self.mark_healthy();
    }

    /// Marks it as healthy: it has just answered.
    pub(super) fn mark_healthy(&mut self) {
        self.kept_mut().answered = runtime::now();
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

/// A connection that is not in the pool, and can take the place of one that is lent.
pub struct Spare<O: Open>(Kept<O>);

/// A connection in the pool.
struct Kept<O: Open> {
    connection: O::Connection,
    mark: O::Mark,
    opened: Duration,
    lifetime: Duration,
    /// How long it may be idle.
    idle_max: Duration,
    idle_since: Duration,
    /// When it is known to have answered.
    answered: Duration,
    left: Left,
    /// It was not given back yet.
    is_new: bool,
    /// How often connections had been retired before it was opened.
    generation: u64,
    /// Closing it loses the database.
    only: bool,
}

/// Opens connections for the pool, and decides which are too old.
struct Opener<O> {
    open: O,
    connect_timeout: Duration,
    lifetime_max: Duration,
    lifetime_jitter: f64,
    idle_max: Duration,
    /// How often connections were retired.
    generation: AtomicU64,
    limiter: Arc<ConnectLimiter>,
}

impl<O: Open> Opener<O> {
    async fn connect(&self, mut permit: ConnectPermit<'_>) -> Result<Kept<O>, ConnectionError> {
        let limit = self.connect_timeout;
        let generation = self.generation.load(Ordering::Acquire);
        let opened = match runtime::within(limit, self.open.open()).await {
            Some(opened) => opened,
            None => Err(ConnectionError::new(
                ErrorClass::Unavailable,
                format!("the connection could not be opened within {limit:?}"),
            )),
        };
        permit.record(opened.as_ref().err());
        let (connection, mark) = opened?;
        let opened = runtime::now();
        let spread = self.lifetime_jitter * rand::random::<f64>();
        let only = self.open.is_only();
        // Beyond what a duration can be it has no end.
        let spread = |longest: Duration| {
            let shorter = Duration::try_from_secs_f64(longest.as_secs_f64() * (1.0 - spread));
            shorter.ok().filter(|_| !only).unwrap_or(Duration::MAX)
        };
        let (lifetime, idle_max) = (spread(self.lifetime_max), spread(self.idle_max));
        let left = Left::Nothing;
        let (idle_since, answered) = (opened, opened);
        let is_new = true;
        Ok(Kept { connection, mark, opened, lifetime, idle_max, idle_since, answered, left, is_new, generation, only })
    }

    /// Whether an idle connection is not to be lent again.
    fn is_too_old(&self, kept: &Kept<O>) -> bool {
        let now = runtime::now();
        let retired = kept.generation < self.generation.load(Ordering::Acquire) && !kept.only;
        retired
            || now.saturating_sub(kept.opened) > kept.lifetime
            || now.saturating_sub(kept.idle_since) > kept.idle_max
    }
}

impl<O: Open> managed::Manager for Opener<O> {
    type Type = Kept<O>;
    /// None if enough callers are opening one.
    type Error = Option<ConnectionError>;

    async fn create(&self) -> Result<Kept<O>, Option<ConnectionError>> {
        let Some(permit) = self.limiter.enter() else { return Err(None) };
        self.connect(permit).await.map_err(Some)
    }

    async fn recycle(&self, kept: &mut Kept<O>, _: &Metrics) -> RecycleResult<Option<ConnectionError>> {
        if self.is_too_old(kept) {
            return Err(RecycleError::message("too old, too long idle, or retired"));
        }
        Ok(())
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
