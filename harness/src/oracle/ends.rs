//! Invariants of ends: `no-stale-use`, `stale-is-named`, `no-leak`, `recovers`, `close-ends`, `no-panic`, `no-hang`.
//!
//! They check what happens after an end: of a session, of the plan, of the pool.
//!
//! Not checked: handles that a system keeps inside and never hands out; leaks of memory, tasks and file handles; how
//! long a recovery took; sessions that were opened before the pool was closed; what a closed pool keeps open on a real
//! database; recovery of a caller that ran beside a conflicting one, or whose write was the first that a connection refused because it had turned read-only.

use super::checked::Checked;
use super::limit::open_at_rest;
use super::view::View;
use crate::history::{By, FailureClass, Outcome, Span, What};
use crate::model::opens_session;
use crate::plan::{Command, Fault, Service, Wanted};
use crate::verdict::Invariant;

/// A handle whose session has ended is never served.
pub fn no_stale_use(view: &View<'_>) -> Checked {
    let mut checked = Checked::default();
    for (by, span) in stale_uses(view) {
        checked.evaluated += 1;
        if span.is_done() {
            let at = span.returned.unwrap_or(span.invoked);
            let server = view.evidence(by).and_then(|it| it.served.first());
            let observed = match server {
                Some((connection, _)) => format!("{connection} served it"),
                None => "it was answered".to_owned(),
            };
            let expected = format!("`{}` is refused: its session has ended", span.step.command);
            checked.found(view, Invariant::NoStaleUse, at, expected, observed);
        }
    }
    checked
}

/// The use of a stale handle fails with an error that says so.
pub fn stale_is_named(view: &View<'_>) -> Checked {
    let mut checked = Checked::default();
    for (_, span) in stale_uses(view) {
        let Some(Outcome::Failed(failure)) = span.outcome else {
            continue;
        };
        checked.evaluated += 1;
        if failure.class != FailureClass::Stale {
            let at = span.returned.unwrap_or(span.invoked);
            let observed = format!("an error of the class {}: {}", failure.class, failure.message);
            checked.found(
                view,
                Invariant::StaleIsNamed,
                at,
                "an error that names the stale handle".to_owned(),
                observed,
            );
        }
    }
    checked
}

/// After all actors have ended, every connection and permit is back, and stopping closes them.
pub fn no_leak(view: &View<'_>) -> Checked {
    let mut checked = Checked::default();
    for (by, span) in observations(view) {
        if span.step.command != Command::Open || view.facts.pool_closed.is_some() {
            continue;
        }
        checked.evaluated += 1;
        let exhausted =
            matches!(span.outcome, Some(Outcome::Failed(failure)) if failure.class == FailureClass::Exhausted);
        if let Some(at) = hung(view, by).or(span.returned.filter(|_| exhausted)) {
            let expected = "a connection for each observer, as many as the plan allows".to_owned();
            let observed = format!("{} waits, although every other session was closed", by.actor);
            checked.found(view, Invariant::NoLeak, at, expected, observed);
        }
    }
    let mut open = 0;
    for (at, event) in view.facts.history.events.iter().enumerate() {
        match event.what {
            What::Connected(_) => open += 1,
            What::Disconnected(_) => open -= 1,
            What::Stopped => {
                checked.evaluated += 1;
                if open > 0 {
                    let expected = "no connection is open after the system has stopped".to_owned();
                    checked.found(view, Invariant::NoLeak, at, expected, format!("{open} are"));
                }
            }
            _ => {}
        }
    }
    checked
}

/// After the faults and cancels are over, the next caller succeeds.
pub fn recovers(view: &View<'_>) -> Checked {
    let mut checked = Checked::default();
    // A closed pool serves nobody, and a close that was cancelled or failed may have closed it.
    if view.facts.pool_may_close.is_some() {
        return checked;
    }
    for (by, span) in observations(view) {
        checked.evaluated += 1;
        // That no connection is left is a leak, and `no-leak` says so; who has one needs no other.
        let is_leak = |class| class == FailureClass::Exhausted && span.step.command == Command::Open;
        if let Some(Outcome::Failed(failure)) = span.outcome
            && !is_leak(failure.class)
            && !(failure.class.is_unknown() && is_cut_after_plan(view, span))
            && !(yields(failure.class) && is_overlapped(view, by, span))
            && (view.facts.is_kept_read_only(by) || !view.facts.is_refused_in_session(by))
        {
            let at = span.returned.unwrap_or(span.invoked);
            let expected = format!("`{}` succeeds: the plan is over and nothing conflicts with it", span.step.command);
            let observed = format!("it failed ({}): {}", failure.class, failure.message);
            checked.found(view, Invariant::Recovers, at, expected, observed);
        }
    }
    checked
}

