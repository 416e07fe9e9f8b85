//! The end of the innermost level: commit and rollback.
//!
//! Owns the statements that end a level, and the consequences of an end that the database refused.

use super::flight::InFlight;
use super::queued::Queued;
use crate::error::Error;
use crate::lender::Gone;
use crate::session::{Call, Happened, Loss};
use crate::source::{ConnectionError, Control, Effect, Source};

impl<S: Source> Queued<'_, S> {
    /// Commits the innermost level.
    pub(crate) async fn commit(mut self, operation: &'static str) -> Result<(), Error> {
        if let Some(why) = self.failed() {
            return match self.resolve(&why).await {
                Some(true) => Ok(()),
                Some(false) => Err(Error::RolledBack { source: why.to_string().into() }),
                None => {
                    self.session().transition(Happened::Acknowledged);
                    Err(self.lost(operation, &why))
                }
            };
        }
        let limit = self.cell().lender().policy().end_timeout;
        let mut call = self.enter(Call::Commit, operation).await?;
        let depth = call.depth();
        let control = match depth {
            1 if call.queued.session().last_failure().is_none() => Control::Commit,
            1 => Control::CommitUnlessFailed,
            depth => Control::Release(depth - 1),
        };
        match call.control(control, limit).await {
            Ok(()) => {
                let reset = call.reset().await;
                call.finish(reset).await
            }
            Err(failure) => call.finish_commit(failure).await,
        }
    }

    /// Rolls the innermost level back.
    pub(crate) async fn rollback(mut self, operation: &'static str) -> Result<(), Error> {
        if let Some(why) = self.failed() {
            return match self.resolve(&why).await {
                Some(true) => Err(Error::AlreadyCommitted { scope: self.cell().name().clone() }),
                Some(false) => Ok(()),
                None => {
                    self.session().transition(Happened::Acknowledged);
                    self.rolled_back(operation, &why)
                }
            };
        }
        self.enter(Call::Rollback, operation).await?.roll_back().await
    }

    /// Answers the rollback of a transaction that is already over.
    fn rolled_back(&self, operation: &'static str, why: &Loss) -> Result<(), Error> {
        match why {
            Loss::CommitUnknown(_) => Err(self.lost(operation, why)),
            _ => Ok(()),
        }
    }
}

impl<S: Source> InFlight<'_, S> {
    /// Ends a rollback. It always succeeds, since a connection that cannot roll back is discarded.
    pub(super) async fn roll_back(mut self) -> Result<(), Error> {
        let depth = self.depth();
        match self.undo(depth).await {
            Ok(()) => {
                self.reset().await.map_err(Error::from)?;
                self.queued.session().transition(Happened::Succeeded);
            }
            Err(failure) => match self.in_transaction().await {
                // The transaction had ended by itself.
                Ok(false) if depth == 1 => self.queued.session().transition(Happened::Succeeded),
                Ok(false) => self.is_over(failure.to_string()),
                _ => self.give_up(failure.to_string(), Gone::of(&failure)),
            },
        }
        Ok(())
    }

    /// Ends a commit that the database did not confirm.
    async fn finish_commit(mut self, failure: ConnectionError) -> Result<(), Error> {
        let depth = self.depth();
        if failure.class.is_loss() {
            return if depth == 1 { self.finish_unknown(failure).await } else { Err(self.died(failure)) };
        }
        let rolled_back = match self.in_transaction().await {
            Ok(false) if depth == 1 => Ok(()),
            Ok(false) => {
                let why = failure.to_string();
                self.is_over(why.clone());
                return Err(self.queued.lost(self.operation, &Loss::Transaction(why)));
            }
            Ok(true) => self.undo(depth).await,
            Err(failure) => Err(failure),
        };
        if rolled_back.is_err() {
            // The transaction was not committed, and without its connection it cannot be.
            self.give_up("it could not be rolled back after its commit was refused".into(), Gone::Silent);
        } else {
            self.queued.session().transition(Happened::NotKept(failure.class));
        }
        Err(Error::RolledBack { source: failure.source })
    }

    /// Records that the whole transaction is over and that the caller knows.
    fn is_over(&mut self, why: String) {
        let session = self.queued.session();
        session.transition(Happened::TransactionOver(Loss::Transaction(why)));
        session.transition(Happened::Acknowledged);
    }

    async fn undo(&mut self, depth: u32) -> Result<(), ConnectionError> {
        let limit = self.queued.cell().lender().policy().end_timeout;
        let undo = if depth == 1 { Control::Rollback } else { Control::RollbackTo(depth - 1) };
        self.insist(undo, limit).await
    }

    /// Undoes what the begin set on the connection, after the outermost end.
    async fn reset(&mut self) -> Result<(), ConnectionError> {
        let outermost = self.depth() == 1;
        if !outermost || !self.queued.session().owes_reset() {
            return Ok(());
        }
        let limit = self.queued.cell().lender().policy().end_timeout;
        match self.insist(Control::Reset, limit).await {
            Ok(()) => self.queued.session().was_reset(),
            // The transaction is over even so; the connection is not lent again.
            Err(_) => self.leave(Effect::Permanent("a read-only setting")),
        }
        Ok(())
    }
}
