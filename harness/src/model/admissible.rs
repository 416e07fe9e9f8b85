//! Which plans make sense for a system: each command can apply in a possible state of its actor.
//!
//! Drawing, parsing and shrinking call it before anything runs. The meaning of commands is in [`super`].

use std::collections::BTreeSet;

use super::meaning::{effect_of, is_autonomous, written};
use crate::capability::{Capabilities, Capability, needed};
use crate::plan::{
    ActorId, Backend, BeginMode, Command, Conflict, Fault, Key, Phase, Plan, Residue, Service, Step, Storage, Usage,
    Wanted,
};
use crate::spelling::spellings;

/// A plan that makes no sense for a system.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("actor `{actor}`, command {}, `{text}`: {why}", step + 1)]
pub struct Inadmissible {
    /// Whose command.
    pub actor: ActorId,
    /// Its place, from 0.
    pub step: usize,
    /// The command.
    pub text: String,
    /// What is missing.
    pub why: String,
}

/// Whether every command of the plan can apply where its actor may stand, given what the system can do.
///
/// # Errors
/// The first command that cannot.
pub fn admissible(plan: &Plan, capabilities: Capabilities) -> Result<(), Inadmissible> {
    let mut values = BTreeSet::new();
    if plan.storage.backend() != capabilities.backend() {
        return Err(Inadmissible {
            actor: ActorId::new(0),
            step: 0,
            text: format!("storage = \"{}\"", plan.storage),
            why: format!("the system runs on {} alone", capabilities.backend()),
        });
    }
    if let Some(why) = outside_of_fixture(plan, capabilities) {
        return Err(Inadmissible { actor: ActorId::new(0), step: 0, text: "fixture = true".into(), why });
    }
    for (at, actor) in plan.actors.iter().enumerate() {
        let mut state = ActorState::default();
        for (step_at, step) in actor.steps.iter().enumerate() {
            let before = state;
            let checked = state.take(step, capabilities).and_then(|()| {
                own_key(plan, &step.command)?;
                own_cache(plan, &before, &step.command)?;
                let fresh = written(&step.command).is_none_or(|(_, value)| values.insert(value));
                match step.fault.filter(|it| !plan.storage.allows(*it)) {
                    Some(fault) => Err(format!("`{fault}` cannot be done to the storage `{}`", plan.storage)),
                    None if !fresh => Err("each value may be written only once in a plan".to_owned()),
                    None => Ok(()),
                }
            });
            checked.map_err(|why| Inadmissible {
                actor: ActorId::new(at),
                step: step_at,
                text: step.to_string(),
                why,
            })?;
        }
    }
    Ok(())
}

/// A session beside one's own that wrote what that one has written would wait for it, and it for the other, and no database would
/// see that they wait for each other.
fn own_key(plan: &Plan, command: &Command) -> Result<(), String> {
    let Command::Autonomous(Usage::Put(key, _)) = *command else { return Ok(()) };
    let changes = |it: &Step| !is_autonomous(&it.command) && effect_of(&it.command).is_some_and(|it| it.0 == key);
    match plan.steps().find(|(_, _, step)| changes(step)) {
        Some((actor, _, step)) => {
            Err(format!("`{step}` of `{actor}` changes {key} too, so the two could wait for each other"))
        }
        None => Ok(()),
    }
}

/// In a shared cache nobody sees either that a session waits for what its own actor has open beside it.
fn own_cache(plan: &Plan, state: &ActorState, command: &Command) -> Result<(), String> {
    match is_autonomous(command) && plan.storage == Storage::Memory && state.may_hold_locks() {
        true => Err(format!("on the storage `{}` it would wait for the actor's own transaction", plan.storage)),
        false => Ok(()),
    }
}

/// Why the plan cannot happen inside a fixture, if it is to: what may end the fixture's own transaction ends the test, as it
/// should, and nothing could be seen after it.
fn outside_of_fixture(plan: &Plan, capabilities: Capabilities) -> Option<String> {
    let ends = |it: &Step| {
        it.fault.is_some() || matches!(it.command, Command::Insert(_, _, Conflict::Rollback) | Command::Wait(_))
    };
    let waits = |it: &Step| is_autonomous(&it.command);
    if !plan.fixture {
        None
    } else if !capabilities.has(Capability::Fixture) {
        Some(format!("the system does not declare the capability `{}`", Capability::Fixture))
    } else if !plan.storage.is_ordered() {
        Some(format!(
            "on the storage `{}` a cancelled call cannot be asked about, so the test ends with it",
            plan.storage
        ))
    } else {
        let (_, _, step) = plan.steps().find(|it| ends(it.2) || waits(it.2))?;
        Some(match waits(step) {
            true => format!("`{step}` would wait for the fixture's one connection, which its own session has"),
            false => format!("`{step}` may end the fixture's own transaction"),
        })
    }
}

