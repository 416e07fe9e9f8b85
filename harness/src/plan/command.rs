//! The alphabet: what an actor can ask of a system.

use std::fmt;
use std::time::Duration;

use super::service::{Service, Wanted};

/// A row's key in the core workload. `k0` belongs to the observers that run after a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(pub u8);

impl Key {
    /// The key that only the observers write.
    pub const OBSERVER: Self = Self(0);
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "k{}", self.0)
    }
}

/// A row's value in the core workload. Generated plans write each value once, so a value names its writer.
pub type Value = u32;

/// The alphabet.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Command {
    /// Opens the actor's session.
    Open,
    /// Gives the session back; a transaction that is still open is dropped first.
    Close,
    /// Begins a transaction; inside one, a nested transaction.
    Begin(BeginMode),
    /// Commits the innermost transaction.
    Commit,
    /// Rolls the innermost transaction back.
    Rollback,
    /// Drops the innermost transaction without ending it.
    Drop,
    /// Writes the value, whether or not the key is there.
    Put(Key, Value),
    /// Reads the row and writes this value in its place, in one transaction, so that nobody's write comes between. Answers what was
    /// there; where there is no row it writes none.
    Swap(Key, Value),
    /// Inserts a row; the conflict clause says what happens if the key is there.
    Insert(Key, Value, Conflict),
    /// Reads one key.
    Get(Key),
    /// Deletes one key.
    Delete(Key),
    /// Reads every key.
    Scan,
    /// Opens a stream over every row and drops it after this many.
    Stream(u8),
    /// A statement that fails by itself and changes nothing.
    Fail,
    /// A statement that takes long.
    Slow,
    /// Nothing is asked of the system, and time passes: limits run out, and what idles grows old.
    Wait(Pause),
    /// SQL that goes around the system and leaves residue on the connection, in one of the ways to write it.
    Raw(Residue, Spelling),
    /// Reads the residue that the session can see.
    Inspect,
    /// Keeps a handle to the session, for use after its end.
    Retain,
    /// Uses the retained handle.
    Stale(Usage),
    /// Uses the service `rows` as the actor resolved it last, also if its session has ended since.
    Use(Usage),
    /// Opens another session beside the actor's own, does this in it, and closes it. It is no part of a transaction that is open.
    Autonomous(Usage),
    /// Several reads at once in the actor's session, each through a handle of its own: the first that ends counts, and the
    /// others are dropped where they wait.
    Race(Key),
    /// The same, and the session is dropped while they are under way.
    Abandon(Key),
    /// Closes the whole pool.
    ClosePool,
    /// Asks the registry for a service.
    Resolve(Wanted),
    /// Overrides a service, for as long as the actor keeps the guard.
    Override(Service),
    /// Drops the newest guard.
    Restore,
    /// Invalidates a service, and all that is made from it.
    Invalidate(Service),
    /// Builds every singleton.
    WarmUp,
    /// Switches to a fork of the registry, as a test does that must not affect others.
    Fork,
    /// Replaces the session by a fresh one, as a fixture does; what is open in it is rolled back.
    Replace,
    /// The unit of work panics: unwinding drops its session, its guards and its own registry.
    Crash,
    /// A command of the system's [extension](crate::system::Extension), in its own words.
    Extra(Box<str>),
}

impl Command {
    /// What it does to one row, for a plain `put` or `get`: the same that can be done through a handle.
    pub fn usage(&self) -> Option<Usage> {
        match *self {
            Self::Put(key, value) => Some(Usage::Put(key, value)),
            Self::Get(key) => Some(Usage::Get(key)),
            _ => None,
        }
    }
}

/// The same through the session itself.
impl From<Usage> for Command {
    fn from(usage: Usage) -> Self {
        match usage {
            Usage::Get(key) => Self::Get(key),
            Usage::Put(key, value) => Self::Put(key, value),
        }
    }
}

/// How a transaction is begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BeginMode {
    /// The system's own statement.
    Plain,
    /// An explicit statement: `BEGIN IMMEDIATE`.
    Immediate,
    /// An explicit statement: `BEGIN EXCLUSIVE`.
    Exclusive,
    /// Whatever would change a row in it is refused. Only the outermost transaction is begun so.
    ReadOnly,
}

/// SQLite's conflict clauses. `OR ROLLBACK` ends the transaction by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Conflict {
    /// The statement fails (the default of SQL).
    Abort,
    /// The statement does nothing.
    Ignore,
    /// The row is replaced.
    Replace,
    /// The statement fails and its transaction is rolled back.
    Rollback,
}

/// How long an actor waits. What a system measures by tokio's clock notices; the waiting itself takes no time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Pause {
    /// Longer than a round trip, and than an idle connection is taken for a good one unseen.
    Second,
    /// Longer than a caller waits.
    Minute,
    /// Longer than a connection lives.
    Hour,
}

impl Pause {
    /// Every pause, the shortest first.
    pub const ALL: [Self; 3] = [Self::Second, Self::Minute, Self::Hour];

    /// How long it is.
    pub fn duration(self) -> Duration {
        match self {
            Self::Second => Duration::from_secs(1),
            Self::Minute => Duration::from_mins(1),
            Self::Hour => Duration::from_hours(1),
        }
    }
}

/// What raw SQL leaves behind on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Residue {
    /// `BEGIN`, behind the system's back.
    Transaction,
    /// A connection-wide setting.
    Setting,
    /// A temporary table.
    TempTable,
    /// A lock that belongs to the connection, where the database has such.
    Lock,
    /// A subscription to a channel: `LISTEN`.
    Channel,
    /// A cursor that outlives its transaction.
    Cursor,
    /// A statement that is prepared by name.
    Prepared,
    /// A second database: `ATTACH`.
    Attached,
}

impl Residue {
    /// Every kind.
    pub const ALL: [Self; 8] = [
        Self::Transaction,
        Self::Setting,
        Self::TempTable,
        Self::Lock,
        Self::Channel,
        Self::Cursor,
        Self::Prepared,
        Self::Attached,
    ];

    /// Whether the same statement can be run again in the session that has run it: a name is given once.
    pub fn can_be_repeated(self) -> bool {
        !matches!(self, Self::Transaction | Self::Cursor | Self::Prepared | Self::Attached)
    }
}

/// Which of the [ways](crate::spelling) to write raw SQL; the first is the plain one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Spelling {
    /// Which of the statements that leave the residue.
    pub core: u8,
    /// Which of the texts around it.
    pub around: u8,
}

impl Spelling {
    /// The plain one.
    pub const PLAIN: Self = Self { core: 0, around: 0 };
}

/// What is done to one row through something else than the actor's session itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Usage {
    /// Reads it.
    Get(Key),
    /// Writes it.
    Put(Key, Value),
}
