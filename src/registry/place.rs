//! Where built services are kept, and which of them are up to date.
//!
//! Knows no recipes and no scopes. A service is kept in its [`Slot`] together with the version under which it was built; a larger
//! version makes it out of date.

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::slot::Slot;
use crate::sync::Shared;

/// A service without its type.
pub(super) type Erased = Arc<dyn Any + Send + Sync>;

/// What a registry keeps of one service.
#[derive(Default)]
pub(super) struct Live {
    /// The service, if everything shares it.
    pub(super) slot: Slot<Erased>,
    /// A service that was built under another version is out of date.
    version: AtomicU64,
    /// How many overrides there are, so that no lock is taken where there is none.
    overridden: AtomicU64,
    /// The overrides, each with the number of its guard. The last one counts.
    overrides: Shared<Vec<(u64, Erased)>>,
}

/// What one scope keeps of its own services.
pub(super) struct Cache {
    pub(super) slots: Box<[Slot<Erased>]>,
    /// A service that was built in another epoch is out of date.
    epoch: AtomicU64,
}

/// The place of one service.
pub(super) struct Place<'a> {
    pub(super) slot: &'a Slot<Erased>,
    live: &'a Live,
    /// The scope's, if the service is the scope's own.
    cache: Option<&'a Cache>,
}

impl Live {
    pub(super) fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// Makes what was built so far out of date.
    pub(super) fn outdate(&self) {
        self.version.fetch_add(1, Ordering::AcqRel);
    }

    pub(super) fn is_overridden(&self) -> bool {
        self.overridden.load(Ordering::Acquire) > 0
    }

    /// The service that overrides the registered one.
    pub(super) fn overriding(&self) -> Option<Erased> {
        self.overrides.with(|overrides| overrides.last().map(|(_, service)| Arc::clone(service)))
    }

    pub(super) fn add_override(&self, number: u64, service: Erased) {
        self.overrides.with(|overrides| overrides.push((number, service)));
        self.overridden.fetch_add(1, Ordering::Release);
    }

    /// Takes out the override with this number.
    pub(super) fn remove_override(&self, number: u64) -> Option<Erased> {
        let removed = self.overrides.with(|overrides| {
            let at = overrides.iter().position(|(each, _)| *each == number)?;
            Some(overrides.remove(at).1)
        });
        self.overridden.fetch_sub(1, Ordering::AcqRel);
        removed
    }

    /// Takes over the overrides of the same service in another registry.
    pub(super) fn copy_overrides(&self, of: &Self) {
        let overrides = of.overrides.with(|overrides| overrides.clone());
        self.overridden.store(overrides.len() as u64, Ordering::Release);
        self.overrides.with(|own| *own = overrides);
    }
}

impl Cache {
    pub(super) fn with_room_for(services: usize) -> Self {
        Self { slots: (0..services).map(|_| Slot::default()).collect(), epoch: AtomicU64::new(0) }
    }

    /// Makes every service of the scope out of date.
    pub(super) fn outdate(&self) {
        self.epoch.fetch_add(1, Ordering::AcqRel);
    }
}

impl<'a> Place<'a> {
    /// The place of a service that everything shares.
    pub(super) fn shared(live: &'a Live) -> Self {
        Self { slot: &live.slot, live, cache: None }
    }

    /// The place of a scope's own service.
    pub(super) fn scoped(live: &'a Live, cache: &'a Cache, at: usize) -> Self {
        Self { slot: &cache.slots[at], live, cache: Some(cache) }
    }

    pub(super) fn is_scoped(&self) -> bool {
        self.cache.is_some()
    }

    /// The version under which a service has to be built to be up to date. Both numbers only grow, so their sum is a version too.
    pub(super) fn version(&self) -> u64 {
        self.live.version() + self.cache.map_or(0, |cache| cache.epoch.load(Ordering::Acquire))
    }

    /// The service, if it is there and up to date.
    pub(super) fn ready(&self) -> Option<Erased> {
        self.slot.ready(self.version())
    }
}
