//! The invariant of those on whom nothing fell: `innocent-succeeds`.
//!
//! A command on which nothing fell, and in whose way nobody was, does not fail, is not skipped, and is answered truly. Who
//! that is is decided by the `scene`. Mistakes that a plan asks for are expected: the claims say whether a key is
//! there.
//!
//! Not checked: commands of an extension and of observers; a command after raw SQL that begins a transaction; anything once a
//! pool is told to close; a command that the system has nowhere answered, unless it declares a capability for it; how long
//! anything took.

use std::mem::discriminant;

use super::checked::Checked;
use super::scene::{Scene, place};
use super::seen::presence;
use super::view::View;
use crate::capability::needed;
use crate::history::{By, Failure, FailureClass, Leftovers, Outcome, Reply, What};
use crate::model::{effect_of, is_autonomous};
use crate::plan::{BeginMode, Command, Conflict, Residue};
use crate::verdict::Invariant;

/// A command on which nothing fell, and in whose way nobody was, succeeds.
pub fn innocent_succeeds(view: &View<'_>) -> Checked {
    let mut checked = Checked::default();
    let mut scene = Scene::new(view.facts);
    for (at, event) in view.facts.history.events.iter().enumerate() {
        let by = match (event.by, &event.what) {
            (_, What::PlanOver) => break,
            (_, What::Lost(_)) => {
                scene.lost();
                continue;
            }
            (Some(by), _) if !view.facts.history.is_observer(by.actor) => by,
            _ => continue,
        };
        match &event.what {
            What::Invoked(step) => scene.invoked(by.actor, step),
            What::RefusedWrite(_) => scene.refused_write(by.actor),
            What::Returned(outcome) => {
                let Some(span) = view.facts.spans.get(by) else { continue };
                look(view, &scene, (by, at), &span.step.command, Some(outcome), &mut checked);
                scene.returned(by.actor, &span.step.command, outcome);
            }
            What::Skipped => {
                let Some(span) = view.facts.spans.get(by) else { continue };
                look(view, &scene, (by, at), &span.step.command, None, &mut checked);
                scene.skipped(by.actor);
            }
            What::Ended | What::Panicked(_) | What::Hung => scene.ended(by.actor),
            _ => {}
        }
    }
    checked
}

/// Looks at one command that has ended; without an outcome it was skipped.
fn look(
    view: &View<'_>,
    scene: &Scene<'_>,
    (by, at): (By, usize),
    command: &Command,
    outcome: Option<&Outcome>,
    checked: &mut Checked,
) {
    // What an extension's command means is its own business, and what raw SQL begins the system knows nothing of.
    let is_odd = matches!(command, Command::Extra(_) | Command::Raw(Residue::Transaction, _));
    if is_odd || matches!(outcome, Some(Outcome::Cancelled(_))) {
        return;
    }
    // Whatever fell on its session: either it is the one that it was, or it serves nobody.
    if let (Command::Inspect, Some(Outcome::Done(reply))) = (command, outcome)
        && !view.facts.history.fixture
    {
        checked.evaluated += 1;
        if let Some((expected, observed)) = forgotten(reply, &scene.position(by.actor).stays) {
            checked.found(view, Invariant::InnocentSucceeds, at, expected, observed);
            return;
        }
    }
    // Whatever else fell on it: that it was read-only was known.
    let is_kept = matches!(outcome, Some(Outcome::Failed(_))) && view.facts.is_kept_read_only(by);
    if !is_kept && (scene.is_excused(by.actor, command, at) || view.facts.read_only.refused_by(by).is_some()) {
        return;
    }
    let wrong = match outcome {
        None if !applies(scene, by, command) || !is_served(view, command) => return,
        None => Some((succeeds(command), "it was skipped".to_owned())),
        Some(Outcome::Failed(failure)) => {
            let fails = is_kept || !is_expected(view, scene, (by, at), command, failure);
            fails.then(|| (succeeds(command), format!("it failed ({}): {}", failure.class, failure.message)))
        }
        Some(Outcome::Done(reply)) => untrue(view, scene, by, command, reply),
        Some(Outcome::Cancelled(_)) => None,
    };
    checked.evaluated += 1;
    if let Some((expected, observed)) = wrong {
        checked.found(view, Invariant::InnocentSucceeds, at, expected, observed);
    }
}

