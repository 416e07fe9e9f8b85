//! Opens scopes over a source, lends them connections, and takes connections back.
//!
//! Owns the attempts, the backoff and the deadline of lending, and the list of open scopes; taking back is in [`release`],
//! ending in [`drain`], the health check in [`validity`]. What a session's state means is in [`crate::session`]; who uses it,
//! in [`crate::scope`].

mod drain;
mod release;
mod validity;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::panic::Location;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use futures_util::future::{Either, select};

use crate::error::Error;
use crate::events::{Event, Listeners, Listening};
use crate::health::{Counters, Health, Holder};
use crate::lease::{Joint, Lease};
use crate::policy::{OnLoss, Policy, PolicyError};
use crate::resolver::Resolver;
use crate::scope::{Cell, Scope};
use crate::session::{Call, Happened, Session, State};
use crate::source::{AcquireError, Class, Condition, Connection, Control, Failure, Source};
use crate::sync::Shared;
pub use drain::DrainError;
use release::clean;

/// Opens scopes over a source of connections.
///
/// Cheap to clone; every clone is the same.
pub struct Sessions<S: Source> {
    inner: Arc<Inner<S>>,
    resolver: Option<Resolver<S>>,
}

/// What scopes share.
pub(crate) struct Inner<S: Source> {
    pub(crate) source: Arc<S>,
    /// In a test, the connection that every scope shares.
    pub(crate) joint: Option<Arc<Joint<S>>>,
    pub(crate) policy: Policy,
    pub(crate) counters: Counters,
    pub(crate) listeners: Arc<Listeners>,
    scopes: Shared<BTreeMap<u64, Holder>>,
    next_scope: AtomicU64,
    draining: AtomicBool,
}

impl<S: Source> Clone for Sessions<S> {
    fn clone(&self) -> Self {
        Self { inner: Arc::clone(&self.inner), resolver: self.resolver.clone() }
    }
}

/// How a connection is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gone {
    /// It said so, or broke.
    Dead,
    /// It did not answer in time, and may be at work still.
    Silent,
    /// Its caller did not wait for the answer; nothing is wrong with it.
    Busy,
}

impl Gone {
    pub(crate) fn of(failure: &Failure) -> Self {
        if failure.is_no_answer() { Self::Silent } else { Self::Dead }
    }
}

impl<S: Source> Sessions<S> {
    /// Sessions over this source, under this policy. Nothing is opened yet.
    ///
    /// # Errors
    /// The first contradiction in the policy.
    pub fn new(source: S, policy: Policy) -> Result<Self, PolicyError> {
        policy.validate()?;
        Ok(Self::over(Arc::new(source), policy, None))
    }

    fn over(source: Arc<S>, policy: Policy, joint: Option<Arc<Joint<S>>>) -> Self {
        Self::of(Arc::new(Inner {
            source,
            joint,
            policy,
            counters: Counters::default(),
            listeners: Arc::default(),
            scopes: Shared::default(),
            next_scope: AtomicU64::new(1),
            draining: AtomicBool::new(false),
        }))
    }

    pub(crate) fn of(inner: Arc<Inner<S>>) -> Self {
        Self { inner, resolver: None }
    }

    /// The same sessions, for scopes that find out what became of a commit that was cut off: its answer is lost, or its caller
    /// did not wait for it. Then [`commit`](Scope::commit) is `Ok`, or [`Error::RolledBack`], and only if it could not be
    /// found out within `resolve_timeout`, [`Error::CommitUnknown`].
    ///
    /// Whose commit was cut off in the caller's hands asks with the next `commit` of the scope; a `rollback` is then
    /// [`Error::AlreadyCommitted`] if it has happened. In a test's fixture nothing is committed, and nothing asked.
    ///
    /// ```no_run
    /// # async fn pay(sessions: unstale::Sessions<unstale::PgSource>) -> Result<(), unstale::Error> {
    /// use unstale::Resolver;
    /// let scope = sessions.resolving(Resolver::transaction_id()).scope("pay");
    /// scope.begin().await?;
    /// // …
    /// scope.commit().await
    /// # }
    /// ```
    #[must_use]
    pub fn resolving(&self, resolver: Resolver<S>) -> Self {
        Self { inner: Arc::clone(&self.inner), resolver: Some(resolver) }
    }

    /// Sessions whose scopes share this connection.
    pub(crate) fn joined(&self, joint: Arc<Joint<S>>) -> Self {
        Self::over(Arc::clone(&self.inner.source), self.inner.policy.clone(), Some(joint))
    }

    pub(crate) fn inner(&self) -> &Arc<Inner<S>> {
        &self.inner
    }

    /// Begins a unit of work. Its first call borrows a connection, its end gives it back.
    #[track_caller]
    pub fn scope(&self, name: impl Into<Cow<'static, str>>) -> Scope<S> {
        self.scope_from(name.into(), Location::caller())
    }

