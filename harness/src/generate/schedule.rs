//! Schedules: in which order the actors of a drawn plan pass their gates, and when the tasks beside them run.
//!
//! It looks at how many commands each actor has, never at what they are.
//!
//! A race at the *n*-th gate of a command needs an actor that stops there, and another one that goes on meanwhile. Where
//! every gate is a new draw, that is reached with the *n*-th power of the chance to stop; so where an actor stops, it is
//! drawn first *how deep* in its command. On a database whose commands have one gate, that is no gain, so orders are mixed.

use rand::Rng;

use super::draw::Draw;
use super::order::Order;
use super::profile::Profile;
use crate::plan::{Actor, ActorId, Gate, Schedule, Tasks, Turn};

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
    for at in 0..total {
        let mut actor = pick(&left, draw, &priorities, None).unwrap_or(0);
        let change = changes.iter().position(|it| *it == at);
        if let Some(change) = change {
            priorities[actor] = u32::try_from(change).unwrap_or(0);
        }
        let stops = if order == Order::Pct { change.is_some() } else { draw.chance(gates) };
        if stops {
            let depth = 1 + draw.below(deepest) as usize;
            turns.extend(std::iter::repeat_n(Turn { actor: ActorId::new(actor), until: Gate::Reply }, depth));
            // Another actor, if there is one: to stop an actor and resume the same one would be no switch.
            actor = pick(&left, draw, &priorities, Some(actor)).unwrap_or(actor);
        }
        left[actor] -= 1;
        turns.push(Turn { actor: ActorId::new(actor), until: Gate::Boundary });
    }
    Schedule(turns)
}
