//! The lender itself, shared by the scopes of one `Sessions`.
//!
//! Owns the counters, the listeners, the open scopes, and closing a connection that cannot be trusted. How connections are
//! lent, settled and released is in the files beside it.

use std::borrow::Cow;
use std::panic::Location;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::holders::Holders;
use crate::bounded::Bounded;
use crate::events::{Event, ListenerGuard, Listeners};
use crate::health::{Count, Counters, Health, Holder};
use crate::lease::Joint;
use crate::policy::{OnLoss, Policy};
use crate::session::AfterLoss;
use crate::source::{ConnectionError, Source};

/// Lends connections to scopes, and takes them back.
pub(crate) struct Lender<S: Source> {
    pub(super) bounded: Bounded<S>,
    /// In a test, the connection that every scope shares.
    pub(super) joint: Option<Arc<Joint<S>>>,
    counters: Counters,
    listeners: Arc<Listeners>,
    holders: Holders,
    draining: AtomicBool,
}

/// How a connection was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gone {
    /// It reported its end, or broke.
    Dead,
    /// It did not answer in time, and may still be working.
    Silent,
    /// Its caller did not wait for the answer; nothing is wrong with the connection.
    Busy,
}

impl Gone {
    pub(crate) fn of(failure: &ConnectionError) -> Self {
        if failure.is_no_answer() { Self::Silent } else { Self::Dead }
    }
}

impl<S: Source> Lender<S> {
    pub(crate) fn new(bounded: Bounded<S>) -> Self {
        Self {
            bounded,
            joint: None,
            counters: Counters::default(),
            listeners: Arc::default(),
            holders: Holders::default(),
            draining: AtomicBool::new(false),
        }
    }

    /// Creates a lender whose scopes share this connection.
    pub(crate) fn joined(&self, joint: Arc<Joint<S>>) -> Self {
        Self { joint: Some(joint), ..Self::new(self.bounded.clone()) }
    }

    pub(crate) fn bounded(&self) -> &Bounded<S> {
        &self.bounded
    }

    pub(crate) fn source(&self) -> &S {
        self.bounded.source()
    }

    pub(crate) fn policy(&self) -> &Policy {
        self.bounded.policy()
    }

    /// The connection that every scope shares, in a test.
    pub(crate) fn joint(&self) -> Option<&Joint<S>> {
        self.joint.as_deref()
    }

    /// Whether every scope gets the same connection.
    pub(crate) fn is_shared(&self) -> bool {
        self.joint.is_some() || self.source().is_only()
    }

    /// Whether giving a session's connection up loses the database.
    pub(crate) fn is_only(&self) -> bool {
        self.joint.is_none() && self.source().is_only()
    }

    /// Returns how a scope continues after the loss of its connection.
    pub(super) fn after_loss(&self) -> AfterLoss {
        match self.policy().on_loss {
            _ if self.is_only() => AfterLoss::DatabaseGone,
            OnLoss::Report => AfterLoss::Report,
            OnLoss::Recover => AfterLoss::Recover,
        }
    }

    /// Lends nothing from now on.
    pub(crate) fn close(&self) {
        self.draining.store(true, Ordering::Release);
        // Other tests use the same source.
        if self.joint.is_none() {
            self.source().close();
        }
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }

    /// Records that a scope was opened.
    pub(crate) fn enter(&self, name: Cow<'static, str>, opened: &'static Location<'static>) -> Holder {
        self.holders.enter(name, opened, self.source().now())
    }

    /// Records that a scope ended.
    pub(crate) fn leave(&self, holder: &Holder) {
        self.holders.leave(holder.id);
    }

    pub(crate) fn open_scopes(&self) -> usize {
        self.holders.count()
    }

    /// Returns the holders of open scopes, the oldest first.
    pub(crate) fn holders(&self, which: impl Fn(&Holder) -> bool) -> Vec<Holder> {
        self.holders.list(which)
    }

    pub(crate) fn count(&self, count: Count) {
        self.counters.add(count);
    }

    /// Records that a session was recovered.
    pub(crate) fn recovered_in(&self, took: Duration) {
        self.counters.recovered_in(took);
    }

    pub(crate) fn health(&self) -> Health {
        let now = self.source().now();
        let leaks = self.holders(|holder| now.saturating_sub(holder.since) >= self.policy().leak_after);
        self.counters.health(self.source().usage(), self.open_scopes(), leaks)
    }

    pub(crate) fn listen(&self, listener: impl Fn(&Event<'_>) + Send + Sync + 'static) -> ListenerGuard {
        Listeners::add(&self.listeners, Box::new(listener))
    }

    /// Calls the listeners and counts the ones that had to be removed.
    pub(crate) fn emit(&self, event: &Event<'_>) {
        let removed = self.listeners.call(event, &|| self.source().now(), self.policy().listener_limit);
        (0..removed).for_each(|_| self.count(Count::ListenerRemoved));
    }

    /// Closes a connection that cannot be trusted any more.
    pub(crate) fn discard(&self, lease: S::Lease, why: &str, gone: Gone) {
        if gone == Gone::Dead {
            self.source().discard(lease);
        } else {
            self.source().abandon(lease);
        }
        if gone != Gone::Busy {
            self.source().suspect_all();
        }
        self.tell_discarded(why);
    }

    /// Has a spare connection serve in the place of one that is silent.
    pub(crate) fn replace(&self, lease: &mut S::Lease, spare: S::Spare) {
        self.source().suspect_all();
        self.source().replace(lease, spare);
        self.tell_discarded("it was silent while another connection was opened");
    }

    pub(super) fn tell_discarded(&self, why: &str) {
        self.count(Count::Discarded);
        self.emit(&Event::Discarded { why });
    }
}
