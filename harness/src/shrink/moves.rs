//! Moves: the plans that one step away from a plan there are, each with a chance to be smaller and break the same.
//!
//! Owns what can be moved or put in a simpler form, and the order in which moves are worth trying; what takes commands away is
//! in `removing`. Whether a candidate makes sense, is smaller, and breaks is not decided here.

use super::removing::{chunks, compact, fewer_actors, pairs, removals, sessions, singles, without};
use super::size::simplicity;
use crate::extension::Extension;
use crate::model::written;
use crate::plan::{
    ACTORS_MAX, Actor, ActorId, Backend, BeginMode, CONNECTIONS_MAX, Command, Conflict, Fault, Gate, Key, Pause, Phase,
    Plan, Residue, Schedule, Service, Spelling, Step, Storage, Tasks, Turn, Usage, Wanted,
};

/// From a plan to its candidates. The extension knows simpler forms of its own commands.
pub(super) type Move = fn(&Plan, Option<&'static dyn Extension>) -> Vec<Plan>;

/// Above this many commands it takes too long to try other faults, and to hand one on from two commands: a run with a fault takes
/// up to a second on a server.
const FAULTS_TRIED_MAX: usize = 4;

/// Every move, in the order in which they are tried.
pub(super) const ALL: [Move; 16] = [
    // This move is first, since on `:memory:` all actors wait for a transaction that is never ended.
    surroundings,
    fewer_actors,
    sessions,
    chunks,
    singles,
    pairs,
    undisturbed,
    handed_on,
    merged,
    apart,
    replacing,
    moved,
    schedules,
    other_faults,
    plainer,
    renumbered,
];

/// Fewer and weaker cancels and faults.
pub(super) fn undisturbed(plan: &Plan, _: Option<&'static dyn Extension>) -> Vec<Plan> {
    replaced(plan, |step| {
        let mut simpler = Vec::new();
        if step.cancel.is_some() {
            simpler.push(Step { cancel: None, ..step.clone() });
        }
        if step.fault.is_some() {
            simpler.push(Step { fault: None, ..step.clone() });
        }
        let polls = if let Some(Phase::Poll(last)) = step.cancel { last } else { 1 };
        let earlier = Phase::ALL.into_iter().chain((1..polls).map(Phase::Poll));
        let weaker = earlier.filter(|it| step.cancel.is_some_and(|cancel| *it < cancel));
        simpler.extend(weaker.map(|it| Step { cancel: Some(it), ..step.clone() }));
        simpler
    })
}

/// Simpler faults in place of those there are: the same at another moment, or the simplest that costs as much.
pub(super) fn other_faults(plan: &Plan, _: Option<&'static dyn Extension>) -> Vec<Plan> {
    let all = plan.storage.faults();
    if plan.commands() > FAULTS_TRIED_MAX {
        return Vec::new();
    }
    replaced(plan, |step| {
        let Some(fault) = step.fault else { return Vec::new() };
        let row = fault.row();
        let costs_as_much = |other: &&Fault| other.row().costs_connection == row.costs_connection;
        let words = [row.word, all.iter().find(costs_as_much).map_or(row.word, |simplest| simplest.row().word)];
        let simpler = all.iter().take(simplicity(plan.storage, fault)).filter(|it| words.contains(&it.row().word));
        simpler.map(|it| Step { fault: Some(*it), ..step.clone() }).collect()
    })
}

/// A disturbed command goes, alone or with another of its actor's, and what fell on it falls on the one before or after it.
pub(super) fn handed_on(plan: &Plan, _: Option<&'static dyn Extension>) -> Vec<Plan> {
    let mut candidates = Vec::new();
    let pairs = if plan.commands() <= FAULTS_TRIED_MAX { removals(plan, 2) } else { Vec::new() };
    let all = [removals(plan, 1), pairs].concat();
    for (actor, at, step) in plan.steps().filter(|(_, _, step)| step.fault.is_some() || step.cancel.is_some()) {
        let has_it = |gone: &&Vec<_>| gone.contains(&(actor, at)) && gone.iter().all(|it| it.0 == actor);
        for gone in all.iter().filter(has_it) {
            let remaining = plan.actors[actor.index()].steps.len() - gone.len();
            let after = at - gone.iter().filter(|it| it.1 < at).count();
            for heir in [after.checked_sub(1), Some(after)].into_iter().flatten().filter(|heir| *heir < remaining) {
                let mut candidate = without(plan, gone);
                let heir = &mut candidate.actors[actor.index()].steps[heir];
                (heir.fault, heir.cancel) = (step.fault, step.cancel);
                candidates.push(candidate);
            }
        }
    }
    candidates
}

/// The commands of two actors as those of one: in the order in which they ran, or one after the other.
pub(super) fn merged(plan: &Plan, _: Option<&'static dyn Extension>) -> Vec<Plan> {
    let mut candidates = Vec::new();
    let actor_of = |turn: &Turn| turn.actor.index();
    for (one, other) in two_of(plan.actors.len()) {
        let mut actors = plan.actors.clone();
        let moved = std::mem::take(&mut actors[other].steps);
        actors[one].steps.extend(moved);
        let schedule = Schedule::serial(&actors);
        candidates.push(compact(Plan { actors, schedule, ..plan.clone() }));
        if one > other {
            continue;
        }
        let mut actors = plan.actors.clone();
        let mut waiting = [one, other].map(|it| std::mem::take(&mut actors[it].steps).into_iter());
        let mut schedule = plan.schedule.clone();
        schedule.0.retain(|it| it.until == Gate::Boundary || ![one, other].contains(&actor_of(it)));
        for turn in schedule.0.iter_mut().filter(|it| [one, other].contains(&actor_of(it))) {
            actors[one].steps.extend(waiting[usize::from(actor_of(turn) == other)].next());
            turn.actor = ActorId::new(one);
        }
        candidates.push(compact(Plan { actors, schedule, ..plan.clone() }));
    }
    candidates
}

fn two_of(count: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..count).flat_map(move |one| (0..count).filter(move |it| *it != one).map(move |other| (one, other)))
}

