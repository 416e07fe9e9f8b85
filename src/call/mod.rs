//! One call of a scope: how it gets the session, and what its outcome comes to.
//!
//! Owns the queue of a scope's calls and the guard that notices when one is cut off. Every outcome passes through
//! [`Session::transition`] here and in [`outcome`], and nowhere else. What a caller can ask is in [`crate::scope`].

mod outcome;
mod unknown;

use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::MutexGuard;

use crate::error::Error;
use crate::events::Event;
use crate::lease::{Lease, Left};
use crate::scope::{Cell, Handle};
use crate::session::{Call, Happened, Loss, Session, State};
use crate::sessions::Gone;
use crate::source::{Begin, Class, Condition, Connection, Control, Effect, Failure, Source, TaskId};
use crate::sync::Shared;

/// Who has the session, for whoever waits for it.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    holder: Shared<Option<Holder>>,
}

#[derive(Clone, Copy, Debug)]
struct Holder {
    operation: &'static str,
    task: TaskId,
    /// It is a row stream that handed a row out and waits for its reader.
    paused: bool,
}

/// The session, for one call that has not begun.
pub(crate) struct Queued<'a, S: Source> {
    handle: &'a Handle<S>,
    session: Option<MutexGuard<'a, Session<Lease<S>>>>,
}

/// The session, for one call in flight. Dropped before it is finished, the call counts as cut off.
pub(crate) struct Entered<'a, S: Source> {
    queued: Queued<'a, S>,
    operation: &'static str,
}

