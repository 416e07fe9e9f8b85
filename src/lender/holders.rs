//! The holders of open scopes.
//!
//! Owns the list of open scopes and their numbers. Scopes enter when they are opened and leave when they end; the leak report
//! and a drain read it.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::panic::Location;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::health::Holder;
use crate::sync::Shared;

/// The open scopes.
#[derive(Debug)]
pub(super) struct Holders {
    open: Shared<BTreeMap<u64, Holder>>,
    next: AtomicU64,
}

impl Holders {
    /// Adds a scope under the next number.
    pub(super) fn enter(&self, name: Cow<'static, str>, opened: &'static Location<'static>, since: Duration) -> Holder {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let holder = Holder { id, name, opened, since };
        self.open.with(|open| open.insert(id, holder.clone()));
        holder
    }

    pub(super) fn leave(&self, id: u64) {
        self.open.with(|open| open.remove(&id));
    }

    pub(super) fn count(&self) -> usize {
        self.open.with(|open| open.len())
    }

    /// Returns the matching holders, the oldest first.
    pub(super) fn list(&self, which: impl Fn(&Holder) -> bool) -> Vec<Holder> {
        self.open.with(|open| open.values().filter(|holder| which(holder)).cloned().collect())
    }
}

impl Default for Holders {
    fn default() -> Self {
        Self { open: Shared::default(), next: AtomicU64::new(1) }
    }
}
