//! One complete test case: where it happens, who does what, and in which order.

use super::fault::Fault;
use super::schedule::{Schedule, Tasks};
use super::step::{Actor, ActorId, Step};
use super::storage::Storage;

/// The most actors that a plan may have; they are named `a`, `b`, `c` …
pub const ACTORS_MAX: usize = 8;

/// The most connections that a plan may give to the system.
pub const CONNECTIONS_MAX: u8 = 8;

/// One complete test case: what every actor does, what is done to it, and in which order.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Plan {
    /// Where the database of this plan lives.
    pub storage: Storage,
    /// How many connections the system may have open at once.
    pub connections: u8,
    /// Whether all of it happens inside a test fixture, which undoes it at the end.
    pub fixture: bool,
    /// Whether the system's own tasks run on between two turns.
    pub tasks: Tasks,
    /// The logical tasks, in the order of their names.
    pub actors: Vec<Actor>,
    /// The order in which actors pass their gates.
    pub schedule: Schedule,
}

impl Plan {
    /// The number of commands of all actors.
    pub fn commands(&self) -> usize {
        self.actors.iter().map(|actor| actor.steps.len()).sum()
    }

    /// Whether it needs a PostgreSQL server of its own, since it does something to the whole of one.
    pub fn owns_server(&self) -> bool {
        self.steps().any(|(_, _, step)| step.fault.is_some_and(Fault::is_server_wide))
    }

    /// Whether this fault is done in it.
    pub fn has(&self, fault: Fault) -> bool {
        self.steps().any(|(_, _, step)| step.fault == Some(fault))
    }

    /// Everybody's commands, by actor and index.
    pub fn places(&self) -> Vec<(ActorId, usize)> {
        self.steps().map(|(actor, at, _)| (actor, at)).collect()
    }

    /// All steps, with the actor and the index that name them.
    pub fn steps(&self) -> impl Iterator<Item = (ActorId, usize, &Step)> {
        self.actors.iter().enumerate().flat_map(|(actor, it)| {
            let id = ActorId::new(actor);
            it.steps.iter().enumerate().map(move |(at, step)| (id, at, step))
        })
    }
}
