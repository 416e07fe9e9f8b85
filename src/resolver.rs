//! Resolves commits whose answer is missing.
//!
//! Owns how the question is asked, and for how long. When it is asked, and what the answer does to the session, is in
//! `call`. Without a resolver such a commit is [`Error::CommitUnknown`].

use std::fmt;
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use crate::commit::CommitResolver;
use crate::error::Error;
use crate::lender::{Gone, Lender};
use crate::scope::Scope;
use crate::session::TransactionId;
use crate::sessions::Sessions;
use crate::source::{Connection, ConnectionError, Control, ErrorClass, Fate, Number, Numbered, Source};

/// How [`Sessions::resolving`] finds out whether a commit happened whose answer is missing.
pub struct Resolver<S: Source> {
    way: Arc<dyn Way<S>>,
}

impl<S: Source> Resolver<S> {
    /// The database is asked by the transaction's number, which comes with the reply to each begin and costs no round trip.
    ///
    /// On PostgreSQL that is `pg_current_xact_id()`, and `pg_xact_status()` later. Even a transaction that only reads
    /// then uses up a number and leaves a mark in the log. A transaction that was begun read-only has no number, and
    /// its commit cannot be resolved. At REPEATABLE READ and above its snapshot is taken by the begin, not by its first
    /// statement.
    ///
    /// The status of a commit from before a crash of the server is unknown, because its number may be assigned again. A
    /// failover to a server that had not received everything is not even noticed: use [`Resolver::asking`] there.
    pub fn transaction_id() -> Self
    where
        S::Connection: Numbered,
    {
        Self { way: Arc::new(ByNumber) }
    }

    /// The application is asked, on a scope of its own: it looks for an idempotency key, say, that the transaction
    /// wrote. Begins cost nothing extra.
    ///
    /// `Some(true)`: it is there, so the transaction was committed. `Some(false)`: it is not there; that is final once
    /// the server process that ran the transaction is gone; until then the question is repeated. `None`, or an error:
    /// the question is repeated.
    pub fn asking<W, E>(question: impl Fn(Scope<S>) -> W + Send + Sync + 'static) -> Self
    where
        W: Future<Output = Result<Option<bool>, E>> + Send + 'static,
        E: std::error::Error + Send + Sync + 'static,
    {
        let question = move |scope| -> Answer {
            let answer = question(scope);
            answer.map(|found| found.map_err(|error| ConnectionError::new(ErrorClass::Unavailable, error))).boxed()
        };
        Self { way: Arc::new(ByQuestion { question: Box::new(question) }) }
    }
}

impl<S: Source> Sessions<S> {
    /// Returns the same sessions with a resolver: a commit whose answer was lost, or not awaited by its caller, is
    /// looked up. [`commit`](Scope::commit) is then `Ok` or [`Error::RolledBack`], and [`Error::CommitUnknown`] only if
    /// `resolve_timeout` passes without an answer.
    ///
    /// After a cancelled commit the scope's next `commit` looks it up; a `rollback` is then [`Error::AlreadyCommitted`]
    /// if the commit has happened. In a test's fixture nothing is committed, so nothing is looked up.
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
        self.resolved_by(Arc::new(Asking { way: resolver.way, lender: Arc::clone(self.lender()) }))
    }
}

/// A way of asking, with the connections that it asks on.
struct Asking<S: Source> {
    way: Arc<dyn Way<S>>,
    lender: Arc<Lender<S>>,
}

impl<S: Source> CommitResolver<S> for Asking<S> {
    fn begin<'a>(
        &'a self,
        connection: &'a mut S::Connection,
        control: Control,
    ) -> BoxFuture<'a, Result<Option<Number>, ConnectionError>> {
        self.way.begin(connection, control)
    }

    fn resolve(&self, transaction: TransactionId, settled: bool) -> BoxFuture<'_, Option<bool>> {
        async move {
            let (source, policy) = (self.lender.source(), self.lender.policy());
            let began = source.now();
            let asked = async {
                loop {
                    match self.way.ask(&self.lender, transaction, settled).await {
                        Ok(Fate::Committed) => return Some(true),
                        Ok(Fate::RolledBack) => return Some(false),
                        Ok(Fate::Unknown) => return None,
                        Ok(Fate::UnderWay) => {}
                        Err(failure) if failure.class == ErrorClass::Rejected => {
                            tracing::warn!(%failure, "what became of a commit could not be asked");
                            return None;
                        }
                        Err(failure) => tracing::debug!(%failure, "what became of a commit could not be asked yet"),
                    }
                    let waited = source.now().saturating_sub(began);
                    source.sleep(policy.outage_backoff(waited, source.random())).await;
                }
            };
            let committed = self.lender.bounded().within(policy.resolve_timeout, asked).await.flatten();
            let took = source.now().saturating_sub(began);
            tracing::info!(committed, ?took, "a commit without an answer was looked up");
            committed
        }
        .boxed()
    }
}

