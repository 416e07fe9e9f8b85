//! Invariants of a system's report about itself, and of its effort: `listeners-balanced`, `health-agrees`,
//! `reconnects-bounded`.
//!
//! Not checked: counters while work is going on; how long anything took; what a listener was told about sessions that were
//! replaced; reconnects in a plan that used raw SQL, streams or faults more often than it connected.

use super::checked::Checked;
use super::read_only::turns_read_only;
use super::view::View;
use crate::history::{By, FailureClass, Outcome, Report, Span, What};
use crate::model::{begins_session, ends_session, opens_session};
use crate::plan::{Command, IsolationModel, Moment};
use crate::verdict::Invariant;

/// Each listener is notified of every session once at its beginning and once at its end, and goes with it.
pub fn listeners_balanced(view: &View<'_>) -> Checked {
    let mut checked = Checked::default();
    for (at, report) in reports(view) {
        checked.evaluated += 1;
        let Report { listeners, told_opened, told_closed, .. } = report;
        if listeners > 0 {
            let observed = format!("{listeners} are still called");
            checked.found(view, Invariant::ListenersBalanced, at, "no listener outlives its session".into(), observed);
        } else if told_opened != told_closed {
            let expected = format!("{told_opened} ends, as many as beginnings");
            checked.found(view, Invariant::ListenersBalanced, at, expected, format!("{told_closed} were told"));
        } else if let Some(expected) = untold(view, told_opened) {
            checked.found(view, Invariant::ListenersBalanced, at, expected, format!("{told_opened} were told"));
        }
    }
    checked
}

/// How many beginnings should have been told, if it was another number. Inside a fixture, what counts as a session of its own
/// is the system's own business, and an extension's commands open as many as they like.
fn untold(view: &View<'_>, told: u32) -> Option<String> {
    let count = |which: &dyn Fn(&Span<'_>) -> bool| {
        let opens = view.facts.spans.values().filter(|span| begins_session(&span.step.command) && which(span));
        u32::try_from(opens.count()).unwrap_or(u32::MAX)
    };
    let opened = count(&|span| span.is_done());
    // What failed, was cancelled or came to no end may have begun.
    let perhaps = count(&|span| !span.is_done() && !span.skipped);
    let has_extension = view.facts.spans.values().any(|span| matches!(span.step.command, Command::Extra(_)));
    let most = if has_extension { u32::MAX } else { opened + perhaps };
    if view.facts.history.fixture || (opened..=most).contains(&told) {
        None
    } else if perhaps == 0 {
        Some(format!("{opened} beginnings, as many as sessions were opened"))
    } else {
        Some(format!("{opened} beginnings, as many as sessions were opened, and at most {perhaps} more"))
    }
}

/// Reported health and counters match what happened.
pub fn health_agrees(view: &View<'_>) -> Checked {
    let mut checked = Checked::default();
    if view.facts.history.fixture {
        // The connection is lent to the test, which is still open.
        return checked;
    }
    for (at, report) in reports(view) {
        checked.evaluated += 1;
        let mut found = |expected: &str, observed: String| {
            checked.found(view, Invariant::HealthAgrees, at, expected.to_owned(), observed);
        };
        let (open, gone) = connections_at(view, at);
        // A pool of which it is not known whether it was closed is looked at by one observer, who borrows one connection at
        // most. Of those that were cut while they were idle, such a pool cannot know.
        let unnoticed = if view.facts.pool_may_close.is_some() && view.facts.pool_closed.is_none() { gone } else { 0 };
        if report.lent > 0 || report.sessions > 0 {
            let observed = format!("{} sessions and {} lent connections are reported", report.sessions, report.lent);
            found("no session and no lent connection: everybody has ended", observed);
        } else if !(open..=open + unnoticed).contains(&report.connections) {
            found(&format!("{open} open connections"), format!("{} are reported", report.connections));
        } else if report.healthy && view.facts.pool_closed.is_some() {
            found("not healthy: the pool was closed", "healthy".to_owned());
        } else if !report.healthy && view.facts.pool_may_close.is_none() {
            found("healthy: nothing is in the way any more", "not healthy".to_owned());
        }
    }
    checked
}

