//! Invariants of sessions and connections: `no-cross-scope`, `no-duplicate-effect`, `no-residue`.
//!
//! They rest on evidence from below the system: the database's hooks say which connection served, wrote, committed.
//!
//! Not checked: anything on connections that the hooks do not see; anything after a command waited before its connection was
//! known, or was cancelled without a trace, where the driver has threads; which connection served a command that failed or was
//! cancelled; residue other than transactions, one setting, temporary tables, locks and replies that are still under way; a
//! read-only transaction that stays open.

use super::checked::Checked;
use super::seen::Wrong;
use super::transactions::in_a_transaction;
use super::view::View;
use crate::history::{By, ConnectionId, Event, Leftovers, Outcome, Reply, Span, What};
use crate::model::is_autonomous;
use crate::plan::{Command, Residue};
use crate::verdict::Invariant;

/// Two live sessions are never on one connection, and never see each other's uncommitted work.
pub fn no_cross_scope(view: &View<'_>) -> Checked {
    let mut checked = Checked::default();
    // The sessions that the connections have served, in the order of the evidence.
    let mut users: Vec<(ConnectionId, usize)> = Vec::new();
    let mut served: Vec<(usize, ConnectionId, By)> =
        view.facts.spans.iter().filter_map(|(by, _)| view.server(by).map(|(id, at)| (at, id, by))).collect();
    served.sort_unstable();
    for (at, connection, by) in served {
        let mine = view.session(by).map(|(session, _)| session);
        let is_autonomous = view.facts.spans.get(by).is_some_and(|it| is_autonomous(&it.step.command));
        if mine.is_none() && !is_autonomous {
            continue;
        }
        if view.facts.history.fixture {
            // Inside a fixture all sessions share one connection, in turn.
            break;
        }
        checked.evaluated += 1;
        let before = users.iter().filter(|(served_by, _)| *served_by == connection);
        let other = before
            .map(|(_, session)| &view.claims.sessions[*session])
            .find(|session| (is_autonomous || session.actor != by.actor) && session.ended > at);
        if let Some(other) = other {
            let expected = format!("{connection} serves nobody but {}, whose session is open", other.actor);
            let observed = match is_autonomous {
                true => format!("{connection} served another session of {} as well", by.actor),
                false => format!("{connection} served {} as well", by.actor),
            };
            checked.found(view, Invariant::NoCrossScope, at, expected, observed);
        }
        users.extend(mine.map(|session| (connection, session)));
    }
    for (read, wrong) in &view.seen.reads {
        if let Wrong::Foreign(Some(seen)) = wrong {
            let expected = format!("{} as committed by somebody, or no row", read.key);
            let observed = format!("{} = {seen}, which nobody had committed", read.key);
            checked.found(view, Invariant::NoCrossScope, read.at, expected, observed);
        }
    }
    checked
}

/// One command takes effect at most once.
pub fn no_duplicate_effect(view: &View<'_>) -> Checked {
    let mut checked = Checked::default();
    // The changes that are not yet committed, each with the command that made it.
    let mut pending: Vec<(ConnectionId, By)> = Vec::new();
    // The commands of those that are.
    let mut effects: Vec<By> = Vec::new();
    // What comes later may be recorded under another command.
    for (at, event) in view.facts.history.events.iter().enumerate().take(view.facts.strays_from) {
        match (&event.what, event.by) {
            (What::Wrote(id), Some(by)) => pending.push((*id, by)),
            (What::RolledBack(id) | What::Disconnected(id), _) => {
                pending.retain(|(on, _)| on != id);
            }
            (What::Committed(id), _) => {
                for (_, by) in pending.extract_if(.., |(on, _)| on == id) {
                    let single =
                        view.facts.spans.get(by).is_some_and(|it| crate::model::effect_of(&it.step.command).is_some());
                    if !single {
                        continue;
                    }
                    checked.evaluated += 1;
                    effects.push(by);
                    let count = effects.iter().filter(|earlier| **earlier == by).count();
                    if count > 1 {
                        let expected = "one committed change for one command".to_owned();
                        let observed = format!("{count} of them, the last on {id}");
                        checked.found(view, Invariant::NoDuplicateEffect, at, expected, observed);
                    }
                }
            }
            _ => {}
        }
    }
    checked
}

