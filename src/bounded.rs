//! A source under a policy: nothing asked of a connection waits without a limit, and an interrupted question is retried.
//!
//! Owns waiting under a limit and the one place that retries an interrupted question. `lease`, `lender` and everything above
//! ask through it. Which limit applies, and what a missing answer means, is the caller's decision.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{Either, select};

use crate::policy::Policy;
use crate::source::{Connection, ConnectionError, Control, ErrorClass, Source};

/// An answer that takes so much longer than the first one of its connection does not come.
const ROUND_TRIPS: u32 = 4;

/// A source under a policy.
pub(crate) struct Bounded<S> {
    source: Arc<S>,
    policy: Policy,
}

/// What came first: the answer of a connection, or another connection.
pub(crate) enum First<T, P> {
    Answer(T),
    Spare(P),
}

/// A question to a connection that may safely be asked twice.
pub(crate) trait Question: Copy + Send {
    /// The answer.
    type Answer: Send;

    /// Asks once.
    ///
    /// # Errors
    /// As [`Connection::control`].
    ///
    /// # Cancel safety
    /// Not cancel safe: whether it ran is unknown.
    fn ask<C: Connection>(
        self,
        connection: &mut C,
    ) -> impl Future<Output = Result<Self::Answer, ConnectionError>> + Send;
}

/// Whether a transaction is open.
#[derive(Clone, Copy, Debug)]
pub(crate) struct InTransaction;

/// Rolls back to the savepoint of this depth; returns whether there is one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RollBackTo(pub(crate) u32);

/// A statement of the library's own that may safely run twice.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Repeatable(pub(crate) Control);

impl<S: Source> Bounded<S> {
    pub(crate) fn new(source: Arc<S>, policy: Policy) -> Self {
        Self { source, policy }
    }

    pub(crate) fn source(&self) -> &S {
        &self.source
    }

    pub(crate) fn policy(&self) -> &Policy {
        &self.policy
    }

    /// How long a probe of this connection may take: the policy's limit, or more where the database is far away.
    pub(crate) fn probe_limit(&self, lease: &S::Lease) -> Duration {
        // The server may have been busy when the connection was opened, and is not far away for that.
        let far = (self.source.round_trip(lease) * ROUND_TRIPS).min(self.policy.begin_timeout);
        self.policy.probe_timeout.max(far)
    }

    /// Returns the future's output, or none if the limit is reached first.
    pub(crate) async fn within<F: Future>(&self, limit: Duration, future: F) -> Option<F::Output> {
        // The work is polled first: what is done in time counts, in every run alike.
        match select(pin!(future), pin!(self.source.sleep(limit))).await {
            Either::Left((output, _)) => Some(output),
            Either::Right(_) => None,
        }
    }

    /// Returns a connection's answer; a missing answer is a failure as well. The only connection to a database in memory is
    /// waited for: it is no further away than this process, so its silence is work, and without it the data is gone.
    pub(crate) async fn in_time<T>(
        &self,
        limit: Duration,
        answer: impl Future<Output = Result<T, ConnectionError>>,
    ) -> Result<T, ConnectionError> {
        if self.source.is_only() {
            return answer.await;
        }
        self.within(limit, answer).await.unwrap_or_else(|| Err(ConnectionError::no_answer(limit)))
    }

    /// Returns the answer of a connection that may be dead. Silence is no proof of that, since the server may stand still for a
    /// while: after the limit a spare connection is opened beside it, and whichever is answered first serves.
    pub(crate) async fn or_spare<T>(
        &self,
        limit: Duration,
        answer: impl Future<Output = Result<T, ConnectionError>>,
    ) -> Result<First<T, S::Spare>, ConnectionError> {
        let mut answer = pin!(answer);
        if let Some(answer) = self.within(limit, answer.as_mut()).await {
            return answer.map(First::Answer);
        }
        match select(answer, pin!(self.source.spare())).await {
            Either::Left((answer, _)) => answer.map(First::Answer),
            Either::Right((Ok(spare), _)) => Ok(First::Spare(spare)),
            Either::Right((Err(_), _)) => Err(ConnectionError::no_answer(limit)),
        }
    }

    /// Asks, and retries if the database says that the question was interrupted.
    pub(crate) async fn ask<C: Connection, Q: Question>(
        &self,
        connection: &mut C,
        question: Q,
    ) -> Result<Q::Answer, ConnectionError> {
        let mut answer = question.ask(connection).await;
        for _ in 1..self.policy.attempts_max {
            match answer {
                Err(failure) if failure.class == ErrorClass::RetryStatement => answer = question.ask(connection).await,
                answer => return answer,
            }
        }
        answer
    }
}

impl Question for InTransaction {
    type Answer = bool;

    fn ask<C: Connection>(self, connection: &mut C) -> impl Future<Output = Result<bool, ConnectionError>> + Send {
        connection.in_transaction()
    }
}

impl Question for RollBackTo {
    type Answer = bool;

    fn ask<C: Connection>(self, connection: &mut C) -> impl Future<Output = Result<bool, ConnectionError>> + Send {
        connection.roll_back_to(self.0)
    }
}

impl Question for Repeatable {
    type Answer = ();

    fn ask<C: Connection>(self, connection: &mut C) -> impl Future<Output = Result<(), ConnectionError>> + Send {
        connection.control(self.0)
    }
}

impl<S> Clone for Bounded<S> {
    fn clone(&self) -> Self {
        Self { source: Arc::clone(&self.source), policy: self.policy.clone() }
    }
}