/// Where an actor may stand if everything that can succeed does.
#[derive(Clone, Copy, Debug, Default)]
pub struct ActorState {
    /// It has a session.
    pub session: bool,
    /// The most transactions that may be open, one inside the other.
    pub depth: u8,
    /// It has retained a handle.
    pub retained: bool,
    /// That handle's session has ended.
    pub outlived: bool,
    /// It has resolved the service `rows`.
    pub resolved: bool,
    /// Raw SQL may have begun a transaction in its session.
    pub raw: bool,
    /// The most guards of overrides that it may have.
    pub overrides: u8,
}

impl ActorState {
    /// Whether a transaction may be open in its session.
    pub fn may_hold_locks(&self) -> bool {
        self.depth > 0 || self.raw
    }

    /// Checks that the step can apply, and takes it.
    ///
    /// # Errors
    /// Why it cannot.
    pub fn take(&mut self, step: &Step, capabilities: Capabilities) -> Result<(), String> {
        let command = &step.command;
        let lacks = |it: Capability| Err(format!("the system does not declare the capability `{it}`"));
        if let Some(need) = needed(command).filter(|it| !capabilities.has(*it)) {
            return lacks(need);
        }
        if step.cancel.is_some() && !capabilities.has(Capability::Cancellation) {
            return lacks(Capability::Cancellation);
        }
        if step.fault.is_some() && !capabilities.has(Capability::Faults) {
            return lacks(Capability::Faults);
        }
        if matches!(step.cancel, Some(Phase::Poll(_))) && !capabilities.has(Capability::Polls) {
            return lacks(Capability::Polls);
        }
        if step.fault.is_some_and(Fault::costs_connection) && !capabilities.has(Capability::ConnectionLoss) {
            return lacks(Capability::ConnectionLoss);
        }
        if written(command).is_some_and(|(key, _)| key == Key::OBSERVER) {
            return Err("the key k0 belongs to the observers".into());
        }
        if matches!(command, Command::Wait(_)) && step.cancel.is_some() {
            return Err("nothing is asked of the system, so there is nothing to cancel".into());
        }
        if let Command::Raw(residue, spelling) = *command {
            let backend = capabilities.backend();
            let (cores, around) = spellings(backend, residue);
            if cores == 0 {
                let others = Backend::ALL.into_iter().filter(|it| spellings(*it, residue).0 > 0);
                let others: Vec<_> = others.map(|it| it.to_string()).collect();
                return Err(format!("{backend} has no such thing; {} has", others.join(" and ")));
            }
            if spelling.core >= cores || spelling.around >= around {
                return Err(format!(
                    "on {backend} `raw {residue}` has {cores} statements, and {around} texts around them, counted from 0"
                ));
            }
        }
        match command {
            Command::Open if self.session => return Err("the actor has a session already".into()),
            Command::Open => (self.session, self.raw) = (true, false),
            Command::ClosePool if self.session => {
                return Err("the actor holds a session of the pool".into());
            }
            Command::ClosePool | Command::Extra(_) | Command::Wait(_) => {}
            Command::Resolve(wanted) if wanted.needs_session() && !self.session => {
                return Err(format!("`{wanted}` needs a session: `open` comes first"));
            }
            Command::Resolve(Wanted::One(Service::Rows)) => self.resolved = true,
            Command::Resolve(_) | Command::Invalidate(_) | Command::WarmUp | Command::Fork => {}
            Command::Override(_) => self.overrides = self.overrides.saturating_add(1),
            Command::Restore => {
                self.overrides = self.overrides.checked_sub(1).ok_or("nothing was overridden before")?;
            }
            Command::Crash => *self = Self { retained: self.retained, outlived: self.retained, ..Self::default() },
            Command::Stale(_) if !self.retained => {
                return Err("no handle was retained before".into());
            }
            Command::Stale(_) => {}
            Command::Use(_) if !self.resolved => return Err("`rows` was not resolved before".into()),
            Command::Use(_) => {}
            _ if !self.session => return Err("the actor has no session: `open` comes first".into()),
            Command::Close | Command::Abandon(_) => {
                (self.session, self.depth, self.outlived, self.raw) = (false, 0, self.retained, false)
            }
            Command::Replace => (self.depth, self.raw) = (0, false),
            Command::Begin(_) if self.depth > 0 && !capabilities.has(Capability::Nesting) => {
                return lacks(Capability::Nesting);
            }
            Command::Begin(BeginMode::ReadOnly) if self.depth > 0 => {
                return Err("a transaction inside another one is as that one was begun".into());
            }
            Command::Begin(_) => self.depth += 1,
            Command::Commit | Command::Rollback | Command::Drop => {
                self.depth = self.depth.checked_sub(1).ok_or("no transaction was begun before")?;
            }
            Command::Raw(Residue::Transaction, _) => self.raw = true,
            Command::Retain => (self.retained, self.outlived) = (true, false),
            _ => {}
        }
        Ok(())
    }
}