impl<S: Source> Handle<S> {
    /// Waits for the session, and enters it with this call.
    pub(crate) async fn enter(&self, call: Call, operation: &'static str) -> Result<Entered<'_, S>, Error> {
        self.queue(operation).await?.enter(call, operation).await
    }

    /// Waits for the session: calls of one scope are served in the order in which they came. What was left in it is put in
    /// order first.
    pub(crate) async fn queue(&self, operation: &'static str) -> Result<Queued<'_, S>, Error> {
        let levels = &self.cell.levels;
        let mut queued = self.wait(operation).await?;
        while let Some(depth) = levels.left() {
            if queued.session().depth() <= depth {
                levels.undone(depth);
                // It may have been this handle's.
                self.refuse_stale(operation)?;
            } else if queued.failed().is_some() {
                queued.session().transition(Happened::Acknowledged);
            } else {
                queued.enter(Call::Rollback, operation).await?.roll_back().await?;
                queued = self.wait(operation).await?;
            }
        }
        Ok(queued)
    }

    async fn wait(&self, operation: &'static str) -> Result<Queued<'_, S>, Error> {
        let cell = &*self.cell;
        self.refuse_stale(operation)?;
        let session = match self.try_session() {
            Some(session) => session,
            None => self.wait_in_line(operation, self.session()).await?,
        };
        let task = cell.inner.source.task();
        cell.queue.holder.with(|it| *it = Some(Holder { operation, task, paused: false }));
        let mut queued = Queued { handle: self, session: Some(session) };
        // The scope may have ended, or been recovered, while this call waited.
        self.refuse_stale(operation)?;
        cell.inner.settle(queued.session()).await;
        Ok(queued)
    }

    fn try_session(&self) -> Option<MutexGuard<'_, Session<Lease<S>>>> {
        let _open = self.level().gate().try_lock().ok()?;
        self.cell.session.try_lock().ok()
    }

    async fn session(&self) -> MutexGuard<'_, Session<Lease<S>>> {
        let _open = self.level().gate().lock().await;
        self.cell.session.lock().await
    }

    /// Keeps other calls of this level waiting.
    pub(crate) async fn close_gate(&self, operation: &'static str) -> Result<MutexGuard<'_, ()>, Error> {
        self.refuse_stale(operation)?;
        match self.level().gate().try_lock() {
            Ok(gate) => Ok(gate),
            Err(_) => self.wait_in_line(operation, self.level().gate().lock()).await,
        }
    }

    fn refuse_stale(&self, operation: &'static str) -> Result<(), Error> {
        let result = self.check(operation, self.generation());
        if let Err(error) = &result {
            self.cell.inner.counters.stale_refused.add();
            tracing::warn!(%error, "a stale handle was used");
        }
        result
    }

    async fn wait_in_line<T>(&self, operation: &'static str, turn: impl Future<Output = T>) -> Result<T, Error> {
        let cell = &*self.cell;
        let me = cell.inner.source.task();
        let busy = || {
            let call = cell.queue.holder.with(|it| *it);
            let own_stream = call.filter(|it| it.paused && it.task == me).map(|it| (it.operation, true));
            let (holder, own_task) = own_stream
                .or_else(|| self.level().waits_for(me))
                .unwrap_or_else(|| (call.map_or("a call that just ended", |it| it.operation), false));
            (own_task, Error::SessionBusy { operation, holder, own_task })
        };
        // It would wait for a reader, or for an operation, that waits for it.
        if let (true, error) = busy() {
            return Err(error);
        }
        let limit = cell.inner.policy.queue_timeout;
        cell.inner.within(limit, turn).await.ok_or_else(|| busy().1)
    }
}

impl<'a, S: Source> Queued<'a, S> {
    pub(crate) fn session(&mut self) -> &mut Session<Lease<S>> {
        self.session.as_mut().expect("the guard is taken by drop alone")
    }

    /// The loss that the caller has not been heard to know.
    pub(crate) fn failed(&mut self) -> Option<Loss> {
        match self.session().state() {
            State::Failed { why, .. } => Some(why.clone()),
            _ => None,
        }
    }

    fn cell(&self) -> &'a Cell<S> {
        &self.handle.cell
    }

    /// Begins the call: refuses it where the session does not allow it, and borrows a connection where there is none.
    pub(crate) async fn enter(mut self, call: Call, operation: &'static str) -> Result<Entered<'a, S>, Error> {
        self.admit(call, operation)?;
        let proves = matches!(call, Call::Begin(_)) && S::Connection::BEGIN_PROBES;
        self.borrow_if_empty(operation, !proves).await?;
        if !proves {
            self.make_good().await?;
        }
        let inner = &self.cell().inner;
        let alone = call == Call::Statement && self.session().depth() == 0;
        if let Some(lease) = self.session().lease_mut() {
            lease.take_turn(inner, operation, alone).await?;
        }
        self.session().transition(Happened::Called(call));
        Ok(Entered { queued: self, operation })
    }

    /// Whether the session allows this call as it stands.
    fn admit(&mut self, call: Call, operation: &'static str) -> Result<(), Error> {
        let scope = || self.handle.cell.holder.name.clone();
        let state = self.session.as_ref().map_or(&State::Ended, |it| it.state());
        match (state, call) {
            (State::Failed { why, .. } | State::Lost { why }, _) => {
                let why = why.clone();
                Err(self.lost(operation, &why))
            }
            (State::Empty | State::Ready, Call::Commit | Call::Rollback) => {
                Err(Error::NoTransaction { operation, scope: scope() })
            }
            _ => Ok(()),
        }
    }

    /// The error for a loss.
    pub(crate) fn lost(&self, operation: &'static str, why: &Loss) -> Error {
        let scope = self.cell().holder.name.clone();
        match why {
            Loss::Transaction(why) => Error::TransactionLost { operation, scope, why: why.clone() },
            Loss::CommitUnknown(why) => Error::CommitUnknown { scope, why: why.clone() },
            Loss::Session(why) => Error::SessionLost { operation, scope, why: why.clone() },
            Loss::Database(why) => Error::DatabaseLost { why: why.clone() },
        }
    }

    /// Commits the innermost level.
    pub(crate) async fn commit(mut self, operation: &'static str) -> Result<(), Error> {
        if let Some(why) = self.failed() {
            return match self.resolve(&why).await {
                Some(true) => Ok(()),
                Some(false) => Err(Error::RolledBack { source: why.to_string().into() }),
                None => {
                    self.session().transition(Happened::Acknowledged);
                    Err(self.lost(operation, &why))
                }
            };
        }
        let limit = self.cell().inner.policy.end_timeout;
        let mut call = self.enter(Call::Commit, operation).await?;
        let depth = call.depth();
        let control = match depth {
            1 if call.queued.session().last_failure().is_none() => Control::Commit,
            1 => Control::CommitUnlessFailed,
            depth => Control::Release(depth - 1),
        };
        match call.control(control, limit).await {
            Ok(()) => {
                let reset = call.reset().await;
                call.finish(reset).await
            }
            Err(failure) => call.finish_commit(failure).await,
        }
    }

    /// Rolls the innermost level back.
    pub(crate) async fn rollback(mut self, operation: &'static str) -> Result<(), Error> {
        if let Some(why) = self.failed() {
            return match self.resolve(&why).await {
                Some(true) => Err(Error::AlreadyCommitted { scope: self.cell().holder.name.clone() }),
                Some(false) => Ok(()),
                None => {
                    self.session().transition(Happened::Acknowledged);
                    self.rolled_back(operation, &why)
                }
            };
        }
        self.enter(Call::Rollback, operation).await?.roll_back().await
    }

    /// What the rollback of a transaction that is over already comes to.
    pub(crate) fn rolled_back(&self, operation: &'static str, why: &Loss) -> Result<(), Error> {
        match why {
            Loss::CommitUnknown(_) => Err(self.lost(operation, why)),
            _ => Ok(()),
        }
    }

    /// Borrows a connection if there is none; with `good` it is fit for use, else the call that follows sees to it.
    pub(crate) async fn borrow_if_empty(&mut self, operation: &'static str, good: bool) -> Result<(), Error> {
        if *self.session().state() != State::Empty {
            return Ok(());
        }
        self.borrow(good).await?;
        // A pinned handle has set something up on a session that is gone.
        self.handle.refuse_stale(operation)
    }

    /// Makes the connection fit for use, if its first call was to see to that and was not made after all.
    async fn make_good(&mut self) -> Result<(), Error> {
        let inner = &self.cell().inner;
        let condition = self.session().condition();
        let failure = match self.session().lease_mut() {
            Some(Lease::Own(lease)) if !condition.is_fit() => inner.make_good(lease, condition).await,
            _ => return Ok(()),
        };
        match failure {
            Ok(()) => {
                self.session().made_good();
                Ok(())
            }
            Err(failure) => self.replace(&failure, true).await,
        }
    }

    /// The connection was dead before anything was done on it: another takes its place, and nobody has to know.
    async fn replace(&mut self, failure: &Failure, good: bool) -> Result<(), Error> {
        let inner = &self.cell().inner;
        if let Some(lease) = self.session().take_lease() {
            inner.give_up(lease, &failure.to_string(), Gone::of(failure));
        }
        self.session().transition(Happened::Unused);
        self.borrow(good).await
    }

    async fn borrow(&mut self, good: bool) -> Result<(), Error> {
        let cell = self.cell();
        let inner = &cell.inner;
        let began = inner.source.now();
        let (lease, condition) = inner.lend(cell, good).await?;
        let session = self.session();
        session.lend(lease, condition);
        let generation = session.generation();
        let before = cell.generation.swap(generation, Ordering::AcqRel);
        if before == generation {
            // It stands in for one on which nothing was done.
            return Ok(());
        }
        inner.counters.lent.add();
        if before == 0 {
            inner.emit(&Event::Opened { scope: &cell.holder.name });
        } else {
            let took = inner.source.now().saturating_sub(began);
            inner.counters.recovered_in(took);
            tracing::info!(scope = %cell.holder.name, generation, ?took, "a session was recovered");
            inner.emit(&Event::Recovered { scope: &cell.holder.name, generation, took });
        }
        Ok(())
    }
}

impl<S: Source> Drop for Queued<'_, S> {
    fn drop(&mut self) {
        let cell = self.cell();
        cell.queue.holder.with(|it| *it = None);
        if let Some(mut session) = self.session.take() {
            let left = if matches!(session.state(), State::Doubt { .. }) { Left::Doubt } else { Left::Nothing };
            if session.depth() == 0
                && let Some(lease) = session.lease_mut()
            {
                lease.rest(left);
            }
        }
        // The scope may have ended while this call had its session.
        cell.release_if_ended();
    }
}

impl<'a, S: Source> Entered<'a, S> {
    /// The connection that serves the call.
    pub(crate) fn connection(&mut self) -> Result<&mut S::Connection, Error> {
        match self.queued.session().lease_mut().and_then(Lease::connection) {
            Some(connection) => Ok(connection),
            None => unreachable!("a call is entered with a connection"),
        }
    }