/// Whether a connection was cut after the plan, and before this command ended, where the plan had a fault that cuts
/// connections: a server that was killed may notice that late, and the fault is not over then.
fn is_cut_after_plan(view: &View<'_>, span: &Span<'_>) -> bool {
    let cuts = |it: &Span<'_>| it.step.fault.is_some_and(Fault::costs_connection);
    let until = span.returned.unwrap_or(span.invoked);
    let before = view.facts.history.events.iter().take(until).rev();
    let mut after_plan = before.take_while(|it| it.what != What::PlanOver);
    view.facts.spans.values().any(cuts) && after_plan.any(|it| matches!(it.what, What::Lost(_)))
}

/// Whether an error of this class means a conflict with another command.
fn yields(class: FailureClass) -> bool {
    matches!(class, FailureClass::Busy | FailureClass::NoTransaction)
}

/// Whether another command was under way at the same time, so that the two may have conflicted.
fn is_overlapped(view: &View<'_>, by: By, span: &Span<'_>) -> bool {
    let end = |it: &Span<'_>| it.returned.unwrap_or(usize::MAX);
    view.facts.spans.iter().any(|(other, it)| other != by && it.invoked < end(span) && span.invoked < end(it))
}

/// A closed pool lends no session, and keeps no connection.
pub fn close_ends(view: &View<'_>) -> Checked {
    let mut checked = Checked::default();
    let Some(closed) = view.facts.pool_closed else {
        return checked;
    };
    for span in view.facts.spans.values().filter(|it| opens_session(&it.step.command) && it.invoked > closed) {
        checked.evaluated += 1;
        if span.is_done() {
            let at = span.returned.unwrap_or(span.invoked);
            let expected = "no session: the pool had been closed".to_owned();
            checked.found(view, Invariant::CloseEnds, at, expected, "one was opened".to_owned());
        }
    }
    keeps_connections(view, &mut checked);
    checked
}

/// The connection of a test is its fixture's.
fn keeps_connections(view: &View<'_>, checked: &mut Checked) {
    let Some((over, open)) = open_at_rest(view).filter(|_| !view.facts.history.fixture) else { return };
    checked.evaluated += 1;
    if open > 0 {
        let expected = "no connection: the pool was closed, and nobody has a session".to_owned();
        checked.found(view, Invariant::CloseEnds, over, expected, format!("{open} are open"));
    }
}

/// The system does not panic.
pub fn no_panic(view: &View<'_>) -> Checked {
    let mut checked = Checked { evaluated: 1, ..Checked::default() };
    for (at, event) in view.facts.history.events.iter().enumerate() {
        if let What::Panicked(text) = &event.what {
            checked.found(view, Invariant::NoPanic, at, "no panic".to_owned(), text.clone());
        }
    }
    checked
}

/// No command waits for ever.
pub fn no_hang(view: &View<'_>) -> Checked {
    let mut checked = Checked { evaluated: 1, ..Checked::default() };
    for (at, event) in view.facts.history.events.iter().enumerate() {
        let observed = match event.what {
            What::Hung if !event.by.is_some_and(|by| is_leak(view, by)) => "it waits for ever".to_owned(),
            What::StopHung => "the system does not stop".to_owned(),
            _ => continue,
        };
        checked.found(view, Invariant::NoHang, at, "an end, one way or the other".to_owned(), observed);
    }
    checked
}

/// An observer that waits for a connection shows a leak, not a hang, unless the pool was closed: a closed pool lends
/// none.
fn is_leak(view: &View<'_>, by: By) -> bool {
    view.facts.pool_closed.is_none()
        && view.facts.history.is_observer(by.actor)
        && view.facts.spans.get(by).is_some_and(|it| it.step.command == Command::Open)
}

fn hung(view: &View<'_>, by: By) -> Option<usize> {
    view.facts.history.events.iter().position(|it| it.by == Some(by) && it.what == What::Hung)
}

fn observations<'a>(view: &'a View<'_>) -> impl Iterator<Item = (By, &'a Span<'a>)> {
    view.facts.spans.iter().filter(|(by, _)| view.facts.history.is_observer(by.actor))
}

/// Returns the uses of handles, retained or behind a service, that were invoked after the end of their session.
fn stale_uses<'a>(view: &'a View<'_>) -> impl Iterator<Item = (By, &'a Span<'a>)> {
    view.facts.spans.iter().filter_map(|(by, span)| {
        let source = match span.step.command {
            Command::Stale(_) => Command::Retain,
            Command::Use(_) => Command::Resolve(Wanted::One(Service::Rows)),
            _ => return None,
        };
        let given = view.facts.spans.before(by).rev().find(|(_, it)| it.step.command == source && it.is_done());
        let (_, session) = view.session(given?.0)?;
        (session.ended <= span.invoked).then_some((by, span))
    })
}
