//! The values of a session's state machine: its states, and the events that change them.
//!
//! Owns the values alone. The transitions are in [`Session::transition`](super::Session::transition).

use std::fmt;

use crate::source::{Begin, ErrorClass, Number, Trace};

/// The state of a session. `depth` counts the levels that the caller has begun and not ended: 0 outside, 1 in a
/// transaction, more in savepoints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// No connection. Exits: [`Happened::Lent`] → Ready; [`Happened::Ended`] → Ended.
    Empty,
    /// A connection in autocommit, nothing in flight. Exits: `Called` → Calling; `Unused` → Empty; `Ended` → Ended.
    Ready,
    /// In a transaction, nothing in flight. Exits: `Called` → Calling; `Ended` → Ended.
    Open { depth: u32 },
    /// A call is in flight. Exits: `Succeeded`, `NotKept` and `Refused` → Ready or Open; `TransactionOver` → Failed;
    /// `GivenUp` → Empty, Failed or Lost; `Unused` → Empty; `Cancelled` → InDoubt.
    Calling { call: Call, depth: u32 },
    /// A call was cancelled, and how it ended is not known yet. Exits: `Settled` → Ready, Open or Failed; `GivenUp` → as
    /// from Calling.
    InDoubt { call: Call, depth: u32 },
    /// The transaction is over, and the caller has not acknowledged it. Exits: `Acknowledged` → Failed one level up, or
    /// Ready, Empty or, if something that was set before it is lost as well, Lost; `Resolved` → Ready, Empty or Lost; `GivenUp` → the same without a connection; `Ended` → Ended.
    Failed { depth: u32, why: Loss },
    /// The session was lost outside a transaction, and the caller has not acknowledged it. Exits: `Acknowledged` → Empty;
    /// `Ended` → Ended.
    Lost { why: Loss },
    /// The scope has ended. No exit.
    Ended,
}

/// What a call does to the transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    /// A statement of the caller's.
    Statement,
    /// A begin; inside a transaction a savepoint.
    Begin(Begin),
    /// The innermost level is committed.
    Commit,
    /// The innermost level is rolled back.
    Rollback,
}

/// The identity by which a transaction can be looked up after its commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TransactionId {
    /// The database's number for it, if it was asked for.
    pub(crate) number: Option<Number>,
    /// The server process that ran it.
    pub(crate) trace: Option<Trace>,
}

/// Why a transaction is over, or a session lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Loss {
    /// The transaction was lost; nothing of it is kept.
    Transaction(String),
    /// Whether the transaction was committed is not known.
    CommitUnknown(String),
    /// The session was lost outside a transaction.
    Session(String),
    /// The only connection is gone, and the database with it.
    Database(String),
}

impl Loss {
    /// What was lost, in words.
    pub(crate) fn into_text(self) -> String {
        match self {
            Self::Transaction(why) | Self::CommitUnknown(why) | Self::Session(why) | Self::Database(why) => why,
        }
    }
}

/// What happened to a session.
#[derive(Clone, Debug)]
pub(crate) enum Happened {
    /// A connection was lent.
    Lent,
    /// The connection died before its first use: the session is as if it had never been lent.
    Unused,
    /// A call was made.
    Called(Call),
    /// The call in flight was done.
    Succeeded,
    /// The commit in flight was refused, and its work is undone.
    NotKept(ErrorClass),
    /// The call in flight was not done; the session stands where it stood.
    Refused(ErrorClass),
    /// The call in flight ended the transaction in the database, or found it ended.
    TransactionOver(Loss),
    /// The connection is gone, or was given up.
    GivenUp {
        /// How.
        why: String,
        /// How the scope continues without it.
        then: AfterLoss,
    },
    /// The future of the call in flight was dropped.
    Cancelled,
    /// The database said whether a transaction is open after the cancelled call; this is not `certain` if an earlier question
    /// was cancelled too, and then nothing is open any more.
    Settled { open: bool, certain: bool },
    /// The database, or the application, has said whether the unanswered commit happened, and the caller knows.
    Resolved { committed: bool },
    /// The caller has acknowledged the loss.
    Acknowledged,
    /// The scope has ended.
    Ended,
}

/// How a scope continues after the loss of its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AfterLoss {
    /// With a fresh connection outside a transaction, unless the lost one had residue.
    Recover,
    /// Not before its caller has accepted the loss.
    Report,
    /// Not at all: it was the only connection, and the database is gone with it.
    DatabaseGone,
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Transaction(why) | Self::CommitUnknown(why) | Self::Session(why) | Self::Database(why)) = self;
        f.write_str(why)
    }
}
