//! The scope, and the handles that services hold instead of a session.
//!
//! Owns what a caller can ask: transactions, ends, handles. How one call gets the session and what its outcome comes to
//! is in [`crate::call`].

use std::any::Any;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::panic::Location;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tokio::sync::Mutex;

use crate::call::Queue;
use crate::error::{Ended, Error, Stale};
use crate::events::Event;
use crate::health::Holder;
use crate::lease::Lease;
use crate::level::{Level, Levels};
use crate::resolver::Resolver;
use crate::session::{Call, Happened, Loss, Session, State};
use crate::sessions::Inner;
use crate::source::{Begin, Class, Serve, Source};
use crate::sync::Shared;

/// One unit of work: a request, a job, a test. It has at most one session at a time.
///
/// Statements run in autocommit until [`begin`](Scope::begin). Dropping the scope rolls back what is open and makes every
/// handle of it stale.
pub struct Scope<S: Source> {
    handle: Handle<S>,
}

/// What services hold instead of a session: it names a scope and borrows the scope's session for each call.
///
/// With a source over sqlx, `&Handle` is a [`sqlx::Executor`]. After the scope's end every call is [`Error::Stale`].
pub struct Handle<S: Source> {
    pub(crate) cell: Arc<Cell<S>>,
    owner: Cow<'static, str>,
    obtained: &'static Location<'static>,
    /// The only generation that it may use, if it is pinned.
    pinned: Option<u64>,
    /// The level in which its calls run, if that is not the scope itself.
    pub(crate) level: Option<Arc<Level>>,
}

/// What a scope and its handles share.
pub(crate) struct Cell<S: Source> {
    pub(crate) inner: Arc<Inner<S>>,
    pub(crate) holder: Holder,
    pub(crate) session: Mutex<Session<Lease<S>>>,
    /// How it is found out what became of a commit that was cut off.
    pub(crate) resolver: Option<Resolver<S>>,
    pub(crate) queue: Queue,
    pub(crate) levels: Levels,
    /// The generation, readable without the session.
    pub(crate) generation: AtomicU64,
    ended: AtomicBool,
    /// How many statements of the scope's were done, or have aborted their transaction.
    pub(crate) statements_done: AtomicU64,
    /// What others keep with the scope and lose with it, each under a number of its own.
    attached: Shared<BTreeMap<u64, Arc<dyn Any + Send + Sync>>>,
}

impl<S: Source> Scope<S> {
    pub(crate) fn new(inner: Arc<Inner<S>>, holder: Holder, resolver: Option<Resolver<S>>) -> Self {
        let (owner, obtained) = (holder.name.clone(), holder.opened);
        let cell = Cell {
            inner,
            holder,
            session: Mutex::new(Session::new()),
            resolver,
            queue: Queue::default(),
            levels: Levels::default(),
            generation: AtomicU64::new(0),
            ended: AtomicBool::new(false),
            statements_done: AtomicU64::new(0),
            attached: Shared::default(),
        };
        Self { handle: Handle { cell: Arc::new(cell), owner, obtained, pinned: None, level: None } }
    }

    /// A handle for `owner`, who is named when it is used after its time.
    #[track_caller]
    pub fn handle(&self, owner: impl Into<Cow<'static, str>>) -> Handle<S> {
        self.handle.for_owner(owner, Location::caller())
    }

    /// The scope's number, for logs.
    pub fn id(&self) -> u64 {
        self.handle.cell.holder.id
    }

    /// How many sessions the scope has had; it grows with each recovery.
    pub fn generation(&self) -> u64 {
        self.handle.generation()
    }

    /// Begins a transaction; inside one, sets a savepoint.
    ///
    /// # Errors
    /// [`Error::NestingTooDeep`], what lending a connection answers, or the database's answer. A connection that turns out
    /// to be dead here is replaced: nothing can be lost yet.
    ///
    /// # Cancel safety
    /// Cancel safe: a begin that was cut off leaves the scope where it was; a savepoint that was cut off fails its
    /// transaction.
    pub async fn begin(&self) -> Result<(), Error> {
        self.begin_with(Begin::default()).await
    }

