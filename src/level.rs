//! Levels: several statements of a scope that are kept or undone together.
//!
//! Owns who may use the session while a level is open, and that one which was left is undone before anything else runs. A
//! level is a transaction, or a savepoint inside one. What its statements come to is in [`crate::call`].

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use tokio::sync::{Mutex, MutexGuard};

use crate::error::Error;
use crate::scope::Handle;
use crate::session::Call;
use crate::source::{Begin, Class, Source, TaskId};
use crate::sync::Shared;

/// What handles of one level share; the root is the scope itself.
#[derive(Debug, Default)]
pub(crate) struct Level {
    /// Held while a level inside this one is open: calls of this one wait.
    gate: Mutex<()>,
    /// What opened it, for whoever waits.
    inside: Shared<Option<Inside>>,
    operation: &'static str,
    ended: AtomicBool,
    outer: Option<Arc<Level>>,
}

#[derive(Clone, Copy, Debug)]
struct Inside {
    operation: &'static str,
    /// The task that runs it, while it does.
    polled_by: Option<TaskId>,
}

/// The levels of a scope.
#[derive(Debug)]
pub(crate) struct Levels {
    pub(crate) root: Level,
    /// The depth to which levels were left without having been ended.
    left: AtomicU32,
}

const NONE_LEFT: u32 = u32::MAX;

impl Default for Levels {
    fn default() -> Self {
        Self { root: Level::default(), left: AtomicU32::new(NONE_LEFT) }
    }
}

impl Levels {
    /// The depth to which has to be undone what was left.
    pub(crate) fn left(&self) -> Option<u32> {
        Some(self.left.load(Ordering::SeqCst)).filter(|it| *it != NONE_LEFT)
    }

    /// It was undone, to this depth.
    pub(crate) fn undone(&self, depth: u32) {
        // Unless an outer one was left meanwhile: then that is to be done.
        let _ = self.left.compare_exchange(depth, NONE_LEFT, Ordering::SeqCst, Ordering::SeqCst);
    }
}

impl Level {
    /// The operation whose level has ended, if it or one around it has.
    pub(crate) fn ended(&self) -> Option<&'static str> {
        let outer = self.outer.as_ref().and_then(|it| it.ended());
        outer.or_else(|| self.ended.load(Ordering::SeqCst).then_some(self.operation))
    }

    pub(crate) fn gate(&self) -> &Mutex<()> {
        &self.gate
    }

    /// The operation for which calls of this level wait, and whether this very task runs it.
    pub(crate) fn waits_for(&self, task: TaskId) -> Option<(&'static str, bool)> {
        self.inside.with(|it| it.map(|it| (it.operation, it.polled_by == Some(task))))
    }

    fn set_polled_by(&self, task: Option<TaskId>) {
        self.inside.with(|it| {
            if let Some(inside) = it {
                inside.polled_by = task;
            }
        });
    }
}

/// An attempt of an operation that failed.
pub(crate) struct Failed<E> {
    pub(crate) error: E,
    pub(crate) undone: Undone,
}

/// What surely is not kept of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Undone {
    /// Nobody can say.
    Unsure,
    /// Everything since its savepoint; the transaction around it goes on, or is lost with it.
    Savepoint,
    /// Its whole transaction.
    Transaction,
}

/// A level that is open.
struct Opened<'a, S: Source> {
    outer: &'a Handle<S>,
    level: Arc<Level>,
    /// The depth outside of it, once it was begun.
    depth: Option<u32>,
    _gate: MutexGuard<'a, ()>,
}

