//! What is done to the database while a command runs.
//!
//! Owns the faults of every database, which of them can be done where, and how they are printed and parsed. What happens to
//! the network is [`unstale_wire::NetworkFault`]'s. Pure: they are done by [`crate::database`] and the simulation.

use std::fmt;
use std::str::FromStr;
use std::sync::LazyLock;

use unstale_wire::{Moment, NetworkFault, ServerFault};

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
    Server(ServerFault, Moment),
    /// Something happens between a client and a PostgreSQL server at such a moment.
    Network(NetworkFault, Moment),
}

/// The faults that strike one connection.
static POSTGRES: LazyLock<Vec<Fault>> = LazyLock::new(|| {
    let troubles =
        NetworkFault::ALL.into_iter().flat_map(|it| it.moments().iter().map(move |at| Fault::Network(it, *at)));
    ServerFault::ALL.into_iter().filter(|it| !it.is_server_wide()).flat_map(server_faults).chain(troubles).collect()
});

/// Those for which no process of the server is signalled by us.
static DISCREET: LazyLock<Vec<Fault>> = LazyLock::new(|| {
    POSTGRES.iter().copied().filter(|it| !matches!(it, Fault::Server(harm, _) if !harm.is_discreet())).collect()
});

/// Those that strike a whole server.
static SERVER_WIDE: LazyLock<Vec<Fault>> =
    LazyLock::new(|| ServerFault::ALL.into_iter().filter(|it| it.is_server_wide()).flat_map(server_faults).collect());

fn server_faults(fault: ServerFault) -> impl Iterator<Item = Fault> {
    fault.moments().iter().map(move |at| Fault::Server(fault, *at))
}

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
            Self::Server(harm, _) => !matches!(harm, ServerFault::CancelQuery | ServerFault::AlterTable),
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
        if let Ok(harm) = what.parse::<ServerFault>() {
            let fits = harm.moments().contains(&at);
            let when: Vec<_> = harm.moments().iter().map(Moment::to_string).collect();
            return fits
                .then_some(Self::Server(harm, at))
                .ok_or_else(|| NoFault(format!("{harm}@ {}", when.join(", "))));
        }
        let trouble: NetworkFault = what.parse().map_err(|_| no())?;
        trouble.check(at).map_err(|it| NoFault(format!("a fault that makes sense ({it})")))?;
        Ok(Self::Network(trouble, at))
    }
}
