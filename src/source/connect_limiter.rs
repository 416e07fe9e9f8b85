//! Limits how many callers open a connection at a time.
//!
//! Owns the count, the waiting callers, and the result that they share. The pool calls it, and chooses the connection
//! that is lent.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;
use tokio::sync::futures::Notified;

use super::error::{ConnectionError, ErrorClass};
use crate::sync::Shared;

/// Limits how many callers open a connection at a time, so that the end of an outage does not cause a storm of
/// connects: after a failure one caller tries, and all others get its result.
pub(super) struct ConnectLimiter {
    max: u32,
    state: Shared<Opening>,
    changed: Notify,
    /// How many callers wait for a change.
    waiting: AtomicUsize,
}

#[derive(Default)]
struct Opening {
    /// How many connections are being opened.
    under_way: u32,
    /// The last attempt failed because the database was unavailable.
    outage: bool,
    failures: u64,
    /// The last failure, for the callers that waited for its attempt.
    last: Option<(ErrorClass, String)>,
}

impl ConnectLimiter {
    pub(super) fn new(max: u32) -> Self {
        Self { max, state: Shared::default(), changed: Notify::new(), waiting: AtomicUsize::new(0) }
    }

    /// Returns the right to open a connection; none if enough callers are opening one.
    pub(super) fn enter(&self) -> Option<ConnectPermit<'_>> {
        self.enter_among(self.max.max(1))
    }

    /// Returns the right to open a connection; none if anybody is opening one.
    #[cfg_attr(not(feature = "postgres"), expect(dead_code, reason = "a file is never silent"))]
    pub(super) fn enter_alone(&self) -> Option<ConnectPermit<'_>> {
        self.enter_among(1)
    }

    fn enter_among(&self, max: u32) -> Option<ConnectPermit<'_>> {
        self.state.with(|opening| {
            let max = if opening.outage { 1 } else { max };
            (opening.under_way < max).then(|| opening.under_way += 1)
        })?;
        Some(ConnectPermit { limiter: self })
    }

    /// Counts the caller among those that wait, until the guard is dropped.
    pub(super) fn wait(&self) -> Waiting<'_> {
        self.waiting.fetch_add(1, Ordering::SeqCst);
        Waiting(self)
    }

    /// Wakes all waiting callers: a connection may be available now.
    pub(super) fn notify(&self) {
        if self.waiting.load(Ordering::SeqCst) > 0 {
            self.changed.notify_waiters();
        }
    }

    /// Waits for the next [`notify`](ConnectLimiter::notify), or the next attempt's end.
    pub(super) fn changed(&self) -> Notified<'_> {
        self.changed.notified()
    }

    /// How many attempts have failed.
    pub(super) fn failures(&self) -> u64 {
        self.state.with(|opening| opening.failures)
    }

    /// Returns the last failure, if more attempts than these have failed.
    pub(super) fn failed_since(&self, failures: u64) -> Option<ConnectionError> {
        self.state.with(|opening| match &opening.last {
            Some((class, text)) if opening.failures > failures => Some(ConnectionError::new(*class, text.clone())),
            _ => None,
        })
    }
}

/// A caller that waits for a change.
pub(super) struct Waiting<'a>(&'a ConnectLimiter);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::SeqCst);
    }
}

/// The right of one caller to open a connection.
pub(super) struct ConnectPermit<'a> {
    limiter: &'a ConnectLimiter,
}

impl ConnectPermit<'_> {
    /// Records how the attempt ended.
    pub(super) fn record(&mut self, failure: Option<&ConnectionError>) {
        self.limiter.state.with(|opening| {
            opening.outage = failure.is_some_and(|failure| failure.class == ErrorClass::Unavailable);
            if let Some(failure) = failure {
                opening.failures += 1;
                opening.last = Some((failure.class, failure.to_string()));
            }
        });
    }
}

impl Drop for ConnectPermit<'_> {
    fn drop(&mut self) {
        self.limiter.state.with(|opening| opening.under_way -= 1);
        self.limiter.notify();
    }
}
