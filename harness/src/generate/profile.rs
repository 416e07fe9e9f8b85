//! The profile: what plans are drawn from.

use serde::Deserialize;

use super::kinds::Kind;
use super::schedule::Order;
use crate::plan::Storage;

/// What plans are drawn from.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Profile {
    /// The most actors of a plan.
    pub actors: u8,
    /// The most commands of an actor.
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
}

impl Default for Profile {
    fn default() -> Self {
        Self {
            actors: 3,
            steps: 8,
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
