//! A commit of which nobody knows whether it happened.
//!
//! Owns when it is asked for, and what becomes of the session meanwhile. How it is asked is in [`crate::resolver`].

use std::time::Duration;

use super::{Entered, Queued};
use crate::error::Error;
use crate::lease::Lease;
use crate::session::{Happened, Loss};
use crate::sessions::Gone;
use crate::source::{Control, Failure, Source};

impl<S: Source> Queued<'_, S> {
    /// Whether the commit happened that was cut off, if the scope wants to know and it can be found out. Then the caller is told.
    ///
    /// # Cancel safety
    /// Cut off, it leaves the commit as unknown as it was.
    pub(crate) async fn resolve(&mut self, why: &Loss) -> Option<bool> {
        let Loss::CommitUnknown(_) = why else { return None };
        let cell = self.cell();
        let resolver = cell.resolver.as_ref()?;
        let clue = self.session().clue()?;
        let committed = resolver.resolve(&cell.inner, clue).await?;
        self.session().transition(Happened::Resolved { committed });
        Some(committed)
    }
}

impl<S: Source> Entered<'_, S> {
    /// Begins the outermost level, so that it can be found after a commit that was cut off if the scope wants that.
    pub(super) async fn begin_outermost(&mut self, control: Control, limit: Duration) -> Result<(), Failure> {
        let cell = self.queued.cell();
        let Some(resolver) = &cell.resolver else { return self.control(control, limit).await };
        let session = self.queued.session();
        // On a test's connection nothing is committed.
        let Some(Lease::Own(lease)) = session.lease_mut() else { return self.control(control, limit).await };
        let begun = resolver.begin(&cell.inner.source, lease, control);
        let clue = cell.inner.in_time(limit, begun).await?;
        session.found_by(clue);
        Ok(())
    }

    /// Ends a commit whose answer did not come.
    pub(super) async fn finish_unknown(mut self, failure: Failure) -> Result<(), Error> {
        let inner = &self.queued.cell().inner;
        if self.queued.session().clue().is_none() || inner.is_only() {
            return Err(self.died(failure));
        }
        let why = failure.to_string();
        // It stands as after one that its caller cut off, and so it does if this is cut off too. What the server may still do
        // for it is stopped: until then nobody can say what becomes of it.
        let session = self.queued.session();
        session.transition(Happened::CutOff);
        inner.lose(session, why.clone(), false, Gone::Silent);
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