/// No more connections are opened than there are reasons for: one for each that may be open at once, and one for each
/// command that gave the system reason to give a connection up.
pub fn reconnects_bounded(view: &View<'_>) -> Checked {
    let mut checked = Checked::default();
    let mut allowed = most_at_once(view);
    // A server goes on with a cancelled statement until another connection asks it to stop.
    let to_tell = usize::from(view.facts.history.isolation == IsolationModel::Postgres);
    let mut may_tell = to_tell;
    let is_observer = |by: By| view.facts.history.is_observer(by.actor);
    let observers =
        view.facts.spans.iter().filter(|(by, it)| is_observer(*by) && opens_session(&it.step.command)).count();
    let (mut connected, mut open) = (0, 0_usize);
    let mut before_wait = 0;
    let mut left_open = view.claims.left_open.iter().peekable();
    for (at, event) in view.facts.history.events.iter().enumerate() {
        // A connection whose transaction has to be rolled back by somebody else need not be lent again.
        while left_open.next_if(|left| **left <= at).is_some() {
            allowed += 1;
        }
        // What has grown old is replaced, and so is what was opened while others grew old.
        match (&event.what, waits(view, event.by)) {
            (What::Invoked(_), true) => (allowed, before_wait) = (allowed + open, connected),
            (What::Returned(_), true) => allowed += open.min(connected - before_wait),
            _ => {}
        }
        match &event.what {
            What::Connected(_) => {
                (connected, open) = (connected + 1, open + 1);
                checked.evaluated += 1;
                if connected > allowed {
                    let expected = format!("at most {allowed} connections opened by now");
                    checked.found(view, Invariant::ReconnectsBounded, at, expected, format!("{connected} were"));
                }
            }
            // Whatever is connected becomes read-only.
            What::Invoked(step) if step.fault.is_some_and(turns_read_only) => {
                (allowed, may_tell) = (allowed + open + 1 + to_tell, may_tell + to_tell);
            }
            what if gives_reason(what) => (allowed, may_tell) = (allowed + 1 + to_tell, may_tell + to_tell),
            What::Blocked | What::Lost(_) => allowed += 1,
            // It strikes all that are idle, and its command counts for one.
            What::FaultLanded(fault) if fault.moment() == Some(Moment::Idle) => {
                let others = open.saturating_sub(1);
                (allowed, may_tell) = (allowed + others * (1 + to_tell), may_tell + others * to_tell);
            }
            What::Disconnected(_) => open = open.saturating_sub(1),
            // Unused reasons give no credit for later: each newcomer needs one connection at most. What is told to stop may
            // be told after the plan, each connection of the plan's by one of its own.
            What::PlanOver => allowed = allowed.min(connected + observers + may_tell.min(connected)),
            _ => {}
        }
    }
    checked
}

/// Whether the command that this belongs to lets time pass.
fn waits(view: &View<'_>, by: Option<By>) -> bool {
    by.and_then(|by| view.facts.spans.get(by)).is_some_and(|it| matches!(it.step.command, Command::Wait(_)))
}

/// After these the control does not lend the connection again.
fn gives_reason(what: &What) -> bool {
    match what {
        What::Invoked(step) => {
            let leaves_something = matches!(
                step.command,
                Command::Raw(..) | Command::Stream(_) | Command::Drop | Command::Extra(_) | Command::ClosePool
            );
            leaves_something || step.fault.is_some()
        }
        What::Returned(Outcome::Cancelled(_)) => true,
        What::Returned(Outcome::Failed(failure)) => failure.class != FailureClass::Mistake,
        _ => false,
    }
}

/// Returns the most sessions that were live, being opened or being closed at once; each may need a connection of its own from its
/// invocation on, until the command that ends it is answered.
fn most_at_once(view: &View<'_>) -> usize {
    let sessions = &view.claims.sessions;
    let answered = |ended: usize| {
        let closing = view.facts.spans.values().find(|it| it.invoked == ended && ends_session(&it.step.command));
        closing.map_or(ended, |it| it.returned.unwrap_or(usize::MAX))
    };
    let end = |span: &Span<'_>| {
        let session = sessions.iter().find(|it| Some(it.opened) == span.returned);
        session.map(|it| answered(it.ended)).or(span.returned).unwrap_or(usize::MAX)
    };
    let opens = view.facts.spans.values().filter(|it| begins_session(&it.step.command));
    let needs: Vec<(usize, usize)> = opens.map(|it| (it.invoked, end(it))).collect();
    let live = |at: usize| needs.iter().filter(|(from, until)| *from <= at && at < *until).count();
    needs.iter().map(|(from, _)| live(*from)).max().unwrap_or(0).max(1)
}

fn reports<'a>(view: &'a View<'_>) -> impl Iterator<Item = (usize, Report)> + 'a {
    view.facts.history.events.iter().enumerate().filter_map(|(at, event)| match event.what {
        What::Reported(report) => Some((at, report)),
        _ => None,
    })
}

/// How many connections are open at this event, and how many were cut before it.
fn connections_at(view: &View<'_>, at: usize) -> (u32, u32) {
    view.facts.history.events[..at].iter().fold((0, 0), |(open, cut): (u32, u32), event| match event.what {
        What::Connected(_) => (open + 1, cut),
        What::Disconnected(_) => (open.saturating_sub(1), cut),
        What::Lost(_) => (open, cut + 1),
        _ => (open, cut),
    })
}
