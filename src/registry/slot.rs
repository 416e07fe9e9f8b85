//! One service's place: built once, however many calls resolve it at the same time.
//!
//! Owns which call builds and which calls wait. The first call builds; if it fails, panics or is cancelled, one of the waiting calls
//! builds instead. The caller decides what a service is, and when it is out of date.

use std::future::poll_fn;
use std::task::{Context, Poll, Waker};

use crate::sync::Shared;

/// A place for one service.
pub(crate) struct Slot<T> {
    state: Shared<State<T>>,
}

struct State<T> {
    /// The service, and the version of it that this is.
    ready: Option<(u64, T)>,
    building: bool,
    waiting: Vec<Waker>,
}

/// The answer to a call.
pub(crate) enum Claim<'a, T> {
    /// The service.
    Ready(T),
    /// The right to build it; no other call builds it meanwhile.
    Build(Permit<'a, T>),
}

/// The right to build. When it is dropped, it passes to a waiting call.
pub(crate) struct Permit<'a, T> {
    slot: &'a Slot<T>,
    version: u64,
}

impl<T> Default for Slot<T> {
    fn default() -> Self {
        Self { state: Shared::new(State { ready: None, building: false, waiting: Vec::new() }) }
    }
}

impl<T: Clone> Slot<T> {
    /// The service, if it is there in this version.
    pub(crate) fn ready(&self, version: u64) -> Option<T> {
        self.state.with(|state| state.ready(version))
    }

    /// Whether there is one, in whatever version.
    pub(crate) fn version(&self) -> Option<u64> {
        self.state.with(|state| state.ready.as_ref().map(|(version, _)| *version))
    }

    /// The service, or the right to build it; waits while another call builds. `version` is the current one.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub(crate) async fn claim(&self, version: impl Fn() -> u64) -> Claim<'_, T> {
        poll_fn(|context| self.poll_claim(version(), context)).await
    }

    fn poll_claim(&self, version: u64, context: &Context<'_>) -> Poll<Claim<'_, T>> {
        self.state.with(|state| {
            if let Some(value) = state.ready(version) {
                return Poll::Ready(Claim::Ready(value));
            }
            if state.building {
                if !state.waiting.iter().any(|it| it.will_wake(context.waker())) {
                    state.waiting.push(context.waker().clone());
                }
                return Poll::Pending;
            }
            state.building = true;
            Poll::Ready(Claim::Build(Permit { slot: self, version }))
        })
    }
}

impl<T: Clone> State<T> {
    fn ready(&self, version: u64) -> Option<T> {
        self.ready.as_ref().filter(|ready| ready.0 == version).map(|(_, service)| service.clone())
    }
}

impl<T> Permit<'_, T> {
    /// The service is built.
    pub(crate) fn finish(self, value: T) {
        let version = self.version;
        let old = self.slot.state.with(|it| it.ready.replace((version, value)));
        // Outside of the lock: dropping the service may resolve others.
        drop(old);
    }
}

impl<T> Drop for Permit<'_, T> {
    fn drop(&mut self) {
        let waiting = self.slot.state.with(|it| {
            it.building = false;
            std::mem::take(&mut it.waiting)
        });
        waiting.into_iter().for_each(Waker::wake);
    }
}
