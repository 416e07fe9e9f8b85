//! A history prepared for checking: claims beside evidence, indexed by command.
//!
//! Owns the attribution of evidence. The driver's thread finishes the work of a cancelled command at an uncontrolled
//! time, so it may be recorded under another command; evidence that could be such a straggler is not used.

use std::collections::BTreeMap;

use super::read_only::ReadOnly;
use super::seen::Seen;
use crate::history::{By, ByCommand, ConnectionId, History, Outcome, Span, What};
use crate::model::wiring::Wiring;
use crate::model::{Claims, Session, effect_of, is_autonomous, may_close_pool, opens_session};
use crate::plan::{Command, IsolationModel, Key, Phase, Value};

/// What is the same in every branch.
pub struct Facts<'a> {
    /// The whole history.
    pub history: &'a History,
    /// Each command, from its invocation to its end.
    pub spans: ByCommand<Span<'a>>,
    /// What was asked of registries.
    pub wiring: Wiring<'a>,
    /// The rows at the end; inside a fixture they say nothing of what was done.
    pub final_state: Option<&'a BTreeMap<Key, Value>>,
    /// The event of a `close-pool` that was done.
    pub pool_closed: Option<usize>,
    /// The event from which on the pool may be closed: a `close-pool` was invoked, and was not cancelled before anything of it
    /// ran.
    pub pool_may_close: Option<usize>,
    /// Connections that turned read-only.
    pub read_only: ReadOnly,
    /// The event from which on evidence may be recorded under another command than its own; the end of the history if it
    /// never is.
    pub strays_from: usize,
    evidence: ByCommand<Evidence>,
}

/// What the checks look at: one branch.
pub struct View<'a> {
    /// What is the same in every branch.
    pub facts: &'a Facts<'a>,
    /// What the replies claim, under one assignment of the unknown outcomes.
    pub claims: Claims,
    /// What was seen and could not be, by these claims.
    pub(super) seen: Seen,
}

/// The evidence of the database's hooks while one command ran.
#[derive(Clone, Debug, Default)]
pub struct Evidence {
    /// The connections that executed something, each with the event that says so.
    pub served: Vec<(ConnectionId, usize)>,
    /// The connections that changed a row, once for each change.
    pub wrote: Vec<ConnectionId>,
    /// The connections that committed.
    pub committed: Vec<ConnectionId>,
    /// The connections that rolled back.
    pub rolled_back: Vec<ConnectionId>,
}

impl<'a> Facts<'a> {
    /// Indexes a history.
    pub fn of(history: &'a History) -> Self {
        let spans = history.commands();
        let mut evidence: ByCommand<Evidence> = spans.emptied();
        let final_state = history.events.iter().rev().find_map(|event| match &event.what {
            What::FinalState(rows) if !history.fixture => Some(rows),
            _ => None,
        });
        let wiring = Wiring::of(history, &spans);
        collect(history, &mut evidence);
        let (mut pool_closed, mut pool_may_close) = (None, None);
        for span in spans.values().filter(|it| may_close_pool(it)) {
            let earliest = |so_far: Option<usize>, at| Some(so_far.map_or(at, |it| it.min(at)));
            pool_may_close = earliest(pool_may_close, span.invoked);
            if let Some(at) = span.returned.filter(|_| span.is_done()) {
                pool_closed = earliest(pool_closed, at);
            }
        }
        let stray = match history.isolation {
            IsolationModel::Sqlite => first_stray(history, &spans, &evidence),
            IsolationModel::Simulation | IsolationModel::Postgres => None,
        };
        let strays_from = stray.into_iter().chain(history.tasks_overlap).min().unwrap_or(history.events.len());
        let read_only = ReadOnly::of(history, &spans);
        Self { history, spans, wiring, final_state, pool_closed, pool_may_close, read_only, strays_from, evidence }
    }
}

impl Facts<'_> {
    /// Whether a write of this command's session was refused, by this command or before it.
    pub fn is_refused_in_session(&self, by: By) -> bool {
        let from = self.opening(by).map_or(0, |(open, _)| open.step);
        (from..=by.step).any(|step| self.read_only.refused_by(By { step, ..by }).is_some())
    }

    /// Whether a write of this command was refused, the first one of its session, by a connection that was known to be
    /// read-only before the session was asked for.
    pub fn is_kept_read_only(&self, by: By) -> bool {
        let Some(connection) = self.read_only.refused_by(by) else { return false };
        let Some((open, span)) = self.opening(by) else { return false };
        let is_first = (open.step..by.step).all(|step| self.read_only.refused_by(By { step, ..by }).is_none());
        is_first && self.read_only.is_known(connection, span.invoked)
    }

    /// The command that asked for the session that this one ran in.
    fn opening(&self, by: By) -> Option<(By, &Span<'_>)> {
        self.spans.before(by).rev().find(|(_, it)| opens_session(&it.step.command) && it.is_done())
    }
}

