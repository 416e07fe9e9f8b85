//! The services of one scope.
//!
//! The scope keeps what is built for it, and drops it at its end; a service that is still held elsewhere has stale handles from then
//! on.

use std::any::TypeId;
use std::sync::Arc;

use super::dep::Dep;
use super::error::ResolveError;
use super::key::Key;
use super::place::{Cache, Erased};
use super::resolve::{Entered, Registry, dep};
use crate::error::Error;
use crate::scope::Scope;
use crate::source::Source;

/// The services of one scope.
pub struct Services<S: Source> {
    registry: Registry<S>,
    entered: Entered<S>,
}

impl<S: Source> Registry<S> {
    /// The services of this scope. A scope that is entered twice has the same services.
    #[track_caller]
    pub fn enter(&self, scope: &Scope<S>) -> Services<S> {
        let handle = scope.handle("its services");
        let cache = handle.attached(self.id, || Arc::new(Cache::with_room_for(self.live.len())));
        Services { registry: self.clone(), entered: Entered { handle, cache } }
    }
}

impl<S: Source> Services<S> {
    /// The service of this type: the scope's own, if it is scoped.
    ///
    /// # Errors
    /// [`ResolveError`]; [`ResolveError::Stale`] after the scope's end.
    ///
    /// # Cancel safety
    /// Cancel safe: the next call builds what this one was building.
    pub async fn resolve<T: Send + Sync + 'static>(&self) -> Result<Dep<T>, ResolveError> {
        match self.ready(&Key::of::<T>("")) {
            Some(service) => Ok(dep(service)),
            None => self.obtain(Key::of::<T>("")).await,
        }
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

    /// Every service of this type with this tag, in the order of registration.
    ///
    /// # Errors
    /// As [`Services::resolve`], for the first that cannot be resolved.
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

    /// Makes the scope's own services out of date: the next call builds them anew.
    pub fn clear(&self) {
        self.entered.cache.outdate();
    }

    /// The service, if it need not be built and nothing is wrong. It fits into registers, so the frequent case moves nothing through
    /// memory.
    fn ready(&self, key: &Key) -> Option<Erased> {
        let handle = &self.entered.handle;
        if handle.check("resolve").is_err() {
            return None;
        }
        self.registry.ready(self.registry.position(key)?, Some(&self.entered))
    }

    async fn obtain<T: Send + Sync + 'static>(&self, key: Key) -> Result<Dep<T>, ResolveError> {
        if let Err(Error::Stale(stale)) = self.entered.handle.check("resolve") {
            return Err(stale.into());
        }
        self.registry.obtain(self.registry.find(key)?, Some(&self.entered)).await.map(dep)
    }
}

impl<S: Source> Clone for Services<S> {
    fn clone(&self) -> Self {
        Self { registry: self.registry.clone(), entered: self.entered.clone() }
    }
}