    /// Begins a transaction in this way.
    ///
    /// # Errors
    /// As [`Scope::begin`]; [`Error::SavepointOptions`] inside a transaction.
    ///
    /// # Cancel safety
    /// As [`Scope::begin`].
    pub async fn begin_with(&self, begin: Begin) -> Result<(), Error> {
        self.handle.begin(begin).await.map(drop)
    }

    /// Commits the transaction, or releases the innermost savepoint. Either way it is over.
    ///
    /// # Errors
    /// [`Error::RolledBack`]: definitely nothing is kept. [`Error::CommitUnknown`]: nobody knows. [`Error::TransactionLost`]:
    /// it was lost before.
    ///
    /// # Cancel safety
    /// Safe for the session, but whether the commit happened is unknown to the caller. Until [`rollback`](Scope::rollback) was
    /// called, the scope refuses everything else; one that [is resolving](crate::Sessions::resolving) says with the next
    /// `commit` what became of it.
    pub async fn commit(&self) -> Result<(), Error> {
        self.handle.queue("commit").await?.commit("commit").await
    }

    /// Rolls the transaction back, or undoes everything since the innermost savepoint.
    ///
    /// # Errors
    /// [`Error::CommitUnknown`] after a commit that was cut off and may have happened, [`Error::AlreadyCommitted`] after one
    /// that is known to have happened; the transaction is over then.
    ///
    /// # Cancel safety
    /// Safe for the session: what was cut off is rolled back, if only with the next call. For the caller the transaction is
    /// there until a rollback was answered: call it again.
    pub async fn rollback(&self) -> Result<(), Error> {
        self.handle.queue("rollback").await?.rollback("rollback").await
    }

