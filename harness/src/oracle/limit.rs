//! The invariant of the number of connections: `limit-kept`.
//!
//! A system may replace a connection before the old one is closed, so what is open is not what counts: a connection that is
//! being closed serves nobody any more. Those count that still serve a caller later.
//!
//! Not checked: connections that are open and never used again, but in the simulation, where all closing is over when the
//! plan is; histories without a limit.

use super::checked::Checked;
use super::scene::reaches_database;
use super::view::View;
use crate::history::{ConnectionId, What};
use crate::plan::IsolationModel;
use crate::verdict::Invariant;

/// No more connections are in use at once than the system was given.
pub fn limit_kept(view: &View<'_>) -> Checked {
    let mut checked = Checked::default();
    let history = view.facts.history;
    let Some(max) = history.connections_max.map(usize::from) else { return checked };
    let connected = || {
        history.events.iter().enumerate().filter_map(|(at, event)| match event.what {
            What::Connected(id) => Some((id, at)),
            _ => None,
        })
    };
    let count = connected().count();
    checked.evaluated = u32::try_from(count).unwrap_or(u32::MAX);
    if count <= max {
        return checked;
    }
    let expected = || format!("at most {max} connections at once");
    let used_until: Vec<(ConnectionId, usize)> = connected().map(|(id, _)| (id, last_use(view, id))).collect();
    let in_use =
        |at: usize| connected().zip(&used_until).filter(|((_, from), (_, until))| *from <= at && at < *until).count();
    if let Some((_, at)) = connected().find(|(_, at)| in_use(*at) > max) {
        let observed = format!("{} are open and serve callers later on", in_use(at));
        checked.found(view, Invariant::LimitKept, at, expected(), observed);
    }
    at_rest(view, max, &mut checked);
    checked
}

/// The last event at which this connection was certainly not being closed: a statement that it served was invoked there.
fn last_use(view: &View<'_>, connection: ConnectionId) -> usize {
    let uses = view.facts.spans.iter().filter(|(by, span)| {
        let serves = || view.server(*by).is_some_and(|(served_by, _)| served_by == connection);
        span.is_done() && reaches_database(&span.step.command) && serves()
    });
    uses.map(|(_, span)| span.invoked).max().unwrap_or(0)
}

fn at_rest(view: &View<'_>, max: usize, checked: &mut Checked) {
    let Some((over, open)) = open_at_rest(view) else { return };
    if open > max {
        let observed = format!("{open} are open, and everybody rests");
        checked.found(view, Invariant::LimitKept, over, format!("at most {max} connections at once"), observed);
    }
}

/// The event at which the plan is over, and how many connections are open there; none where some may still be being closed. In
/// the simulation nothing is being closed any more when the plan is over. On a real database threads and processes may be late.
pub(super) fn open_at_rest(view: &View<'_>) -> Option<(usize, usize)> {
    let events = &view.facts.history.events;
    if view.facts.history.isolation != IsolationModel::Simulation || events.iter().any(|it| it.what == What::Hung) {
        return None;
    }
    let over = events.iter().position(|it| it.what == What::PlanOver)?;
    let open = events[..over].iter().fold(0_usize, |open, event| match event.what {
        What::Connected(_) => open + 1,
        What::Disconnected(_) => open.saturating_sub(1),
        _ => open,
    });
    Some((over, open))
}
