//! Directors, which choose the next turn.
//!
//! Owns the harness's two directors: along a schedule, and in rounds. The scheduler carries out the turns.

use super::run::ActorState;
use crate::plan::{Actor, ActorId, Gate, Schedule, Turn};

/// Returns the next turn, given the state of every actor; none when the schedule is over.
pub type Director<'a> = &'a mut dyn FnMut(&mut dyn Iterator<Item = ActorState>) -> Option<Turn>;

/// The turns of a schedule, regardless of the actors' states.
pub fn along(schedule: &Schedule) -> impl FnMut(&mut dyn Iterator<Item = ActorState>) -> Option<Turn> {
    let mut turns = schedule.0.iter().copied();
    move |_| turns.next()
}

/// Every actor begins its first command before any ends it; from then on they run in turn, one command each.
pub(super) fn in_rounds(actors: &[Actor], first: usize) -> Schedule {
    let rounds = actors.iter().map(|actor| actor.steps.len()).max().unwrap_or(0);
    let round = |round: usize, until: Gate| {
        let who = actors.iter().enumerate().filter(move |(_, actor)| round < actor.steps.len());
        who.map(move |(at, _)| Turn { actor: ActorId::new(first + at), until })
    };
    Schedule(round(0, Gate::Reply).chain((0..rounds).flat_map(|number| round(number, Gate::Boundary))).collect())
}
