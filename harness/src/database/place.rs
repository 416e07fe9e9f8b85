//! The trait of a plan's database.
//!
//! Owns the seam under [`Database`](super::Database): one implementation for each kind of database, and nothing that is
//! special to one. A database joins by implementing [`Place`].

use std::any::Any;
use std::collections::BTreeMap;
use std::sync::Arc;

use crate::local::Local;
use crate::plan::{ActorId, Fault, Key, Value};
use crate::port::Wire;

/// A failure of the harness's own access to the plan's database; this is never the system's fault.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct SetupError(String);

impl SetupError {
    pub(super) fn of(error: impl std::fmt::Display) -> Self {
        Self(error.to_string())
    }
}

/// The database of one plan, of whatever kind.
pub(super) trait Place: Any {
    /// Runs these statements on the harness's own connection.
    fn prepare<'a>(&'a self, statements: &'a [&'static str]) -> Local<'a, Result<(), sqlx::Error>>;

    /// All rows, read on the harness's own connection.
    fn final_state(&self) -> Local<'_, Result<BTreeMap<Key, Value>, SetupError>>;

    /// Holds back every answer of the database until the guard is dropped.
    fn hold(&self) -> Held<'_>;

    /// Returns the wire of this actor, where its requests are visible.
    fn wire(&self, actor: ActorId) -> Option<Arc<Wire>>;

    /// Starts a fault for the command that is about to run.
    fn start_fault(&self, fault: Fault) -> Local<'_, ()>;

    /// Ends it, and heals what it broke.
    fn end_fault(&self, fault: Fault) -> Local<'_, ()>;

    /// Whether a fault holds something back until it is ended: nothing moves there meanwhile.
    fn is_holding(&self) -> bool {
        false
    }

    /// Whether the database lives as long as somebody is connected to it, and the harness is, which could let go.
    fn is_kept_alive(&self) -> bool {
        false
    }

    /// Leaves it to the system to keep the database alive: what is lost with its last connection is to be seen.
    fn let_go(&self) -> Local<'_, ()> {
        Box::pin(std::future::ready(()))
    }

    /// Keeps it alive from now on, since the system is about to close its connections.
    fn keep_alive(&self) -> Local<'_, ()> {
        Box::pin(std::future::ready(()))
    }

    /// Removes what outlives this value.
    fn remove(self: Box<Self>) -> Local<'static, ()>;
}

/// Keeps the database silent until it is dropped.
pub(crate) struct Held<'a>(#[expect(dead_code, reason = "held for its drop")] Box<dyn Silent + 'a>);

impl<'a> Held<'a> {
    pub(super) fn new(held: impl Silent + 'a) -> Self {
        Self(Box::new(held))
    }
}

/// A guard that keeps a database silent.
pub(super) trait Silent {}

impl<T> Silent for T {}
