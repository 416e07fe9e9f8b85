//! One actor's commands, and what is done to each while it runs.

use std::fmt;

use super::command::Command;
use super::fault::Fault;

/// One logical task of a plan: the commands that it runs, one after the other.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Actor {
    /// The commands in their order.
    pub steps: Vec<Step>,
}

/// The name of an actor: its place in the plan, printed as a letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ActorId(u8);

impl ActorId {
    /// The actor at this place of [`Plan::actors`](super::Plan::actors).
    ///
    /// # Panics
    /// If the place is 26 or more: there is no letter for it.
    pub fn new(index: usize) -> Self {
        Self(u8::try_from(index).ok().filter(|it| *it < 26).expect("an actor has a letter"))
    }

    /// The place in [`Plan::actors`](super::Plan::actors).
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

impl fmt::Display for ActorId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", char::from(b'a' + self.0))
    }
}

/// A command, and what is done to it while it runs.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Step {
    /// What the actor asks of the system.
    pub command: Command,
    /// Where the command's future is dropped, if it is.
    pub cancel: Option<Phase>,
    /// What is done to the database while the command runs.
    pub fault: Option<Fault>,
}

impl From<Command> for Step {
    fn from(command: Command) -> Self {
        Self { command, cancel: None, fault: None }
    }
}

/// Where a command's future is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    /// Before its first poll: nothing has been sent.
    BeforeSend,
    /// Right after its first poll that had to wait: the request is under way.
    Sent,
    /// When it was woken for the first time, before it could look at the reply.
    BeforeReply,
    /// After this many polls that had to wait, counted from 1. Only where polls are deterministic: in the simulation.
    Poll(u8),
}

impl Phase {
    /// Every phase that has a name, in the order in which an operation passes them.
    pub const ALL: [Self; 3] = [Self::BeforeSend, Self::Sent, Self::BeforeReply];
}
