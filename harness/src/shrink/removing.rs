//! Moves that take commands away: actors, sessions, stretches, single commands and pairs.
//!
//! Owns what is left of a plan without some of its commands: its schedule, its actors and its numbers stay without gaps.

use crate::extension::Extension;
use crate::plan::{Actor, ActorId, Command, Gate, Plan, Schedule, Service, Step, Wanted};

/// Above this many commands pairs are too many to try.
const PAIRS_MAX: usize = 16;

/// Every choice of one or of two commands to remove that leaves something; none if they are too many.
pub(super) fn removals(plan: &Plan, size: usize) -> Vec<Vec<(ActorId, usize)>> {
    let all = plan.places();
    match size {
        1 if all.len() > 1 => all.into_iter().map(|it| vec![it]).collect(),
        2 if (3..=PAIRS_MAX).contains(&all.len()) => {
            let others = |at: usize| all[at + 1..].iter().copied();
            all.iter().enumerate().flat_map(|(at, one)| others(at).map(move |other| vec![*one, other])).collect()
        }
        _ => Vec::new(),
    }
}

pub(super) fn fewer_actors(plan: &Plan, _: Option<&'static dyn Extension>) -> Vec<Plan> {
    if plan.actors.len() < 2 {
        return Vec::new();
    }
    let of = |actor: usize| plan.places().into_iter().filter(|it| it.0.index() == actor).collect::<Vec<_>>();
    (0..plan.actors.len()).map(|actor| without(plan, &of(actor))).collect()
}

/// A session goes with everything that depends on it: its commands, and the uses of the handle that was retained in it.
pub(super) fn sessions(plan: &Plan, _: Option<&'static dyn Extension>) -> Vec<Plan> {
    let mut all = Vec::new();
    for (actor, it) in plan.actors.iter().enumerate() {
        let opens = it.steps.iter().enumerate().filter(|(_, step)| step.command == Command::Open).map(|it| it.0);
        let opens: Vec<_> = opens.chain([it.steps.len()]).collect();
        for pair in opens.windows(2) {
            let (open, end) = (pair[0], pair[1]);
            let gives =
                |step: &Step| matches!(step.command, Command::Retain | Command::Resolve(Wanted::One(Service::Rows)));
            let retains = it.steps[open..end].iter().any(gives);
            let is_other = |step: &&Step| !gives(step);
            let later = if retains { it.steps[end..].iter().take_while(is_other).count() } else { 0 };
            let uses = |at: &usize| *at < end || matches!(it.steps[*at].command, Command::Stale(_) | Command::Use(_));
            let gone = (open..end + later).filter(uses).map(|at| (ActorId::new(actor), at));
            all.push(gone.collect::<Vec<_>>());
        }
    }
    let both = all.iter().enumerate().flat_map(|(at, one)| all[at + 1..].iter().map(move |it| [&one[..], it].concat()));
    both.chain(all.iter().cloned()).map(|gone| without(plan, &gone)).collect()
}

/// Runs of an actor's commands, long ones first.
pub(super) fn chunks(plan: &Plan, _: Option<&'static dyn Extension>) -> Vec<Plan> {
    let mut candidates = Vec::new();
    let longest = plan.actors.iter().map(|it| it.steps.len()).max().unwrap_or(0);
    for size in (2..=longest).rev() {
        for (actor, it) in plan.actors.iter().enumerate() {
            for start in 0..(it.steps.len() + 1).saturating_sub(size) {
                let gone: Vec<_> = (start..start + size).map(|at| (ActorId::new(actor), at)).collect();
                candidates.push(without(plan, &gone));
            }
        }
    }
    candidates
}

pub(super) fn singles(plan: &Plan, _: Option<&'static dyn Extension>) -> Vec<Plan> {
    removals(plan, 1).into_iter().rev().map(|it| without(plan, &it)).collect()
}

/// Pairs matter: one command at a time cannot remove `begin` and its `commit`.
pub(super) fn pairs(plan: &Plan, _: Option<&'static dyn Extension>) -> Vec<Plan> {
    removals(plan, 2).into_iter().map(|it| without(plan, &it)).collect()
}

/// The plan without these commands, its schedule without their turns.
pub(super) fn without(plan: &Plan, gone: &[(ActorId, usize)]) -> Plan {
    let mut next = vec![0_usize; plan.actors.len()];
    let turns = plan.schedule.0.iter().filter(|turn| {
        let at = next[turn.actor.index()];
        next[turn.actor.index()] += usize::from(turn.until == Gate::Boundary);
        !gone.contains(&(turn.actor, at))
    });
    let schedule = Schedule(turns.copied().collect());
    let actors = plan.actors.iter().enumerate().map(|(actor, it)| {
        let kept = it.steps.iter().enumerate().filter(|(at, _)| !gone.contains(&(ActorId::new(actor), *at)));
        Actor { steps: kept.map(|(_, step)| step.clone()).collect() }
    });
    compact(Plan { actors: actors.collect(), schedule, ..plan.clone() })
}

/// Removes actors without commands and gives the others their letters.
pub(super) fn compact(plan: Plan) -> Plan {
    let mut letters = Vec::new();
    let mut kept = 0;
    for actor in &plan.actors {
        letters.push(ActorId::new(kept));
        kept += usize::from(!actor.steps.is_empty());
    }
    if kept == 0 || kept == plan.actors.len() {
        return plan;
    }
    let mut schedule = plan.schedule;
    schedule.0.retain(|turn| !plan.actors[turn.actor.index()].steps.is_empty());
    for turn in &mut schedule.0 {
        turn.actor = letters[turn.actor.index()];
    }
    let actors = plan.actors.into_iter().filter(|it| !it.steps.is_empty()).collect();
    Plan { actors, schedule, ..plan }
}
