//! The condition of a connection when it is lent, and the usage of a source as a whole.
//!
//! Plain values; the pool decides the condition, and the borrower acts on it.

use std::net::SocketAddr;
use std::time::Duration;

use super::error::ConnectionError;

/// A connection that was just lent.
#[derive(Debug)]
pub struct Lent<L> {
    /// The connection.
    pub lease: L,
    /// What it needs before it is used.
    pub condition: Condition,
}

/// What a connection needs before it is used, from nothing to the most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Condition {
    /// Nothing.
    Good,
    /// It answered a short while ago, and may have died since: a probe has to precede a statement that is not safe to
    /// rerun.
    Recent,
    /// It was idle for long, or has not answered since another connection turned out to be dead: it has to answer a probe.
    Suspect,
    /// Statements may have left residue: it has to be cleaned.
    NeedsReset {
        /// It also has to answer a probe.
        suspect: bool,
    },
    /// Its last borrower could not clean it: an open transaction has to be rolled back.
    Unclean,
}

impl Condition {
    /// Whether it needs nothing, except for a statement that is not safe to rerun.
    pub(crate) fn is_fit(self) -> bool {
        self <= Self::Recent
    }

    /// Whether it may be dead.
    pub(crate) fn is_suspect(self) -> bool {
        matches!(self, Self::Suspect | Self::NeedsReset { suspect: true })
    }
}

/// Why no connection was lent.
#[derive(Debug)]
pub enum AcquireError {
    /// The source was closed.
    Closed,
    /// A connection could not be opened.
    Connect(ConnectionError),
}

/// How many connections there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Open connections.
    pub size: u32,
    /// Connections that are lent.
    pub in_use: u32,
    /// The most that may be open.
    pub max: u32,
}

/// The identity of a connection's process on the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trace {
    /// The number of the process.
    pub process: i32,
    /// When it is known to have served the connection, on the source's clock.
    pub seen: Duration,
    /// The server whose process it is: numbers of processes are unique only within one.
    pub server: ServerRun,
}

/// One run of a server, from its start to its stop. Behind one name there may be several servers, one after the other or at
/// once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServerRun {
    /// When it started, in microseconds since 1970 on its own clock.
    pub started: i64,
    /// Where it listens, as it sees it itself; none for a connection over a Unix socket.
    pub address: Option<SocketAddr>,
}
