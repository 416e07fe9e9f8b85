//! Finds out what became of a commit that was cut off.
//!
//! Owns how it is asked, and for how long. That it is asked, and what the answer does to the session, is in
//! [`crate::call::outcome`]. Whoever does not opt in gets [`Error::CommitUnknown`](crate::Error::CommitUnknown).

use std::fmt;
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use crate::scope::Scope;
use crate::sessions::{Gone, Inner, Sessions};
use crate::source::{Class, Connection, Control, Failure, Fate, Number, Numbered, Source, Trace};

/// How [`Sessions::resolving`] finds out whether a commit happened that was cut off.
pub struct Resolver<S: Source> {
    way: Arc<dyn Way<S>>,
}

/// By which a transaction can be found later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Clue {
    /// Its number, if it was asked for.
    number: Option<Number>,
    /// Whose it was.
    trace: Option<Trace>,
}

impl<S: Source> Resolver<S> {
    /// The database is asked by the transaction's number, which comes with the reply to each begin and costs no round trip.
    ///
    /// On PostgreSQL that is `pg_current_xact_id()`, and `pg_xact_status()` later. It makes a transaction that only reads one
    /// that uses a number up and leaves a mark in the log, unless it was begun read-only; then it has none, and its commit
    /// cannot be resolved. At REPEATABLE READ and above its snapshot is taken by the begin, not by its first statement.
    ///
    /// It cannot be told of a commit that happened before the server crashed: its number may be another's by then. After a
    /// failover to a server that had not got everything that is not even noticed: there use [`Resolver::asking`].
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
            question(scope).map(|it| it.map_err(|error| Failure::new(Class::NotUpYet, error))).boxed()
        };
        Self { way: Arc::new(ByQuestion { question: Box::new(question) }) }
    }

    /// Begins a transaction so that it can be found later.
    pub(crate) async fn begin(&self, source: &S, lease: &mut S::Lease, control: Control) -> Result<Clue, Failure> {
        let trace = source.trace(lease);
        let number = self.way.begin(&mut **lease, control).await?;
        Ok(Clue { number, trace })
    }

    /// Whether the transaction was committed, or none if that could not be found out within `resolve_timeout`.
    pub(crate) async fn resolve(&self, inner: &Arc<Inner<S>>, clue: Clue) -> Option<bool> {
        let began = inner.source.now();
        let asked = async {
            loop {
                match self.way.ask(inner, clue).await {
                    Ok(Fate::Committed) => return Some(true),
                    Ok(Fate::RolledBack) => return Some(false),
                    Ok(Fate::Unknown) => return None,
                    Ok(Fate::UnderWay) => {}
                    Err(failure) if failure.class == Class::Mistake => {
                        tracing::warn!(%failure, "what became of a commit could not be asked");
                        return None;
                    }
                    Err(failure) => tracing::debug!(%failure, "what became of a commit could not be asked yet"),
                }
                let waited = inner.source.now().saturating_sub(began);
                inner.source.sleep(inner.policy.outage_backoff(waited, inner.source.random())).await;
            }
        };
        let committed = inner.within(inner.policy.resolve_timeout, asked).await.flatten();
        tracing::info!(committed, took = ?inner.source.now().saturating_sub(began), "a commit that was cut off was asked for");
        committed
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
    ) -> BoxFuture<'a, Result<Option<Number>, Failure>>;

    /// Asks once.
    ///
    /// # Cancel safety
    /// Cancel safe: it only asks.
    fn ask<'a>(&'a self, inner: &'a Arc<Inner<S>>, clue: Clue) -> BoxFuture<'a, Result<Fate, Failure>>;
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
    ) -> BoxFuture<'a, Result<Option<Number>, Failure>> {
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

    fn ask<'a>(&'a self, inner: &'a Arc<Inner<S>>, clue: Clue) -> BoxFuture<'a, Result<Fate, Failure>> {
        async move {
            let Some(number) = clue.number else { return Ok(Fate::Unknown) };
            let (mut lease, _) = inner.connection(true).await.map_err(|it| Failure::new(Class::NotUpYet, it))?;
            let fate = lease.fate(number).await;
            match &fate {
                Err(it) if matches!(it.class, Class::Dead | Class::Unknown) => {
                    inner.discard(lease, "it did not say what became of a commit", Gone::of(it));
                }
                _ => inner.source.give_back(lease),
            }
            fate
        }
        .boxed()
    }
}

type Answer = BoxFuture<'static, Result<Option<bool>, Failure>>;

struct ByQuestion<S: Source> {
    question: Box<dyn Fn(Scope<S>) -> Answer + Send + Sync>,
}

impl<S: Source> Way<S> for ByQuestion<S> {
    fn begin<'a>(
        &'a self,
        connection: &'a mut S::Connection,
        control: Control,
    ) -> BoxFuture<'a, Result<Option<Number>, Failure>> {
        async move { connection.control(control).await.map(|()| None) }.boxed()
    }

    fn ask<'a>(&'a self, inner: &'a Arc<Inner<S>>, clue: Clue) -> BoxFuture<'a, Result<Fate, Failure>> {
        async move {
            // Before the question: what is not there and cannot come any more is what counts.
            let over = match clue.trace {
                Some(trace) => inner.source.is_over(trace).await?,
                None => true,
            };
            let scope = Sessions::of(Arc::clone(inner)).scope("what became of a commit");
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
