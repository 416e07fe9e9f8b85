//! The release gate, which a connection passes before its next borrower gets it.
//!
//! Owns the release of a connection when its scope ends: it goes back, possibly to be reset before its next use, or a
//! task cleans it, or it is closed. No caller waits here.

use std::sync::Arc;

use super::shared::{Gone, Lender};
use crate::bounded::{Bounded, InTransaction, Repeatable};
use crate::lease::{Lease, Left};
use crate::policy::Reset;
use crate::session::{Session, State};
use crate::source::{Condition, Connection, ConnectionError, Control, Effect, Source};

impl<S: Source> Lender<S> {
    /// Takes back a scope's connection without waiting: a clean one goes back at once, another is cleaned by a task
    /// under `release_timeout`, or discarded.
    pub(crate) fn release(self: &Arc<Self>, session: &mut Session<Lease<S>>) {
        let state = session.state().clone();
        let lease = match session.take_lease() {
            Some(Lease::Own(lease)) => lease,
            Some(mut turns) => {
                let left = if matches!(state, State::InDoubt { .. }) { Left::InDoubt } else { Left::Transaction };
                return turns.rest(left);
            }
            None => return,
        };
        let source = self.source();
        // A read-only transaction that ended by itself, or whose end was cancelled, has left its setting behind.
        let clean = matches!(state, State::Ready | State::Failed { .. }) && !session.owes_reset();
        let standing = matches!(state, State::Ready | State::Open { .. } | State::Failed { .. });
        let why = "its scope left something on it";
        match self.need(session) {
            // A connection in doubt is discarded, without waiting for it.
            _ if !standing && !source.is_only() => {
                source.abandon(lease);
                self.tell_discarded(why);
            }
            Need::Nothing if clean => source.give_back(lease),
            _ if source.is_only() => source.give_back_unclean(lease),
            Need::Closing => {
                source.discard(lease);
                self.tell_discarded(why);
            }
            Need::Reset if clean => source.give_back_needing_reset(lease),
            need => self.clean_beside(lease, need, session.owes_reset()),
        }
    }

    /// What a connection needs before its next borrower gets it.
    fn need(&self, session: &Session<Lease<S>>) -> Need {
        if !S::Connection::CLEANS {
            let always = self.policy().reset == Reset::Always;
            let closing = (always || session.left() > Effect::Nothing) && !self.source().is_only();
            return if closing { Need::Closing } else { Need::Nothing };
        }
        let before =
            if matches!(session.condition(), Condition::NeedsReset { .. }) { Need::Reset } else { Need::Nothing };
        let now = match (self.policy().reset, session.left()) {
            (_, Effect::Permanent(_)) => Need::Closing,
            (Reset::Never, _) => Need::Nothing,
            (_, Effect::Lock(_)) => Need::ResetNow,
            (Reset::IfNeeded, Effect::Nothing) => Need::Nothing,
            (Reset::IfNeeded | Reset::Always, _) => Need::Reset,
        };
        // What the library has set, or lent, is never another scope's, whatever the policy says of statements.
        let owed = match session.left() {
            _ if !session.owes_cleaning() => Need::Nothing,
            Effect::Lock(_) => Need::ResetNow,
            _ => Need::Reset,
        };
        match before.max(now).max(owed) {
            Need::Reset | Need::ResetNow if !self.source().cleans() => Need::Closing,
            need => need,
        }
    }

    /// Undoes what a begin that was refused may have begun.
    pub(crate) async fn undo_begun(&self, lease: &mut S::Lease) -> Result<(), ConnectionError> {
        let bounded = &self.bounded;
        bounded.in_time(bounded.policy().release_timeout, roll_back(bounded, &mut **lease)).await
    }

    fn clean_beside(self: &Arc<Self>, mut lease: S::Lease, need: Need, owes_reset: bool) {
        let lender = Arc::clone(self);
        // Dropped unrun, the task closes the connection.
        self.source().spawn(Box::pin(async move {
            let (bounded, source) = (&lender.bounded, lender.source());
            let cleaned = bounded.in_time(bounded.policy().release_timeout, async {
                if owes_reset {
                    clean(bounded, &mut *lease).await?
                } else {
                    roll_back(bounded, &mut *lease).await?
                }
                if need == Need::ResetNow { source.clean(&mut lease).await } else { Ok(()) }
            });
            match (cleaned.await, need) {
                (Ok(()), Need::Reset) => source.give_back_needing_reset(lease),
                (Ok(()), _) => source.give_back(lease),
                (Err(failure), _) => {
                    lender.discard(lease, "it could not be cleaned for its next borrower", Gone::of(&failure));
                }
            }
        }));
    }
}

/// What a connection needs before its next borrower gets it, from nothing to the most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Need {
    Nothing,
    /// A reset before it is used.
    Reset,
    /// A reset at once: another transaction may be waiting for a lock.
    ResetNow,
    /// No reset is enough.
    Closing,
}

/// Rolls back what is open on a connection, and undoes what a begin set on it.
pub(super) async fn clean<S: Source>(
    bounded: &Bounded<S>,
    connection: &mut S::Connection,
) -> Result<(), ConnectionError> {
    roll_back(bounded, connection).await?;
    bounded.ask(connection, Repeatable(Control::Reset)).await
}

/// Rolls back what is open on a connection, if anything is.
async fn roll_back<S: Source>(bounded: &Bounded<S>, connection: &mut S::Connection) -> Result<(), ConnectionError> {
    if bounded.ask(connection, InTransaction).await? {
        bounded.ask(connection, Repeatable(Control::Rollback)).await?;
    }
    Ok(())
}
