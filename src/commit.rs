//! The interface through which a scope looks up what became of a commit.
//!
//! Owns the trait alone, so that `cell` and `call` can ask without knowing `resolver`, which answers and opens scopes of its
//! own for it.

use futures_util::future::BoxFuture;

use crate::session::TransactionId;
use crate::source::{ConnectionError, Control, Number, Source};

/// Finds out whether a commit with a missing answer happened.
pub(crate) trait CommitResolver<S: Source>: Send + Sync {
    /// Begins a transaction that can be found later; returns its number, if it has one.
    ///
    /// # Cancel safety
    /// Not cancel safe: whether it began is unknown.
    fn begin<'a>(
        &'a self,
        connection: &'a mut S::Connection,
        control: Control,
    ) -> BoxFuture<'a, Result<Option<Number>, ConnectionError>>;

    /// Returns whether the transaction was committed, or none if `resolve_timeout` passes without an answer. `settled`: its
    /// connection has answered since, so that the commit is not under way any more.
    ///
    /// # Cancel safety
    /// Cancel safe: it only asks.
    fn resolve(&self, transaction: TransactionId, settled: bool) -> BoxFuture<'_, Option<bool>>;
}