    /// The depth at which the call was made.
    pub(crate) fn depth(&mut self) -> u32 {
        self.queued.session().depth()
    }

    /// A statement of this call leaves this on the connection.
    pub(crate) fn leave(&mut self, effect: Effect) {
        self.queued.session().leave(effect);
    }

    /// Whether nothing was answered on the connection since it was lent.
    pub(crate) fn is_untouched(&mut self) -> bool {
        self.queued.session().is_untouched()
    }

    /// Whether the database commits a statement of this call by itself.
    pub(crate) fn is_autocommit(&mut self) -> bool {
        let session = self.queued.session();
        session.depth() == 0 && matches!(session.lease_mut(), Some(Lease::Own(_)))
    }

    /// The connection was dead before anything was done on it: the call goes on with another, and nobody has to know.
    pub(crate) async fn replace(&mut self, failure: &Failure) -> Result<(), Error> {
        let (call, left) = match *self.queued.session().state() {
            State::Calling { call, depth: 0 } => (call, self.queued.session().left()),
            _ => unreachable!("a connection on which nothing was done is in no transaction"),
        };
        let good = !matches!(call, Call::Begin(_));
        self.queued.replace(failure, good).await?;
        self.queued.session().transition(Happened::Called(call));
        self.leave(left);
        Ok(())
    }

