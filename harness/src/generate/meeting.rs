//! Meetings: what two actors of a drawn plan do at the same place, before anything else is scheduled.
//!
//! Owns whom a schedule brings together, and for what: two that do the same, or one that comes to where another one holds
//! something. Who goes on otherwise is [`super::schedule`]'s.

use rand::Rng;

use super::draw::Draw;
use crate::model::{Operation, effect_of, ends_session, touched};
use crate::plan::{Actor, ActorId, BeginMode, Command, Gate, Key, Step, Turn};

/// How often one of them comes to where the other one holds something instead, where that can be, in sixteenths.
const VISITS: u32 = 5;

/// How often two commands that are brought together are about the same row, where that can be, in sixteenths.
const ON_ONE_ROW: u32 = 12;

/// Brings two actors together, if there is anything for them to do.
pub(super) fn bring_together(
    actors: &[Actor],
    left: &mut [usize],
    deepest: u32,
    turns: &mut Vec<Turn>,
    draw: &mut Draw<'_, impl Rng>,
) {
    let is_visited = draw.chance(VISITS) && visit(actors, left, turns, draw);
    if !is_visited {
        meet(actors, left, deepest, turns, draw);
    }
}

/// Brings two commands of one kind together, drawn from all that two actors have: everything before them is run, often with
/// a third actor's commands, and then both side by side. What is raced for may be there only later, as an idle connection is.
fn meet(actors: &[Actor], left: &mut [usize], deepest: u32, turns: &mut Vec<Turn>, draw: &mut Draw<'_, impl Rng>) {
    let able = |kind: Operation, but: Option<usize>| {
        let actors = actors.iter().enumerate().filter(move |(actor, _)| Some(*actor) != but);
        actors.flat_map(move |(actor, it)| {
            let commands = it.steps.iter().enumerate();
            let same = commands.filter(move |(_, step)| Operation::of(&step.command, 0) == kind);
            same.map(move |(at, _)| (actor, at))
        })
    };
    let kinds = || {
        Operation::ALL.into_iter().filter(|kind| {
            let first = able(*kind, None).next();
            first.is_some_and(|(actor, _)| able(*kind, Some(actor)).next().is_some())
        })
    };
    let Some(kind) = kinds().nth(draw.below_len(kinds().count())) else { return };
    let Some(one) = able(kind, None).nth(draw.below_len(able(kind, None).count())) else { return };
    // What happens to one row at once is what can be lost.
    let row = touched(&actors[one.0].steps[one.1].command).filter(|_| draw.chance(ON_ONE_ROW));
    let is_there = |(actor, at): &(usize, usize)| touched(&actors[*actor].steps[*at].command) == row;
    let row = row.filter(|_| able(kind, Some(one.0)).any(|it| is_there(&it)));
    let others = || able(kind, Some(one.0)).filter(|it| row.is_none() || is_there(it));
    let Some(other) = others().nth(draw.below_len(others().count())) else { return };
    let mut first: Vec<(usize, usize)> = vec![one, other];
    for (actor, it) in actors.iter().enumerate() {
        if actor != one.0 && actor != other.0 && draw.chance(8) {
            first.insert(draw.below_len(first.len() + 1), (actor, it.steps.len()));
        }
    }
    for (actor, up_to) in first {
        turns.extend(std::iter::repeat_n(turn(actor, Gate::Boundary), up_to));
        left[actor] -= up_to;
    }
    left[one.0] -= 1;
    left[other.0] -= 1;
    side_by_side([one.0, other.0], deepest, turns);
}

/// Lets one actor come to where another one holds something, drawn from all that there is: a row that it has written and not
/// committed, or a lock with which its transaction began. Whether there was any.
fn visit(actors: &[Actor], left: &mut [usize], turns: &mut Vec<Turn>, draw: &mut Draw<'_, impl Rng>) -> bool {
    let held = |(actor, it): (usize, &Actor)| {
        let mut is_open = false;
        let steps = it.steps.iter().enumerate();
        let held = steps.filter_map(|(at, step)| {
            let locks = matches!(step.command, Command::Begin(BeginMode::Immediate | BeginMode::Exclusive)) && !is_open;
            match step.command {
                Command::Begin(_) => is_open = true,
                Command::Commit | Command::Rollback | Command::Drop => is_open = false,
                ref command => is_open &= !ends_session(command),
            }
            let row = effect_of(&step.command).filter(|_| is_open).map(|(key, _)| key);
            (locks || row.is_some()).then_some((actor, at, row))
        });
        held.collect::<Vec<_>>()
    };
    let held: Vec<(usize, usize, Option<Key>)> = actors.iter().enumerate().flat_map(held).collect();
    let Some((holder, held_at, row)) = held.get(draw.below_len(held.len())).copied() else { return false };
    let comes = |step: &Step| match step.command {
        Command::Scan | Command::Stream(_) => true,
        ref command => touched(command).is_some_and(|key| row.is_none_or(|row| row == key)),
    };
    let others = actors.iter().enumerate().filter(|(actor, _)| *actor != holder);
    let visits = others.flat_map(|(actor, it)| {
        let steps = it.steps.iter().enumerate();
        steps.filter(|(_, step)| comes(step)).map(move |(at, _)| (actor, at))
    });
    let visits: Vec<(usize, usize)> = visits.collect();
    let Some((visitor, at)) = visits.get(draw.below_len(visits.len())).copied() else { return false };
    // What the visitor needs may be there before the lock is.
    let before = if draw.chance(8) { at } else { 0 };
    for (actor, up_to) in [(visitor, before), (holder, held_at + 1), (visitor, at + 1 - before)] {
        turns.extend(std::iter::repeat_n(turn(actor, Gate::Boundary), up_to));
        left[actor] -= up_to;
    }
    true
}

/// The next commands of both, one gate each in turn: whatever both look at before either acts on it, at whatever gate.
pub(super) fn side_by_side(both: [usize; 2], deepest: u32, turns: &mut Vec<Turn>) {
    let [one, other] = both;
    for _ in 0..deepest {
        turns.extend([turn(one, Gate::Reply), turn(other, Gate::Reply)]);
    }
    turns.extend([turn(one, Gate::Boundary), turn(other, Gate::Boundary)]);
}

pub(super) fn turn(actor: usize, until: Gate) -> Turn {
    Turn { actor: ActorId::new(actor), until }
}
