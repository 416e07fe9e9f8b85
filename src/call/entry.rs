//! The ways to enter a call: for the session alone, for the session with a connection, and the same outside of a transaction.
//!
//! Owns the order of what happens before a call: waiting, undoing what a dropped level left, borrowing a connection.

use super::flight::InFlight;
use super::queued::Queued;
use crate::cell::Handle;
use crate::error::Error;
use crate::lender::Fitness;
use crate::session::{Call, Happened};
use crate::source::Source;

/// Waits for the session, and enters it with this call.
pub(crate) async fn enter<'a, S: Source>(
    handle: &'a Handle<S>,
    call: Call,
    operation: &'static str,
) -> Result<InFlight<'a, S>, Error> {
    queue(handle, operation).await?.enter(call, operation).await
}

/// The same, outside of a transaction; none inside of one.
pub(crate) async fn enter_outside<'a, S: Source>(
    handle: &'a Handle<S>,
    call: Call,
    operation: &'static str,
) -> Result<Option<InFlight<'a, S>>, Error> {
    let mut queued = queue(handle, operation).await?;
    if queued.session().depth() > 0 { Ok(None) } else { queued.enter(call, operation).await.map(Some) }
}

/// Waits for the session. Work of a dropped level is undone first.
pub(crate) async fn queue<'a, S: Source>(
    handle: &'a Handle<S>,
    operation: &'static str,
) -> Result<Queued<'a, S>, Error> {
    let levels = handle.cell().levels();
    let mut queued = Queued::wait(handle, operation).await?;
    while let Some(depth) = levels.left() {
        if queued.session().depth() <= depth {
            levels.undone(depth);
            // The dropped level may have been this handle's.
            handle.refuse_stale(operation)?;
        } else if queued.failed().is_some() {
            queued.session().transition(Happened::Acknowledged);
        } else {
            queued.enter(Call::Rollback, operation).await?.roll_back().await?;
            queued = Queued::wait(handle, operation).await?;
        }
    }
    Ok(queued)
}

/// Borrows a connection for the session if it has none.
pub(crate) async fn borrow<S: Source>(handle: &Handle<S>, operation: &'static str) -> Result<(), Error> {
    queue(handle, operation).await?.borrow_if_empty(operation, Fitness::Fit).await
}