/// A later session gets an actor of its own, so that the earlier one need not be closed.
pub(super) fn apart(plan: &Plan, _: Option<&'static dyn Extension>) -> Vec<Plan> {
    if plan.actors.len() == ACTORS_MAX {
        return Vec::new();
    }
    let new = ActorId::new(plan.actors.len());
    let closes = plan
        .steps()
        .filter(|(actor, at, step)| step.command == Command::Close && at + 1 < plan.actors[actor.index()].steps.len());
    closes
        .map(|(actor, at, _)| {
            let mut plan = plan.clone();
            let later = plan.actors[actor.index()].steps.split_off(at + 1);
            plan.actors.push(Actor { steps: later });
            let mut taken = 0;
            for turn in plan.schedule.0.iter_mut().filter(|it| it.actor == actor) {
                if taken > at {
                    turn.actor = new;
                }
                taken += usize::from(turn.until == Gate::Boundary);
            }
            without(&plan, &[(actor, at)])
        })
        .collect()
}

/// A session that is opened where the one before is closed replaces it.
fn replacing(plan: &Plan, _: Option<&'static dyn Extension>) -> Vec<Plan> {
    let follows = |actor: ActorId, at: usize| plan.actors[actor.index()].steps.get(at + 1).map(|it| &it.command);
    let closes = plan.steps().filter(|(_, _, step)| step.command == Command::Close);
    let closes = closes.filter(|(actor, at, _)| follows(*actor, *at) == Some(&Command::Open));
    closes
        .map(|(actor, at, _)| {
            let mut plan = without(plan, &[(actor, at)]);
            plan.actors[actor.index()].steps[at].command = Command::Replace;
            plan
        })
        .collect()
}

/// One command, done by another actor.
pub(super) fn moved(plan: &Plan, _: Option<&'static dyn Extension>) -> Vec<Plan> {
    let mut candidates = Vec::new();
    for (actor, at) in plan.places() {
        for to in (0..plan.actors.len()).filter(|it| *it != actor.index()) {
            for place in 0..=plan.actors[to].steps.len() {
                let mut actors = plan.actors.clone();
                let step = actors[actor.index()].steps.remove(at);
                actors[to].steps.insert(place, step);
                // The turn goes with the command; gates within commands would now belong to others.
                let mut schedule = plan.schedule.clone();
                schedule.0.retain(|it| it.until == Gate::Boundary);
                let turn = schedule.0.iter_mut().filter(|it| it.actor == actor).nth(at);
                if let Some(turn) = turn {
                    turn.actor = ActorId::new(to);
                }
                candidates.push(compact(Plan { actors, schedule, ..plan.clone() }));
            }
        }
    }
    candidates
}

