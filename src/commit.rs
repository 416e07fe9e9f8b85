//! What a scope knows of finding out what became of a commit.
//!
//! Owns the trait alone, so that `cell` and `call` can ask without knowing `resolver`, which answers and opens scopes of its
//! own for it.

use futures_util::future::BoxFuture;

use crate::session::TransactionId;
use crate::source::{ConnectionError, Control, Number, Source};

/// Finds out whether a commit happened whose answer is missing.
pub(crate) trait CommitResolver<S: Source>: Send + Sync {
    /// Begins a transaction so that it can be found later; its number, if it has one.
    ///
    /// # Cancel safety
    /// Not cancel safe: whether it began is unknown.
    fn begin<'a>(
        &'a self,
        connection: &'a mut S::Connection,
        control: Control,
    ) -> BoxFuture<'a, Result<Option<Number>, ConnectionError>>;

    /// Whether the transaction was committed, or none if that could not be found out within `resolve_timeout`.
    ///
    /// # Cancel safety
    /// Cancel safe: it only asks.
    fn resolve(&self, transaction: TransactionId) -> BoxFuture<'_, Option<bool>>;
}
