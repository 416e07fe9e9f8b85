//! A call in flight.
//!
//! Owns the guard of a call that has its connection: dropped before it is finished, the call counts as cancelled. What follows
//! from the database's answer is in [`super::outcome`].

use super::patience::{Patience, Pausing};
use super::queued::Queued;
use crate::error::Error;
use crate::lease::Lease;
use crate::lender::{Fitness, Gone};
use crate::session::{Call, Happened, State};
use crate::source::{Condition, Connection, ConnectionError, Effect, ErrorClass, Source};

/// The session, for one call in flight. Dropped before it is finished, the call counts as cancelled.
pub(crate) struct InFlight<'a, S: Source> {
    pub(super) queued: Queued<'a, S>,
    pub(super) operation: &'static str,
}

impl<'a, S: Source> Queued<'a, S> {
    /// Begins the call: refuses it where the session does not allow it, and borrows a connection where there is none.
    pub(super) async fn enter(mut self, call: Call, operation: &'static str) -> Result<InFlight<'a, S>, Error> {
        self.admit(call, operation)?;
        if S::Connection::BEGIN_PROBES && matches!(call, Call::Begin(_)) {
            // The call itself shows whether the connection answers.
            self.borrow_if_empty(operation, Fitness::AsFound).await?;
        } else {
            self.borrow_if_empty(operation, Fitness::Fit).await?;
            self.make_fit().await?;
        }
        let bounded = self.cell().lender().bounded();
        let alone = call == Call::Statement && self.session().depth() == 0;
        if let Some(lease) = self.session().lease_mut() {
            lease.take_turn(bounded, operation).await?;
            if alone {
                lease.guard(bounded).await?;
            }
        }
        self.session().transition(Happened::Called(call));
        Ok(InFlight { queued: self, operation })
    }
}

impl<'a, S: Source> InFlight<'a, S> {
    /// The connection that serves the call.
    pub(crate) fn connection(&mut self) -> &mut S::Connection {
        match self.queued.session().lease_mut().and_then(Lease::connection) {
            Some(connection) => connection,
            None => unreachable!("a call in flight has a connection"),
        }
    }

    /// The depth at which the call was made.
    pub(crate) fn depth(&mut self) -> u32 {
        self.queued.session().depth()
    }

    /// A statement of this call leaves this on the connection.
    pub(crate) fn leave(&mut self, effect: Effect) {
        self.queued.session().leave(effect);
    }

    /// Whether nothing was answered on the connection since it was lent.
    pub(crate) fn is_untouched(&mut self) -> bool {
        self.queued.session().is_untouched()
    }

    /// Whether the database commits a statement of this call by itself.
    pub(crate) fn is_autocommit(&mut self) -> bool {
        let session = self.queued.session();
        session.depth() == 0 && session.lease_mut().is_some_and(|lease| lease.own().is_some())
    }

    /// The connection was dead before anything was done on it: the call goes on with another, and the caller does not notice.
    pub(crate) async fn replace(&mut self, failure: &ConnectionError) -> Result<(), Error> {
        let (call, left) = match *self.queued.session().state() {
            State::Calling { call, depth: 0 } => (call, self.queued.session().left()),
            _ => unreachable!("a connection on which nothing was done is in no transaction"),
        };
        let fitness = if matches!(call, Call::Begin(_)) { Fitness::AsFound } else { Fitness::Fit };
        self.queued.replace(failure, fitness).await?;
        self.queued.session().transition(Happened::Called(call));
        self.leave(left);
        Ok(())
    }

    /// Sees whether the connection answers, if it was lent on trust and nothing was answered on it yet; another takes its place
    /// if it does not. For a statement that is not safe to rerun: its caller would see the loss.
    pub(crate) async fn probe(mut self) -> Result<Self, Error> {
        let session = self.queued.session();
        if session.condition() != Condition::Recent || !session.is_untouched() || session.depth() > 0 {
            return Ok(self);
        }
        let lender = self.queued.cell().lender();
        let answered = match self.queued.session().lease_mut().and_then(|lease| lease.own()) {
            Some(lease) => lender.make_fit(lease, Condition::Suspect).await,
            None => Ok(()),
        };
        match answered {
            Ok(()) => self.queued.session().made_fit(),
            Err(failure) => self.replace(&failure).await?,
        }
        Ok(self)
    }

    /// How many dead connections a statement meets at most before it gives up. Each after the first has answered a probe.
    pub(crate) fn attempts_max(&self) -> u32 {
        self.queued.cell().lender().policy().attempts_max
    }

    /// For the row stream that this call feeds.
    pub(crate) fn pausing(&self) -> Pausing<'a, S> {
        Pausing::of(self.queued.cell())
    }

    /// For what this call asks the database.
    pub(crate) fn patience(&self) -> Patience<'a, S> {
        Patience::of(self.queued.cell(), self.operation)
    }

    /// The call was not made after all.
    pub(crate) fn withdraw(mut self) {
        self.queued.session().transition(Happened::Refused(ErrorClass::Rejected));
    }
}

impl<S: Source> Drop for InFlight<'_, S> {
    fn drop(&mut self) {
        let lender = self.queued.cell().lender();
        let session = self.queued.session();
        if !matches!(session.state(), State::Calling { .. }) {
            return;
        }
        session.transition(Happened::Cancelled);
        // Where it cannot be asked how the call ended, waiting for the next call would only leave it running.
        if !S::Connection::ORDERED && matches!(session.lease_mut(), Some(Lease::Own(_))) {
            lender.lose(session, "a call was cancelled".into(), Gone::Busy);
        }
    }
}