    /// As [`Sessions::scope`], and borrows the connection now: who cannot get one should hear of it before work has begun.
    ///
    /// # Errors
    /// [`Error::Closed`], [`Error::Exhausted`], [`Error::Unavailable`].
    ///
    /// # Cancel safety
    /// Cancel safe: a dropped future leaves nothing behind.
    #[track_caller]
    pub fn open(
        &self,
        name: impl Into<Cow<'static, str>>,
    ) -> impl Future<Output = Result<Scope<S>, Error>> + Send + 'static {
        let scope = self.scope_from(name.into(), Location::caller());
        async move {
            scope.borrow().await?;
            Ok(scope)
        }
    }

    /// Runs a whole transaction, and tries it again when the database says that it has to be: after a serialization
    /// failure, a deadlock or a lock that was not to be had, at most `transaction_attempts_max` times.
    ///
    /// What `work` does outside the database happens as often as it is tried.
    ///
    /// # Errors
    /// The last attempt's. [`Error::CommitUnknown`] is never tried again.
    ///
    /// # Cancel safety
    /// Cancel safe: a dropped future rolls back, unless it was cut off in its commit; then it is as with
    /// [`Scope::commit`].
    #[track_caller]
    pub fn run<T, E, W>(&self, name: &'static str, work: W) -> impl Future<Output = Result<T, E>> + use<T, E, W, S>
    where
        W: AsyncFn(&Scope<S>) -> Result<T, E>,
        E: From<Error>,
    {
        let sessions = self.clone();
        let opened = Location::caller();
        async move {
            let mut attempt = 1;
            loop {
                let scope = sessions.scope_from(name.into(), opened);
                let (result, again) = scope.attempt(&work).await;
                if result.is_ok() || !again || attempt >= sessions.inner.policy.transaction_attempts_max {
                    return result;
                }
                drop(scope);
                let wait = sessions.inner.policy.backoff(attempt, sessions.inner.source.random());
                sessions.inner.counters.transactions_retried.add();
                sessions.inner.source.sleep(wait).await;
                attempt += 1;
            }
        }
    }

    fn scope_from(&self, name: Cow<'static, str>, opened: &'static Location<'static>) -> Scope<S> {
        let id = self.inner.next_scope.fetch_add(1, Ordering::Relaxed);
        let holder = Holder { id, name, opened, since: self.inner.source.now() };
        let scope = Scope::new(Arc::clone(&self.inner), holder.clone(), self.resolver.clone());
        self.inner.scopes.with(|it| it.insert(id, holder));
        scope
    }

    /// Calls `listener` for every event, once, until the guard is dropped.
    pub fn listen(&self, listener: impl Fn(&Event) + Send + Sync + 'static) -> Listening {
        Listeners::add(&self.inner.listeners, Box::new(listener))
    }

    /// The counters, and who holds a scope for longer than `leak_after`.
    pub fn health(&self) -> Health {
        let now = self.inner.source.now();
        let leaks = self.holders(|it| now.saturating_sub(it.since) >= self.inner.policy.leak_after);
        self.inner.counters.health(self.inner.source.usage(), self.open_scopes(), leaks)
    }

    /// The source.
    pub fn source(&self) -> &S {
        &self.inner.source
    }

    fn open_scopes(&self) -> usize {
        self.inner.scopes.with(|it| it.len())
    }

    pub(crate) fn holders(&self, which: impl Fn(&Holder) -> bool) -> Vec<Holder> {
        self.inner.scopes.with(|it| it.values().filter(|it| which(it)).cloned().collect())
    }
}

impl<S: Source> Inner<S> {
    /// Lends a scope what its session works on. With `good` it is fit for use, else what has to be done first is told.
    pub(crate) async fn lend(&self, scope: &Cell<S>, good: bool) -> Result<(Lease<S>, Condition), Error> {
        let Some(joint) = &self.joint else {
            return self.connection(good).await.map(|(lease, condition)| (Lease::Own(lease), condition));
        };
        if self.draining.load(Ordering::Acquire) {
            return Err(Error::Closed);
        }
        Ok((Lease::Turns(joint.turns(scope.holder.clone())), Condition::Good))
    }

