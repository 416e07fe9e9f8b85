//! What can happen while a plan runs: the entries of a history.

use std::collections::BTreeMap;
use std::fmt;

use crate::plan::{ActorId, Build, Fault, Key, Phase, Residue, Service, Step, Value};

/// One entry of a history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Whose command was running, if any.
    pub by: Option<By>,
    /// What happened.
    pub what: What,
}

/// The command that an event belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct By {
    /// The actor.
    pub actor: ActorId,
    /// The place of the command among the actor's steps.
    pub step: usize,
}

/// The label of a physical connection: c1, c2 … in the order in which they were opened.
///
/// The label is given by the database's own hooks when the connection opens, never by the system.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub u16);

impl fmt::Display for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "c{}", self.0)
    }
}

/// The content of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// An actor took a command from its port.
    Invoked(Step),
    /// The command came to an end for its actor.
    Returned(Outcome),
    /// The system did nothing for this command: it does not apply in the actor's state.
    Skipped,
    /// The command waits for a resource that another actor holds.
    Blocked,
    /// The actor's function returned, or was dropped after another one hung, with everything that it held.
    Ended,
    /// The actor's function panicked.
    Panicked(String),
    /// The command did not end within the limit, although nothing was left to wait for.
    Hung,
    /// The system blocked the plan's thread for ever: the thread was abandoned, with all that it holds.
    ThreadGivenUp,
    /// Evidence: this connection executed a statement.
    Served(ConnectionId),
    /// Evidence: this connection changed a row.
    Wrote(ConnectionId),
    /// Evidence: this connection committed a transaction.
    Committed(ConnectionId),
    /// Evidence: this connection rolled a transaction back.
    RolledBack(ConnectionId),
    /// Evidence: a connection was opened.
    Connected(ConnectionId),
    /// Evidence: a connection was closed.
    Disconnected(ConnectionId),
    /// Evidence: this connection answered a request, as if nothing had happened, after its command had been given up.
    Late(ConnectionId),
    /// Evidence: this connection refused a write, since it is read-only.
    RefusedWrite(ConnectionId),
    /// Evidence: a connection was cut. Its transaction is over; that it is closed is another event.
    Lost(ConnectionId),
    /// Evidence: a factory built this service from these.
    Built {
        /// Its number.
        build: Build,
        /// Which service it is.
        service: Service,
        /// What it was made from.
        parts: Vec<Build>,
    },
    /// Evidence: the fault named by the command took effect.
    FaultLanded(Fault),
    /// The system's report about itself after all actors have ended.
    Reported(Report),
    /// Every actor of the plan has ended; from here on observers run.
    PlanOver,
    /// The system stopped.
    Stopped,
    /// The system did not stop within the limit.
    StopHung,
    /// The rows, read on the harness's own connection.
    FinalState(BTreeMap<Key, Value>),
    /// The harness itself failed; the verdict cannot be a pass.
    HarnessFault(String),
}

/// A system's report about itself, to be compared with the history.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Whether it would pass a health check: a caller could get a session now.
    pub healthy: bool,
    /// Connections that are open.
    pub connections: u32,
    /// Connections that are lent.
    pub lent: u32,
    /// Sessions that have not ended.
    pub sessions: u32,
    /// Listeners that are still called, without those that were there from the start.
    pub listeners: u32,
    /// Sessions of whose opening a listener was told.
    pub told_opened: u32,
    /// Sessions of whose end a listener was told, among those.
    pub told_closed: u32,
}

/// How a command ended for its actor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The system says that it is done.
    Done(Reply),
    /// The system answered with an error.
    Failed(Failure),
    /// Its future was dropped in this phase.
    Cancelled(Phase),
}

/// The answer of a command.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Reply {
    /// Done, without a value.
    #[default]
    Done,
    /// Whether the statement changed a row.
    Changed(bool),
    /// The value of one key, or that there is none.
    Value(Option<Value>),
    /// All rows.
    Rows(Vec<(Key, Value)>),
    /// The first rows of a stream that was dropped.
    FirstRows(Vec<(Key, Value)>),
    /// The residue that a session saw.
    Residue(Leftovers),
    /// The services that were resolved, or the override.
    Services(Vec<Build>),
    /// The answer of an extension's command, in its own words.
    Extra(String),
}

