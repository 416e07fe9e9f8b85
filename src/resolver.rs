//! Finds out what became of a commit whose answer is missing.
//!
//! Owns how it is asked, and for how long. When it is asked, and what the answer does to the session, is in `call`. Without a
//! resolver such a commit is [`Error::CommitUnknown`].

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
    /// On PostgreSQL that is `pg_current_xact_id()`, and `pg_xact_status()` later. It makes a transaction that only reads one
    /// that uses a number up and leaves a mark in the log, unless it was begun read-only; then it has none, and its commit
    /// cannot be resolved. At REPEATABLE READ and above its snapshot is taken by the begin, not by its first statement.
    ///
    /// It cannot say anything of a commit that happened before the server crashed: its number may be another's by then. After a
    /// failover to a server that had not received everything not even that is noticed: there use [`Resolver::asking`].
    pub fn transaction_id() -> Self
    where
        S::Connection: Numbered,
    {
        Self { way: Arc::new(ByNumber) }
    }

    /// The application is asked, on a scope of its own: it looks for an idempotency key, say, that the transaction wrote. Begins
    /// cost nothing more.
    ///
    /// `Some(true)`: it is there, so the transaction was committed. `Some(false)`: it is not there; that is believed once the
    /// server process that had the transaction is gone, and asked again until then. `None`, or an error: asked again.
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
    /// The same sessions, for scopes that find out what became of a commit whose answer is missing: it is lost, or the caller
    /// did not wait for it. Then [`commit`](Scope::commit) is `Ok`, or [`Error::RolledBack`], and only if it could not be
    /// found out within `resolve_timeout`, [`Error::CommitUnknown`].
    ///
    /// After a cancelled commit the next `commit` of the scope asks; a `rollback` is then [`Error::AlreadyCommitted`] if the
    /// commit has happened. In a test's fixture nothing is committed, and nothing asked.
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

    fn resolve(&self, transaction: TransactionId) -> BoxFuture<'_, Option<bool>> {
        async move {
            let (source, policy) = (self.lender.source(), self.lender.policy());
            let began = source.now();
            let asked = async {
                loop {
                    match self.way.ask(&self.lender, transaction).await {
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

/// How it is asked.
trait Way<S: Source>: Send + Sync {
    /// Begins a transaction; its number, if it has one.
    ///
    /// # Cancel safety
    /// Not cancel safe: whether it began is unknown.
    fn begin<'a>(
        &'a self,
        connection: &'a mut S::Connection,
        control: Control,
    ) -> BoxFuture<'a, Result<Option<Number>, ConnectionError>>;

    /// Asks once.
    ///
    /// # Cancel safety
    /// Cancel safe: it only asks.
    fn ask<'a>(
        &'a self,
        lender: &'a Arc<Lender<S>>,
        transaction: TransactionId,
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
    ) -> BoxFuture<'a, Result<Fate, ConnectionError>> {
        async move {
            let Some(number) = transaction.number else { return Ok(Fate::Unknown) };
            let not_up_yet = |error: Error| ConnectionError::new(ErrorClass::Unavailable, error);
            let mut lease = lender.connection().await.map_err(not_up_yet)?;
            let fate = lease.fate(number).await;
            match &fate {
                Err(failure) if matches!(failure.class, ErrorClass::Disconnected | ErrorClass::OutcomeUnknown) => {
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
    ) -> BoxFuture<'a, Result<Fate, ConnectionError>> {
        async move {
            // Before the question: what counts is that the effect is not there and cannot come any more.
            let over = match transaction.trace {
                Some(trace) => lender.source().is_over(trace).await?,
                None => true,
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
