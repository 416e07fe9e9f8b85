//! A commit whose outcome is unknown.
//!
//! Owns when such a commit is looked up, and the session's state meanwhile. The
//! [`CommitResolver`](crate::commit::CommitResolver) does the lookup.

use std::time::Duration;

use super::flight::InFlight;
use super::queued::Queued;
use crate::error::Error;
use crate::lender::Gone;
use crate::session::{Happened, Loss, TransactionId};
use crate::source::{ConnectionError, Control, Source};

impl<S: Source> Queued<'_, S> {
    /// Looks up whether the unanswered commit happened, if the scope has a resolver, and records that the caller knows.
    ///
    /// # Cancel safety
    /// Cancelled, it leaves the commit as unknown as it was.
    pub(super) async fn resolve(&mut self, why: &Loss) -> Option<bool> {
        let Loss::CommitUnknown(_) = why else { return None };
        let resolver = self.cell().resolver()?;
        // A connection that did not answer was given up.
        let settled = self.session().lease_mut().is_some();
        let transaction = self.session().transaction()?;
        let committed = resolver.resolve(transaction, settled).await?;
        self.session().transition(Happened::Resolved { committed });
        Some(committed)
    }
}

impl<S: Source> InFlight<'_, S> {
    /// Begins the outermost level; with a resolver, so that a commit without an answer can be looked up.
    pub(super) async fn begin_outermost(&mut self, control: Control, limit: Duration) -> Result<(), ConnectionError> {
        let cell = self.queued.cell();
        let bounded = cell.lender().bounded();
        let Some(resolver) = cell.resolver() else { return self.control(control, limit).await };
        // Nothing is committed on a test's connection.
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
        // The session stands as after a cancelled commit, also if this lookup is cancelled. The server process is told to
        // stop first, unless it is at the commit: what it still waits for could change the outcome.
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