    /// Accepts that the session was lost: the next call runs on a fresh one.
    ///
    /// # Errors
    /// [`Error::DatabaseLost`]: there is nothing to go on with.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn renew(&self) -> Result<(), Error> {
        let mut entered = self.handle.queue("renew").await?;
        match entered.session().state() {
            State::Lost { why: Loss::Database(why) } => Err(Error::DatabaseLost { why: why.clone() }),
            State::Lost { .. } => {
                entered.session().transition(Happened::Acknowledged);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Ends the scope: waits for calls in flight, rolls back what is open, gives the connection back.
    ///
    /// # Errors
    /// What the rollback answered; the scope has ended all the same.
    ///
    /// # Cancel safety
    /// Cancel safe: what has not been done when it is dropped is done as by dropping the scope.
    pub async fn end(self) -> Result<(), Error> {
        let rolled_back = self.handle.roll_back_all().await;
        drop(self);
        rolled_back
    }

    /// Serves one request on the scope's session. See [`Serve`].
    ///
    /// # Errors
    /// As any call: [`Error`].
    ///
    /// # Cancel safety
    /// Safe for the session; whether the request was done is unknown.
    pub async fn serve<Q: Send>(&self, request: Q) -> Result<<S::Connection as Serve<Q>>::Reply, Error>
    where
        S::Connection: Serve<Q>,
    {
        self.handle.serve(request).await
    }

    /// Borrows the connection, if there is none.
    pub(crate) async fn borrow(&self) -> Result<(), Error> {
        self.handle.queue("open").await?.borrow_if_empty("open", true).await
    }

    /// One attempt of a whole transaction, and whether another makes sense.
    pub(crate) async fn attempt<T, E: From<Error>>(
        &self,
        work: &impl AsyncFn(&Self) -> Result<T, E>,
    ) -> (Result<T, E>, bool) {
        if let Err(error) = self.begin().await {
            let again = error.class() == Class::StatementLost;
            return (Err(error.into()), again);
        }
        let result = work(self).await;
        let result = match result {
            Ok(value) => match self.commit().await {
                Ok(()) => return (Ok(value), false),
                Err(error @ Error::CommitUnknown { .. }) => return (Err(error.into()), false),
                Err(error) => Err(error.into()),
            },
            Err(error) => Err(error),
        };
        let again = matches!(self.handle.last_failure().await, Some(Class::TransactionLost | Class::StatementLost));
        // Now, not beside the next attempt, which may want the same locks. What cannot be rolled back is given up.
        let _ = self.handle.roll_back_all().await;
        (result, again)
    }

    pub(crate) fn as_handle(&self) -> &Handle<S> {
        &self.handle
    }
}

impl<S: Source> Drop for Scope<S> {
    fn drop(&mut self) {
        let cell = &self.handle.cell;
        cell.ended.store(true, Ordering::SeqCst);
        // Its services hold handles, and these the cell: the circle is opened here.
        drop(cell.attached.with(std::mem::take));
        // A call in flight has the session: whoever ends last releases it.
        cell.release_if_ended();
        cell.inner.scope_ended(cell.holder.id);
        if self.generation() > 0 {
            cell.inner.emit(&Event::Closed { scope: &cell.holder.name });
        }
    }
}

impl<S: Source> Cell<S> {
    pub(crate) fn has_ended(&self) -> bool {
        self.ended.load(Ordering::SeqCst)
    }

    /// What is kept with the scope under this number; made now if there is nothing. Not kept once the scope has ended.
    pub(crate) fn attached<T: Any + Send + Sync>(&self, number: u64, make: impl FnOnce() -> Arc<T>) -> Arc<T> {
        self.attached.with(|all| {
            if let Some(kept) = all.get(&number).and_then(|it| Arc::clone(it).downcast().ok()) {
                return kept;
            }
            let made = make();
            if !self.has_ended() {
                all.insert(number, Arc::clone(&made) as _);
            }
            made
        })
    }

    /// Releases the session of a scope that has ended, unless a call still has it.
    pub(crate) fn release_if_ended(&self) {
        if !self.has_ended() {
            return;
        }
        if let Ok(mut session) = self.session.try_lock()
            && *session.state() != State::Ended
        {
            self.inner.release(&mut session);
            session.transition(Happened::Ended);
        }
    }
}

impl<S: Source> Handle<S> {
    /// A handle that refuses to follow the scope to another session, for whoever set something up on this one. Stale after
    /// the next recovery.
    #[must_use]
    pub fn pinned(&self) -> Self {
        Self { pinned: Some(self.generation().max(1)), ..self.clone() }
    }

    /// A handle to the same scope for somebody else.
    pub(crate) fn for_owner(&self, owner: impl Into<Cow<'static, str>>, obtained: &'static Location<'static>) -> Self {
        Self { cell: Arc::clone(&self.cell), owner: owner.into(), obtained, pinned: None, level: self.level.clone() }
    }

    /// A handle for calls inside this level.
    pub(crate) fn inside(&self, level: &Arc<Level>) -> Self {
        Self { level: Some(Arc::clone(level)), ..self.clone() }
    }

    pub(crate) fn unpinned(&self) -> Self {
        Self { pinned: None, ..self.clone() }
    }

    pub(crate) fn level(&self) -> &Level {
        self.level.as_deref().unwrap_or(&self.cell.levels.root)
    }

    /// The generation of the scope's session.
    pub fn generation(&self) -> u64 {
        self.cell.generation.load(Ordering::Acquire)
    }

    /// How many statements of the scope's were done so far, or have aborted their transaction.
    pub(crate) fn statements_done(&self) -> u64 {
        self.cell.statements_done.load(Ordering::Acquire)
    }

    /// Whether the next call would be refused as stale.
    pub fn is_stale(&self) -> bool {
        self.check("", self.generation()).is_err()
    }

    /// Serves one request on the scope's session. See [`Serve`].
    ///
    /// # Errors
    /// As any call: [`Error`].
    ///
    /// # Cancel safety
    /// Safe for the session; whether the request was done is unknown.
    pub async fn serve<Q: Send>(&self, request: Q) -> Result<<S::Connection as Serve<Q>>::Reply, Error>
    where
        S::Connection: Serve<Q>,
    {
        let mut call = self.enter(Call::Statement, "serve").await?;
        let result = call.patience().answer(call.connection()?.serve(request)).await?;
        call.finish(result).await
    }

    /// Refuses a call whose handle has outlived what it is bound to.
    pub(crate) fn check(&self, operation: &'static str, current: u64) -> Result<(), Error> {
        let operation_ended = self.level.as_ref().and_then(|it| it.ended());
        let ended = match (operation_ended, self.pinned) {
            _ if self.cell.has_ended() => Ended::Scope,
            (Some(operation), _) => Ended::Operation { operation },
            (None, Some(pinned)) if current > pinned => Ended::Session { pinned, current },
            _ => return Ok(()),
        };
        Err(Error::Stale(Box::new(Stale {
            owner: self.owner.clone(),
            scope: self.cell.holder.name.clone(),
            id: self.cell.holder.id,
            operation,
            obtained: self.obtained,
            ended,
        })))
    }

    /// Begins a transaction, or sets a savepoint; the depth before it.
    pub(crate) async fn begin(&self, begin: Begin) -> Result<u32, Error> {
        let most = self.cell.inner.policy.attempts_max;
        for attempt in 1.. {
            let mut call = self.enter(Call::Begin(begin), "begin").await?;
            let depth = call.depth();
            if depth > self.cell.inner.policy.savepoints_max {
                call.withdraw();
                return Err(Error::NestingTooDeep { max: self.cell.inner.policy.savepoints_max });
            }
            if depth > 0 && begin != Begin::default() {
                call.withdraw();
                return Err(Error::SavepointOptions);
            }
            let mut result = call.begin(begin).await;
            // Dead ones on the shelf are no attempts.
            for _ in 0..self.cell.inner.attempts_max() {
                match &result {
                    Err(failure) if failure.class == Class::Dead && call.is_untouched() => {
                        call.replace(failure).await?;
                        result = call.begin(begin).await;
                    }
                    _ => break,
                }
            }
            match result {
                Err(failure) if depth == 0 && attempt < most && failure.class != Class::Mistake => {
                    // Nothing was begun, so nothing can be lost by a fresh connection.
                    let dead = matches!(failure.class, Class::Dead | Class::Unknown);
                    let refused = call.finish::<()>(Err(failure)).await;
                    if !dead {
                        return refused.map(|()| depth);
                    }
                }
                result => return call.finish(result).await.map(|()| depth),
            }
        }
        unreachable!("the last attempt returns")
    }

    async fn roll_back_all(&self) -> Result<(), Error> {
        loop {
            let mut queued = self.queue("end").await?;
            if queued.session().depth() == 0 {
                return Ok(());
            }
            queued.rollback("end").await?;
        }
    }

    /// Why the last statement in the transaction failed.
    async fn last_failure(&self) -> Option<Class> {
        let mut queued = self.queue("run").await.ok()?;
        queued.session().last_failure()
    }
}

impl<S: Source> Clone for Handle<S> {
    fn clone(&self) -> Self {
        let Self { cell, owner, obtained, pinned, level } = self;
        Self { cell: Arc::clone(cell), owner: owner.clone(), obtained, pinned: *pinned, level: level.clone() }
    }
}

impl<S: Source> fmt::Debug for Handle<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "handle of `{}` to scope `{}` #{}", self.owner, self.cell.holder.name, self.cell.holder.id)
    }
}

impl<S: Source> fmt::Debug for Scope<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "scope `{}` #{}", self.handle.cell.holder.name, self.handle.cell.holder.id)
    }
}