    /// Begins a transaction, or sets a savepoint. The first call on a connection also does what its condition asks for.
    pub(crate) async fn begin(&mut self, begin: Begin) -> Result<(), Failure> {
        let inner = &self.queued.cell().inner;
        let policy = &inner.policy;
        let depth = self.depth();
        if depth > 0 {
            return self.control(Control::Savepoint(depth), policy.begin_timeout).await;
        }
        let condition = self.queued.session().condition();
        let limit = if condition.is_suspect() { policy.probe_timeout } else { policy.begin_timeout };
        let owing = matches!(condition, Condition::Owing { .. });
        let begun = if owing && inner.source.cleans_in_begin() {
            self.begin_outermost(Control::CleanBegin(begin), limit).await
        } else {
            let cleaned = match self.queued.session().lease_mut() {
                Some(Lease::Own(lease)) if owing => inner.in_time(limit, inner.source.clean(lease)).await,
                _ => Ok(()),
            };
            match cleaned {
                Ok(()) => self.begin_outermost(Control::Begin(begin), limit).await,
                Err(failure) => Err(failure),
            }
        };
        if condition.is_fit() {
            return begun;
        }
        // What could not be cleaned is of no use to anybody.
        begun.map_err(|failure| Failure { class: Class::Dead, ..failure })?;
        self.queued.session().made_good();
        if let Some(Lease::Own(lease)) = self.queued.session().lease_mut() {
            inner.source.vouch(lease);
        }
        Ok(())
    }

    /// Sees whether the connection answers, if it was lent on trust and nothing was answered on it yet; another takes its place
    /// if it does not. For a statement that cannot be run again: its loss would be seen.
    pub(crate) async fn probe(mut self) -> Result<Self, Error> {
        let session = self.queued.session();
        if session.condition() != Condition::Recent || !session.is_untouched() || session.depth() > 0 {
            return Ok(self);
        }
        let inner = &self.queued.cell().inner;
        let answered = match self.queued.session().lease_mut() {
            Some(Lease::Own(lease)) => inner.make_good(lease, Condition::Suspect).await,
            _ => Ok(()),
        };
        match answered {
            Ok(()) => self.queued.session().made_good(),
            Err(failure) => self.replace(&failure).await?,
        }
        Ok(self)
    }

    /// How many dead connections a statement meets at most before it gives up. Each after the first has answered a probe.
    pub(crate) fn attempts_max(&self) -> u32 {
        self.queued.cell().inner.policy.attempts_max
    }

    /// For the row stream that this call feeds.
    pub(crate) fn pausing(&self) -> Pausing<'a, S> {
        Pausing { cell: self.queued.cell() }
    }

    /// For what this call asks the database.
    pub(crate) fn patience(&self) -> Patience<'a, S> {
        Patience { cell: self.queued.cell(), operation: self.operation }
    }

    /// The call was not made after all.
    pub(crate) fn withdraw(mut self) {
        self.queued.session().transition(Happened::Refused(Class::Mistake));
    }
}

/// Says whether a row stream has handed out a row and waits for its reader.
pub(crate) struct Pausing<'a, S: Source> {
    cell: &'a Cell<S>,
}

impl<S: Source> Pausing<'_, S> {
    pub(crate) fn set(&self, paused: bool) {
        self.cell.queue.holder.with(|it| {
            if let Some(holder) = it {
                holder.paused = paused;
            }
        });
    }
}

/// Waits for the database's answer to a call, as long as the policy allows.
pub(crate) struct Patience<'a, S: Source> {
    cell: &'a Cell<S>,
    operation: &'static str,
}

impl<S: Source> Patience<'_, S> {
    /// The answer. If there is none in time, its call counts as cut off when it is dropped, like one that was cancelled.
    pub(crate) async fn answer<F: Future>(&self, future: F) -> Result<F::Output, Error> {
        let inner = &self.cell.inner;
        let limit = inner.policy.statement_timeout;
        if limit == Duration::MAX {
            return Ok(future.await);
        }
        let answer = inner.within(limit, future).await;
        answer.ok_or_else(|| {
            let operation = self.operation;
            tracing::warn!(scope = %self.cell.holder.name, operation, ?limit, "a statement was not answered");
            Error::NoAnswer { operation, limit }
        })
    }
}

impl<S: Source> Drop for Entered<'_, S> {
    fn drop(&mut self) {
        let inner = &self.queued.cell().inner;
        let session = self.queued.session();
        if !matches!(session.state(), State::Calling { .. }) {
            return;
        }
        session.transition(Happened::CutOff);
        // Where it cannot be asked how the call ended, waiting for the next call would only leave it running.
        if !S::Connection::ORDERED && matches!(session.lease_mut(), Some(Lease::Own(_))) {
            inner.lose(session, "a call was cut off".into(), inner.is_only(), Gone::Busy);
        }
    }
}
