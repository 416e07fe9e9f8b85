//! What is done to the database while a command runs.
//!
//! Owns the faults of every database, which of them can be done where, and how they are printed and parsed. What happens to
//! the network is [`trouble`](super::trouble)'s. Pure: they are done by [`crate::database`] and the simulation.

use std::fmt;
use std::str::FromStr;
use std::sync::LazyLock;

use super::trouble::{Moment, Trouble};

/// Something done to the database while one command runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fault {
    /// Another connection, outside the system, holds the write lock for the time of the command.
    Locked,
    /// The statement is interrupted while it executes.
    Interrupt,
    /// The database turns the command's commit into a rollback.
    RefuseCommit,
    /// Every connection on which nothing is under way is lost before the command begins. Only where connections can be
    /// [lost](crate::system::Capability::ConnectionLoss), as the next ones.
    LostIdle,
    /// The connection is lost before a request arrives: nothing was done.
    LostBefore,
    /// The connection is lost after a request was done and before its reply.
    LostAfter,
    /// No connection can be opened for a while.
    RefuseConnect,
    /// A reply takes longer than a caller waits for a probe.
    SlowReply,
    /// The connection's other end stands still for longer than anybody waits, and then goes on with what it was sent.
    Freeze,
    /// The runtime has ended: a task cannot be spawned.
    NoRuntime,
    /// Something happens to a PostgreSQL server at a moment of the command's next request.
    Server(Harm, Moment),
    /// Something happens between a client and a PostgreSQL server at such a moment.
    Network(Trouble, Moment),
}

/// Something that happens to a PostgreSQL server, or to one of its backends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Harm {
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

/// The faults that strike one connection.
static POSTGRES: LazyLock<Vec<Fault>> = LazyLock::new(|| {
    let troubles = Trouble::ALL.into_iter().flat_map(|it| it.moments().iter().map(move |at| Fault::Network(it, *at)));
    Harm::ALL.into_iter().filter(|it| !it.is_server_wide()).flat_map(Harm::faults).chain(troubles).collect()
});

/// Those for which no process of the server is signalled by us.
static DISCREET: LazyLock<Vec<Fault>> = LazyLock::new(|| {
    POSTGRES.iter().copied().filter(|it| !matches!(it, Fault::Server(harm, _) if !harm.is_discreet())).collect()
});

/// Those that strike a whole server.
static SERVER_WIDE: LazyLock<Vec<Fault>> =
    LazyLock::new(|| Harm::ALL.into_iter().filter(|it| it.is_server_wide()).flat_map(Harm::faults).collect());

impl Fault {
    /// Every fault that can be done to SQLite.
    pub const SQLITE: [Self; 3] = [Self::Locked, Self::Interrupt, Self::RefuseCommit];

    /// Every fault that can be done to a simulated database.
    pub const SIMULATED: [Self; 9] = [
        Self::Interrupt,
        Self::RefuseCommit,
        Self::NoRuntime,
        Self::LostIdle,
        Self::LostBefore,
        Self::LostAfter,
        Self::RefuseConnect,
        Self::SlowReply,
        Self::Freeze,
    ];

    /// Every fault that can be done to a connection to PostgreSQL, at every moment at which it makes sense.
    pub fn postgres() -> &'static [Self] {
        &POSTGRES
    }

    /// Those of them that nobody notices but who owns the connection.
    pub fn postgres_discreet() -> &'static [Self] {
        &DISCREET
    }

    /// Every fault that can be done to a PostgreSQL server as a whole: a plan that has one needs a server of its own.
    pub fn server_wide() -> &'static [Self] {
        &SERVER_WIDE
    }

    /// Whether it strikes a whole server: a plan that has one needs a server of its own.
    pub fn is_server_wide(self) -> bool {
        matches!(self, Self::Server(harm, _) if harm.is_server_wide())
    }

    /// Whether it may cost a connection, directly or because somebody stops waiting for it.
    pub fn costs_connection(self) -> bool {
        match self {
            Self::LostIdle
            | Self::LostBefore
            | Self::LostAfter
            | Self::RefuseConnect
            | Self::SlowReply
            | Self::Freeze
            | Self::Network(..) => true,
            Self::Server(harm, _) => !matches!(harm, Harm::CancelQuery | Harm::AlterTable),
            Self::Locked | Self::Interrupt | Self::RefuseCommit | Self::NoRuntime => false,
        }
    }

    /// Every fault there is, with a number where it has one.
    pub fn every() -> impl Iterator<Item = Self> {
        let elsewhere = Self::SIMULATED.into_iter().filter(|it| !Self::SQLITE.contains(it));
        let postgres = Self::postgres().iter().chain(Self::server_wide()).copied();
        Self::SQLITE.into_iter().chain(elsewhere).chain(postgres)
    }
}

impl Harm {
    /// Every harm.
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

    fn faults(self) -> impl Iterator<Item = Fault> {
        self.moments().iter().map(move |at| Fault::Server(self, *at))
    }
}

impl fmt::Display for Harm {
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

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Locked => "locked",
            Self::Interrupt => "interrupt",
            Self::RefuseCommit => "refuse-commit",
            Self::LostIdle => "lost-idle",
            Self::LostBefore => "lost-before",
            Self::LostAfter => "lost-after",
            Self::RefuseConnect => "refuse-connect",
            Self::SlowReply => "slow-reply",
            Self::Freeze => "freeze",
            Self::NoRuntime => "no-runtime",
            Self::Server(harm, at) => return f.pad(&format!("{harm}@{at}")),
            Self::Network(trouble, at) => return f.pad(&format!("{trouble}@{at}")),
        })
    }
}

/// What a fault is written as.
pub(super) const WORDS: &str = "a fault: locked, interrupt or refuse-commit; in the simulation also lost-idle, lost-before, \
    lost-after, refuse-connect, slow-reply, freeze or no-runtime; on PostgreSQL FAULT@MOMENT with one of terminate, \
    cancel-query, stop, kill-backend, restart-fast, restart-immediate, restart-killed, alter-table, idle-time-out, \
    connection-limit, refuse, hang-connect, reset, fin, half-open, black-hole, latency-MILLISECONDS and cut-after-BYTES, and \
    one of connect, idle, before-send, sent, before-reply and mid-reply";

/// Why a text is no fault: what was expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoFault(pub String);

impl FromStr for Fault {
    type Err = NoFault;

    fn from_str(text: &str) -> Result<Self, NoFault> {
        let no = || NoFault(WORDS.into());
        let Some((what, at)) = text.split_once('@') else {
            let plain = Self::SQLITE.into_iter().chain(Self::SIMULATED);
            return plain.into_iter().find(|it| it.to_string() == text).ok_or_else(no);
        };
        let at: Moment = at.parse().map_err(|_| no())?;
        if let Some(harm) = Harm::ALL.into_iter().find(|it| it.to_string() == what) {
            let fits = harm.moments().contains(&at);
            let when: Vec<_> = harm.moments().iter().map(Moment::to_string).collect();
            return fits
                .then_some(Self::Server(harm, at))
                .ok_or_else(|| NoFault(format!("{harm}@ {}", when.join(", "))));
        }
        let trouble: Trouble = what.parse().map_err(|_| no())?;
        trouble.check(at).map_err(|it| NoFault(format!("a fault that makes sense ({it})")))?;
        Ok(Self::Network(trouble, at))
    }
}
