//! The order in which actors pass their gates, and when the tasks beside them run.

use super::step::{Actor, ActorId};

/// The order in which actors pass their gates.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Schedule(pub Vec<Turn>);

/// One entry of a schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Turn {
    /// The actor that runs.
    pub actor: ActorId,
    /// How far.
    pub until: Gate,
}

/// A point where the scheduler may switch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Gate {
    /// The end of the command. An entry `a`.
    Boundary,
    /// The reply is there and has not been looked at. An entry `a/`; a later `a` ends the command.
    Reply,
}

/// Whether tasks that the system has spawned run on between two turns: a part of the schedule, since work that was left to
/// a task is done before the next command or after it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Tasks {
    /// A turn ends only when the tasks that it left behind have ended, or wait.
    #[default]
    Prompt,
    /// Tasks run only while an actor waits.
    Late,
}

impl Tasks {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Prompt, Self::Late];
}

impl Schedule {
    /// Every actor runs to its end, one after the other.
    pub fn serial(actors: &[Actor]) -> Self {
        Self(
            actors
                .iter()
                .enumerate()
                .flat_map(|(actor, it)| {
                    let turn = Turn { actor: ActorId::new(actor), until: Gate::Boundary };
                    std::iter::repeat_n(turn, it.steps.len())
                })
                .collect(),
        )
    }

    /// How often the turn passes from one actor to another.
    pub fn switches(&self) -> usize {
        self.0.windows(2).filter(|pair| pair[0].actor != pair[1].actor).count()
    }
}
