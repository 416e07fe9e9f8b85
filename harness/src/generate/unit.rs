//! Units of work: sessions and transactions that are begun, nested and ended in order, as applications do it.
//!
//! Commands drawn one by one seldom nest twice and end both, and two actors seldom write the same two rows in opposite
//! order while both have a transaction open. Owns these shapes; which statements are in them is drawn as everywhere.

use rand::Rng;

use super::draw::Draw;
use super::drawing::Drawing;
use super::kinds::{Kind, needed_for};
use super::profile::Profile;
use crate::capability::{Capabilities, Capability};
use crate::model::ActorState;
use crate::plan::{Actor, Command, Key, Step};

/// How an actor's units are made.
#[derive(Clone, Copy)]
pub(super) struct Unit {
    /// How many transactions are begun inside one another; none in a session of single statements, which is soon over.
    nesting: u8,
    /// Whether rows are written from the last to the first.
    descending: bool,
    /// The rows that are written crosswise; none if any.
    crossed: u8,
}

impl Unit {
    /// Draws how the units of the *n*-th actor are made.
    pub(super) fn of(number: usize, crosswise: bool, nests: bool, draw: &mut Draw<'_, impl Rng>) -> Self {
        let nesting = u8::try_from(draw.below(if nests { 4 } else { 2 })).unwrap_or(0);
        Self { nesting, descending: number % 2 == 1, crossed: if crosswise { 2 } else { 0 } }
    }
}

/// Whether units may nest.
pub(super) fn may_nest(profile: &Profile, capabilities: Capabilities) -> bool {
    capabilities.has(Capability::Nesting) && !profile.without.contains(&Kind::Nest)
}

/// Whether units can be drawn for this system.
pub(super) fn are_possible(profile: &Profile, capabilities: Capabilities) -> bool {
    let kinds = [Kind::Begin, Kind::Commit, Kind::Rollback, Kind::Close];
    let able = |kind: &Kind| {
        !profile.without.contains(kind) && needed_for(*kind).is_none_or(|needed| capabilities.has(needed))
    };
    profile.units && kinds.iter().all(able)
}

impl Drawing<'_> {
    /// An actor that works in units.
    pub(super) fn actor_of_units(&mut self, unit: Unit, length: u8, draw: &mut Draw<'_, impl Rng>) -> Actor {
        let mut made = Made { steps: Vec::with_capacity(length.into()), state: ActorState::default(), length };
        while made.has_room() {
            if !made.state.session {
                made.push(self, Command::Open);
            }
            self.transaction(unit, &mut made, draw);
            if draw.chance(8) {
                self.statement(&mut made, draw);
            }
            if draw.chance(if unit.nesting == 0 { 14 } else { 10 }) {
                made.push(self, Command::Close);
            }
        }
        Actor { steps: made.steps }
    }

    fn transaction(&mut self, unit: Unit, made: &mut Made, draw: &mut Draw<'_, impl Rng>) {
        let mut written = 0;
        for level in 0..unit.nesting {
            let explicit = level == 0 && self.table.has(Kind::BeginExplicit) && draw.chance(5);
            let begin = if explicit { Kind::BeginExplicit } else { Kind::Begin };
            let begin = self.command_of(begin, made.state, draw);
            made.push(self, begin);
            if written < unit.crossed {
                self.write(unit, written, made, draw);
                written += 1;
            } else if draw.chance(10) {
                self.statement(made, draw);
            }
        }
        while written < unit.crossed {
            self.write(unit, written, made, draw);
            written += 1;
        }
        for _ in 0..unit.nesting {
            if draw.chance(4) {
                self.statement(made, draw);
            }
            // What an end comes to after a statement that was refused is a question of its own.
            if self.table.has(Kind::Fail) && draw.chance(3) {
                made.push(self, Command::Fail);
            }
            let end = match draw.below(16) {
                0..10 => Kind::Commit,
                10..12 if self.table.has(Kind::Drop) => Kind::Drop,
                _ => Kind::Rollback,
            };
            if made.state.depth > 0 {
                let end = self.command_of(end, made.state, draw);
                made.push(self, end);
            }
        }
    }

    /// The *n*-th of the rows that are written crosswise.
    fn write(&mut self, unit: Unit, nth: u8, made: &mut Made, draw: &mut Draw<'_, impl Rng>) {
        let last = u8::try_from(self.keys).unwrap_or(1).min(unit.crossed);
        let key = if unit.descending { last - nth.min(last - 1) } else { 1 + nth.min(last - 1) };
        let value = self.value();
        let command = if self.table.has(Kind::Swap) && draw.chance(8) {
            Command::Swap(Key(key), value)
        } else if draw.chance(14) {
            Command::Put(Key(key), value)
        } else {
            Command::Delete(Key(key))
        };
        made.push(self, command);
    }

    /// Anything that can be done within a session and leaves it and its transactions open.
    fn statement(&mut self, made: &mut Made, draw: &mut Draw<'_, impl Rng>) {
        let command = self.command(made.state, draw);
        let mut after = made.state;
        let stays = after.take(&Step::from(command.clone()), self.capabilities).is_ok()
            && after.session
            && after.depth == made.state.depth;
        let command = if stays { command } else { self.command_of(Kind::Put, made.state, draw) };
        made.push(self, command);
    }
}

/// What has been drawn of an actor.
struct Made {
    steps: Vec<Step>,
    state: ActorState,
    length: u8,
}

impl Made {
    fn has_room(&self) -> bool {
        self.steps.len() < usize::from(self.length)
    }

    /// Adds the command, if there is room; one that does not apply any more is left out.
    fn push(&mut self, drawing: &Drawing<'_>, command: Command) {
        let step = Step::from(command);
        if self.has_room() && self.state.take(&step, drawing.capabilities).is_ok() {
            self.steps.push(step);
        }
    }
}
