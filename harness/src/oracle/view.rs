//! A history prepared for checking: claims beside evidence, indexed by command.
//!
//! Owns the attribution of evidence. What a cancelled command left behind is done by the driver's thread at a time that
//! nobody controls, so it may be recorded under another command; evidence that could be such a straggler is not used.

use std::collections::{BTreeMap, BTreeSet};

use crate::history::{By, ConnectionId, History, Outcome, Span, What};
use crate::model::{Claims, Session, effect_of};
use crate::plan::{Command, Ground, Key, Phase, Value};

/// What the checks look at.
pub struct View<'a> {
    /// The whole history.
    pub history: &'a History,
    /// What its replies claim, under one assignment of the unknown outcomes.
    pub claims: Claims,
    /// Each command, from its invocation to its end.
    pub spans: BTreeMap<By, Span<'a>>,
    /// The rows at the end.
    pub final_state: Option<&'a BTreeMap<Key, Value>>,
    /// The event of a `close-pool` that was done.
    pub pool_closed: Option<usize>,
    evidence: BTreeMap<By, Evidence>,
    stragglers: bool,
}

/// What the database's hooks said while one command ran.
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

impl<'a> View<'a> {
    /// Prepares a history.
    pub fn new(history: &'a History, claims: Claims) -> Self {
        let mut evidence: BTreeMap<By, Evidence> = BTreeMap::new();
        let mut final_state = None;
        for (at, event) in history.events.iter().enumerate() {
            if let What::FinalState(rows) = &event.what {
                final_state = Some(rows);
            }
            let Some(by) = event.by else { continue };
            match event.what {
                What::Served(id) => evidence.entry(by).or_default().served.push((id, at)),
                What::Wrote(id) => evidence.entry(by).or_default().wrote.push(id),
                What::Committed(id) => evidence.entry(by).or_default().committed.push(id),
                What::RolledBack(id) => evidence.entry(by).or_default().rolled_back.push(id),
                _ => {}
            }
        }
        let spans = history.commands();
        let pool_closed =
            spans.values().filter(|it| it.step.command == Command::ClosePool && is_done(it)).map(|it| it.returned);
        let pool_closed = pool_closed.flatten().min();
        let anonymous = history.ground == Ground::Sqlite && Self::is_anonymous(history, &spans);
        if anonymous {
            evidence.clear();
        }
        let mut view = Self { history, claims, spans, final_state, pool_closed, evidence, stragglers: false };
        view.stragglers = anonymous || view.spans.iter().any(|(by, span)| view.may_straggle(*by, span));
        view
    }

    /// The evidence of one command; none in a history in which some of it may be another command's.
    pub fn evidence(&self, by: By) -> Option<&Evidence> {
        self.evidence.get(&by).filter(|_| !self.stragglers)
    }

    /// The one connection that served a command that was done; none if there is no evidence or it is not unique.
    pub fn server(&self, by: By) -> Option<(ConnectionId, usize)> {
        let span = self.spans.get(&by)?;
        match self.evidence(by)?.served.as_slice() {
            [one] if is_done(span) => Some(*one),
            _ => None,
        }
    }

    /// The session that a command ran in: the one of its actor that was live when it was invoked.
    pub fn session(&self, by: By) -> Option<(usize, &Session)> {
        let invoked = self.spans.get(&by)?.invoked;
        let live = |it: &Session| it.actor == by.actor && it.opened < invoked && invoked < it.ended;
        self.claims.sessions.iter().enumerate().find(|(_, it)| live(it))
    }

    /// Whether, before this command, its session had done nothing that could leave it in a transaction or in doubt: only
    /// plain statements that were done.
    pub fn is_untouched(&self, by: By, session: &Session) -> bool {
        let before = self.spans.range(By { actor: by.actor, step: 0 }..by);
        before.filter(|(_, span)| span.invoked > session.opened).all(|(_, span)| {
            is_done(span)
                && !matches!(span.step.command, Command::Begin(_) | Command::Raw(_))
                && span.step.fault.is_none()
        })
    }

    /// Whether some evidence may belong to another command than it is recorded under.
    pub fn has_stragglers(&self) -> bool {
        self.stragglers
    }

    /// A command that was blocked before its connection was known: what that connection did meanwhile may be recorded
    /// under anybody's name.
    fn is_anonymous(history: &History, spans: &BTreeMap<By, Span<'_>>) -> bool {
        history.events.iter().enumerate().any(|(at, event)| {
            let Some(by) = event.by.filter(|_| event.what == What::Blocked) else {
                return false;
            };
            let waits_for_pool = |it: &Span<'_>| matches!(it.step.command, Command::Open | Command::ClosePool);
            let known = |it: &crate::history::Event| it.by == Some(by) && matches!(it.what, What::Served(_));
            !spans.get(&by).is_some_and(waits_for_pool) && !history.events[..at].iter().any(known)
        })
    }

    /// A command that was cut off and left no trace under its own name may still leave one under another's.
    fn may_straggle(&self, by: By, span: &Span<'_>) -> bool {
        let cut_off = matches!(span.outcome, Some(Outcome::Cancelled(phase)) if *phase != Phase::BeforeSend);
        let writes = effect_of(&span.step.command).is_some();
        self.history.ground == Ground::Sqlite
            && cut_off
            && self.evidence(by).is_none_or(|it| it.served.is_empty() || writes && it.wrote.is_empty())
    }

    /// The commands that were done and changed a row, by their own words.
    pub fn writers(&self) -> BTreeSet<By> {
        let changed = |it: &Span<'_>| effect_of(&it.step.command).is_some() && is_done(it);
        self.spans.iter().filter(|(_, it)| changed(it)).map(|(by, _)| *by).collect()
    }
}

/// Whether the system said that the command is done.
pub(super) fn is_done(span: &Span<'_>) -> bool {
    matches!(span.outcome, Some(Outcome::Done(_)))
}