/// Serial, then without gates, then with fewer switches.
pub(super) fn schedules(plan: &Plan, _: Option<&'static dyn Extension>) -> Vec<Plan> {
    let with = |turns| Plan { schedule: Schedule(turns), ..plan.clone() };
    let mut candidates = Vec::new();
    let serial = Schedule::serial(&plan.actors);
    if plan.schedule == serial {
        return candidates;
    }
    candidates.push(Plan { schedule: serial, ..plan.clone() });
    let turns = &plan.schedule.0;
    if turns.iter().any(|it| it.until == Gate::Reply) {
        candidates.push(with(turns.iter().copied().filter(|it| it.until == Gate::Boundary).collect()));
    }
    for at in 0..turns.len() {
        if turns[at].until == Gate::Reply {
            let mut fewer = turns.clone();
            fewer.remove(at);
            candidates.push(with(fewer));
        }
    }
    for from in 0..turns.len() {
        for to in 0..turns.len() {
            let mut moved = turns.clone();
            let turn = moved.remove(from);
            moved.insert(to, turn);
            candidates.push(with(moved));
        }
    }
    candidates
}

/// Each command by a plainer one.
pub(super) fn plainer(plan: &Plan, extension: Option<&'static dyn Extension>) -> Vec<Plan> {
    replaced(plan, |step| {
        let plainer = match (&step.command, extension) {
            (Command::Extra(words), Some(extension)) => {
                extension.simpler(words).into_iter().map(|it| Command::Extra(it.into())).collect()
            }
            (command, _) => plainer_than(command),
        };
        plainer.into_iter().map(|command| Step { command, ..step.clone() }).collect()
    })
}

fn plainer_than(command: &Command) -> Vec<Command> {
    let keys = |key: Key| (1..key.0).map(Key);
    match *command {
        Command::Begin(BeginMode::Exclusive) => {
            vec![Command::Begin(BeginMode::Plain), Command::Begin(BeginMode::Immediate)]
        }
        Command::Begin(BeginMode::Immediate | BeginMode::ReadOnly) => vec![Command::Begin(BeginMode::Plain)],
        Command::Drop | Command::Close => vec![Command::Rollback, Command::Commit],
        Command::Put(key, value) => {
            let mut plainer = vec![Command::Get(key)];
            plainer.extend(keys(key).map(|it| Command::Put(it, value)));
            plainer
        }
        Command::Swap(key, value) => {
            let mut plainer = vec![Command::Get(key), Command::Put(key, value)];
            plainer.extend(keys(key).map(|it| Command::Swap(it, value)));
            plainer
        }
        Command::Insert(key, value, conflict) => {
            let mut plainer = vec![Command::Put(key, value)];
            if conflict != Conflict::Abort {
                plainer.push(Command::Insert(key, value, Conflict::Abort));
            }
            plainer.extend(keys(key).map(|it| Command::Insert(it, value, conflict)));
            plainer
        }
        Command::Get(key) => keys(key).map(Command::Get).collect(),
        Command::Delete(key) => {
            let mut plainer = vec![Command::Get(key)];
            plainer.extend(keys(key).map(Command::Delete));
            plainer
        }
        Command::Scan => vec![Command::Get(Key(1)), Command::Get(Key(2))],
        Command::Stream(rows) => {
            let mut plainer = vec![Command::Get(Key(1)), Command::Scan];
            plainer.extend((0..rows).map(Command::Stream));
            plainer
        }
        Command::Slow => vec![Command::Get(Key(1))],
        Command::Wait(pause) => before(&Pause::ALL, &pause).map(Command::Wait).collect(),
        Command::Fail => vec![Command::Get(Key(1))],
        Command::Raw(residue, spelling) => {
            let mut plainer: Vec<_> =
                (0..spelling.around).map(|around| Command::Raw(residue, Spelling { around, ..spelling })).collect();
            plainer.extend((0..spelling.core).map(|core| Command::Raw(residue, Spelling { core, ..spelling })));
            if !matches!(residue, Residue::Setting | Residue::Transaction) {
                plainer.insert(0, Command::Raw(Residue::Setting, Spelling::PLAIN));
            }
            plainer
        }
        Command::Resolve(wanted) => before(&Wanted::ALL, &wanted).map(Command::Resolve).collect(),
        Command::Override(service) => before(&Service::REPLACEABLE, &service).map(Command::Override).collect(),
        Command::Invalidate(service) => before(&Service::ALL, &service).map(Command::Invalidate).collect(),
        Command::WarmUp => vec![Command::Resolve(Wanted::One(Service::Mailer))],
        Command::Crash => vec![Command::Close, Command::Restore],
        Command::Replace => vec![Command::Close],
        Command::Race(key) => vec![Command::Get(key)],
        Command::Abandon(_) => vec![Command::Close],
        Command::Stale(usage) => plainer_usages(usage, Command::Stale),
        Command::Use(usage) => plainer_usages(usage, Command::Use),
        Command::Autonomous(usage) => plainer_usages(usage, Command::Autonomous),
        _ => Vec::new(),
    }
}

