//! The kinds of operations, by which disturbances are spread and counted.
//!
//! Owns which kind a command is where its actor stands, and what a command of each kind does that a disturbance can meet.

use std::fmt;

use super::meaning::{effect_of, ends_session, is_autonomous};
use crate::capability::{Capability, needed};
use crate::history::Span;
use crate::plan::{Command, Meets, Phase, Step};

/// What a command is, as far as a disturbance is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "each is what it is called")]
pub enum Operation {
    Open,
    Begin,
    NestedBegin,
    Statement,
    InTransaction,
    Commit,
    Rollback,
    Close,
    Registry,
}

impl Operation {
    /// Every kind, in the order in which a session meets them.
    pub const ALL: [Self; 9] = [
        Self::Open,
        Self::Begin,
        Self::NestedBegin,
        Self::Statement,
        Self::InTransaction,
        Self::Commit,
        Self::Rollback,
        Self::Close,
        Self::Registry,
    ];

    /// The kind of a command whose actor is in so many transactions.
    pub fn of(command: &Command, depth: u32) -> Self {
        match command {
            Command::Open => Self::Open,
            Command::Begin(_) if depth > 0 => Self::NestedBegin,
            Command::Begin(_) => Self::Begin,
            Command::Commit => Self::Commit,
            Command::Rollback | Command::Drop => Self::Rollback,
            Command::Close | Command::ClosePool | Command::Replace | Command::Crash | Command::Abandon(_) => {
                Self::Close
            }
            command if needed(command) == Some(Capability::Registry) => Self::Registry,
            command if is_autonomous(command) => Self::Statement,
            _ if depth > 0 => Self::InTransaction,
            _ => Self::Statement,
        }
    }
}

/// How many transactions an actor is in after a command, by its reply.
pub(crate) fn depth_after(depth: u32, span: &Span<'_>) -> u32 {
    match span.step.command {
        Command::Begin(_) if span.is_done() => depth + 1,
        Command::Commit | Command::Rollback | Command::Drop => depth.saturating_sub(1),
        Command::Open => 0,
        ref command if ends_session(command) => 0,
        _ => depth,
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Open => "open",
            Self::Begin => "begin",
            Self::NestedBegin => "nested begin",
            Self::Statement => "statement",
            Self::InTransaction => "in transaction",
            Self::Commit => "commit",
            Self::Rollback => "rollback",
            Self::Close => "close",
            Self::Registry => "registry",
        })
    }
}

/// Whether a command waits for anything, so that it can be cancelled on its way.
pub fn waits(command: &Command) -> bool {
    let at_once =
        matches!(command, Command::Drop | Command::Retain | Command::Crash | Command::Stale(_) | Command::Wait(_));
    let by_registry =
        matches!(command, Command::Override(_) | Command::Restore | Command::Invalidate(_) | Command::Fork);
    !at_once && !by_registry
}

/// Where an actor stands before a step, as far as a fault is concerned.
#[derive(Clone, Copy, Debug, Default)]
pub struct Standing {
    /// How many transactions it may be in.
    pub depth: u32,
    /// Whether an earlier command of its session was cancelled on its way, so that something may be left under way.
    pub is_unsettled: bool,
}

/// Whether a step does what a fault has to meet; whether it then lands can still depend on the system.
pub fn may_meet(step: &Step, standing: Standing, meets: Meets) -> bool {
    let command = &step.command;
    match meets {
        Meets::Request => {
            let is_returned = matches!(command, Command::Close | Command::ClosePool | Command::Replace);
            waits(command) && !is_returned && needed(command) != Some(Capability::Registry)
        }
        Meets::Connection => !matches!(command, Command::Close | Command::ClosePool),
        Meets::Connect => matches!(command, Command::Open | Command::Autonomous(_)),
        Meets::Commit => match command {
            Command::Commit => standing.depth == 1,
            command => (standing.depth == 0 || is_autonomous(command)) && effect_of(command).is_some(),
        },
        Meets::Task => {
            let is_let_go = ends_session(command) || *command == Command::Drop;
            is_cut_off(step) || standing.is_unsettled && is_let_go
        }
    }
}

/// Whether a step is cancelled on its way.
pub fn is_cut_off(step: &Step) -> bool {
    step.cancel.is_some_and(|phase| phase != Phase::BeforeSend) && waits(&step.command)
}