/// What a session sees of what an earlier one may have left on its connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Leftovers {
    /// The setting differs from its default.
    pub setting: bool,
    /// How many temporary tables there are.
    pub temp_tables: u32,
    /// How many locks belong to the connection.
    pub locks: u32,
    /// The connection listens to the channel of [`Residue::Channel`](crate::plan::Residue::Channel).
    pub channel: bool,
    /// The cursor of [`Residue::Cursor`](crate::plan::Residue::Cursor) is open.
    pub cursor: bool,
    /// The statement of [`Residue::Prepared`](crate::plan::Residue::Prepared) is there.
    pub prepared: bool,
    /// The database of [`Residue::Attached`](crate::plan::Residue::Attached) is attached.
    pub attached: bool,
}

impl Leftovers {
    /// What has a name of its own, with what it is.
    pub fn named(self) -> [(Residue, bool, &'static str); 4] {
        [
            (Residue::Channel, self.channel, "a channel"),
            (Residue::Cursor, self.cursor, "a cursor"),
            (Residue::Prepared, self.prepared, "a prepared statement"),
            (Residue::Attached, self.attached, "an attached database"),
        ]
    }
}

impl fmt::Display for Leftovers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let setting = if self.setting { "setting changed" } else { "setting default" };
        write!(f, "{setting}, {} temp tables", self.temp_tables)?;
        if self.locks > 0 {
            write!(f, ", {} locks", self.locks)?;
        }
        self.named().into_iter().filter(|it| it.1).try_for_each(|(_, _, what)| write!(f, ", {what}"))
    }
}

/// An error of the system, with the class that says what it means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What the error means.
    pub class: FailureClass,
    /// Its text, for people; nothing is decided by it.
    pub message: String,
}

impl From<std::convert::Infallible> for Failure {
    fn from(never: std::convert::Infallible) -> Self {
        match never {}
    }
}

impl Failure {
    /// Creates an error of this class with a text for people.
    pub fn new(class: FailureClass, message: impl fmt::Display) -> Self {
        Self { class, message: message.to_string() }
    }
}

/// The meaning of an error for the requested work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FailureClass {
    /// Another transaction conflicts; the statement was not done.
    Busy,
    /// The statement was interrupted; it was not done.
    Interrupted,
    /// The caller's mistake (a constraint, a wrong statement); it was not done.
    Mistake,
    /// The transaction is over, or not in a state for this; it was not done.
    NoTransaction,
    /// The pool or the session is closed; it was not done.
    Closed,
    /// The handle is stale, and the error says so; it was not done.
    Stale,
    /// No connection became available in time; it was not done.
    Exhausted,
    /// The connection is gone; whether it was done is unknown.
    Dead,
    /// The connection is read-only; it was not done.
    ReadOnly,
}

impl FailureClass {
    /// Whether an error of this class leaves it open if the work was done.
    pub fn is_unknown(self) -> bool {
        self == Self::Dead
    }
}

impl fmt::Display for FailureClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Busy => "busy",
            Self::Interrupted => "interrupted",
            Self::Mistake => "mistake",
            Self::NoTransaction => "no-transaction",
            Self::Closed => "closed",
            Self::Stale => "stale",
            Self::Exhausted => "exhausted",
            Self::Dead => "dead",
            Self::ReadOnly => "read-only",
        })
    }
}

impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows = |f: &mut fmt::Formatter<'_>, rows: &[(Key, Value)]| {
            f.write_str("{")?;
            for (at, (key, value)) in rows.iter().enumerate() {
                let comma = if at == 0 { "" } else { ", " };
                write!(f, "{comma}{key}={value}")?;
            }
            f.write_str("}")
        };
        match self {
            Self::Done => f.write_str("done"),
            Self::Changed(true) => f.write_str("done, a row changed"),
            Self::Changed(false) => f.write_str("done, no row changed"),
            Self::Value(Some(value)) => write!(f, "{value}"),
            Self::Value(None) => f.write_str("no row"),
            Self::Rows(all) => rows(f, all),
            Self::FirstRows(some) => {
                rows(f, some)?;
                f.write_str(" then dropped")
            }
            Self::Residue(seen) => seen.fmt(f),
            Self::Services(builds) => {
                let builds: Vec<_> = builds.iter().map(Build::to_string).collect();
                f.write_str(&builds.join(", "))
            }
            Self::Extra(words) => f.write_str(words),
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Done(reply) => reply.fmt(f),
            Self::Failed(failure) => write!(f, "failed ({}): {}", failure.class, failure.message),
            Self::Cancelled(phase) => write!(f, "cancelled {phase}"),
        }
    }
}