/// How the question is asked.
trait Way<S: Source>: Send + Sync {
    /// Begins a transaction; returns its number, if it has one.
    ///
    /// # Cancel safety
    /// Not cancel safe: whether it began is unknown.
    fn begin<'a>(
        &'a self,
        connection: &'a mut S::Connection,
        control: Control,
    ) -> BoxFuture<'a, Result<Option<Number>, ConnectionError>>;

    /// Asks once. `settled`: the transaction's connection has answered since.
    ///
    /// # Cancel safety
    /// Cancel safe: it only asks.
    fn ask<'a>(
        &'a self,
        lender: &'a Arc<Lender<S>>,
        transaction: TransactionId,
        settled: bool,
    ) -> BoxFuture<'a, Result<Fate, ConnectionError>>;
}

struct ByNumber;

impl<S: Source> Way<S> for ByNumber
where
    S::Connection: Numbered,
{
    fn begin<'a>(
        &'a self,
        connection: &'a mut S::Connection,
        control: Control,
    ) -> BoxFuture<'a, Result<Option<Number>, ConnectionError>> {
        async move {
            match control {
                Control::Begin(begin) | Control::CleanBegin(begin) if !begin.read_only => {
                    connection.begin_numbered(control).await.map(Some)
                }
                _ => connection.control(control).await.map(|()| None),
            }
        }
        .boxed()
    }

    fn ask<'a>(
        &'a self,
        lender: &'a Arc<Lender<S>>,
        transaction: TransactionId,
        _settled: bool,
    ) -> BoxFuture<'a, Result<Fate, ConnectionError>> {
        async move {
            let Some(number) = transaction.number else { return Ok(Fate::Unknown) };
            let not_up_yet = |error: Error| ConnectionError::new(ErrorClass::Unavailable, error);
            let mut lease = lender.connection().await.map_err(not_up_yet)?;
            let fate = lease.fate(number).await;
            match &fate {
                Err(failure) if failure.class.is_loss() => {
                    lender.discard(lease, "it did not say what became of a commit", Gone::of(failure));
                }
                _ => lender.source().give_back(lease),
            }
            fate
        }
        .boxed()
    }
}

type Answer = BoxFuture<'static, Result<Option<bool>, ConnectionError>>;

struct ByQuestion<S: Source> {
    question: Box<dyn Fn(Scope<S>) -> Answer + Send + Sync>,
}

impl<S: Source> Way<S> for ByQuestion<S> {
    fn begin<'a>(
        &'a self,
        connection: &'a mut S::Connection,
        control: Control,
    ) -> BoxFuture<'a, Result<Option<Number>, ConnectionError>> {
        async move { connection.control(control).await.map(|()| None) }.boxed()
    }

    fn ask<'a>(
        &'a self,
        lender: &'a Arc<Lender<S>>,
        transaction: TransactionId,
        settled: bool,
    ) -> BoxFuture<'a, Result<Fate, ConnectionError>> {
        async move {
            // This check comes before the question: the effect must be absent and unable to appear later.
            let over = match transaction.trace {
                Some(trace) => lender.source().is_over(trace).await?,
                // Nothing is known of a process that may still be at it.
                None => settled,
            };
            let scope = Sessions::of(Arc::clone(lender)).scope("what became of a commit");
            Ok(match (self.question)(scope).await? {
                Some(true) => Fate::Committed,
                Some(false) if over => Fate::RolledBack,
                Some(false) | None => Fate::UnderWay,
            })
        }
        .boxed()
    }
}

impl<S: Source> Clone for Resolver<S> {
    fn clone(&self) -> Self {
        Self { way: Arc::clone(&self.way) }
    }
}

impl<S: Source> fmt::Debug for Resolver<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Resolver")
    }
}
