//! What a system can do: the capabilities that it declares, and which one a command needs.
//!
//! Owns the names and the sets of them. Commands and invariants that need more than a system declares are neither generated
//! nor counted. Pure.

use std::fmt;

use crate::plan::{Backend, BeginMode, Command, Conflict, Residue};

/// Something that a system may be able to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Capability {
    /// Transactions: begin, commit, rollback, drop.
    Transactions,
    /// A transaction inside a transaction.
    Nesting,
    /// Beginning with an explicit statement.
    ExplicitBegin,
    /// Beginning a transaction that is read-only.
    ReadOnlyBegin,
    /// Its futures may be dropped at any point.
    Cancellation,
    /// The database's faults can reach it.
    Faults,
    /// It hands out handles that can outlive their session.
    Retention,
    /// Several calls can be under way in one session, each through a handle of its own.
    Sharing,
    /// A service that was resolved can be kept and used later.
    ServiceUse,
    /// An actor can open another session beside its own.
    Autonomous,
    /// The whole pool can be closed while it is in use.
    ClosePool,
    /// A row can be read and written anew in one transaction, with nobody's write between.
    Swaps,
    /// SQLite's conflict clauses.
    ConflictClauses,
    /// Raw SQL on a session.
    RawSql,
    /// Row streams that can be dropped midway.
    Streams,
    /// The database's hooks see every connection, so evidence says which one served what.
    Identity,
    /// Its connections can be lost, slowed down and frozen.
    ConnectionLoss,
    /// Polls are deterministic, so its futures can be dropped at every one.
    Polls,
    /// It runs over the simulated database.
    Simulation,
    /// It runs on PostgreSQL.
    Postgres,
    /// Locks that belong to a connection, taken by raw SQL.
    ConnectionLocks,
    /// A registry of services: resolve, override, invalidate.
    Registry,
    /// A test fixture, inside which a whole plan can happen.
    Fixture,
    /// It says how healthy it is, and how many listen to it.
    Reports,
    /// It has an extension.
    Extension,
}

impl Capability {
    /// Every capability.
    pub const ALL: [Self; 25] = [
        Self::Transactions,
        Self::Nesting,
        Self::ExplicitBegin,
        Self::ReadOnlyBegin,
        Self::Cancellation,
        Self::Faults,
        Self::Retention,
        Self::Sharing,
        Self::ServiceUse,
        Self::Autonomous,
        Self::ClosePool,
        Self::Swaps,
        Self::ConflictClauses,
        Self::RawSql,
        Self::Streams,
        Self::Identity,
        Self::ConnectionLoss,
        Self::Polls,
        Self::Simulation,
        Self::Postgres,
        Self::ConnectionLocks,
        Self::Registry,
        Self::Fixture,
        Self::Reports,
        Self::Extension,
    ];
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Transactions => "transactions",
            Self::Nesting => "nesting",
            Self::ExplicitBegin => "explicit-begin",
            Self::ReadOnlyBegin => "read-only-begin",
            Self::Cancellation => "cancellation",
            Self::Faults => "faults",
            Self::Retention => "retention",
            Self::Sharing => "sharing",
            Self::ServiceUse => "service-use",
            Self::Autonomous => "autonomous",
            Self::ClosePool => "close-pool",
            Self::Swaps => "swaps",
            Self::ConflictClauses => "conflict-clauses",
            Self::RawSql => "raw-sql",
            Self::Streams => "streams",
            Self::Identity => "identity",
            Self::ConnectionLoss => "connection-loss",
            Self::Polls => "polls",
            Self::Simulation => "simulation",
            Self::Postgres => "postgres",
            Self::ConnectionLocks => "connection-locks",
            Self::Registry => "registry",
            Self::Fixture => "fixture",
            Self::Reports => "reports",
            Self::Extension => "extension",
        })
    }
}

/// A set of [`Capability`]s.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Capabilities(u32);

impl Capabilities {
    /// Sessions with single statements, and nothing else.
    pub const NONE: Self = Self(0);

    /// The set of these capabilities.
    pub fn of(capabilities: impl IntoIterator<Item = Capability>) -> Self {
        Self(capabilities.into_iter().fold(0, |set, it| set | 1 << it as u32))
    }

