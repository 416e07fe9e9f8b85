//! The history of a storm: operations with their times and outcomes, the faults that landed, and what was left at the
//! end.
//!
//! Owns the values. It is filled by [`super`] and judged by [`super::judge`]; nothing is excused here. Times are from one
//! monotonic clock, and count from the beginning.

use std::collections::BTreeMap;
use std::time::Duration;

use super::work::{Seen, Task};
use unstale_harness::plan::Fault;

/// Everything that happened in one storm.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct History {
    /// The operations of each actor, in their order.
    pub actors: Vec<Vec<Operation>>,
    /// Actors that panicked, and what they said.
    pub panics: BTreeMap<u32, String>,
    /// The faults that landed, in the order in which they were over.
    pub landings: Vec<Landing>,
    /// What was tried and did not land in time, and how often.
    pub missed: BTreeMap<String, u64>,
    /// When everything was healed; from here on no fault is injected and nobody is cancelled.
    pub healed: Duration,
    /// How many rows there are for each actor, task and number within the task, read on the harness's own connection.
    pub rows: BTreeMap<(u32, u32, u32), u64>,
    /// The accounts; each began at 0.
    pub balances: BTreeMap<u16, i64>,
    /// What is left over.
    pub left: Left,
    /// Where the harness itself failed.
    pub harness: Vec<String>,
}

/// One task as its actor met it.
#[derive(Clone, Debug, PartialEq)]
pub struct Operation {
    /// What was asked.
    pub task: Task,
    /// When.
    pub invoked: Duration,
    /// When it was answered, or given up.
    pub returned: Duration,
    /// What came of it.
    pub outcome: Outcome,
    /// Whether its future was dropped before it was done.
    pub cancelled: bool,
}

/// The outcome of an operation, as far as its actor knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was acknowledged.
    Done(Vec<Seen>),
    /// Definitely not done, and why.
    NotDone(String),
    /// It may have been done, and why that is not known.
    Unknown(String),
    /// It did not end within the limit.
    Hung,
}

/// One fault that took effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Landing {
    /// Which.
    pub fault: Fault,
    /// When it was done.
    pub began: Duration,
    /// When it was over: the server accepts connections again, the network is healed.
    pub ended: Duration,
}

impl Landing {
    /// Whether no session of the server was left.
    pub fn ends_every_session(&self) -> bool {
        matches!(self.fault, Fault::Server(fault, _) if fault.ends_every_session())
    }

    /// Whether the server was down, and was started again.
    pub fn is_restart(&self) -> bool {
        matches!(self.fault, Fault::Server(fault, _) if fault.is_restart())
    }
}

/// What there is after every actor has ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Left {
    /// Connections that are lent, as the system says itself.
    pub lent: u32,
    /// The most connections that it may have.
    pub connections_max: u32,
    /// Backends that serve it.
    pub backends: u32,
    /// Those of them that are in a transaction.
    pub in_transaction: u32,
    /// Whether it could be stopped within the limit.
    pub stopped: bool,
    /// Backends that serve it after it was stopped.
    pub backends_after: u32,
    /// Tasks on its runtime after it was stopped, beyond those before it was started.
    pub tasks_after: u32,
}
