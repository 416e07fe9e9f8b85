//! The tasks of a storm's actors, and their answers.
//!
//! Owns the workload: rows of an append-only table that has no unique constraint, so that an effect applied twice shows, and
//! moves between accounts that leave such a row beside them. Pure; the numbers are drawn from a generator that is passed in.

use std::sync::atomic::{AtomicBool, Ordering};

use rand::{Rng, RngExt};

/// How many accounts there are. Few enough that moves meet each other.
pub const ACCOUNTS: u16 = 40;

/// How many of its own latest tasks a read looks at.
const READ_BACK: u32 = 8;

/// One task of one actor. Actor and sequence are the key of everything that it writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Task {
    /// Who does it.
    pub actor: u32,
    /// Counted from 1 for each actor.
    pub sequence: u32,
    /// What is to be done.
    pub work: Work,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// Insert rows in one transaction, or one row outside of any.
    Append {
        /// How many; 1 in autocommit.
        rows: u32,
        /// How it ends.
        end: End,
    },
    /// In one transaction, take 1 from an account, give it to another, and insert one row.
    Move {
        /// The account that loses.
        from: u16,
        /// The account that gains.
        to: u16,
    },
    /// Read one's own rows, those of this task and later.
    Read {
        /// The first task to look at.
        since: u32,
    },
}

/// How an append ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// By itself.
    Autocommit,
    /// By a commit.
    Commit,
    /// By a rollback: nothing of it may ever be seen.
    Rollback,
}

/// What a system answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It was done. A read tells how many rows it saw of which task.
    Done(Vec<Seen>),
    /// Definitely nothing of it was done, and will be.
    NotDone(String),
    /// Whether it was done is unknown.
    Unknown(String),
}

/// How many rows of one task a read saw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// The task.
    pub sequence: u32,
    /// How many.
    pub rows: u32,
}

/// Whether a task has come to the point from which on it may take effect. Before it, a task that is cancelled has definitely
/// not been done, and the judge holds the system to that.
#[derive(Debug, Default)]
pub struct Begun(AtomicBool);

impl Begun {
    /// Called before the commit, or before a statement in autocommit.
    pub fn may_take_effect(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    /// Whether it has been called.
    pub fn is(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

impl Task {
    /// The next task of an actor.
    pub fn draw(actor: u32, sequence: u32, random: &mut impl Rng) -> Self {
        let work = match random.random_range(0..10) {
            0..2 => Work::Append { rows: 1, end: End::Autocommit },
            2..5 => Work::Append { rows: random.random_range(1..=3), end: End::Commit },
            5 => Work::Append { rows: random.random_range(1..=3), end: End::Rollback },
            6..8 => {
                let from = random.random_range(0..ACCOUNTS);
                // Any other; who meets whom in which order is left to chance, deadlocks included.
                Work::Move { from, to: (from + random.random_range(1..ACCOUNTS)) % ACCOUNTS }
            }
            _ => Work::Read { since: sequence.saturating_sub(READ_BACK).max(1) },
        };
        Self { actor, sequence, work }
    }

    /// How many rows it leaves if it takes effect.
    pub fn rows(&self) -> u32 {
        match self.work {
            Work::Append { rows, .. } => rows,
            Work::Move { .. } => 1,
            Work::Read { .. } => 0,
        }
    }

    /// Whether it must never take effect.
    pub fn is_rolled_back(&self) -> bool {
        matches!(self.work, Work::Append { end: End::Rollback, .. })
    }
}
