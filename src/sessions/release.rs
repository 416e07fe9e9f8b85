//! The release gate: what a connection passes before anybody else may borrow it.
//!
//! Owns what becomes of a connection when its scope ends: it goes back, with what it owes its next borrower, or is cleaned
//! beside, or closed. Nobody waits here.

use std::sync::Arc;

use super::{Gone, Inner, control, in_transaction};
use crate::events::Event;
use crate::lease::{Lease, Left};
use crate::policy::Reset;
use crate::session::{Session, State};
use crate::source::{Condition, Connection, Control, Effect, Failure, Source};

impl<S: Source> Inner<S> {
    /// Takes back what a scope has when it ends, without waiting: what is clean goes back at once, the rest is cleaned by a
    /// task under `release_timeout`, or given up.
    pub(crate) fn release(self: &Arc<Self>, session: &mut Session<Lease<S>>) {
        let state = session.state().clone();
        let lease = match session.take_lease() {
            Some(Lease::Own(lease)) => lease,
            Some(mut turns) => {
                let left = if matches!(state, State::Doubt { .. }) { Left::Doubt } else { Left::Transaction };
                return turns.rest(left);
            }
            None => return,
        };
        // What was begun read-only and ended by itself has left its setting behind.
        let clean = state == State::Ready || matches!(state, State::Failed { .. }) && !session.begun().read_only;
        let standing = clean || matches!(state, State::Open { .. } | State::Failed { .. });
        let why = "its scope left something on it";
        match self.owes(session) {
            // In doubt: given up, and never waited for.
            _ if !standing && !self.source.is_only() => {
                self.source.abandon(lease);
                self.counters.discarded.add();
                self.emit(&Event::Discarded { why });
            }
            Owes::Nothing if clean => self.source.give_back(lease),
            _ if self.source.is_only() => self.source.give_back_unclean(lease),
            Owes::Closing => {
                self.source.discard(lease);
                self.counters.discarded.add();
                self.emit(&Event::Discarded { why });
            }
            Owes::Cleaning if clean => self.source.give_back_owing(lease),
            owes => self.clean_beside(lease, owes),
        }
    }

    /// What a connection owes its next borrower.
    fn owes(&self, session: &Session<Lease<S>>) -> Owes {
        if !S::Connection::CLEANS {
            let closing = session.is_tainted() && !self.source.is_only();
            return if closing { Owes::Closing } else { Owes::Nothing };
        }
        let before =
            if matches!(session.condition(), Condition::Owing { .. }) { Owes::Cleaning } else { Owes::Nothing };
        let now = match (self.policy.reset, session.left()) {
            (Reset::Never, _) => Owes::Nothing,
            (_, Effect::ForGood(_)) => Owes::Closing,
            (_, Effect::Lock(_)) => Owes::CleaningNow,
            (Reset::Owed, Effect::Nothing) => Owes::Nothing,
            (Reset::Owed | Reset::Always, _) => Owes::Cleaning,
        };
        before.max(now)
    }

    fn clean_beside(self: &Arc<Self>, mut lease: S::Lease, owes: Owes) {
        let inner = Arc::clone(self);
        // Dropped unrun, the task closes the connection.
        self.source.spawn(Box::pin(async move {
            let cleaned = inner.in_time(inner.policy.release_timeout, async {
                clean(&mut *lease, inner.policy.attempts_max).await?;
                if owes == Owes::CleaningNow { inner.source.clean(&mut lease).await } else { Ok(()) }
            });
            match (cleaned.await, owes) {
                (Ok(()), Owes::Cleaning) => inner.source.give_back_owing(lease),
                (Ok(()), _) => inner.source.give_back(lease),
                (Err(it), _) => inner.discard(lease, "it could not be cleaned for its next borrower", Gone::of(&it)),
            }
        }));
    }
}

/// What a connection owes its next borrower, from nothing to the most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Owes {
    Nothing,
    /// To be cleaned before it is used.
    Cleaning,
    /// To be cleaned at once: somebody may wait for a lock.
    CleaningNow,
    /// It cannot be cleaned.
    Closing,
}

/// Rolls back what is open on a connection, and undoes what a begin set on it.
pub(super) async fn clean<C: Connection>(connection: &mut C, attempts: u32) -> Result<(), Failure> {
    if in_transaction(connection, attempts).await? {
        control(connection, Control::Rollback, attempts).await?;
    }
    control(connection, Control::Reset, attempts).await
}