/// Nothing of one borrower is left on a connection for the next, and nothing of a test in the database.
pub fn no_residue(view: &View<'_>) -> Checked {
    let mut checked = Checked::default();
    left_by_test(view, &mut checked);
    at_work_for_nobody(view, &mut checked);
    for (by, span) in view.facts.spans.iter() {
        let (Some(at), Some((_, session))) = (span.returned, view.session(by)) else {
            continue;
        };
        if let (Command::Inspect, Some(Outcome::Done(Reply::Residue(seen)))) = (&span.step.command, span.outcome) {
            checked.evaluated += 1;
            let own = own_residue(view, by, session.opened);
            if let Some((expected, observed)) = of_somebody_else(*seen, &own) {
                checked.found(view, Invariant::NoResidue, at, expected.to_owned(), observed);
            }
        }
        if view.is_untouched(by, session) {
            checked.evaluated += 1;
            if let Some(observed) = in_a_transaction(view, by) {
                let expected = "a session that begins outside any transaction".to_owned();
                checked.found(view, Invariant::NoResidue, at, expected, observed);
            }
        }
    }
    checked
}

/// Returns the residue that a session saw and did not leave itself.
fn of_somebody_else(seen: Leftovers, own: &[Residue]) -> Option<(&'static str, String)> {
    let foreign = |residue: Residue| !own.contains(&residue);
    if seen.setting && foreign(Residue::Setting) {
        Some(("the setting at its default: this session never changed it", "the setting is changed".to_owned()))
    } else if seen.temp_tables > 0 && foreign(Residue::TempTable) {
        let observed = format!("{} temporary tables", seen.temp_tables);
        Some(("no temporary table: this session never made one", observed))
    } else if seen.locks > 0 && foreign(Residue::Lock) {
        Some(("no lock on the connection: this session never took one", format!("{} locks", seen.locks)))
    } else {
        let named = seen.named().into_iter().find(|(residue, is_there, _)| *is_there && foreign(*residue));
        named.map(|(_, _, what)| ("nothing that this session has not made itself", what.to_owned()))
    }
}

/// A connection that outlives its session while a cancelled statement still runs on it keeps its next borrower waiting.
/// The system has to stop the statement, or close the connection.
fn at_work_for_nobody(view: &View<'_>, checked: &mut Checked) {
    let events = &view.facts.history.events;
    for (late, event) in events.iter().enumerate() {
        let (What::Late(connection), Some(owner)) = (&event.what, event.by) else { continue };
        let Some((mine, session)) = view.session(owner) else { continue };
        // In a fixture nobody can be given another connection: whoever comes next waits, and a request to stop may come too late.
        if view.facts.history.fixture {
            continue;
        }
        // A task of the system's that asks meanwhile, over a connection of its own, is taken for the running command.
        let serves =
            |it: &Event| it.by == Some(owner) && matches!(it.what, What::Served(other) if other != *connection);
        if events[..late].iter().any(serves) {
            continue;
        }
        checked.evaluated += 1;
        // A connection that is being closed may answer a last time.
        let lent = |it: &Event| {
            let by = it.by.filter(|_| it.what == What::Served(*connection));
            by.is_some_and(|by| view.session(by).is_some_and(|(theirs, _)| theirs != mine))
        };
        let lent_again = events[late..].iter().any(lent);
        let ends = |it: &Event| {
            let over = matches!(it.what, What::Returned(_) | What::Ended | What::Panicked(_));
            over && it.by.is_some_and(|by| by.actor == owner.actor)
        };
        // A system that waits for the answer in its own `close` delays no other actor.
        let over = events.iter().skip(session.ended).position(ends).is_some_and(|it| session.ended + it < late);
        if over && lent_again {
            let step = view.facts.spans.get(owner).map_or_else(String::new, |it| it.step.to_string());
            let expected = format!("nothing is under way on {connection}: its session has ended");
            let observed = format!("it was still running `{step}`, to the end: its next borrower waits for that");
            checked.found(view, Invariant::NoResidue, late, expected, observed);
        }
    }
}

/// Everything that a test did ends with its fixture.
fn left_by_test(view: &View<'_>, checked: &mut Checked) {
    let rows = view.facts.history.events.iter().enumerate().filter(|_| view.facts.history.fixture);
    for (at, event) in rows {
        let What::FinalState(rows) = &event.what else { continue };
        checked.evaluated += 1;
        if let Some((key, value)) = rows.first_key_value() {
            let expected = "no row: the fixture has ended".to_owned();
            checked.found(view, Invariant::NoResidue, at, expected, format!("{key} = {value}"));
        }
    }
}

/// What the session itself has left on its connection before this command.
fn own_residue(view: &View<'_>, by: By, opened: usize) -> Vec<Residue> {
    before(view, by, opened)
        .filter_map(|(_, it)| match it.step.command {
            Command::Raw(residue, _) => Some(residue),
            _ => None,
        })
        .collect()
}

fn before<'a>(view: &'a View<'_>, by: By, opened: usize) -> impl Iterator<Item = (By, &'a Span<'a>)> + 'a {
    view.facts.spans.before(by).filter(move |(_, it)| it.invoked > opened)
}
