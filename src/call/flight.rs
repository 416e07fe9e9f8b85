//! A call in flight.
//!
//! Owns the guard of a call that has its connection: dropped before it is finished, the call counts as cancelled. The
//! consequences of the database's answer are in [`super::outcome`].

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

/// Why nothing can be written on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReadOnly {
    /// The caller has begun the transaction so; or the connection is shared with others, and is not given up for one of them.
    Begun,
    /// It was so when it was opened, or nothing is known of that.
    Opened,
    /// It could write then: a switchover has left it behind.
    Turned,
}

impl<'a, S: Source> Queued<'a, S> {
    /// Begins the call: refuses it where the session does not allow it, and borrows a connection where there is none.
    pub(super) async fn enter(mut self, call: Call, operation: &'static str) -> Result<InFlight<'a, S>, Error> {
        self.undo_setting_of_begin().await;
        self.set_again().await?;
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
    /// Returns the connection that serves the call.
    pub(crate) fn connection(&mut self) -> &mut S::Connection {
        match self.queued.session().lease_mut().and_then(Lease::connection) {
            Some(connection) => connection,
            None => unreachable!("a call in flight has a connection"),
        }
    }

    /// Returns the depth at which the call was made.
    pub(crate) fn depth(&mut self) -> u32 {
        self.queued.session().depth()
    }

    /// Records what a statement of this call leaves on the connection.
    pub(crate) fn leave(&mut self, effect: Effect) {
        let session = self.queued.session();
        session.leave(effect);
        if let Some(lease) = session.lease_mut().filter(|_| effect != Effect::Nothing) {
            lease.leave_residue();
        }
    }

    /// The caller gets the connection itself, and leaves this much on it.
    pub(crate) fn lend_out(&mut self, effect: Effect) {
        self.leave(effect);
        self.queued.session().lent_out();
    }

    /// Whether the connection has answered nothing since it was lent.
    pub(crate) fn is_untouched(&mut self) -> bool {
        self.queued.session().is_untouched()
    }

    /// Whether the database commits a statement of this call by itself.
    pub(crate) fn is_autocommit(&mut self) -> bool {
        let session = self.queued.session();
        session.depth() == 0 && session.lease_mut().is_some_and(|lease| lease.own().is_some())
    }

    /// Returns why a write of this call was refused as read-only.
    pub(crate) fn why_read_only(&mut self) -> ReadOnly {
        let source = self.queued.cell().lender().source();
        let session = self.queued.session();
        let is_begun_so = session.depth() > 0 && session.begun().read_only;
        match session.lease_mut().and_then(Lease::own) {
            Some(lease) if !is_begun_so && source.has_turned_read_only(lease) => ReadOnly::Turned,
            Some(_) if !is_begun_so => ReadOnly::Opened,
            _ => ReadOnly::Begun,
        }
    }

    /// Retires the connections of before, since the one of this call has turned read-only.
    pub(crate) fn retire(&mut self) {
        let source = self.queued.cell().lender().source();
        if let Some(lease) = self.queued.session().lease_mut().and_then(Lease::own) {
            source.retire(lease);
        }
    }

    /// Replaces a connection that was dead before its first use: the call goes on with another, and the caller does not
    /// notice.
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

    /// Probes a connection that was lent unprobed and has answered nothing yet, and replaces it if it is dead. Called
    /// before a statement that is not safe to rerun, whose caller would see the loss.
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

    /// The most dead connections that a statement tries before it gives up. Each after the first has answered a probe.
    pub(crate) fn attempts_max(&self) -> u32 {
        self.queued.cell().lender().policy().attempts_max
    }

    /// Returns the marker for the row stream that this call feeds.
    pub(crate) fn pausing(&self) -> Pausing<'a, S> {
        Pausing::of(self.queued.cell())
    }

    /// Returns the wait for this call's answer from the database.
    pub(crate) fn patience(&self) -> Patience<'a, S> {
        Patience::of(self.queued.cell(), self.operation)
    }

    /// Leaves the session as if the call had not been made.
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
        // The outcome of the call cannot be asked here, so waiting for the next call would only leave the statement
        // running.
        if !S::Connection::ORDERED && matches!(session.lease_mut(), Some(Lease::Own(_))) {
            lender.lose(session, "a call was cancelled".into(), Gone::Busy);
        }
    }
}
