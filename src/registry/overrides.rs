//! Overrides: another service in place of the registered one, as long as a guard lives.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::error::ResolveError;
use super::key::Key;
use super::resolve::Registry;
use crate::source::Source;

/// Another service overrides the registered one while this lives.
#[must_use = "the override ends when this is dropped"]
pub struct Override<S: Source> {
    registry: Registry<S>,
    at: usize,
    number: u64,
}

impl<S: Source> Registry<S> {
    /// Overrides the registered service until the guard is dropped, and has whatever depends on it built anew. The override is
    /// visible to everything that uses this registry: see [`Registry::fork`].
    ///
    /// # Errors
    /// [`ResolveError::Unregistered`].
    pub fn override_with<T: Send + Sync + 'static>(&self, service: T) -> Result<Override<S>, ResolveError> {
        self.override_named("", service)
    }

    /// As [`Registry::override_with`], by name.
    ///
    /// # Errors
    /// [`ResolveError::Unregistered`].
    pub fn override_named<T: Send + Sync + 'static>(
        &self,
        name: &'static str,
        service: T,
    ) -> Result<Override<S>, ResolveError> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let at = self.find(Key::of::<T>(name))?;
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        self.live[at].add_override(number, Arc::new(service));
        self.outdate_with_dependents(at);
        Ok(Override { registry: self.clone(), at, number })
    }
}

impl<S: Source> Drop for Override<S> {
    fn drop(&mut self) {
        let removed = self.registry.live[self.at].remove_override(self.number);
        self.registry.outdate_with_dependents(self.at);
        // Outside of every lock: dropping the service may resolve others.
        drop(removed);
    }
}
