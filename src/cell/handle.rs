//! The handles that services hold instead of a session.
//!
//! Owns what a handle is bound to, and the refusal of a handle that has outlived it. The operations of a handle are in
//! `verbs`.

use std::any::Any;
use std::borrow::Cow;
use std::fmt;
use std::panic::Location;
use std::sync::Arc;

use super::level::Level;
use super::shared::Cell;
use crate::error::{Ended, Error, Stale};
use crate::health::Count;
use crate::lender::Lender;
use crate::source::Source;

/// What services hold instead of a session: it names a scope and borrows the scope's session for each call.
///
/// With a source over sqlx, `&Handle` is a [`sqlx::Executor`]. After the scope's end every call is [`Error::Stale`].
pub struct Handle<S: Source> {
    cell: Arc<Cell<S>>,
    owner: Cow<'static, str>,
    obtained: &'static Location<'static>,
    /// The only generation that it may use, if it is pinned.
    pinned: Option<u64>,
    /// The level in which its calls run, if that is not the scope itself.
    level: Option<Arc<Level>>,
}

impl<S: Source> Handle<S> {
    /// Creates the scope's own handle.
    pub(crate) fn new(cell: Arc<Cell<S>>) -> Self {
        let (owner, obtained) = (cell.name().clone(), cell.holder().opened);
        Self { cell, owner, obtained, pinned: None, level: None }
    }

    /// Returns a handle that does not follow the scope to another session, for a caller that has set something up on
    /// this one. It is stale after the next recovery.
    #[must_use]
    pub fn pinned(&self) -> Self {
        Self { pinned: Some(self.generation().max(1)), ..self.clone() }
    }

    /// The generation of the scope's session.
    pub fn generation(&self) -> u64 {
        self.cell.generation()
    }

    /// Whether the next call would be refused as stale.
    pub fn is_stale(&self) -> bool {
        self.check("").is_err()
    }

    /// Returns a handle to the same scope for another owner.
    pub(crate) fn for_owner(&self, owner: impl Into<Cow<'static, str>>, obtained: &'static Location<'static>) -> Self {
        Self { cell: Arc::clone(&self.cell), owner: owner.into(), obtained, pinned: None, level: self.level.clone() }
    }

    /// Returns a handle for calls inside this level.
    pub(crate) fn inside(&self, level: &Arc<Level>) -> Self {
        Self { level: Some(Arc::clone(level)), ..self.clone() }
    }

    pub(crate) fn unpinned(&self) -> Self {
        Self { pinned: None, ..self.clone() }
    }

    pub(crate) fn cell(&self) -> &Cell<S> {
        &self.cell
    }

    pub(crate) fn lender(&self) -> &Lender<S> {
        self.cell.lender()
    }

    /// The level in which its calls run.
    pub(crate) fn level(&self) -> &Level {
        self.level.as_deref().unwrap_or_else(|| self.cell.levels().root())
    }

    /// The same, unless that is the scope itself.
    pub(crate) fn own_level(&self) -> Option<&Arc<Level>> {
        self.level.as_ref()
    }

    /// Returns the value that the scope keeps under this number; makes it if there is none.
    pub(crate) fn attached<T: Any + Send + Sync>(&self, number: u64, make: impl FnOnce() -> Arc<T>) -> Arc<T> {
        self.cell.attached(number, make)
    }

    /// Refuses a call whose handle is stale, and counts it.
    pub(crate) fn refuse_stale(&self, operation: &'static str) -> Result<(), Error> {
        let result = self.check(operation);
        if let Err(error) = &result {
            self.lender().count(Count::StaleRefused);
            tracing::warn!(%error, "a stale handle was used");
        }
        result
    }

    /// Refuses a call whose handle is stale.
    pub(crate) fn check(&self, operation: &'static str) -> Result<(), Error> {
        let current = self.generation();
        let operation_ended = self.level.as_ref().and_then(|level| level.ended());
        let ended = match (operation_ended, self.pinned) {
            _ if self.cell.has_ended() => Ended::Scope,
            (Some(operation), _) => Ended::Operation { operation },
            (None, Some(pinned)) if current > pinned => Ended::Session { pinned, current },
            _ => return Ok(()),
        };
        Err(Error::Stale(Box::new(Stale {
            owner: self.owner.clone(),
            scope: self.cell.name().clone(),
            id: self.cell.holder().id,
            operation,
            obtained: self.obtained,
            ended,
        })))
    }
}

impl<S: Source> Clone for Handle<S> {
    fn clone(&self) -> Self {
        let Self { cell, owner, obtained, pinned, level } = self;
        Self { cell: Arc::clone(cell), owner: owner.clone(), obtained, pinned: *pinned, level: level.clone() }
    }
}

impl<S: Source> fmt::Debug for Handle<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "handle of `{}` to scope `{}` #{}", self.owner, self.cell.name(), self.cell.holder().id)
    }
}
