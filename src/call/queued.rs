//! Waiting for the session.
//!
//! Owns the order of a scope's calls, and the refusal of a call that would wait for itself. What a call does with the
//! session is in the other files.

use tokio::sync::MutexGuard;

use crate::cell::{Cell, Handle, SessionGuard};
use crate::error::Error;
use crate::lease::{Lease, Left};
use crate::session::{Loss, Session, State};
use crate::source::Source;

/// The session, for one call that has not begun.
pub(crate) struct Queued<'a, S: Source> {
    pub(super) handle: &'a Handle<S>,
    session: Option<SessionGuard<'a, S>>,
}

/// Makes other calls of the handle's level wait.
pub(crate) async fn close_gate<'a, S: Source>(
    handle: &'a Handle<S>,
    operation: &'static str,
) -> Result<MutexGuard<'a, ()>, Error> {
    handle.refuse_stale(operation)?;
    match handle.level().gate().try_lock() {
        Ok(gate) => Ok(gate),
        Err(_) => wait_in_line(handle, operation, handle.level().gate().lock()).await,
    }
}

impl<'a, S: Source> Queued<'a, S> {
    /// Waits for the session: calls of one scope are served in the order in which they came.
    pub(super) async fn wait(handle: &'a Handle<S>, operation: &'static str) -> Result<Self, Error> {
        handle.refuse_stale(operation)?;
        let session = match try_session(handle) {
            Some(session) => session,
            None => wait_in_line(handle, operation, session(handle)).await?,
        };
        let cell = handle.cell();
        cell.queue().begin(operation, cell.lender().source().task());
        let mut queued = Queued { handle, session: Some(session) };
        // The scope may have ended, or been recovered, while this call waited.
        handle.refuse_stale(operation)?;
        cell.lender().settle(queued.session()).await;
        Ok(queued)
    }

    pub(crate) fn session(&mut self) -> &mut Session<Lease<S>> {
        self.session.as_mut().expect("the guard is taken by drop alone")
    }

    /// Returns the session's state.
    pub(super) fn state(&self) -> &State {
        self.session.as_ref().map_or(&State::Ended, |session| session.state())
    }

    /// Returns the loss that the caller has not acknowledged.
    pub(crate) fn failed(&mut self) -> Option<Loss> {
        self.session().failed().cloned()
    }

    pub(super) fn cell(&self) -> &'a Cell<S> {
        self.handle.cell()
    }

    /// Returns the error for a loss.
    pub(crate) fn lost(&self, operation: &'static str, why: &Loss) -> Error {
        let scope = self.cell().name().clone();
        match why {
            Loss::Transaction(why) => Error::TransactionLost { operation, scope, why: why.clone() },
            Loss::CommitUnknown(why) => Error::CommitUnknown { scope, why: why.clone() },
            Loss::Session(why) => Error::SessionLost { operation, scope, why: why.clone() },
            Loss::Database(why) => Error::DatabaseLost { why: why.clone() },
        }
    }
}

impl<S: Source> Drop for Queued<'_, S> {
    fn drop(&mut self) {
        let cell = self.cell();
        cell.queue().end();
        if let Some(mut session) = self.session.take() {
            let left = if matches!(session.state(), State::InDoubt { .. }) { Left::InDoubt } else { Left::Nothing };
            if session.depth() == 0
                && let Some(lease) = session.lease_mut()
            {
                lease.rest(left);
            }
        }
    }
}

fn try_session<S: Source>(handle: &Handle<S>) -> Option<SessionGuard<'_, S>> {
    let _open = handle.level().gate().try_lock().ok()?;
    handle.cell().try_session()
}

async fn session<S: Source>(handle: &Handle<S>) -> SessionGuard<'_, S> {
    let _open = handle.level().gate().lock().await;
    handle.cell().session().await
}

async fn wait_in_line<S: Source, T>(
    handle: &Handle<S>,
    operation: &'static str,
    turn: impl Future<Output = T>,
) -> Result<T, Error> {
    let (cell, lender) = (handle.cell(), handle.lender());
    let me = lender.source().task();
    let busy = || {
        let call = cell.queue().call();
        let own_stream = call.filter(|call| call.paused && call.task == me).map(|call| (call.operation, true));
        let (holder, own_task) = own_stream
            .or_else(|| handle.level().waits_for(me))
            .unwrap_or_else(|| (call.map_or("a call that just ended", |call| call.operation), false));
        (own_task, Error::SessionBusy { operation, holder, own_task })
    };
    // The call would wait for a reader, or an operation, that waits for the call.
    if let (true, error) = busy() {
        return Err(error);
    }
    lender.bounded().within(lender.policy().queue_timeout, turn).await.ok_or_else(|| busy().1)
}