/// The same through the session itself, or less of it in the same way.
fn plainer_usages(usage: Usage, way: impl Fn(Usage) -> Command) -> Vec<Command> {
    match usage {
        Usage::Put(key, value) => {
            let plainer = [Command::Get(key), usage.into(), way(Usage::Get(key))];
            plainer.into_iter().chain((1..key.0).map(|it| way(Usage::Put(Key(it), value)))).collect()
        }
        Usage::Get(key) => [usage.into()].into_iter().chain((1..key.0).map(|it| way(Usage::Get(Key(it))))).collect(),
    }
}

/// Those that stand before this one.
fn before<T: Copy + PartialEq>(all: &'static [T], one: &T) -> impl Iterator<Item = T> {
    let place = all.iter().position(|it| it == one).unwrap_or(0);
    all[..place].iter().copied()
}

/// The same plan with its values counted from 1.
fn renumbered(plan: &Plan, _: Option<&'static dyn Extension>) -> Vec<Plan> {
    let mut plan = plan.clone();
    let mut next = 1;
    for step in plan.actors.iter_mut().flat_map(|it| &mut it.steps) {
        if written(&step.command).is_some() {
            match &mut step.command {
                Command::Put(_, value)
                | Command::Swap(_, value)
                | Command::Insert(_, value, _)
                | Command::Stale(Usage::Put(_, value))
                | Command::Use(Usage::Put(_, value))
                | Command::Autonomous(Usage::Put(_, value)) => {
                    *value = next;
                }
                _ => {}
            }
            next += 1;
        }
    }
    vec![plan]
}

/// One connection more brings one observer more, and may so make commands superfluous.
pub(super) fn roomier(plan: &Plan, _: Option<&'static dyn Extension>) -> Vec<Plan> {
    if plan.connections == CONNECTIONS_MAX {
        return Vec::new();
    }
    vec![Plan { connections: plan.connections + 1, ..plan.clone() }]
}

/// Only one or two of its commands.
pub(super) fn few(plan: &Plan) -> Vec<Plan> {
    let all = plan.places();
    let keep = |kept: &[(ActorId, usize)]| {
        let gone: Vec<_> = all.iter().copied().filter(|it| !kept.contains(it)).collect();
        without(plan, &gone)
    };
    let pairs = all.iter().enumerate().flat_map(|(at, one)| all[at + 1..].iter().map(move |other| [*one, *other]));
    all.iter().map(|it| keep(&[*it])).chain(pairs.map(|it| keep(&it))).collect()
}

/// Fewer connections, a plainer storage, tasks that run at once.
fn surroundings(plan: &Plan, _: Option<&'static dyn Extension>) -> Vec<Plan> {
    let mut candidates: Vec<Plan> =
        (1..plan.connections).map(|connections| Plan { connections, ..plan.clone() }).collect();
    let plainest = match plan.storage.backend() {
        Backend::Sqlite => Storage::Wal,
        Backend::Postgres => Storage::Postgres,
        Backend::Sim => Storage::Sim,
    };
    if plan.storage != plainest {
        candidates.push(Plan { storage: plainest, ..plan.clone() });
    }
    if plan.fixture {
        candidates.push(Plan { fixture: false, ..plan.clone() });
    }
    if plan.tasks != Tasks::Prompt {
        candidates.push(Plan { tasks: Tasks::Prompt, ..plan.clone() });
    }
    candidates
}

/// The plans in which one step is replaced by one of its simpler forms.
fn replaced(plan: &Plan, simpler: impl Fn(&Step) -> Vec<Step>) -> Vec<Plan> {
    let mut candidates = Vec::new();
    for (actor, at, step) in plan.steps() {
        for new in simpler(step) {
            let mut candidate = plan.clone();
            candidate.actors[actor.index()].steps[at] = new;
            candidates.push(candidate);
        }
    }
    candidates
}
