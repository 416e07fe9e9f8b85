//! Opens scopes over a source.
//!
//! Owns the front door of the library: scopes, whole transactions that are retried, listeners and health. Lending is in
//! `lender`, the end of sessions in [`super::drain`], the health check in [`super::validity`].

use std::borrow::Cow;
use std::panic::Location;
use std::sync::Arc;

use crate::bounded::Bounded;
use crate::cell::Cell;
use crate::commit::CommitResolver;
use crate::error::Error;
use crate::events::{Event, ListenerGuard};
use crate::health::{Count, Health};
use crate::lease::Joint;
use crate::lender::Lender;
use crate::policy::{Policy, PolicyError};
use crate::scope::Scope;
use crate::source::{Settings, Source};

/// Opens scopes over a source of connections.
///
/// Cheap to clone; every clone is the same.
pub struct Sessions<S: Source> {
    lender: Arc<Lender<S>>,
    settings: Settings,
    resolver: Option<Arc<dyn CommitResolver<S>>>,
}

impl<S: Source> Sessions<S> {
    /// Creates sessions over this source, under this policy. Opens nothing yet.
    ///
    /// # Errors
    /// The first contradiction in the policy.
    pub fn new(source: S, policy: Policy) -> Result<Self, PolicyError> {
        policy.validate()?;
        Ok(Self::of(Arc::new(Lender::new(Bounded::new(Arc::new(source), policy)))))
    }

    /// Begins a unit of work. Its first call borrows a connection, its end gives it back.
    #[track_caller]
    pub fn scope(&self, name: impl Into<Cow<'static, str>>) -> Scope<S> {
        self.scope_from(name.into(), Location::caller())
    }

    /// As [`Sessions::scope`], but borrows the connection at once, so that a caller learns before its work begins that
    /// there is none.
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

    /// Runs a whole transaction, and retries it when the database asks for that: after a serialization failure, a deadlock or
    /// a lock that could not be taken, at most `transaction_attempts_max` times.
    ///
    /// Side effects of `work` outside the database happen once for each attempt. A level that `work` has begun and not ended, as one
    /// whose future was dropped, is rolled back; what it did outside of that level is kept.
    ///
    /// # Errors
    /// The last attempt's. [`Error::CommitUnknown`] is never retried.
    ///
    /// # Cancel safety
    /// Cancel safe: a dropped future rolls back, unless it was cancelled in its commit; then it is as with
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
                let (source, policy) = (sessions.lender.source(), sessions.lender.policy());
                match scope.attempt(&work).await {
                    Ok(value) => return Ok(value),
                    Err(failed) if !failed.may_retry || attempt >= policy.transaction_attempts_max => {
                        return Err(failed.error);
                    }
                    Err(_) => drop(scope),
                }
                let wait = policy.backoff(attempt, source.random());
                sessions.lender.count(Count::TransactionRetried);
                source.sleep(wait).await;
                attempt += 1;
            }
        }
    }

    /// Calls `listener` for every event, once, until the guard is dropped.
    pub fn listen(&self, listener: impl Fn(&Event) + Send + Sync + 'static) -> ListenerGuard {
        self.lender.listen(listener)
    }

    /// Returns the counters, and the holders of scopes that are older than `leak_after`.
    pub fn health(&self) -> Health {
        self.lender.health()
    }

    /// The source.
    pub fn source(&self) -> &S {
        self.lender.source()
    }

    pub(crate) fn of(lender: Arc<Lender<S>>) -> Self {
        Self { lender, settings: Settings::default(), resolver: None }
    }

    /// Creates sessions whose scopes share this connection.
    pub(crate) fn joined(&self, joint: Arc<Joint<S>>) -> Self {
        Self { lender: Arc::new(self.lender.joined(joint)), resolver: None, ..self.clone() }
    }

    /// Returns the same sessions with these settings for their scopes.
    #[cfg(feature = "postgres")]
    pub(crate) fn configured(&self, settings: Settings) -> Self {
        Self { settings, ..self.clone() }
    }

    #[cfg(feature = "postgres")]
    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Returns the same sessions with this resolver for their commits.
    pub(crate) fn resolved_by(&self, resolver: Arc<dyn CommitResolver<S>>) -> Self {
        Self { resolver: Some(resolver), ..self.clone() }
    }

    pub(crate) fn lender(&self) -> &Arc<Lender<S>> {
        &self.lender
    }

    fn scope_from(&self, name: Cow<'static, str>, opened: &'static Location<'static>) -> Scope<S> {
        let holder = self.lender.enter(name, opened);
        Scope::new(Cell::new(Arc::clone(&self.lender), holder, self.settings.clone(), self.resolver.clone()))
    }
}

impl<S: Source> Clone for Sessions<S> {
    fn clone(&self) -> Self {
        Self { lender: Arc::clone(&self.lender), settings: self.settings.clone(), resolver: self.resolver.clone() }
    }
}