fn collect(history: &History, evidence: &mut ByCommand<Evidence>) {
    for (at, event) in history.events.iter().enumerate() {
        let Some(entry) = event.by.and_then(|by| evidence.entry(by)) else { continue };
        match event.what {
            What::Served(id) => entry.get_or_insert_default().served.push((id, at)),
            What::Wrote(id) => entry.get_or_insert_default().wrote.push(id),
            What::Committed(id) => entry.get_or_insert_default().committed.push(id),
            What::RolledBack(id) => entry.get_or_insert_default().rolled_back.push(id),
            _ => {}
        }
    }
}

/// The invocation of the first command whose evidence may be recorded under another one. What came before it is not affected.
fn first_stray(history: &History, spans: &ByCommand<Span<'_>>, evidence: &ByCommand<Evidence>) -> Option<usize> {
    let cancelled = spans.iter().filter(|(by, span)| may_straggle(span, evidence.get(*by)));
    let cancelled = cancelled.map(|(_, span)| span.invoked).min();
    let anonymous = history.events.iter().enumerate().filter(|(_, event)| event.what == What::Blocked);
    let anonymous = anonymous.filter_map(|(at, event)| {
        let span = spans.get(event.by?)?;
        is_anonymous(history, span, event.by?, at).then_some(span.invoked)
    });
    anonymous.chain(cancelled).min()
}

/// A command was blocked, at this event, before its connection was known: the work of that connection may be recorded under
/// any command.
fn is_anonymous(history: &History, span: &Span<'_>, by: By, at: usize) -> bool {
    let waits_for_pool = opens_session(&span.step.command) || span.step.command == Command::ClosePool;
    let known = |it: &crate::history::Event| it.by == Some(by) && matches!(it.what, What::Served(_));
    !waits_for_pool && !history.events[span.invoked..at].iter().any(known)
}

/// A command that was cancelled, or came to no end, without evidence of its own may still have evidence under another command.
fn may_straggle(span: &Span<'_>, evidence: Option<&Evidence>) -> bool {
    let cancelled = matches!(span.outcome, Some(Outcome::Cancelled(phase)) if *phase != Phase::BeforeSend);
    let writes = effect_of(&span.step.command).is_some();
    (cancelled || span.is_unfinished())
        && evidence.is_none_or(|it| it.served.is_empty() || writes && it.wrote.is_empty())
}

impl<'a> View<'a> {
    /// The branch under one assignment of the unknown outcomes.
    pub fn of(facts: &'a Facts<'a>, assignment: u64) -> Self {
        let claims = Claims::of(facts.history, &facts.spans, assignment);
        let seen = Seen::of(&claims, facts.final_state, facts.history.events.len());
        Self { facts, claims, seen }
    }

    /// The evidence of one command; none if some of it may be another command's.
    pub fn evidence(&self, by: By) -> Option<&Evidence> {
        let returned = self.facts.spans.get(by)?.returned.unwrap_or(self.facts.history.events.len());
        self.facts.evidence.get(by).filter(|_| returned <= self.facts.strays_from)
    }

    /// Returns the connection that served a completed command; none if the evidence is absent or ambiguous.
    pub fn server(&self, by: By) -> Option<(ConnectionId, usize)> {
        let span = self.facts.spans.get(by)?;
        match self.evidence(by)?.served.as_slice() {
            [one] if span.is_done() => Some(*one),
            _ => None,
        }
    }

    /// Returns the session that a command ran in: its actor's live session at the invocation; none if it had one of its own.
    pub fn session(&self, by: By) -> Option<(usize, &Session)> {
        let span = self.facts.spans.get(by).filter(|it| !is_autonomous(&it.step.command))?;
        let invoked = span.invoked;
        let live = |it: &Session| it.actor == by.actor && it.opened < invoked && invoked < it.ended;
        self.claims.sessions.iter().enumerate().find(|(_, it)| live(it))
    }

    /// Whether, before this command, its session had done nothing that could leave it in a transaction or in doubt: only
    /// plain statements that were done.
    pub fn is_untouched(&self, by: By, session: &Session) -> bool {
        let before = self.facts.spans.before(by);
        before.filter(|(_, span)| span.invoked > session.opened).all(|(_, span)| {
            span.is_done()
                && !matches!(span.step.command, Command::Begin(_) | Command::Raw(..))
                && span.step.fault.is_none()
        })
    }
}
