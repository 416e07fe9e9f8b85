//! Where the database of a plan lives, and what may be concluded from what happened there.

/// Where the database of a plan lives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Storage {
    /// A file with a write-ahead log.
    #[default]
    Wal,
    /// A file with a rollback journal in memory.
    Journal,
    /// `:memory:`, shared between the connections of one pool as sqlx does it.
    Memory,
    /// A schema of its own on a PostgreSQL server.
    Postgres,
    /// Simulated, behind a network: what a cancelled call did cannot be asked, and its connection is given up.
    Sim,
    /// Simulated, and each connection does one call after the other, as SQLite's do.
    SimOrdered,
    /// As [`Storage::SimOrdered`], and the database is its one connection.
    SimOnly,
}

/// What a storage is one of: a system runs on one of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Backend {
    /// A fresh SQLite database for each plan.
    Sqlite,
    /// A fresh schema on a PostgreSQL server for each plan.
    Postgres,
    /// A simulated database in virtual time.
    Sim,
}

/// What a history happened on, as far as that decides what may be concluded from it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IsolationModel {
    /// SQLite: a transaction may read from a snapshot as old as its begin, and what the driver's threads do may be recorded
    /// under another command than the one that asked for it.
    #[default]
    Sqlite,
    /// The simulation: READ COMMITTED, and all evidence is recorded under the command that caused it.
    Simulation,
    /// PostgreSQL: the same, since each request is known by the moment in which it was sent.
    Postgres,
}

impl IsolationModel {
    /// Whether each statement sees what is committed when it runs.
    pub fn is_read_committed(self) -> bool {
        self != Self::Sqlite
    }
}

impl Storage {
    /// Every storage.
    pub const ALL: [Self; 7] =
        [Self::Wal, Self::Journal, Self::Memory, Self::Postgres, Self::Sim, Self::SimOrdered, Self::SimOnly];

    /// Every simulated one.
    pub const SIMULATED: [Self; 3] = [Self::Sim, Self::SimOrdered, Self::SimOnly];

    /// What it is one of.
    pub fn backend(self) -> Backend {
        match self {
            Self::Wal | Self::Journal | Self::Memory => Backend::Sqlite,
            Self::Postgres => Backend::Postgres,
            Self::Sim | Self::SimOrdered | Self::SimOnly => Backend::Sim,
        }
    }

    /// What may be concluded from what happens there.
    pub fn isolation(self) -> IsolationModel {
        match self.backend() {
            Backend::Sqlite => IsolationModel::Sqlite,
            Backend::Postgres => IsolationModel::Postgres,
            Backend::Sim => IsolationModel::Simulation,
        }
    }

    /// Whether cancelled calls can be asked about there, or stopped; if not, a test that joins everything on one
    /// connection ends with the first.
    pub fn is_ordered(self) -> bool {
        self != Self::Sim
    }

    /// Whether the database is lost with its connections.
    pub fn is_in_memory(self) -> bool {
        matches!(self, Self::Memory | Self::SimOnly)
    }
}

impl Backend {
    /// Every backend.
    pub const ALL: [Self; 3] = [Self::Sqlite, Self::Postgres, Self::Sim];

    /// The storages of this backend.
    pub fn storages(self) -> impl Iterator<Item = Storage> {
        Storage::ALL.into_iter().filter(move |storage| storage.backend() == self)
    }
}

impl std::fmt::Display for Backend {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Sqlite => "sqlite",
            Self::Postgres => "postgres",
            Self::Sim => "sim",
        })
    }
}
