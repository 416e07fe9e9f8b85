//! A commit of which nobody knows whether it happened.
//!
//! Owns when it is asked for, and what becomes of the session meanwhile. How it is asked is the
//! [`CommitResolver`](crate::commit::CommitResolver)'s.

use std::time::Duration;

use super::flight::InFlight;
use super::queued::Queued;
use crate::error::Error;
use crate::lender::Gone;
use crate::session::{Happened, Loss, TransactionId};
use crate::source::{ConnectionError, Control, Source};

impl<S: Source> Queued<'_, S> {
    /// Whether the unanswered commit happened, if the scope wants to know and it can be found out. Then the caller is told.
    ///
    /// # Cancel safety
    /// Cancelled, it leaves the commit as unknown as it was.
    pub(super) async fn resolve(&mut self, why: &Loss) -> Option<bool> {
        let Loss::CommitUnknown(_) = why else { return None };
        let resolver = self.cell().resolver()?;
        let transaction = self.session().transaction()?;
        let committed = resolver.resolve(transaction).await?;
        self.session().transition(Happened::Resolved { committed });
        Some(committed)
    }
}

impl<S: Source> InFlight<'_, S> {
    /// Begins the outermost level; if the scope wants that, so that it can be found after a commit without an answer.
    pub(super) async fn begin_outermost(&mut self, control: Control, limit: Duration) -> Result<(), ConnectionError> {
        let cell = self.queued.cell();
        let bounded = cell.lender().bounded();
        let Some(resolver) = cell.resolver() else { return self.control(control, limit).await };
        // On a test's connection nothing is committed.
        let Some(lease) = self.queued.session().lease_mut().and_then(|lease| lease.own()) else {
            return self.control(control, limit).await;
        };
        let trace = bounded.source().trace(lease);
        let number = bounded.in_time(limit, resolver.begin(&mut **lease, control)).await?;
        self.queued.session().begun_as(TransactionId { number, trace });
        Ok(())
    }

    /// Ends a commit whose answer did not come.
    pub(super) async fn finish_unknown(mut self, failure: ConnectionError) -> Result<(), Error> {
        let lender = self.queued.cell().lender();
        let session = self.queued.session();
        if session.transaction().is_none() || lender.is_only() {
            return Err(self.died(failure));
        }
        let why = failure.to_string();
        // It stands as after a cancelled one, and so it does if this is cancelled too. What the server may still do for it is
        // stopped: until then nobody can say what becomes of it.
        session.transition(Happened::Cancelled);
        lender.lose(session, why.clone(), Gone::Silent);
        let loss = Loss::CommitUnknown(why);
        match self.queued.resolve(&loss).await {
            Some(true) => Ok(()),
            Some(false) => Err(Error::RolledBack { source: failure.source }),
            None => {
                self.queued.session().transition(Happened::Acknowledged);
                Err(self.queued.lost(self.operation, &loss))
            }
        }
    }
}
