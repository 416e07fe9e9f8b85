//! What can be done to a PostgreSQL server and its backends, and when.
//!
//! Owns the values, the moments at which each makes sense, and how they are printed and parsed. Pure: [`crate::inject`] does
//! them.

use std::fmt;
use std::str::FromStr;

use crate::network_fault::{FaultError, Moment};

/// Something that happens to a PostgreSQL server, or to one of its backends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ServerFault {
    /// The backend is told to end its session, as an administrator does.
    Terminate,
    /// The backend is told to give up its statement.
    CancelQuery,
    /// The backend is stopped (SIGSTOP), and goes on when the command is over: its connection is open and silent.
    Stop,
    /// The backend is killed (SIGKILL): the server ends every session and recovers from the crash.
    KillBackend,
    /// The server shuts down in order and starts again.
    RestartFast,
    /// The server is shut down without a checkpoint and recovers.
    RestartImmediate,
    /// Every process of the server is killed, and it recovers.
    RestartKilled,
    /// The type of a column of the workload's table becomes a domain over itself, or is what it was again: no value and no
    /// answer is another, and statements that were prepared before are refused.
    AlterTable,
    /// The server ends sessions that idle, in a transaction or outside.
    IdleTimeOut,
    /// No place is free on the server, until healed.
    ConnectionLimit,
}

impl ServerFault {
    /// Every fault.
    pub const ALL: [Self; 10] = [
        Self::Terminate,
        Self::CancelQuery,
        Self::Stop,
        Self::KillBackend,
        Self::RestartFast,
        Self::RestartImmediate,
        Self::RestartKilled,
        Self::AlterTable,
        Self::IdleTimeOut,
        Self::ConnectionLimit,
    ];

    /// The moments at which it can happen.
    pub fn moments(self) -> &'static [Moment] {
        match self {
            // A backend that has nothing to do has nothing to give up.
            Self::CancelQuery => &[Moment::Sent],
            // Later than this an answer is on its way, or the table is in use.
            Self::Stop | Self::AlterTable => &[Moment::Idle, Moment::BeforeSend],
            Self::Terminate | Self::KillBackend | Self::RestartFast | Self::RestartImmediate | Self::RestartKilled => {
                &[Moment::Idle, Moment::BeforeSend, Moment::Sent, Moment::BeforeReply]
            }
            // A session that has something to do does not idle.
            Self::IdleTimeOut => &[Moment::Idle],
            // Those who have a place keep it.
            Self::ConnectionLimit => &[Moment::Connect],
        }
    }

    /// Whether nobody notices it but who owns the connection, and no process is signalled by us.
    pub fn is_discreet(self) -> bool {
        matches!(self, Self::Terminate | Self::CancelQuery | Self::AlterTable | Self::IdleTimeOut)
    }

    /// Whether it is done to the server as a whole.
    pub fn is_server_wide(self) -> bool {
        self.ends_every_session() || self == Self::ConnectionLimit
    }

    /// Whether every session of the server ends with it.
    pub fn ends_every_session(self) -> bool {
        matches!(self, Self::KillBackend | Self::RestartFast | Self::RestartImmediate | Self::RestartKilled)
    }
}

impl fmt::Display for ServerFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Terminate => "terminate",
            Self::CancelQuery => "cancel-query",
            Self::Stop => "stop",
            Self::KillBackend => "kill-backend",
            Self::RestartFast => "restart-fast",
            Self::RestartImmediate => "restart-immediate",
            Self::RestartKilled => "restart-killed",
            Self::AlterTable => "alter-table",
            Self::IdleTimeOut => "idle-time-out",
            Self::ConnectionLimit => "connection-limit",
        })
    }
}

impl FromStr for ServerFault {
    type Err = FaultError;

    fn from_str(text: &str) -> Result<Self, FaultError> {
        Self::ALL.into_iter().find(|fault| fault.to_string() == text).ok_or_else(|| FaultError::Unknown {
            expected: "a server fault: terminate, cancel-query, stop, kill-backend, restart-fast, restart-immediate, \
                restart-killed, alter-table, idle-time-out or connection-limit",
            found: text.into(),
        })
    }
}
