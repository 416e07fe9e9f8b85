//! What a statement leaves behind.
//!
//! A plain value: the grammar of each database decides it, the session and the release of a connection act on it.

/// What a statement does besides its work, from nothing to the strongest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Effect {
    /// Nothing.
    #[default]
    Nothing,
    /// It sets something that ends with its transaction. Inside a test's that goes on, so what comes after it would find it.
    UntilEnd,
    /// It calls something that may leave something on the connection.
    MayLeaveResidue,
    /// It leaves something on the connection, named by its first word.
    Residue(&'static str),
    /// It leaves a lock for which others wait.
    Lock(&'static str),
    /// It leaves something that only closing the connection undoes.
    Permanent(&'static str),
    /// It begins or ends a transaction.
    Control(&'static str),
}
