//! A begin: of a transaction, or of a savepoint inside one.
//!
//! Owns the number of connections that a begin tries, since nothing can be lost before it, and the cleaning that
//! travels with it.

use std::time::Duration;

use super::entry::enter;
use super::flight::InFlight;
use crate::cell::Handle;
use crate::error::Error;
use crate::session::Call;
use crate::source::{Begin, Condition, ConnectionError, Control, ErrorClass, Source};

/// Begins a transaction, or sets a savepoint; returns the depth before it.
pub(crate) async fn begin<S: Source>(handle: &Handle<S>, begin: Begin) -> Result<u32, Error> {
    let (lender, policy) = (handle.lender(), handle.lender().policy());
    for attempt in 1.. {
        let mut call = enter(handle, Call::Begin(begin), "begin").await?;
        let depth = call.depth();
        if depth > policy.savepoints_max {
            call.withdraw();
            return Err(Error::NestingTooDeep { max: policy.savepoints_max });
        }
        if depth > 0 && begin != Begin::default() {
            call.withdraw();
            return Err(Error::SavepointOptions);
        }
        let mut result = call.begin(begin).await;
        // Dead idle connections do not count as attempts.
        for _ in 0..lender.attempts_max() {
            match &result {
                Err(failure) if failure.class == ErrorClass::Disconnected && call.is_untouched() => {
                    call.replace(failure).await?;
                    result = call.begin(begin).await;
                }
                _ => break,
            }
        }
        match result {
            Err(failure) if depth == 0 && attempt < policy.attempts_max && failure.class != ErrorClass::Rejected => {
                // Nothing was begun, so a fresh connection loses nothing.
                let dead = failure.class.is_loss();
                let refused = call.finish::<()>(Err(failure)).await;
                if !dead {
                    return refused.map(|()| depth);
                }
            }
            result => return call.finish(result).await.map(|()| depth),
        }
    }
    unreachable!("the last attempt returns")
}

impl<S: Source> InFlight<'_, S> {
    /// Begins a transaction, or sets a savepoint. The first call on a connection also probes or cleans it as its
    /// condition requires.
    async fn begin(&mut self, begin: Begin) -> Result<(), ConnectionError> {
        let bounded = self.queued.cell().lender().bounded();
        let (source, policy) = (bounded.source(), bounded.policy());
        let depth = self.depth();
        if depth > 0 {
            return self.control(Control::Savepoint(depth), policy.begin_timeout).await;
        }
        let condition = self.queued.session().condition();
        let limit = match self.queued.session().lease_mut().and_then(|lease| lease.own()) {
            Some(lease) if condition.is_suspect() => bounded.probe_limit(lease),
            _ => policy.begin_timeout,
        };
        let needs_reset = matches!(condition, Condition::NeedsReset { .. });
        let begun = if needs_reset && source.cleans_in_begin() {
            self.begin_whole(Control::CleanBegin(begin), limit).await
        } else {
            let cleaned = match self.queued.session().lease_mut().and_then(|lease| lease.own()) {
                Some(lease) if needs_reset => bounded.in_time(limit, source.clean(lease)).await,
                _ => Ok(()),
            };
            match cleaned {
                Ok(()) => self.begin_whole(Control::Begin(begin), limit).await,
                Err(failure) => Err(failure),
            }
        };
        if condition.is_fit() {
            return begun;
        }
        // A connection that cannot be cleaned is discarded.
        begun.map_err(|failure| ConnectionError { class: ErrorClass::Disconnected, ..failure })?;
        let session = self.queued.session();
        session.made_fit();
        if let Some(lease) = session.lease_mut().and_then(|lease| lease.own()) {
            source.mark_healthy(lease);
        }
        Ok(())
    }

    /// Begins the outermost level, or nothing of it. A begin is a message of several statements, and the first may be done when
    /// a later one is refused: what was begun is rolled back then, or the connection is given up.
    async fn begin_whole(&mut self, control: Control, limit: Duration) -> Result<(), ConnectionError> {
        let begun = self.begin_outermost(control, limit).await;
        let Err(failure) = begun else { return begun };
        let lender = self.queued.cell().lender();
        let undone = match self.queued.session().lease_mut().and_then(|lease| lease.own()) {
            Some(lease) if !failure.class.is_loss() => lender.undo_begun(lease).await,
            _ => Ok(()),
        };
        // What cannot be undone goes with its connection.
        let class = if undone.is_ok() { failure.class } else { ErrorClass::Disconnected };
        Err(ConnectionError { class, ..failure })
    }
}
