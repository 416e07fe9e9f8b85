//! The requests to a simulated connection, and its answers.

use unstale::ErrorClass;
use unstale::source::Control;

use unstale_harness::history::{Failure, FailureClass, Reply};
use unstale_harness::plan::{Command, Conflict, Key, Residue, Usage, Value};

/// A statement of the core workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Statement {
    /// Writes the value, whether or not the key is there.
    Put(Key, Value),
    /// Writes a row; the conflict clause says what happens if the key is there.
    Insert(Key, Value, Conflict),
    /// Reads one key.
    Get(Key),
    /// Reads one key, and locks its row until the transaction ends.
    GetForUpdate(Key),
    /// Deletes one key.
    Delete(Key),
    /// Reads every key.
    Scan,
    /// Reads rows one after the other, at most this many.
    Stream(u8),
    /// Fails by itself.
    Fail,
    /// Takes long.
    Slow,
    /// Leaves something on the connection.
    Raw(Residue),
    /// Reads what is left on the connection.
    Inspect,
}

impl Statement {
    /// The statement that a command is; none if it is not a single statement.
    pub fn of(command: &Command) -> Option<Self> {
        Some(match *command {
            Command::Put(key, value) => Self::Put(key, value),
            Command::Insert(key, value, conflict) => Self::Insert(key, value, conflict),
            Command::Get(key) => Self::Get(key),
            Command::Delete(key) => Self::Delete(key),
            Command::Scan => Self::Scan,
            Command::Stream(rows) => Self::Stream(rows),
            Command::Fail => Self::Fail,
            Command::Slow => Self::Slow,
            Command::Raw(residue, _) => Self::Raw(residue),
            Command::Inspect => Self::Inspect,
            _ => return None,
        })
    }

    /// The row that it needs the lock of, if it needs one.
    pub(super) fn locks(self) -> Option<Key> {
        match self {
            Self::GetForUpdate(key) => Some(key),
            statement => statement.writes(),
        }
    }

    /// The row that it writes, if it writes.
    pub(super) fn writes(self) -> Option<Key> {
        match self {
            Self::Put(key, _) | Self::Insert(key, ..) | Self::Delete(key) => Some(key),
            _ => None,
        }
    }
}

impl From<Usage> for Statement {
    fn from(usage: Usage) -> Self {
        match usage {
            Usage::Get(key) => Self::Get(key),
            Usage::Put(key, value) => Self::Put(key, value),
        }
    }
}

/// What a connection is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Request {
    /// A statement of the core workload.
    Statement(Statement),
    /// A statement of the library's own.
    Control(Control),
    /// Whether a transaction is open.
    InTransaction,
    /// A simple query.
    Probe,
}

/// A successful answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// To a statement.
    Reply(Reply),
    /// To [`Request::InTransaction`].
    InTransaction(bool),
}

/// A refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Refused {
    /// What it means.
    pub(super) class: ErrorClass,
    /// Its text.
    pub(super) text: &'static str,
}

/// The row in the answer to a statement that reads one.
pub(super) fn value_in(reply: &Reply) -> Result<Option<Value>, Failure> {
    match reply {
        Reply::Value(value) => Ok(*value),
        other => Err(Failure::new(FailureClass::Mistake, format!("`{other}` is no row"))),
    }
}