fn succeeds(command: &Command) -> String {
    format!("`{command}` succeeds: nothing fell on it, and nobody was in its way")
}

/// Whether the command applies where its actor stands.
fn applies(scene: &Scene<'_>, by: By, command: &Command) -> bool {
    let position = scene.position(by.actor);
    match command {
        Command::Open | Command::ClosePool => !position.session,
        Command::Stale(_) => position.retained,
        Command::Use(_) => position.resolved,
        Command::Restore => position.guards > 0,
        Command::Resolve(wanted) => position.session || !wanted.needs_session(),
        Command::Override(_) | Command::Invalidate(_) | Command::WarmUp | Command::Fork | Command::Crash => true,
        Command::Commit | Command::Rollback | Command::Drop => position.session && position.depth > 0,
        _ => position.session,
    }
}

/// Whether the system does such a thing at all: it declares a capability for it, or has answered such a command. What
/// needs no capability may still be unknown to a system with a workload of its own.
fn is_served(view: &View<'_>, command: &Command) -> bool {
    let such = || view.facts.spans.values().filter(|it| discriminant(&it.step.command) == discriminant(command));
    needed(command).is_some() || such().any(|it| it.outcome.is_some())
}

/// Whether an innocent command may fail like this.
fn is_expected(
    view: &View<'_>,
    scene: &Scene<'_>,
    (by, at): (By, usize),
    command: &Command,
    failure: &Failure,
) -> bool {
    let conflicts = matches!(failure.class, FailureClass::Busy | FailureClass::NoTransaction);
    let may_block_itself = is_autonomous(command) && scene.has_locks(by.actor);
    if conflicts && (may_block_itself || scene.may_conflict(by.actor, at)) {
        return true;
    }
    let is_in_transaction = scene.position(by.actor).depth > 0 || matches!(command, Command::Swap(..));
    if scene.altered && is_in_transaction && failure.class == FailureClass::Mistake {
        return true;
    }
    // Its limit may run out while it waits for the locks of such work, which a fault holds back.
    if failure.class == FailureClass::Dead && scene.may_wait_in_vain(by.actor) {
        return true;
    }
    // What its own transaction was begun for.
    let is_refusal = matches!(failure.class, FailureClass::Mistake | FailureClass::ReadOnly);
    let is_inside = !is_autonomous(command);
    if is_inside && scene.position(by.actor).read_only && is_refusal && changes_something(command) {
        return true;
    }
    match command {
        Command::Fail => failure.class == FailureClass::Mistake,
        // The next one waits for a connection that somebody has; how long is the system's own business.
        Command::Open | Command::Replace | Command::Autonomous(_) => {
            // Whoever has the only connection waits for itself.
            let history = view.facts.history;
            let is_one = history.in_memory || history.connections_max == Some(1);
            let has_only = is_autonomous(command) && is_one;
            let may_wait = has_only || scene.others_have_sessions(by.actor);
            failure.class == FailureClass::Exhausted && may_wait && has_waited(view, by, at)
        }
        Command::Insert(_, _, conflict @ (Conflict::Abort | Conflict::Rollback)) => {
            // `or rollback` ends the transaction, and a system may say that instead.
            let is_lost = *conflict == Conflict::Rollback && failure.class == FailureClass::NoTransaction;
            let is_refused = failure.class == FailureClass::Mistake || is_lost;
            is_refused && (scene.is_crowded(by.actor) || may_be_there(view, by))
        }
        // There is nothing to end where the begin has failed.
        Command::Commit | Command::Rollback | Command::Drop => scene.position(by.actor).depth == 0,
        // What has to be locked when it begins cannot begin inside another transaction, which has begun already.
        Command::Begin(BeginMode::Immediate | BeginMode::Exclusive) => {
            scene.position(by.actor).depth > 0 || view.facts.history.fixture
        }
        // A system may refuse what would stay on a connection that it cannot replace: a test's, or the only one.
        Command::Raw(..) => failure.class == FailureClass::Mistake,
        // A handle that has ended has to be refused, and so has one that was never given out.
        Command::Stale(_) => scene.position(by.actor).outlived || !scene.position(by.actor).retained,
        Command::Use(_) => scene.position(by.actor).superseded || !scene.position(by.actor).resolved,
        _ => false,
    }
}

