//! The size of a plan: of two plans that break the same, the smaller one is easier to understand.
//!
//! Owns that order. It is total and has no endless descent, so whatever moves there are, shrinking ends.

use crate::model::written;
use crate::plan::{
    ActorId, BeginMode, Command, Conflict, Fault, Gate, Phase, Plan, Residue, Step, Storage, Tasks, Usage, Wanted,
};

/// What is compared, the most important first.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Size {
    commands: usize,
    disturbances: u32,
    actors: usize,
    switches: usize,
    gates: usize,
    fixture: bool,
    tasks: Tasks,
    storage: u8,
    connections: u8,
    weight: u32,
    faults: usize,
    order: Vec<ActorId>,
    extra: Vec<(usize, Box<str>)>,
    values: Vec<u32>,
}

impl Size {
    pub(super) fn of(plan: &Plan) -> Self {
        let steps = || plan.steps().map(|(_, _, step)| step);
        let words = |step: &Step| match &step.command {
            Command::Extra(words) => Some((words.len(), words.clone())),
            _ => None,
        };
        Self {
            commands: plan.commands(),
            disturbances: steps().map(disturbance).sum(),
            actors: plan.actors.len(),
            switches: plan.schedule.switches(),
            gates: plan.schedule.0.iter().filter(|it| it.until == Gate::Reply).count(),
            fixture: plan.fixture,
            tasks: plan.tasks,
            storage: match plan.storage {
                Storage::Wal | Storage::Postgres | Storage::Sim => 0,
                Storage::Journal | Storage::SimOrdered => 1,
                Storage::Memory | Storage::SimOnly => 2,
            },
            connections: plan.connections,
            weight: steps().map(|it| weight(&it.command)).sum(),
            faults: steps().filter_map(|step| step.fault).map(|fault| simplicity(plan.storage, fault)).sum(),
            order: plan.schedule.0.iter().map(|it| it.actor).collect(),
            extra: steps().filter_map(words).collect(),
            values: steps().filter_map(|it| written(&it.command)).map(|it| it.1).collect(),
        }
    }
}

/// How many faults of the storage are simpler: its table goes from the simple to the intricate.
pub(super) fn simplicity(storage: Storage, fault: Fault) -> usize {
    let all = storage.faults();
    all.iter().position(|it| *it == fault).unwrap_or(all.len())
}

fn disturbance(step: &Step) -> u32 {
    let cancel = match step.cancel {
        None => 0,
        Some(Phase::BeforeSend) => 1,
        Some(Phase::Sent) => 2,
        Some(Phase::BeforeReply) => 3,
        Some(Phase::Poll(polls)) => 3 + u32::from(polls),
    };
    cancel + if step.fault.is_some() { 4 } else { 0 }
}

/// How much a reader has to know to see what the command does.
fn weight(command: &Command) -> u32 {
    match *command {
        Command::Open | Command::Commit | Command::Rollback | Command::Inspect | Command::Retain => 1,
        Command::Begin(BeginMode::Plain) => 1,
        Command::Begin(BeginMode::Immediate) => 2,
        Command::Begin(BeginMode::Exclusive) => 3,
        Command::Begin(BeginMode::ReadOnly) => 4,
        Command::Drop | Command::Close => 2,
        Command::Get(key) => 2 + u32::from(key.0),
        Command::Stale(Usage::Get(key)) => 100 + u32::from(key.0),
        Command::Put(key, _) => 300 + u32::from(key.0),
        Command::Use(Usage::Get(key)) => 120 + u32::from(key.0),
        Command::Use(Usage::Put(key, _)) => 620 + u32::from(key.0),
        Command::Autonomous(Usage::Get(key)) => 700 + u32::from(key.0),
        Command::Autonomous(Usage::Put(key, _)) => 750 + u32::from(key.0),
        Command::Stale(Usage::Put(key, _)) => 600 + u32::from(key.0),
        Command::Swap(key, _) => 800 + u32::from(key.0),
        Command::Delete(key) => 900 + u32::from(key.0),
        Command::Insert(key, _, Conflict::Abort) => 1200 + u32::from(key.0),
        Command::Insert(key, ..) => 1500 + u32::from(key.0),
        Command::Scan => 1000,
        Command::Stream(rows) => 1100 + u32::from(rows),
        Command::Slow | Command::Fail => 2000,
        Command::Wait(pause) => 2100 + pause as u32,
        Command::Raw(Residue::Setting, it) => 3000 + u32::from(it.core) + 16 * u32::from(it.around),
        Command::Raw(Residue::TempTable, it) => 3300 + u32::from(it.core) + 16 * u32::from(it.around),
        Command::Raw(Residue::Transaction, it) => 3600 + u32::from(it.core) + 16 * u32::from(it.around),
        Command::Raw(Residue::Lock, it) => 3900 + u32::from(it.core) + 16 * u32::from(it.around),
        Command::Raw(other, it) => 4200 + 300 * other as u32 + u32::from(it.core) + 16 * u32::from(it.around),
        Command::Restore => 2,
        Command::Resolve(wanted) => 2 + (0..).zip(Wanted::ALL).find(|it| it.1 == wanted).map_or(0, |it| it.0),
        Command::Override(service) | Command::Invalidate(service) => 10 + service as u32,
        Command::Race(key) => 1900 + u32::from(key.0),
        Command::Abandon(key) => 2600 + u32::from(key.0),
        Command::WarmUp => 20,
        Command::Replace | Command::Fork | Command::Crash => 2500,
        Command::ClosePool | Command::Extra(_) => 5000,
    }
}
