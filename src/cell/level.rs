//! Levels: which calls of a scope may use its session.
//!
//! A level is a transaction, or a savepoint inside one, with a handle of its own. Owns the gate that keeps other calls waiting
//! while a level is open, and what a dropped one leaves to be undone. Opening and ending one is in `atomic`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use tokio::sync::Mutex;

use crate::source::TaskId;
use crate::sync::Shared;

/// The state that handles of one level share; the root is the scope itself.
#[derive(Debug, Default)]
pub(crate) struct Level {
    /// Held while a level inside this one is open: calls of this one wait.
    gate: Mutex<()>,
    /// The operation that opened it, for the messages of waiting calls.
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
    root: Level,
    /// The depth to which dropped levels have to be undone.
    left: AtomicU32,
}

const NONE_LEFT: u32 = u32::MAX;

impl Levels {
    pub(super) fn root(&self) -> &Level {
        &self.root
    }

    /// Returns the depth to which dropped levels have to be undone.
    pub(crate) fn left(&self) -> Option<u32> {
        Some(self.left.load(Ordering::SeqCst)).filter(|depth| *depth != NONE_LEFT)
    }

    /// Records that a level was dropped before its end; `depth` is the one outside of it.
    pub(crate) fn leave(&self, depth: u32) {
        self.left.fetch_min(depth, Ordering::SeqCst);
    }

    /// Records that dropped levels are undone, to this depth.
    pub(crate) fn undone(&self, depth: u32) {
        // An outer level that was dropped meanwhile still has to be undone.
        let _ = self.left.compare_exchange(depth, NONE_LEFT, Ordering::SeqCst, Ordering::SeqCst);
    }
}

impl Default for Levels {
    fn default() -> Self {
        Self { root: Level::default(), left: AtomicU32::new(NONE_LEFT) }
    }
}

impl Level {
    /// Creates a level of this operation inside another one; none is the root.
    pub(crate) fn inside(outer: Option<Arc<Self>>, operation: &'static str) -> Self {
        Self { operation, outer, ..Self::default() }
    }

    /// Returns the operation whose level has ended, if this level or one around it has.
    pub(crate) fn ended(&self) -> Option<&'static str> {
        let outer = self.outer.as_ref().and_then(|outer| outer.ended());
        outer.or_else(|| self.ended.load(Ordering::SeqCst).then_some(self.operation))
    }

    /// Ends the level: its handles are stale.
    pub(crate) fn end(&self) {
        self.ended.store(true, Ordering::SeqCst);
    }

    pub(crate) fn gate(&self) -> &Mutex<()> {
        &self.gate
    }

    /// Records that a level inside this one is open.
    pub(crate) fn open(&self, operation: &'static str) {
        self.inside.with(|inside| *inside = Some(Inside { operation, polled_by: None }));
    }

    /// Records that the level inside is over.
    pub(crate) fn close(&self) {
        self.inside.with(|inside| *inside = None);
    }

    /// Records which task runs the level inside, while it does.
    pub(crate) fn set_polled_by(&self, task: Option<TaskId>) {
        self.inside.with(|inside| {
            if let Some(inside) = inside {
                inside.polled_by = task;
            }
        });
    }

    /// Returns the operation for which calls of this level wait, and whether this very task runs it.
    pub(crate) fn waits_for(&self, task: TaskId) -> Option<(&'static str, bool)> {
        self.inside.with(|inside| inside.map(|inside| (inside.operation, inside.polled_by == Some(task))))
    }
}
