//! The operations on a whole registry: fork it, resolve from it, make its services out of date.
//!
//! The public verbs. How a service is found or built is in `resolve`.

use std::fmt;
use std::sync::Arc;

use super::dep::Dep;
use super::error::ResolveError;
use super::key::Key;
use super::lifecycle::Lifecycle;
use super::reservation::Reservation;
use super::resolve::{Registry, dep};
use crate::health::Holder;
use crate::sessions::Sessions;
use crate::source::Source;

impl<S: Source> Registry<S> {
    /// Another registry of the same services. It shares the instances, and nothing that is built, so a test can override services
    /// without other tests seeing it. A fork that is made inside a [test](crate::testing::Fixture) keeps the test's sessions.
    #[must_use]
    pub fn fork(&self) -> Self {
        let fork = Self::over(Arc::clone(&self.blueprint));
        let test = self.test.with(|reserved| reserved.clone());
        if test.is_some()
            && let Some(at) = self.blueprint.index.get(&Key::of::<Sessions<S>>(""))
        {
            fork.live[*at].copy_overrides(&self.live[*at]);
            fork.test.with(|reserved| *reserved = test);
        }
        fork
    }

    /// A service that belongs to no scope.
    ///
    /// # Errors
    /// [`ResolveError`].
    ///
    /// # Cancel safety
    /// Cancel safe: the next call builds what this one was building.
    pub async fn resolve<T: Send + Sync + 'static>(&self) -> Result<Dep<T>, ResolveError> {
        self.obtain(self.find(Key::of::<T>(""))?, None).await.map(dep)
    }

    /// As [`Registry::resolve`], by name.
    ///
    /// # Errors
    /// [`ResolveError`].
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn resolve_named<T: Send + Sync + 'static>(&self, name: &'static str) -> Result<Dep<T>, ResolveError> {
        self.obtain(self.find(Key::of::<T>(name))?, None).await.map(dep)
    }

    /// Builds every singleton, each after everything that it needs.
    ///
    /// # Errors
    /// The error of the first that cannot be built; those before it are built.
    ///
    /// # Cancel safety
    /// Cancel safe: what is built stays.
    pub async fn warm_up(&self) -> Result<(), ResolveError> {
        for at in &self.blueprint.graph.order {
            if self.blueprint.recipes[*at].lifecycle == Lifecycle::Singleton {
                self.obtain(*at, None).await?;
            }
        }
        Ok(())
    }

    /// Makes this service, and everything that depends on it, out of date: the next call builds it anew.
    ///
    /// # Errors
    /// [`ResolveError::Unregistered`].
    pub fn invalidate<T: Send + Sync + 'static>(&self) -> Result<(), ResolveError> {
        self.invalidate_named::<T>("")
    }

    /// As [`Registry::invalidate`], by name.
    ///
    /// # Errors
    /// [`ResolveError::Unregistered`].
    pub fn invalidate_named<T: Send + Sync + 'static>(&self, name: &'static str) -> Result<(), ResolveError> {
        self.outdate_with_dependents(self.find(Key::of::<T>(name))?);
        Ok(())
    }

    /// Makes every service out of date: the next call builds it anew.
    pub fn clear(&self) {
        self.outdate(|_| true);
    }

    /// Reserves it for this test; fails with the test that has reserved it already.
    pub(crate) fn reserve_for(&self, test: &Holder) -> Result<Reservation, Holder> {
        Reservation::take(&self.test, test)
    }
}

impl<S: Source> fmt::Debug for Registry<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.blueprint.recipes.iter().map(|recipe| recipe.key)).finish()
    }
}