    /// Everything that a plain SQLite pool can do: all but services, reports, extensions, and what only the simulation
    /// has.
    pub fn sqlite() -> Self {
        Self::services()
            .iter()
            .chain([
                Capability::ReadOnlyBegin,
                Capability::Sharing,
                Capability::ServiceUse,
                Capability::Autonomous,
                Capability::Swaps,
                Capability::Reports,
                Capability::Extension,
                Capability::Postgres,
                Capability::ConnectionLocks,
            ])
            .chain(Self::simulation().iter())
            .fold(Self::of(Capability::ALL), Self::without)
    }

    /// Everything that a plain PostgreSQL pool can do, but for [`Capability::ReadOnlyBegin`]: who begins every transaction in the same
    /// way would be blamed for what it lets through.
    pub fn postgres() -> Self {
        Self::sqlite().without(Capability::ConflictClauses).and(Self::of([
            Capability::Postgres,
            Capability::ConnectionLocks,
            Capability::ConnectionLoss,
        ]))
    }

    /// Everything that an application adds to its pool: services that hold handles, a registry of them, a test fixture.
    pub fn services() -> Self {
        Self::of([Capability::Retention, Capability::Registry, Capability::Fixture])
    }

    /// The capabilities of every system over the simulated database.
    pub fn simulation() -> Self {
        Self::of([Capability::ConnectionLoss, Capability::Polls, Capability::Simulation])
    }

    /// Returns the backend that a system with these capabilities runs on.
    pub fn backend(self) -> Backend {
        if self.has(Capability::Simulation) {
            Backend::Sim
        } else if self.has(Capability::Postgres) {
            Backend::Postgres
        } else {
            Backend::Sqlite
        }
    }

    /// Returns the union of the two.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Returns the set with this one as well.
    #[must_use]
    pub fn with(self, capability: Capability) -> Self {
        Self(self.0 | 1 << capability as u32)
    }

    /// Returns the set without this one.
    #[must_use]
    pub fn without(self, capability: Capability) -> Self {
        Self(self.0 & !(1 << capability as u32))
    }

    /// Whether the set has it.
    pub fn has(self, capability: Capability) -> bool {
        self.0 & (1 << capability as u32) != 0
    }

    /// The capabilities in the set.
    pub fn iter(self) -> impl Iterator<Item = Capability> {
        Capability::ALL.into_iter().filter(move |it| self.has(*it))
    }
}

/// Returns the capability that a command needs.
pub fn needed(command: &Command) -> Option<Capability> {
    match command {
        Command::Open | Command::Close | Command::Put(..) | Command::Get(_) | Command::Delete(_) | Command::Scan => {
            None
        }
        Command::Fail | Command::Slow | Command::Wait(_) => None,
        Command::Insert(_, _, Conflict::Abort) => None,
        Command::Swap(..) => Some(Capability::Swaps),
        Command::Insert(..) => Some(Capability::ConflictClauses),
        Command::Begin(BeginMode::Plain) | Command::Commit | Command::Rollback | Command::Drop => {
            Some(Capability::Transactions)
        }
        Command::Begin(BeginMode::ReadOnly) => Some(Capability::ReadOnlyBegin),
        Command::Begin(_) => Some(Capability::ExplicitBegin),
        Command::Stream(_) => Some(Capability::Streams),
        Command::Raw(Residue::Lock, _) => Some(Capability::ConnectionLocks),
        Command::Raw(..) | Command::Inspect => Some(Capability::RawSql),
        Command::Retain | Command::Stale(_) => Some(Capability::Retention),
        Command::Race(_) | Command::Abandon(_) => Some(Capability::Sharing),
        Command::Use(_) => Some(Capability::ServiceUse),
        Command::Autonomous(_) => Some(Capability::Autonomous),
        Command::ClosePool => Some(Capability::ClosePool),
        Command::Resolve(_) | Command::Override(_) | Command::Restore | Command::Invalidate(_) | Command::WarmUp => {
            Some(Capability::Registry)
        }
        Command::Fork | Command::Replace | Command::Crash => Some(Capability::Registry),
        Command::Extra(_) => Some(Capability::Extension),
    }
}