    /// Lends a connection: attempts with backoff under one deadline.
    pub(crate) async fn connection(&self, good: bool) -> Result<(S::Lease, Condition), Error> {
        let began = self.source.now();
        let deadline = began + self.policy.acquire_timeout;
        let mut attempts = 0;
        let mut last: Option<Failure> = None;
        loop {
            let now = self.source.now();
            let Some(lent) = self.within(deadline.saturating_sub(now), self.source.acquire()).await else {
                return Err(self.not_lent(began, attempts, last));
            };
            attempts += 1;
            let failure = match lent {
                Ok(lent) if !good || lent.condition.is_fit() => return Ok((lent.lease, lent.condition)),
                Ok(mut lent) => match self.make_good(&mut lent.lease, lent.condition).await {
                    Ok(()) => return Ok((lent.lease, Condition::Good)),
                    Err(failure) => {
                        self.discard(lent.lease, "it did not answer a probe", Gone::of(&failure));
                        // A dead connection is no reason to wait: the next one may be good.
                        last = Some(failure);
                        if attempts >= self.attempts_max() {
                            return Err(self.not_lent(began, attempts, last));
                        }
                        continue;
                    }
                },
                Err(AcquireError::Closed) => return Err(Error::Closed),
                Err(AcquireError::Connect(failure)) => failure,
            };
            self.counters.connects_failed.add();
            let (hopeless, outage) = (failure.class == Class::Mistake, failure.class == Class::NotUpYet);
            last = Some(failure);
            let (now, random) = (self.source.now(), self.source.random());
            let wait = if outage {
                self.policy.outage_backoff(now.saturating_sub(began), random)
            } else {
                self.policy.backoff(attempts, random)
            };
            if hopeless || !outage && attempts >= self.policy.attempts_max || now + wait >= deadline {
                return Err(self.not_lent(began, attempts, last));
            }
            self.source.sleep(wait).await;
        }
    }

    /// The first connection, opened to see that the database can be used. A server that is starting up is waited for, one that
    /// is not there is not.
    pub(crate) async fn first_connection(&self) -> Result<S::Lease, Failure> {
        let began = self.source.now();
        loop {
            let failure = match self.source.acquire().await {
                Ok(lent) => return Ok(lent.lease),
                Err(AcquireError::Closed) => return Err(Failure::new(Class::Dead, "the source is closed")),
                Err(AcquireError::Connect(failure)) => failure,
            };
            let waited = self.source.now().saturating_sub(began);
            // Who is not there is an I/O error; who is not ready says so.
            let says_so =
                failure.source.downcast_ref::<sqlx::Error>().is_some_and(|it| it.as_database_error().is_some());
            if failure.class != Class::NotUpYet || !says_so || waited >= self.policy.acquire_timeout {
                return Err(failure);
            }
            self.source.sleep(self.policy.outage_backoff(waited, self.source.random())).await;
        }
    }

    /// Dead ones on the shelf do not count as attempts to open one.
    pub(crate) fn attempts_max(&self) -> u32 {
        self.policy.attempts_max.saturating_add(self.source.usage().max)
    }

    fn not_lent(&self, began: Duration, attempts: u32, last: Option<Failure>) -> Error {
        let waited = self.source.now().saturating_sub(began);
        match last {
            Some(failure) => Error::Unavailable { attempts, waited, source: failure.source },
            None => Error::Exhausted { usage: self.source.usage(), waited },
        }
    }

    /// Does what a connection's condition asks for.
    pub(crate) async fn make_good(&self, lease: &mut S::Lease, condition: Condition) -> Result<(), Failure> {
        let policy = &self.policy;
        match condition {
            Condition::Good | Condition::Recent => return Ok(()),
            Condition::Suspect => self.in_time(policy.probe_timeout, lease.probe()).await?,
            Condition::Owing { suspect } => {
                let limit = if suspect { policy.probe_timeout } else { policy.release_timeout };
                self.in_time(limit, self.source.clean(lease)).await?;
            }
            Condition::Unclean => {
                self.in_time(policy.release_timeout, clean(&mut **lease, policy.attempts_max)).await?
            }
        }
        self.source.vouch(lease);
        Ok(())
    }

    /// Gives a session's connection up; shared, it is given up for everybody.
    pub(crate) fn give_up(&self, lease: Lease<S>, why: &str, gone: Gone) {
        match (lease, &self.joint) {
            (Lease::Own(lease), _) => self.discard(lease, why, gone),
            (Lease::Turns(_), Some(joint)) => joint.lose(why),
            (Lease::Turns(_), None) => unreachable!("turns are lent on a shared connection"),
        }
    }

    /// Closes a connection in which nobody believes any more.
    pub(crate) fn discard(&self, lease: S::Lease, why: &str, gone: Gone) {
        if gone == Gone::Dead {
            self.source.discard(lease);
        } else {
            self.source.abandon(lease);
        }
        if gone != Gone::Busy {
            self.source.suspect_all();
        }
        self.counters.discarded.add();
        self.emit(&Event::Discarded { why });
    }

    /// Calls the listeners and counts the ones that had to be removed.
    pub(crate) fn emit(&self, event: &Event<'_>) {
        let removed = self.listeners.call(event, &|| self.source.now(), self.policy.listener_limit);
        (0..removed).for_each(|_| self.counters.listeners_removed.add());
    }

