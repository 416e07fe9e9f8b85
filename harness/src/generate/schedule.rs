//! Schedules: in which order the actors of a drawn plan pass their gates, and when the tasks beside them run.
//!
//! It looks at how many commands each actor has, and at their kinds only to see who is about to do the same.
//!
//! A race at the *n*-th gate of a command needs an actor that stops there, and another one that goes on meanwhile. Where
//! every gate is a new draw, that is reached with the *n*-th power of the chance to stop; so where an actor stops, it is
//! drawn first *how deep* in its command. On a database whose commands have one gate, that is no gain, so orders are mixed.
//!
//! What races for something shared mostly does the same: two opens for the idle connection, two writes for the row. So an
//! actor is stopped more often where a rival is about to do the same. Then that rival goes on, or both go on side by side, gate
//! by gate.

use rand::Rng;

use super::draw::Draw;
use super::meeting::{bring_together, side_by_side, turn};
use super::order::Order;
use super::profile::Profile;
use crate::model::Operation;
use crate::plan::{Actor, Gate, Schedule, Tasks, Turn};

/// Draws whether tasks run on between two turns.
pub(super) fn tasks(profile: &Profile, draw: &mut Draw<'_, impl Rng>) -> Tasks {
    if profile.late_tasks && draw.chance(4) { Tasks::Late } else { Tasks::Prompt }
}

/// Draws a schedule for these actors.
pub(super) fn schedule(actors: &[Actor], profile: &Profile, draw: &mut Draw<'_, impl Rng>) -> Schedule {
    let order = match profile.strategy {
        Order::Mixed => *draw.one(&Order::MIX),
        order => order,
    };
    if order == Order::Serial || actors.len() == 1 {
        return Schedule::serial(actors);
    }
    let mut left = [0_usize; crate::plan::ACTORS_MAX];
    for (left, actor) in left.iter_mut().zip(actors) {
        *left = actor.steps.len();
    }
    let total: usize = left.iter().sum();
    let mut priorities = [0_u32; crate::plan::ACTORS_MAX];
    for priority in &mut priorities {
        *priority = 2 + draw.below(1 << 16);
    }
    let changes = [draw.below_len(total), draw.below_len(total)];
    let gates = *draw.one(&[0, 2, 5]);
    let deepest = if order == Order::Random { 1 } else { u32::from(profile.gates.max(1)) };
    let mut turns = Vec::with_capacity(total + total / 4);
    let pick = |left: &[usize], draw: &mut Draw<'_, _>, priorities: &[u32], but: Option<usize>| {
        let able = || (0..actors.len()).filter(|it| left[*it] > 0 && Some(*it) != but);
        if order == Order::Pct {
            able().max_by_key(|it| priorities[*it])
        } else {
            able().nth(draw.below_len(able().count()))
        }
    };
    if order != Order::Pct && profile.rivals && draw.chance(MEETINGS) {
        bring_together(actors, &mut left, profile.gates.max(1).into(), &mut turns, draw);
    }
    if order == Order::Pos {
        sample(actors, &mut left, deepest, &mut turns, draw);
        return Schedule(turns);
    }
    while let at = total - left.iter().sum::<usize>()
        && at < total
    {
        let mut actor = pick(&left, draw, &priorities, None).unwrap_or(0);
        let change = changes.iter().position(|it| *it == at);
        if let Some(change) = change {
            priorities[actor] = u32::try_from(change).unwrap_or(0);
        }
        let rivals = || (0..actors.len()).filter(|it| profile.rivals && are_rivals(actors, &left, actor, *it));
        let rival = rivals().nth(draw.below_len(rivals().count()));
        let stops = match order {
            Order::Pct => change.is_some(),
            _ if rival.is_some() && gates > 0 => draw.chance(gates.max(GATES_OF_RIVALS)),
            _ => draw.chance(gates),
        };
        if stops {
            if let Some(rival) = rival.filter(|_| draw.chance(8)) {
                side_by_side([actor, rival], deepest, &mut turns);
                left[actor] -= 1;
                left[rival] -= 1;
                continue;
            }
            let depth = 1 + draw.below(deepest) as usize;
            turns.extend(std::iter::repeat_n(turn(actor, Gate::Reply), depth));
            // Another actor, if there is one: to stop an actor and resume the same one would be no switch.
            let other = rival.filter(|_| draw.chance(12));
            actor = other.or_else(|| pick(&left, draw, &priorities, Some(actor))).unwrap_or(actor);
        }
        left[actor] -= 1;
        turns.push(turn(actor, Gate::Boundary));
    }
    Schedule(turns)
}

/// All that is left, by priorities that are drawn again after each step and whenever a rival has got on.
fn sample(actors: &[Actor], left: &mut [usize], deepest: u32, turns: &mut Vec<Turn>, draw: &mut Draw<'_, impl Rng>) {
    let mut drawn = [(0, 0); crate::plan::ACTORS_MAX];
    let again = |draw: &mut Draw<'_, _>| (draw.below(1 << 16), draw.below(deepest + 1));
    drawn.fill_with(|| again(draw));
    let next = |left: &[usize], drawn: &[(u32, u32)]| {
        (0..actors.len()).filter(|actor| left[*actor] > 0).max_by_key(|actor| drawn[*actor].0)
    };
    while let Some(actor) = next(left, &drawn) {
        for rival in (0..actors.len()).filter(|it| are_rivals(actors, left, actor, *it)) {
            drawn[rival].0 = again(draw).0;
        }
        let (_, gates) = drawn[actor];
        drawn[actor] = again(draw);
        if gates > 0 {
            drawn[actor].1 = gates - 1;
            turns.push(turn(actor, Gate::Reply));
        } else {
            left[actor] -= 1;
            turns.push(turn(actor, Gate::Boundary));
        }
    }
}

/// How often two actors are brought together before anything else, in sixteenths.
const MEETINGS: u32 = 9;

/// How often an actor is stopped where a rival is about to do the same, in sixteenths.
const GATES_OF_RIVALS: u32 = 8;

/// Whether both have a command left, and of the same kind.
fn are_rivals(actors: &[Actor], left: &[usize], one: usize, other: usize) -> bool {
    let next = |actor: usize| {
        let steps = &actors[actor].steps;
        steps.get(steps.len() - left[actor]).map(|step| Operation::of(&step.command, 0))
    };
    one != other && next(one).is_some() && next(one) == next(other)
}
