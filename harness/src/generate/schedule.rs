//! Schedules: in which order the actors of a drawn plan pass their gates.
//!
//! Owns the [`Order`]s. It looks at how many commands each actor has, never at what they are.

use std::fmt;

use rand::Rng;
use serde::Deserialize;

use super::draw::Draw;
use crate::plan::{Actor, ActorId, Gate, Schedule, Turn};

/// How schedules are drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Order {
    /// One of the others for each plan.
    Mixed,
    /// Any actor at any gate.
    Random,
    /// Priorities with two random change points (Burckhardt et al., ASPLOS 2010, with d = 3).
    Pct,
    /// One actor after the other.
    Serial,
}

impl Order {
    /// Every order.
    pub const ALL: [Self; 4] = [Self::Mixed, Self::Random, Self::Pct, Self::Serial];
}

impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Mixed => "mixed",
            Self::Random => "random",
            Self::Pct => "pct",
            Self::Serial => "serial",
        })
    }
}

/// Draws a schedule for these actors.
pub(super) fn schedule(actors: &[Actor], order: Order, draw: &mut Draw<'_, impl Rng>) -> Schedule {
    let order = match order {
        Order::Mixed => *draw.one(&[Order::Random, Order::Random, Order::Pct, Order::Serial]),
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
        let stops = if order == Order::Pct { change.is_some() && draw.chance(8) } else { draw.chance(gates) };
        if stops {
            turns.push(Turn { actor: ActorId::new(actor), until: Gate::Reply });
        }
        if stops || change.is_some() {
            // Another actor, if there is one: to stop an actor and resume the same one would be no switch.
            actor = pick(&left, draw, &priorities, Some(actor)).unwrap_or(actor);
        }
        left[actor] -= 1;
        turns.push(Turn { actor: ActorId::new(actor), until: Gate::Boundary });
    }
    Schedule(turns)
}