    /// Whether every scope gets the same connection.
    pub(crate) fn is_shared(&self) -> bool {
        self.joint.is_some() || self.source.is_only()
    }

    /// Whether giving a session's connection up loses the database.
    pub(crate) fn is_only(&self) -> bool {
        self.joint.is_none() && self.source.is_only()
    }

    pub(crate) fn reports_losses(&self) -> bool {
        self.policy.on_loss == OnLoss::Report
    }

    /// Asks a connection how the call ended that was cut off, and puts the session in order.
    pub(crate) async fn settle(&self, session: &mut Session<Lease<S>>) {
        let State::Doubt { call, depth } = *session.state() else { return };
        if self.joint.is_some() && depth == 0 {
            // Its turn has ended: whoever came next put the connection in order, or will.
            return session.transition(Happened::Settled { open: false, certain: true });
        }
        let only = self.is_only();
        let limit = self.policy.settle_timeout;
        let shared = self.joint.is_some() && S::Connection::INTERRUPTIBLE;
        // Where a statement that is cut off loses the transaction outside of a test, it does so in one.
        let certain = session.ask() && (S::Connection::ORDERED || call != Call::Statement);
        let open = match session.lease_mut() {
            Some(lease) if S::Connection::ORDERED || shared => {
                let asked = async {
                    lease.quiesce(self).await?;
                    settle(lease, call, depth, certain, self.policy.attempts_max).await
                };
                self.within(limit, asked).await
            }
            _ => None,
        };
        match open {
            Some(Ok(open)) => {
                session.answered();
                session.transition(Happened::Settled { open, certain });
            }
            Some(Err(failure)) => self.lose(session, failure.to_string(), only, Gone::of(&failure)),
            None => self.lose(session, "a call was cut off".into(), only, Gone::Silent),
        }
    }

    /// Gives the session's connection up and says so to its state.
    pub(crate) fn lose(&self, session: &mut Session<Lease<S>>, why: String, only: bool, gone: Gone) {
        if let Some(lease) = session.take_lease() {
            self.give_up(lease, &why, gone);
        }
        self.counters.lost.add();
        session.transition(Happened::GivenUp { why, report: self.reports_losses(), only });
    }

    /// What is asked of a connection, or that there was no answer in time.
    pub(crate) async fn in_time<T>(
        &self,
        limit: Duration,
        asked: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        self.within(limit, asked).await.unwrap_or_else(|| Err(Failure::no_answer(limit)))
    }

    /// The future's output, or none when the limit was reached first.
    pub(crate) async fn within<F: Future>(&self, limit: Duration, future: F) -> Option<F::Output> {
        // The work is looked at first: what is done in time counts, in every run alike.
        match select(pin!(future), pin!(self.source.sleep(limit))).await {
            Either::Left((output, _)) => Some(output),
            Either::Right(_) => None,
        }
    }

    pub(crate) fn scope_ended(&self, id: u64) {
        self.scopes.with(|it| it.remove(&id));
    }
}

/// Whether a transaction was open after this call was cut off. Where the caller cannot go on in it, it is rolled back.
async fn settle<C: Connection>(
    connection: &mut C,
    call: Call,
    depth: u32,
    certain: bool,
    attempts: u32,
) -> Result<bool, Failure> {
    let open = in_transaction(connection, attempts).await?;
    if open && (call != Call::Statement || depth == 0 || !certain) {
        control(connection, Control::Rollback, attempts).await?;
    }
    Ok(open)
}

/// Asks the database whether a transaction is open, again if the question was interrupted.
pub(crate) async fn in_transaction<C: Connection>(connection: &mut C, attempts: u32) -> Result<bool, Failure> {
    let mut answer = connection.in_transaction().await;
    for _ in 1..attempts {
        match answer {
            Err(failure) if failure.class == Class::StatementLost => answer = connection.in_transaction().await,
            answer => return answer,
        }
    }
    answer
}

/// Rolls back to a savepoint if there is one, again if that was interrupted; whether there was.
pub(crate) async fn roll_back_to<C: Connection>(
    connection: &mut C,
    depth: u32,
    attempts: u32,
) -> Result<bool, Failure> {
    let mut answer = connection.roll_back_to(depth).await;
    for _ in 1..attempts {
        match answer {
            Err(failure) if failure.class == Class::StatementLost => answer = connection.roll_back_to(depth).await,
            answer => return answer,
        }
    }
    answer
}

/// Undoes something, again if that was interrupted: for what may be repeated without harm.
pub(crate) async fn control<C: Connection>(connection: &mut C, control: Control, attempts: u32) -> Result<(), Failure> {
    let mut answer = connection.control(control).await;
    for _ in 1..attempts {
        match answer {
            Err(failure) if failure.class == Class::StatementLost => answer = connection.control(control).await,
            answer => return answer,
        }
    }
    answer
}