/// Whether the command waited before it ended: it was blocked, or somebody else went on meanwhile.
fn has_waited(view: &View<'_>, by: By, at: usize) -> bool {
    let invoked = view.facts.spans.get(by).map_or(at, |it| it.invoked);
    let mut meanwhile = view.facts.history.events.get(invoked..at).unwrap_or_default().iter();
    meanwhile.any(|it| it.what == What::Blocked || it.by.is_some_and(|other| other.actor != by.actor))
}

/// Whether a read-only transaction refuses it.
fn changes_something(command: &Command) -> bool {
    effect_of(command).is_some() || matches!(command, Command::Fail | Command::Raw(..))
}

/// What the answer should have been and was, if that differs.
fn untrue(view: &View<'_>, scene: &Scene<'_>, by: By, command: &Command, reply: &Reply) -> Option<(String, String)> {
    let changed = match (command, reply) {
        (_, Reply::Changed(changed)) => Some(*changed),
        (Command::Swap(..), Reply::Value(found)) => Some(found.is_some()),
        _ => None,
    };
    let wrong = |expected: &str| Some((format!("`{command}` {expected}"), reply.to_string()));
    match (command, changed) {
        (Command::Fail, _) => wrong("fails: a value is missing"),
        // Inside a test it is a part of the test's transaction, which can write.
        (_, Some(true))
            if scene.position(by.actor).read_only && !view.facts.history.fixture && !is_autonomous(command) =>
        {
            wrong("is refused: its transaction is read-only")
        }
        (Command::Put(..), Some(false)) => wrong("changes a row"),
        (Command::Inspect, _) => forgotten(reply, &scene.position(by.actor).left),
        // Somebody else may have written the row at the same time.
        (Command::Insert(..) | Command::Delete(_), Some(_)) if scene.is_crowded(by.actor) => None,
        (Command::Insert(_, _, conflict), Some(changed)) => {
            let (there, absent) = row_at(view, by)?;
            match conflict {
                Conflict::Abort | Conflict::Rollback if !absent => wrong("fails: the key is there"),
                Conflict::Ignore if !absent && changed => wrong("changes nothing: the key is there"),
                Conflict::Ignore if !there && !changed => wrong("inserts a row: the key is not there"),
                Conflict::Abort | Conflict::Rollback | Conflict::Replace if !changed => wrong("inserts a row"),
                _ => None,
            }
        }
        (Command::Delete(_), Some(changed)) => match row_at(view, by)? {
            (true, false) if !changed => wrong("deletes the row that is there"),
            (false, true) if changed => wrong("deletes nothing: the key is not there"),
            _ => None,
        },
        _ => None,
    }
}

/// What the session itself has left on its connection is still there.
fn forgotten(reply: &Reply, left: &[bool]) -> Option<(String, String)> {
    let Reply::Residue(seen @ Leftovers { setting, temp_tables, locks, .. }) = reply else { return None };
    let left = |residue| left[place(residue)];
    let what = if left(Residue::Setting) && !setting {
        "the setting as this session has changed it"
    } else if left(Residue::TempTable) && *temp_tables == 0 {
        "the temporary table that this session has made"
    } else if left(Residue::Lock) && *locks == 0 {
        "the lock that this session has taken"
    } else {
        return None;
    };
    Some((what.to_owned(), seen.to_string()))
}

fn may_be_there(view: &View<'_>, by: By) -> bool {
    row_at(view, by).is_none_or(|(there, _)| there)
}

/// Whether the row of an `insert` or `delete` may have been there, and whether it may not; none if nothing is known of it.
fn row_at(view: &View<'_>, by: By) -> Option<(bool, bool)> {
    let target = view.claims.targets.iter().find(|it| it.by == by)?;
    Some(match target.own {
        Some(value) => (value.is_some(), value.is_none()),
        None => presence(&view.claims, target),
    })
}
