//! The connection that a call runs on.
//!
//! Owns whether the session allows a call, borrowing a connection for it, and replacing one that was dead before its
//! first use. Lending itself belongs to `lender`.

use futures_util::FutureExt;

use super::queued::Queued;
use crate::bounded::Repeatable;
use crate::error::Error;
use crate::events::Event;
use crate::health::Count;
use crate::lender::{Fitness, Gone};
use crate::session::{Call, Happened, State};
use crate::source::{Connection, ConnectionError, Control, Source};

impl<S: Source> Queued<'_, S> {
    /// Whether the session allows this call as it stands.
    pub(super) fn admit(&self, call: Call, operation: &'static str) -> Result<(), Error> {
        match (self.state(), call) {
            (State::Failed { why, .. } | State::Lost { why }, _) => Err(self.lost(operation, why)),
            (State::Empty | State::Ready, Call::Commit | Call::Rollback) => {
                Err(Error::NoTransaction { operation, scope: self.cell().name().clone() })
            }
            _ => Ok(()),
        }
    }

    /// Borrows a connection if there is none.
    pub(super) async fn borrow_if_empty(&mut self, operation: &'static str, fitness: Fitness) -> Result<(), Error> {
        if *self.state() != State::Empty {
            return Ok(());
        }
        self.borrow(fitness).await?;
        // The owner of a pinned handle has set something up on a session that is gone.
        self.handle.refuse_stale(operation)
    }

    /// Undoes what a begin has set on the connection itself, where its transaction ended without that: by itself, or by a call
    /// that was cancelled. A connection that does not answer is given up.
    pub(super) async fn undo_setting_of_begin(&mut self) {
        if *self.state() != State::Ready || !self.session().owes_reset() {
            return;
        }
        let lender = self.cell().lender();
        let bounded = lender.bounded();
        let undone = match self.session().lease_mut().and_then(|lease| lease.own()) {
            Some(lease) => {
                let reset = bounded.ask(&mut **lease, Repeatable(Control::Reset));
                bounded.in_time(lender.policy().end_timeout, reset).await
            }
            None => Ok(()),
        };
        match undone {
            Ok(()) => self.session().was_reset(),
            Err(failure) => lender.lose(self.session(), failure.to_string(), Gone::of(&failure)),
        }
    }

    /// Sets the scope's settings again, where a statement of its own may have changed them and no transaction is open.
    pub(super) async fn set_again(&mut self) -> Result<(), Error> {
        if *self.state() != State::Ready || !self.session().is_unsettled() {
            return Ok(());
        }
        let cell = self.cell();
        let lender = cell.lender();
        let set = match self.session().lease_mut().and_then(|lease| lease.own()) {
            Some(lease) => lender.bounded().in_time(lender.policy().begin_timeout, lease.set(cell.settings())).await,
            // Each turn on a shared connection begins with it.
            None => return Ok(()),
        };
        match set {
            Ok(()) => self.session().was_configured(),
            Err(failure) if !failure.class.is_loss() => return Err(failure.into()),
            Err(failure) => lender.lose(self.session(), failure.to_string(), Gone::of(&failure)),
        }
        Ok(())
    }

    /// Makes the connection fit for use, if its first call should have done so and was not made.
    pub(super) async fn make_fit(&mut self) -> Result<(), Error> {
        let lender = self.cell().lender();
        let condition = self.session().condition();
        let made = match self.session().lease_mut().and_then(|lease| lease.own()) {
            Some(lease) if !condition.is_fit() => lender.make_fit(lease, condition).await,
            _ => return Ok(()),
        };
        match made {
            Ok(()) => {
                self.session().made_fit();
                Ok(())
            }
            Err(failure) => self.replace(&failure, Fitness::Fit).await,
        }
    }

    /// Replaces a connection that was dead before its first use; the caller does not notice.
    pub(super) async fn replace(&mut self, failure: &ConnectionError, fitness: Fitness) -> Result<(), Error> {
        if let Some(lease) = self.session().take_lease() {
            self.cell().lender().give_up(lease, &failure.to_string(), Gone::of(failure));
        }
        self.session().transition(Happened::Unused);
        self.borrow(fitness).await
    }

    async fn borrow(&mut self, fitness: Fitness) -> Result<(), Error> {
        let cell = self.cell();
        let lender = cell.lender();
        let began = lender.source().now();
        let (lease, condition) = lender.lend(cell.holder(), fitness, cell.settings()).boxed().await?;
        let session = self.session();
        session.lend(lease, condition);
        if !cell.settings().is_empty() {
            session.was_configured();
        }
        let generation = session.generation();
        let before = cell.set_generation(generation);
        if before == generation {
            // The new connection replaces one on which nothing was done.
            return Ok(());
        }
        lender.count(Count::Lent);
        if before == 0 {
            lender.emit(&Event::Opened { scope: cell.name() });
        } else {
            let took = lender.source().now().saturating_sub(began);
            lender.recovered_in(took);
            tracing::info!(scope = %cell.name(), generation, ?took, "a session was recovered");
            lender.emit(&Event::Recovered { scope: cell.name(), generation, took });
        }
        Ok(())
    }
}
