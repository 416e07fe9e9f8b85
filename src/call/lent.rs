//! The end of a call whose caller had the connection itself.
//!
//! Owns the questions that show what stands after it: nothing that was done on the connection has been seen here, so nothing is
//! believed of it. A savepoint of the library's own shows that the transaction is still the scope's.

use std::time::Duration;

use super::flight::InFlight;
use super::outcome::gone;
use crate::error::Error;
use crate::lease::Joint;
use crate::session::{Happened, Loss};
use crate::source::{Connection, ConnectionError, Control, Source};

/// What the database says of the scope's transaction.
enum Stands {
    /// All is as it was before the call.
    AsBefore,
    /// A transaction is open that the scope has not begun.
    Open,
    /// A statement was refused and has aborted it; what came after the savepoint is undone.
    Undone(ConnectionError),
    /// It is over, or another one has taken its place.
    Over,
}

impl<S: Source> InFlight<'_, S> {
    /// Ends the call. What its caller has left open is rolled back, and is an error; inside a transaction a caller that `failed` has
    /// its work undone.
    pub(crate) async fn finish_lent(mut self, failed: bool) -> Result<(), Error> {
        let limit = self.queued.cell().lender().policy().end_timeout;
        let stands = match self.stands(failed).await {
            Ok(Stands::Open) => self.insist(Control::Rollback, limit).await.map(|()| Stands::Open),
            stands => stands,
        };
        // It may have ended a test's own transaction.
        if let Err(error) = self.queued.cell().lender().joint().map_or(Ok(()), Joint::refuse_lost) {
            self.withdraw();
            return Err(error);
        }
        match stands {
            Ok(Stands::AsBefore) => self.finish(Ok(())).await,
            Ok(Stands::Open) => {
                let operation = self.operation;
                self.finish(Ok(())).await?;
                Err(Error::TransactionLeftOpen { operation })
            }
            Ok(Stands::Undone(failure)) => {
                self.queued.session().transition(Happened::Refused(failure.class));
                Err(Error::RolledBack { source: failure.source })
            }
            Ok(Stands::Over) => {
                let why = Loss::CommitUnknown(format!("`{}` ended it on the connection itself", self.operation));
                self.queued.session().transition(Happened::TransactionOver(why.clone()));
                Err(self.queued.lost(self.operation, &why))
            }
            Err(failure) => Err(self.died(failure)),
        }
    }

    async fn stands(&mut self, failed: bool) -> Result<Stands, ConnectionError> {
        let lender = self.queued.cell().lender();
        let limit = lender.policy().settle_timeout;
        let lease = self.queued.session().lease_mut().ok_or_else(gone)?;
        lender.bounded().in_time(limit, lease.fall_in_step()).await?;
        // Inside a transaction the call has a savepoint of its own.
        let savepoint = match self.depth() {
            0 => {
                // In a test the call may have a savepoint even so, which counts as a transaction.
                let guarded = self.queued.session().lease_mut().is_some_and(|lease| lease.is_guarded());
                return match self.in_transaction().await? {
                    true if guarded => self.end_guard(limit).await,
                    true => Ok(Stands::Open),
                    false => Ok(Stands::AsBefore),
                };
            }
            // Its level is the transaction itself, which was begun for it.
            1 => {
                if !self.in_transaction().await? {
                    return Ok(Stands::Over);
                }
                // A refusal that the caller has swallowed was not seen here.
                self.queued.session().may_have_failed();
                return Ok(Stands::AsBefore);
            }
            depth => depth - 1,
        };
        let released = if failed { None } else { Some(self.control(Control::Release(savepoint), limit).await) };
        let stands = match released {
            Some(Ok(())) => Stands::AsBefore,
            Some(Err(failure)) if failure.class.is_loss() => return Err(failure),
            kept => {
                let undone = lender.bounded().in_time(limit, self.connection().roll_back_to(savepoint)).await?;
                if !undone {
                    return self.end_unknown(limit).await;
                }
                kept.and_then(Result::err).map_or(Stands::AsBefore, Stands::Undone)
            }
        };
        // Released or gone back to, it is away: its level ends with it.
        self.control(Control::Savepoint(savepoint), limit).await?;
        Ok(stands)
    }

    /// Keeps what was done since a test's savepoint, or undoes it where a refused statement has aborted it.
    async fn end_guard(&mut self, limit: Duration) -> Result<Stands, ConnectionError> {
        match self.control(Control::Commit, limit).await {
            Err(refused) if !refused.class.is_loss() => {
                self.control(Control::Rollback, limit).await.map(|()| Stands::Undone(refused))
            }
            kept => kept.map(|()| Stands::AsBefore),
        }
    }

    /// The scope's transaction is over; another that has taken its place is rolled back.
    async fn end_unknown(&mut self, limit: Duration) -> Result<Stands, ConnectionError> {
        if self.in_transaction().await? {
            self.insist(Control::Rollback, limit).await?;
        }
        Ok(Stands::Over)
    }
}
