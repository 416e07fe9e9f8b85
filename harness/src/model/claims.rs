//! What a history's replies claim: committed and undone work, reads, sessions and transactions.

use crate::history::By;
use crate::plan::{ActorId, Key, Value};

/// The most unknown outcomes that are followed both ways: 2⁸ = 256 branches.
pub const UNKNOWNS_MAX: u32 = 8;

/// What a history's replies claim under one assignment of its unknown outcomes.
#[derive(Debug, Default)]
pub struct Claims {
    /// Work that is committed, by the system's own words.
    pub committed: Vec<Write>,
    /// Work that is not and never will be.
    pub dead: Vec<Dead>,
    /// What was read.
    pub reads: Vec<Read>,
    /// The rows that were to be inserted or deleted.
    pub targets: Vec<Target>,
    /// The sessions, in the order in which they were opened.
    pub sessions: Vec<Session>,
    /// The outermost transactions, in the order in which they ended.
    pub transactions: Vec<Transaction>,
    /// The events at which a session ended, or was told to, with a transaction open.
    pub left_open: Vec<usize>,
    /// The times in which an outermost transaction was to have the database's write lock.
    pub locks: Vec<Lock>,
    /// Single statements that changed something outside a transaction, as the system has it.
    pub autocommitted: Vec<Statement>,
    /// The commands that were invoked while their actor had a transaction of the system open, in their order.
    pub in_transaction: Vec<By>,
    /// How many outcomes are unknown.
    pub unknowns: u32,
}

/// A committed write.
#[derive(Clone, Copy, Debug)]
pub struct Write {
    /// Which command wrote it.
    pub by: By,
    /// Which row.
    pub key: Key,
    /// The value, or none for a delete.
    pub value: Option<Value>,
    /// The event after which it may be seen.
    pub from: usize,
    /// The event after which it must be seen.
    pub until: usize,
    /// The value that it is known to have replaced: its transaction had read that in order to write.
    pub replaced: Option<Value>,
    /// Whether the assignment decided that it is committed.
    pub assumed: bool,
}

/// A write that must not be seen.
#[derive(Clone, Copy, Debug)]
pub struct Dead {
    /// Which command wrote it.
    pub by: By,
    /// Which row.
    pub key: Key,
    /// Its value.
    pub value: Value,
    /// The event that says that it is undone: from here on nobody may see it.
    pub end: usize,
    /// Whether the assignment decided so.
    pub assumed: bool,
}

/// A value that was read, or its absence.
#[derive(Clone, Copy, Debug)]
pub struct Read {
    /// Which command read it.
    pub by: By,
    /// Which row.
    pub key: Key,
    /// What it saw.
    pub seen: Option<Value>,
    /// What its own transaction had written there.
    pub own: Option<Option<Value>>,
    /// The first event whose state it may have seen.
    pub from: usize,
    /// The event of its reply.
    pub at: usize,
}

/// A row that a command was to insert or delete: whether it can depends on what is there.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Which command.
    pub by: By,
    /// Which row.
    pub key: Key,
    /// What its own transaction had written there.
    pub own: Option<Option<Value>>,
    /// The first event whose state it may have met.
    pub from: usize,
    /// The event of its reply.
    pub at: usize,
}

/// A session, as an actor has it.
#[derive(Clone, Copy, Debug)]
pub struct Session {
    /// Whose.
    pub actor: ActorId,
    /// The event that said it is open.
    pub opened: usize,
    /// The event from which on it is no more: its close was invoked, or its actor ended.
    pub ended: usize,
}

/// An outermost transaction.
#[derive(Clone, Debug)]
pub struct Transaction {
    /// The event that ended it.
    pub end: usize,
    /// The writes that were done in it, at any depth, as the system has it.
    pub writes: Vec<By>,
    /// What was said of its end.
    pub ending: Ending,
}

/// What was said of the end of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It was answered that it is committed.
    Committed,
    /// It was answered that it is rolled back, where no fault was injected before, in a session in which nothing had failed:
    /// otherwise the connection may be given up, and the transaction ends with that.
    RolledBack,
    /// Nothing.
    Untold,
}

/// The time in which a transaction was to have the database's write lock.
#[derive(Clone, Copy, Debug)]
pub struct Lock {
    /// The command that began the transaction.
    pub by: By,
    /// The event that said it has begun.
    pub from: usize,
    /// The event from which on it may have ended: somebody asked for its end, or for something that did not succeed.
    pub until: usize,
}

/// A statement that changed a row outside a transaction.
#[derive(Clone, Copy, Debug)]
pub struct Statement {
    /// Which command.
    pub by: By,
    /// The event of its reply.
    pub at: usize,
}
