//! Statements of the library's own: how transactions begin and end, and how a connection is cleaned.
//!
//! Plain values. Each database's [`Connection`](super::Connection) translates them into SQL.

/// A statement of the library's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Control {
    /// Begins a transaction.
    Begin(Begin),
    /// Ends it and keeps its effects. No statement in it was refused.
    Commit,
    /// Commits a transaction in which a statement was refused: if that aborted it, the commit has to be refused as well, not
    /// answered as a success after a rollback.
    CommitUnlessFailed,
    /// Ends it and undoes its effects.
    Rollback,
    /// Undoes what [`Begin::read_only`] has set on the connection itself, if anything. It is sent after each read-only
    /// transaction, and as part of cleaning a connection.
    Reset,
    /// Undoes what statements have left: settings, locks, temporary tables, cursors, subscriptions. Only for connections [that
    /// can be cleaned](super::Connection::CLEANS).
    Clean,
    /// [`Control::Clean`] and then [`Control::Begin`], in one message.
    CleanBegin(Begin),
    /// Sets the savepoint of this depth; the first inside a transaction is 1.
    Savepoint(u32),
    /// Forgets the savepoint and keeps its effects.
    Release(u32),
    /// Undoes what came after the savepoint, and forgets it.
    RollbackTo(u32),
}

/// How a transaction is begun.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Begin {
    /// When locks are taken.
    pub locking: Locking,
    /// The isolation from concurrent transactions; the database's default if none is given.
    pub isolation: Option<Isolation>,
    /// Whether writing statements are refused.
    pub read_only: bool,
}

/// When a SQLite transaction takes its locks. Other databases have no such choice and ignore it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Locking {
    /// With the first statement that needs them.
    #[default]
    Deferred,
    /// The write lock at once.
    Immediate,
    /// Every lock at once.
    Exclusive,
}

/// The isolation levels of SQL. A database may give more than was asked for; SQLite is always serializable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Isolation {
    /// Each statement sees what was committed when it began.
    ReadCommitted,
    /// Each transaction sees what was committed when it began.
    RepeatableRead,
    /// As if transactions ran one after the other.
    Serializable,
}
