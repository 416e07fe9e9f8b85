//! Several statements of a scope that are kept or undone together.
//!
//! Owns opening a level, running work in it, and ending it; a level that is dropped is undone before anything else runs. Who
//! may use the session meanwhile is decided by [`Level`]; the outcome of each statement is `call`'s.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::MutexGuard;

use crate::call::{begin, close_gate, queue};
use crate::cell::{Handle, Level};
use crate::error::Error;
use crate::session::Call;
use crate::source::{Begin, ErrorClass, Source};

/// An attempt of an operation that failed.
pub(crate) struct Failed<E> {
    pub(crate) error: E,
    pub(crate) undone: Undone,
}

/// How much of a failed attempt is certainly undone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Undone {
    /// Unknown.
    Unsure,
    /// Everything since its savepoint; the surrounding transaction goes on, or is lost with it.
    Savepoint,
    /// Its whole transaction.
    Transaction,
}

impl Undone {
    /// Whether another attempt may follow one that failed with this class of error.
    pub(crate) fn allows_another(self, class: ErrorClass) -> bool {
        match self {
            Self::Unsure => false,
            Self::Savepoint => class == ErrorClass::RetryStatement,
            Self::Transaction => matches!(class, ErrorClass::RetryStatement | ErrorClass::RetryTransaction),
        }
    }
}

/// Runs `work` in a level, once; `own` turns the library's error into the caller's.
pub(crate) async fn attempt<S: Source, T, E, W>(
    handle: &Handle<S>,
    operation: &'static str,
    work: impl FnOnce(Handle<S>) -> W,
    own: impl Fn(Error) -> E,
) -> Result<T, Failed<E>>
where
    W: Future<Output = Result<T, E>>,
{
    let unsure = |error| Failed { error: own(error), undone: Undone::Unsure };
    // Boxed, as each step of its own: callers nest their futures in theirs, and the compiler follows only so deep.
    let mut opened = Opened::new(handle, operation).boxed().await.map_err(unsure)?;
    let inside = handle.inside(&opened.level);
    let depth = match begin(&inside, Begin::default()).boxed().await {
        Ok(depth) => *opened.depth.insert(depth),
        Err(error) => return Err(Failed { error: own(error), undone: Undone::Savepoint }),
    };
    let work = pin!(work(inside.clone()));
    match opened.run(work).await {
        Ok(value) => {
            end_level(&inside, Call::Commit, operation).await.map_err(unsure)?;
            opened.depth = None;
            Ok(value)
        }
        Err(error) => {
            let mut undone = Undone::Unsure;
            if end_level(&inside, Call::Rollback, operation).await.is_ok() {
                opened.depth = None;
                undone = if depth == 0 { Undone::Transaction } else { Undone::Savepoint };
            }
            Err(Failed { error, undone })
        }
    }
}

/// Ends the level of this handle.
fn end_level<'a, S: Source>(
    inside: &'a Handle<S>,
    end: Call,
    operation: &'static str,
) -> BoxFuture<'a, Result<(), Error>> {
    async move {
        let queued = queue(inside, operation).await?;
        // The level is ended while no other call has the session: a call that waits for it would run outside of the level.
        inside.level().end();
        if end == Call::Commit { queued.commit(operation).await } else { queued.rollback(operation).await }
    }
    .boxed()
}

/// A level that is open.
struct Opened<'a, S: Source> {
    outer: &'a Handle<S>,
    level: Arc<Level>,
    /// The depth outside of it, once it has begun.
    depth: Option<u32>,
    _gate: MutexGuard<'a, ()>,
}

impl<'a, S: Source> Opened<'a, S> {
    async fn new(outer: &'a Handle<S>, operation: &'static str) -> Result<Self, Error> {
        let gate = close_gate(outer, operation).await?;
        outer.level().open(operation);
        let level = Arc::new(Level::inside(outer.own_level().cloned(), operation));
        Ok(Self { outer, level, depth: None, _gate: gate })
    }

    /// Runs the work and records which task runs it: a call of the outer level from that task would wait for itself.
    async fn run<F: Future>(&self, mut work: Pin<&mut F>) -> F::Output {
        let outer = self.outer.level();
        poll_fn(|context| {
            outer.set_polled_by(Some(self.outer.lender().source().task()));
            let polled = work.as_mut().poll(context);
            outer.set_polled_by(None);
            polled
        })
        .await
    }
}

impl<S: Source> Drop for Opened<'_, S> {
    fn drop(&mut self) {
        self.level.end();
        self.outer.level().close();
        // An abandoned outer level includes this one; another level may use this depth by now.
        if let Some(depth) = self.depth
            && self.outer.level().ended().is_none()
        {
            self.outer.cell().levels().leave(depth);
            let outer = self.outer.unpinned();
            // The next call of the scope undoes the level; without one, this task does.
            self.outer.lender().source().spawn(Box::pin(async move {
                let _ = queue(&outer, "undo").await;
            }));
        }
    }
}