impl<S: Source> Handle<S> {
    /// Runs several statements of which all are kept or none: in a transaction of their own, inside one in a savepoint. It is
    /// committed if `work` answers `Ok` and rolled back if not. `work` gets a handle for its statements, which is stale
    /// after it; meanwhile other calls of the scope wait.
    ///
    /// A [`Repository`](crate::Repository) has the same [with a name and further attempts](crate::Repository::atomic).
    ///
    /// # Errors
    /// What `work` answered; else as [`Scope::begin`](crate::Scope::begin) and [`Scope::commit`](crate::Scope::commit).
    /// [`Error::SessionBusy`] for a call of the scope inside `work` that does not use its handle.
    ///
    /// # Cancel safety
    /// Safe: what was done so far is rolled back before anything else runs on the scope. Cut off in its commit, whether that
    /// happened is unknown.
    pub async fn atomic<T, E, W>(&self, operation: &'static str, work: impl FnOnce(Self) -> W + Send) -> Result<T, E>
    where
        W: Future<Output = Result<T, E>>,
        E: From<Error>,
    {
        self.attempt(operation, work, E::from).await.map_err(|it| it.error)
    }

    /// One attempt to run `work` in a level; `own` makes its error of the library's.
    pub(crate) async fn attempt<T, E, W>(
        &self,
        operation: &'static str,
        work: impl FnOnce(Self) -> W,
        own: impl Fn(Error) -> E,
    ) -> Result<T, Failed<E>>
    where
        W: Future<Output = Result<T, E>>,
    {
        let unsure = |error| Failed { error: own(error), undone: Undone::Unsure };
        let mut opened = Opened::new(self, operation).await.map_err(unsure)?;
        let handle = self.inside(&opened.level);
        let depth = match handle.begin(Begin::default()).await {
            Ok(depth) => *opened.depth.insert(depth),
            Err(error) => return Err(Failed { error: own(error), undone: Undone::Savepoint }),
        };
        let work = pin!(work(handle.clone()));
        match opened.run(work).await {
            Ok(value) => {
                handle.end_level(Call::Commit, operation).await.map_err(unsure)?;
                opened.depth = None;
                Ok(value)
            }
            Err(error) => {
                let mut undone = Undone::Unsure;
                if handle.end_level(Call::Rollback, operation).await.is_ok() {
                    opened.depth = None;
                    undone = if depth == 0 { Undone::Transaction } else { Undone::Savepoint };
                }
                Err(Failed { error, undone })
            }
        }
    }

    /// Ends the level of this handle.
    async fn end_level(&self, end: Call, operation: &'static str) -> Result<(), Error> {
        let queued = self.queue(operation).await?;
        // While nobody else has the session: who waits for it would run outside of the level.
        self.level().ended.store(true, Ordering::SeqCst);
        if end == Call::Commit { queued.commit(operation).await } else { queued.rollback(operation).await }
    }
}

impl<'a, S: Source> Opened<'a, S> {
    async fn new(outer: &'a Handle<S>, operation: &'static str) -> Result<Self, Error> {
        let gate = outer.close_gate(operation).await?;
        outer.level().inside.with(|it| *it = Some(Inside { operation, polled_by: None }));
        let level = Arc::new(Level { operation, outer: outer.level.clone(), ..Level::default() });
        Ok(Self { outer, level, depth: None, _gate: gate })
    }

    /// Runs the work, and says which task does while it does: a call of the outer level would wait for itself there.
    async fn run<F: Future>(&self, mut work: std::pin::Pin<&mut F>) -> F::Output {
        let outer = self.outer.level();
        poll_fn(|context| {
            outer.set_polled_by(Some(self.outer.cell.inner.source.task()));
            let polled = work.as_mut().poll(context);
            outer.set_polled_by(None);
            polled
        })
        .await
    }
}

impl<S: Source> Drop for Opened<'_, S> {
    fn drop(&mut self) {
        self.level.ended.store(true, Ordering::SeqCst);
        self.outer.level().inside.with(|it| *it = None);
        // One around it that was left takes it along; this depth may be somebody else's by now.
        if let Some(depth) = self.depth
            && self.outer.level().ended().is_none()
        {
            let cell = &self.outer.cell;
            cell.levels.left.fetch_min(depth, Ordering::SeqCst);
            let outer = self.outer.unpinned();
            // It is undone by whoever gets the session next: if nobody wants it, by this task.
            cell.inner.source.spawn(Box::pin(async move {
                let _ = outer.queue("undo").await;
            }));
        }
    }
}

impl Undone {
    /// Whether another attempt may follow one that failed with this class of error.
    pub(crate) fn allows_another(self, class: Class) -> bool {
        match self {
            Self::Unsure => false,
            Self::Savepoint => class == Class::StatementLost,
            Self::Transaction => matches!(class, Class::StatementLost | Class::TransactionLost),
        }
    }
}
