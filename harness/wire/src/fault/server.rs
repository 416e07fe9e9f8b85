//! What can be done to a PostgreSQL server and its backends: the table of server faults.
//!
//! Owns each fault with its row, and the moments at which it makes sense. How it is injected and healed is in
//! [`crate::inject`].

use std::fmt;
use std::str::FromStr;

use super::error::FaultError;
use super::moment::Moment;
use super::table::listed;

/// What is known of a server fault.
#[derive(Clone, Copy, Debug)]
pub struct ServerRow {
    /// How it is written.
    pub word: &'static str,
    /// The moments at which it can happen, in their order.
    pub moments: &'static [Moment],
    /// How far it reaches.
    pub reach: Reach,
    /// Whether it may cost a connection, directly or because a caller stops waiting for it.
    pub costs_connection: bool,
    /// What injects it.
    pub agent: Agent,
    /// What proves that it landed.
    pub proof: &'static str,
}

/// How far a fault reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// One session, by the server's own means: the others do not notice.
    Session,
    /// The processes of some backends, which get a signal from outside: the sessions of others do not notice.
    Process,
    /// The places for sessions; those who have one keep it.
    Places,
    /// Every session of the server.
    EverySession,
    /// Every session, and the server is started again.
    Restart,
}

/// What injects a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Agent {
    /// [`crate::inject`], on a connection of its own or with a signal.
    Injector,
    /// The proxy, because only it can send a message within a session.
    Proxy,
}

/// From the moment when nothing is under way to the one when a reply is there. Later than that it is on its way.
const UP_TO_THE_REPLY: &[Moment] = &[Moment::Idle, Moment::BeforeSend, Moment::Sent, Moment::BeforeReply];

/// When it is certain whether the statement under way meets it: the process looks for signals between messages.
const BESIDE_A_STATEMENT: &[Moment] = &[Moment::Idle, Moment::BeforeSend, Moment::BeforeReply];

/// Before an answer is on its way, or a table in use.
const BEFORE_THE_REQUEST: &[Moment] = &[Moment::Idle, Moment::BeforeSend];

/// What ends the session of one backend.
const ROW: ServerRow = ServerRow {
    word: "",
    moments: UP_TO_THE_REPLY,
    reach: Reach::Session,
    costs_connection: true,
    agent: Agent::Injector,
    proof: "",
};

/// What the server has to be started again after.
const RESTART: ServerRow = ServerRow { reach: Reach::Restart, proof: "the server accepts connections again", ..ROW };

fault_table! {
    /// Something that happens to a PostgreSQL server, or to one of its backends.
    pub enum ServerFault: ServerRow {
        /// The backend is told to end its session, as an administrator does.
        Terminate => ServerRow { word: "terminate", proof: "the backend is gone", ..ROW },
        /// The backend is told to give up its statement. One that has nothing to do has nothing to give up.
        CancelQuery => ServerRow {
            word: "cancel-query",
            moments: &[Moment::Sent],
            costs_connection: false,
            proof: "the backend has refused its statement",
            ..ROW
        },
        /// The backend is stopped (SIGSTOP), and goes on when the command is over: its connection is open and silent.
        Stop => ServerRow {
            word: "stop",
            moments: BEFORE_THE_REQUEST,
            reach: Reach::Process,
            proof: "the backend's process has got the signal",
            ..ROW
        },
        /// The backend is killed (SIGKILL): the server ends every session and recovers from the crash.
        KillBackend => ServerRow {
            word: "kill-backend",
            reach: Reach::EverySession,
            proof: "the server accepts connections again",
            ..ROW
        },
        /// The server shuts down in order and starts again.
        RestartFast => ServerRow { word: "restart-fast", ..RESTART },
        /// The server is shut down without a checkpoint and recovers.
        RestartImmediate => ServerRow { word: "restart-immediate", ..RESTART },
        /// Every process of the server is killed, and it recovers.
        RestartKilled => ServerRow { word: "restart-killed", ..RESTART },
        /// The type of a column of the workload's table becomes a domain over itself, or is what it was again: no value and no
        /// answer is another, and statements that were prepared before are refused.
        AlterTable => ServerRow {
            word: "alter-table",
            moments: BEFORE_THE_REQUEST,
            costs_connection: false,
            proof: "the server has changed the column",
            ..ROW
        },
        /// The server ends sessions that idle, in a transaction or outside. A session that has something to do does not.
        IdleTimeOut => ServerRow {
            word: "idle-time-out",
            moments: &[Moment::Idle],
            agent: Agent::Proxy,
            proof: "the server has ended a session",
            ..ROW
        },
        /// No place is free on the server, until healed. Those who have a place keep it.
        ConnectionLimit => ServerRow {
            word: "connection-limit",
            moments: &[Moment::Connect],
            reach: Reach::Places,
            proof: "the server refuses one more connection",
            ..ROW
        },
        /// Whatever is connected is read-only from its next transaction on and is not disconnected, and whoever connects later
        /// can write: a switchover behind one name. It is never healed.
        ReadOnly => ServerRow {
            word: "read-only",
            moments: BESIDE_A_STATEMENT,
            reach: Reach::Process,
            proof: "a write was refused: the connection is read-only",
            ..ROW
        },
    }

    /// Every fault.
    pub const ALL;
}

impl ServerFault {
    /// The moments at which it can happen.
    pub fn moments(self) -> &'static [Moment] {
        self.row().moments
    }

    /// Whether only the owner of the connection notices it, and no process is signalled.
    pub fn is_discreet(self) -> bool {
        self.row().reach == Reach::Session
    }

    /// Whether it is done to the server as a whole.
    pub fn is_server_wide(self) -> bool {
        matches!(self.row().reach, Reach::Places | Reach::EverySession | Reach::Restart)
    }

    /// Whether every session of the server ends with it.
    pub fn ends_every_session(self) -> bool {
        matches!(self.row().reach, Reach::EverySession | Reach::Restart)
    }

    /// Whether the server is down, and is started again.
    pub fn is_restart(self) -> bool {
        self.row().reach == Reach::Restart
    }

    /// How each is written.
    pub fn words() -> impl Iterator<Item = String> {
        Self::ALL.into_iter().map(Self::print_word)
    }
}

impl fmt::Display for ServerFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.print_word())
    }
}

impl FromStr for ServerFault {
    type Err = FaultError;

    fn from_str(text: &str) -> Result<Self, FaultError> {
        Self::parse_word(text).ok_or_else(|| FaultError::Unknown {
            expected: format!("a server fault: {}", listed(Self::words())),
            found: text.into(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_print_and_parse() {
        for fault in ServerFault::ALL {
            assert_eq!(fault.to_string().parse(), Ok(fault));
        }
        assert_eq!(
            "restart".parse::<ServerFault>().unwrap_err().to_string(),
            "expected a server fault: terminate, cancel-query, stop, kill-backend, restart-fast, restart-immediate, \
             restart-killed, alter-table, idle-time-out, connection-limit or read-only, found `restart`"
        );
    }

    #[test]
    fn every_row_says_what_proves_it() {
        for fault in ServerFault::ALL {
            let ServerRow { moments, proof, .. } = fault.row();
            assert!(!moments.is_empty() && !proof.is_empty(), "{fault}");
        }
    }
}
