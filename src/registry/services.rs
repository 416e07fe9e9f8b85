//! The services of one scope, and what their factories get their parameters through.
//!
//! Owns the scope's cache. It goes with the scope; what was resolved from it stays with whoever has it, and its handles are
//! stale.

use std::any::TypeId;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::error::{ResolveError, Step};
use super::factory::{Dep, Unnamed};
use super::key::Key;
use super::slot::Slot;
use super::{Erased, Registry};
use crate::cell::Handle;
use crate::error::Error;
use crate::source::Source;

/// The services of one scope.
pub struct Services<S: Source> {
    pub(super) registry: Registry<S>,
    pub(super) entered: Entered<S>,
}

/// A scope, as far as its services need it.
pub(super) struct Entered<S: Source> {
    pub(super) handle: Handle<S>,
    pub(super) cache: Arc<Cache>,
}

/// What was built for one scope.
pub(super) struct Cache {
    pub(super) slots: Box<[Slot<Erased>]>,
    /// What was built in another epoch is out of date.
    epoch: AtomicU64,
}

/// What a factory's parameters are obtained through.
pub struct Resolver<S: Source> {
    pub(super) registry: Registry<S>,
    pub(super) entered: Option<Entered<S>>,
    /// For whom.
    pub(super) at: usize,
}

impl<S: Source> Services<S> {
    /// The service of this type: the scope's own, if it is scoped.
    ///
    /// # Errors
    /// [`ResolveError`]; [`ResolveError::Stale`] after the scope's end.
    ///
    /// # Cancel safety
    /// Cancel safe: what was being built is built by the next who asks.
    pub async fn resolve<T: Send + Sync + 'static>(&self) -> Result<Dep<T>, ResolveError> {
        self.obtain(Key::of::<T>("")).await
    }

    /// The service of this type and name.
    ///
    /// # Errors
    /// As [`Services::resolve`].
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn resolve_named<T: Send + Sync + 'static>(&self, name: &'static str) -> Result<Dep<T>, ResolveError> {
        self.obtain(Key::of::<T>(name)).await
    }

    /// Every service of this type in this group, in the order of registration.
    ///
    /// # Errors
    /// As [`Services::resolve`]; the first that cannot be had.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn resolve_tagged<T: Send + Sync + 'static>(&self, tag: &str) -> Result<Vec<Dep<T>>, ResolveError> {
        let mut all = Vec::new();
        for recipe in &self.registry.blueprint.recipes {
            if recipe.key.id == TypeId::of::<T>() && recipe.tags.contains(&tag) {
                all.push(self.obtain(recipe.key).await?);
            }
        }
        Ok(all)
    }

    /// Lets the scope's own services be built anew by the next who asks.
    pub fn clear(&self) {
        self.entered.cache.epoch.fetch_add(1, Ordering::AcqRel);
    }

    async fn obtain<T: Send + Sync + 'static>(&self, key: Key) -> Result<Dep<T>, ResolveError> {
        if let Err(Error::Stale(stale)) = self.entered.handle.check("resolve") {
            return Err(stale.into());
        }
        let at = self.registry.find(key)?;
        self.registry.obtain(at, Some(&self.entered)).await.map(dep)
    }
}

impl<S: Source> Resolver<S> {
    pub(super) async fn service<T: Send + Sync + 'static>(&self, key: Key) -> Result<Arc<T>, ResolveError> {
        let at = self.registry.find(key)?;
        let service = self.registry.obtain(at, self.entered.as_ref()).await;
        let service = service.map_err(|it| it.needed_by(self.registry.step(self.at)))?;
        Ok(dep::<T, Unnamed>(service).into_arc())
    }

    /// A handle to the scope, in the name of the service that is being built.
    pub(super) fn handle(&self) -> Result<Handle<S>, ResolveError> {
        let Step { service, registered, .. } = self.registry.step(self.at);
        match &self.entered {
            Some(entered) => Ok(entered.handle.for_owner(service, registered)),
            None => Err(ResolveError::OutsideOfScope { service }),
        }
    }

    pub(super) fn failed(&self, source: Box<dyn std::error::Error + Send + Sync>) -> ResolveError {
        ResolveError::Factory { path: vec![self.registry.step(self.at)], source }
    }
}

impl Cache {
    pub(super) fn with_room_for(services: usize) -> Self {
        Self { slots: (0..services).map(|_| Slot::default()).collect(), epoch: AtomicU64::new(0) }
    }

    pub(super) fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }
}

pub(super) fn dep<T: Send + Sync + 'static, N>(service: Erased) -> Dep<T, N> {
    Dep::new(service.downcast().expect("a service is kept under its own type"))
}

impl<S: Source> Clone for Services<S> {
    fn clone(&self) -> Self {
        Self { registry: self.registry.clone(), entered: self.entered.clone() }
    }
}

impl<S: Source> Clone for Entered<S> {
    fn clone(&self) -> Self {
        Self { handle: self.handle.clone(), cache: Arc::clone(&self.cache) }
    }
}
