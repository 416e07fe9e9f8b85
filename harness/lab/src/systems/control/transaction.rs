//! How a session of the control begins and ends transactions.
//!
//! A transaction inside another one is a savepoint, and so is the outermost inside a test.

use super::Flaw;
use super::connection::{Boundary, Connection, Source, is_refusal};
use super::lease::Lease;
use unstale_harness::history::{Failure, FailureClass};
use unstale_harness::plan::BeginMode;

impl<S: Source> Lease<S> {
    /// Does this in a transaction of its own, whole or not at all.
    pub(super) async fn whole<T>(
        &mut self,
        work: impl AsyncFnOnce(&mut Self) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        self.begin(BeginMode::Plain).await?;
        match work(self).await {
            Ok(value) => {
                self.commit().await?;
                Ok(value)
            }
            Err(failure) => {
                // The work has failed, and a connection in doubt is given up.
                let _ = self.rollback().await;
                Err(failure)
            }
        }
    }

    pub(super) async fn begin(&mut self, mode: BeginMode) -> Result<(), Failure> {
        self.refuse().await?;
        let result = self.try_begin(mode).await;
        match &result {
            Ok(()) => {
                self.depth += 1;
                self.for_flaws.has_begun = true;
            }
            Err(_) => self.aborted |= self.depth > 0,
        }
        result
    }

    async fn try_begin(&mut self, mode: BeginMode) -> Result<(), Failure> {
        let boundary = match (self.depth, mode) {
            (0, _) if self.fakes_commit() => return self.do_nothing().await,
            (0, _) if self.in_test() => Boundary::Savepoint(0),
            (0, _) if self.has(Flaw::DefersImmediate) => Boundary::Begin(BeginMode::Plain),
            (0, mode) => Boundary::Begin(mode),
            _ if self.for_flaws.is_ended || self.has(Flaw::IgnoresNested) => return self.do_nothing().await,
            _ if self.has(Flaw::RefusesNesting) => {
                return Err(Failure::new(FailureClass::Mistake, "transactions cannot be nested"));
            }
            (depth, BeginMode::Plain) => Boundary::Savepoint(depth),
            _ => return Err(Failure::new(FailureClass::Mistake, "an explicit begin cannot be nested")),
        };
        self.send_what_is_due().await;
        self.cross(boundary, S::CALL_MAX).await
    }

    pub(super) async fn commit(&mut self) -> Result<(), Failure> {
        if let Err(refusal) = self.refuse().await {
            self.rollback().await?;
            return Err(refusal);
        }
        if self.has(Flaw::CommitsLater) && self.depth == 1 {
            self.for_flaws.commit_is_due = true;
            self.depth = 0;
            return Ok(());
        }
        if self.has(Flaw::AnswersBeforeCommit) && self.depth == 1 && !self.in_test() {
            self.pool.commit_later(self.kept());
            self.depth = 0;
            return Ok(());
        }
        if self.for_flaws.is_doomed && self.depth == 1 {
            return self.rollback().await;
        }
        let result = match self.depth {
            _ if self.for_flaws.is_ended => self.do_nothing().await,
            depth if depth > 1 && self.has(Flaw::IgnoresNested) => self.do_nothing().await,
            depth if depth > 1 && self.has(Flaw::CommitsOuter) && !self.in_test() => {
                self.for_flaws.is_ended = true;
                self.cross(Boundary::Commit, S::CALL_MAX).await
            }
            1 if self.fakes_commit() => self.do_nothing().await,
            1 if !self.in_test() => self.cross(Boundary::Commit, S::CALL_MAX).await,
            depth => self.cross(Boundary::Release(depth - 1), S::CALL_MAX).await,
        };
        match &result {
            Ok(()) => self.depth -= 1,
            Err(failure) if failure.class == FailureClass::NoTransaction && self.has(Flaw::RecoversInside) => {
                self.depth -= 1;
                return Ok(());
            }
            Err(failure) if self.depth == 1 && is_refusal(failure) && self.has(Flaw::AnswersRefusedCommits) => {
                // The database may have rolled it back already.
                self.aborted = true;
                return self.rollback().await;
            }
            Err(_) => {
                // The database may have rolled it back already.
                self.aborted |= self.depth == 1;
                // What it answers changes nothing: the commit has failed, and a connection in doubt is given up.
                let _ = self.rollback().await;
            }
        }
        result
    }

    /// Ends the innermost transaction. One that the database itself may have ended, and a savepoint of one that failed, stay
    /// refused until the outermost has ended.
    pub(super) async fn rollback(&mut self) -> Result<(), Failure> {
        self.depth -= 1;
        if self.in_doubt || self.connection().is_none() {
            // The connection is given up, and its transaction with it.
            return Ok(());
        }
        let is_outermost = self.depth <= u32::from(self.has(Flaw::DepthOffByOne));
        if !is_outermost && self.aborted {
            return Ok(());
        }
        self.for_flaws.is_doomed |= !is_outermost && self.has(Flaw::DoomsQuietly);
        let result = match self.depth {
            _ if self.for_flaws.is_ended => self.do_nothing().await,
            depth if depth > 0 && self.has(Flaw::IgnoresNested) => self.do_nothing().await,
            _ if is_outermost => self.undo_all().await,
            depth if self.has(Flaw::ReleasesInstead) => self.undo(&[Boundary::Release(depth)]).await,
            depth => self.undo(&[Boundary::RollbackTo(depth)]).await,
        };
        // What was to be undone may still be there: only the end of the session undoes it then.
        self.in_doubt |= result.is_err();
        result
    }

    async fn undo_all(&mut self) -> Result<(), Failure> {
        let has_ended = std::mem::take(&mut self.aborted) || self.has(Flaw::RecoversInside);
        let undo = if self.in_test() { self.undo_of_test() } else { &[Boundary::Rollback] };
        match self.undo(undo).await {
            Err(failure) if has_ended && failure.class == FailureClass::NoTransaction => Ok(()),
            result => result,
        }
    }

    async fn undo(&mut self, undo: &[Boundary]) -> Result<(), Failure> {
        let max = S::CALL_MAX.filter(|_| !self.has(Flaw::RollsBackForEver));
        for boundary in undo {
            self.cross(*boundary, max).await?;
        }
        Ok(())
    }

    /// For flaws: a transaction is ended behind its caller's back.
    pub(super) async fn end_unnoticed(&mut self) {
        if self.connection().is_none() {
            return;
        }
        // Where a statement that failed has ended it itself there is nothing to undo.
        let _ = self.cross(Boundary::Rollback, S::CALL_MAX).await;
        self.for_flaws.is_ended = true;
    }

    /// For [`Flaw::CommitsOnClose`]: commits all that is open.
    pub(super) async fn end_by_commit(&mut self) -> Result<(), Failure> {
        while self.depth > 0 {
            self.commit().await?;
        }
        Ok(())
    }

    /// For [`Flaw::CommitsLater`] and [`Flaw::BuffersWrites`]: sends what was answered already. What comes back does not matter:
    /// the caller has been told that it is done.
    pub(super) async fn send_what_is_due(&mut self) {
        if std::mem::take(&mut self.for_flaws.commit_is_due) {
            let _ = self.cross(Boundary::Commit, S::CALL_MAX).await;
        }
        if let Some(write) = self.for_flaws.due_write.take() {
            let connection = self.kept();
            let _ = self.call(S::CALL_MAX, async { connection.lock().await.answer(&write).await }).await;
        }
    }

    fn fakes_commit(&self) -> bool {
        self.in_test() && self.has(Flaw::FakesCommit)
    }
}
