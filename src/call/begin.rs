//! A begin: of a transaction, or of a savepoint inside one.
//!
//! Owns the number of connections that a begin tries, since nothing can be lost before it, and the cleaning that
//! travels with it.

use super::entry::enter;
use super::flight::InFlight;
use crate::bounded::First;
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
        let lender = self.queued.cell().lender();
        let bounded = lender.bounded();
        let (source, policy) = (bounded.source(), bounded.policy());
        let depth = self.depth();
        if depth > 0 {
            return self.control(Control::Savepoint(depth), policy.begin_timeout).await;
        }
        let session = self.queued.session();
        let mut begin = begin;
        if session.lease_mut().and_then(|lease| lease.own()).is_some_and(|lease| source.is_read_only(lease)) {
            begin.read_only = false;
            session.was_reset();
        }
        let condition = session.condition();
        let begun = match self.queued.session().lease_mut().and_then(|lease| lease.own()) {
            Some(lease) if condition.is_suspect() => {
                let limit = bounded.probe_limit(lease);
                bounded.or_spare(limit, self.begin_as_found(begin)).await
            }
            _ => self.begin_as_found(begin).await.map(First::Answer),
        };
        if condition.is_fit() {
            return begun.map(drop);
        }
        // A connection that cannot be cleaned is discarded.
        let first = begun.map_err(|failure| ConnectionError { class: ErrorClass::Disconnected, ..failure })?;
        let session = self.queued.session();
        session.made_fit();
        let Some(lease) = session.lease_mut().and_then(|lease| lease.own()) else { return Ok(()) };
        match first {
            First::Answer(()) => {
                source.mark_healthy(lease);
                Ok(())
            }
            First::Spare(spare) => {
                lender.replace(lease, spare);
                self.begin_whole(Control::Begin(begin)).await
            }
        }
    }

    /// Begins a transaction on a connection that may first have to be cleaned.
    async fn begin_as_found(&mut self, begin: Begin) -> Result<(), ConnectionError> {
        let bounded = self.queued.cell().lender().bounded();
        let (source, policy) = (bounded.source(), bounded.policy());
        if !matches!(self.queued.session().condition(), Condition::NeedsReset { .. }) {
            return self.begin_whole(Control::Begin(begin)).await;
        }
        if source.cleans_in_begin() {
            return self.begin_whole(Control::CleanBegin(begin)).await;
        }
        if let Some(lease) = self.queued.session().lease_mut().and_then(|lease| lease.own()) {
            bounded.in_time(policy.begin_timeout, source.clean(lease)).await?;
        }
        self.begin_whole(Control::Begin(begin)).await
    }

    /// Begins the outermost level, or nothing of it. A begin is a message of several statements, and the first may be done when
    /// a later one is refused: what was begun is rolled back then, or the connection is given up.
    async fn begin_whole(&mut self, control: Control) -> Result<(), ConnectionError> {
        let lender = self.queued.cell().lender();
        let begun = self.begin_outermost(control, lender.policy().begin_timeout).await;
        let Err(failure) = begun else { return begun };
        let undone = match self.queued.session().lease_mut().and_then(|lease| lease.own()) {
            Some(lease) if !failure.class.is_loss() => lender.undo_begun(lease).await,
            _ => Ok(()),
        };
        // What cannot be undone goes with its connection.
        let class = if undone.is_ok() { failure.class } else { ErrorClass::Disconnected };
        Err(ConnectionError { class, ..failure })
    }
}
