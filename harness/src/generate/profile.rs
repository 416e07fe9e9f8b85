//! The profile: what plans are drawn from.
//!
//! A *turn* lets one actor go on: to the end of its command, or to one of the gates within it. Gates are where a command had to
//! wait and may go on: in the simulation each poll, on PostgreSQL each reply, on SQLite each wake by the driver's thread.
//! [`Profile::strategy`] says who gets the next turn, and [`Profile::gates`] how deep within a command a turn may end.

use serde::Deserialize;

use super::kinds::Kind;
use super::order::Order;
use crate::plan::Storage;

/// What plans are drawn from.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Profile {
    /// The most actors of a plan.
    pub actors: u8,
    /// The most commands of an actor. Lengths are drawn evenly by their logarithm, so that most actors are short and some
    /// are long.
    pub steps: u8,
    /// The most connections that the system is given.
    pub connections: u8,
    /// The most keys.
    pub keys: u8,
    /// Whether sizes are drawn up to the maxima, or are the maxima.
    pub full_size: bool,
    /// Whether commands are cancelled.
    pub cancels: bool,
    /// Whether faults are done to the database.
    pub faults: bool,
    /// Whether these may be server-wide; a given server allows none.
    pub server_faults: bool,
    /// Whether some plans happen inside a test fixture.
    pub fixtures: bool,
    /// Kinds of commands that are never drawn.
    pub without: Vec<Kind>,
    /// Where the databases live.
    pub storage: Vec<StorageName>,
    /// How schedules are drawn.
    pub strategy: Order,
    /// The deepest gate within a command at which an actor may be stopped, from 1.
    pub gates: u8,
    /// Whether an actor is stopped more often where another one is about to do the same, which then goes on.
    pub rivals: bool,
    /// Whether in some plans the system's own tasks run late: only while an actor waits.
    pub late_tasks: bool,
    /// Whether some plans know only a few of the system's capabilities, so that these meet each other.
    pub focus: bool,
    /// Whether some actors work in whole units: begun, nested, and ended in order, on rows that they share crosswise.
    pub units: bool,
    /// Whether a disturbance is drawn to a kind of operation that it can hit, each kind as often as the others; otherwise to
    /// any command.
    pub aimed: bool,
}

impl Profile {
    /// Deeper within one command no actor is stopped.
    pub const GATES_MAX: u8 = 32;
}

impl Default for Profile {
    fn default() -> Self {
        Self {
            actors: 3,
            steps: 16,
            connections: 3,
            keys: 3,
            full_size: false,
            cancels: true,
            faults: true,
            server_faults: true,
            fixtures: true,
            without: Vec::new(),
            storage: vec![StorageName::Wal, StorageName::Journal, StorageName::Wal, StorageName::Memory],
            strategy: Order::Mixed,
            gates: 8,
            rivals: true,
            late_tasks: true,
            focus: true,
            units: true,
            aimed: true,
        }
    }
}

/// A storage, as a profile names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StorageName {
    /// [`Storage::Wal`].
    Wal,
    /// [`Storage::Journal`].
    Journal,
    /// [`Storage::Memory`].
    Memory,
}

impl From<StorageName> for Storage {
    fn from(name: StorageName) -> Self {
        match name {
            StorageName::Wal => Self::Wal,
            StorageName::Journal => Self::Journal,
            StorageName::Memory => Self::Memory,
        }
    }
}
