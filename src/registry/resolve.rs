//! Resolving: finds a service where it is kept, or has its factory build it.
//!
//! Owns the registry's data, and the injector through which a factory gets its parameters; each needs the other, since a factory
//! resolves from the registry that holds it. Registering is the builder's, the public verbs are in files of their own.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::panic::Location;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use rustc_hash::FxHashMap;

use super::dep::{Dep, Need, Unnamed};
use super::error::{ResolveError, Step};
use super::graph::{self, Graph};
use super::key::Key;
use super::lifecycle::Lifecycle;
use super::place::{Cache, Erased, Live, Place};
use super::reservation::Test;
use super::slot::Claim;
use crate::cell::Handle;
use crate::events::panic_text;
use crate::source::Source;

/// Services, with what was built of them so far.
///
/// Cheap to clone; every clone is the same. [`fork`](Registry::fork) makes another one.
pub struct Registry<S: Source> {
    pub(super) blueprint: Arc<Blueprint<S>>,
    pub(super) live: Arc<[Live]>,
    /// The test that has joined it.
    pub(super) test: Test,
    /// Tells this registry's services in a scope from those of another one.
    pub(super) id: u64,
}

/// Which services there are. It never changes.
pub(super) struct Blueprint<S: Source> {
    pub(super) recipes: Vec<Recipe<S>>,
    pub(super) index: FxHashMap<Key, usize>,
    pub(super) graph: Graph,
}

/// How a service is made.
pub(super) struct Recipe<S: Source> {
    pub(super) key: Key,
    pub(super) lifecycle: Lifecycle,
    pub(super) registered: &'static Location<'static>,
    pub(super) tags: Vec<&'static str>,
    pub(super) needs: Vec<Need>,
    pub(super) origin: Origin<S>,
}

pub(super) enum Origin<S: Source> {
    Instance(Erased),
    Factory(Box<Make<S>>),
}

type Make<S> = dyn Fn(Injector<S>) -> BoxFuture<'static, Result<Erased, ResolveError>> + Send + Sync;

/// A scope, as far as its services need it.
pub(super) struct Entered<S: Source> {
    pub(super) handle: Handle<S>,
    pub(super) cache: Arc<Cache>,
}

/// Gives a factory its parameters.
pub struct Injector<S: Source> {
    registry: Registry<S>,
    entered: Option<Entered<S>>,
    /// The service that is being built.
    at: usize,
}

impl<S: Source> Registry<S> {
    pub(super) fn over(blueprint: Arc<Blueprint<S>>) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let live = blueprint.recipes.iter().map(|_| Live::default()).collect();
        Self { blueprint, live, test: Arc::default(), id: NEXT.fetch_add(1, Ordering::Relaxed) }
    }

    /// The place of the service with this key in the blueprint.
    pub(super) fn find(&self, key: Key) -> Result<usize, ResolveError> {
        self.position(&key).ok_or_else(|| self.unregistered(key))
    }

    /// The same, if there is one.
    pub(super) fn position(&self, key: &Key) -> Option<usize> {
        self.blueprint.index.get(key).copied()
    }

    /// The service, if it need not be built.
    pub(super) fn ready(&self, at: usize, entered: Option<&Entered<S>>) -> Option<Erased> {
        let live = &self.live[at];
        if live.is_overridden() {
            return live.overriding();
        }
        self.place(at, entered)?.ready()
    }

    /// Returns the service; builds it if necessary.
    pub(super) async fn obtain(&self, at: usize, entered: Option<&Entered<S>>) -> Result<Erased, ResolveError> {
        if let Some(service) = self.ready(at, entered) {
            return Ok(service);
        }
        match (self.place(at, entered), self.blueprint.recipes[at].lifecycle) {
            (Some(place), _) => match place.slot.claim(|| place.version()).await {
                Claim::Ready(service) => Ok(service),
                Claim::Build(permit) => {
                    // A service that everything shares is built without a scope.
                    let service = self.build(at, entered.filter(|_| place.is_scoped())).await?;
                    permit.finish(Arc::clone(&service));
                    Ok(service)
                }
            },
            (None, Lifecycle::Scoped) => Err(ResolveError::OutsideOfScope { service: self.step(at).service }),
            (None, _) => self.build(at, entered).await,
        }
    }

    /// Makes a service, and everything that depends on it, out of date.
    pub(super) fn outdate_with_dependents(&self, at: usize) {
        let dependents = &self.blueprint.graph.dependents[at];
        self.outdate(|each| dependents.contains(each));
    }

    /// Makes these services out of date, each before its dependents: otherwise a dependent could be rebuilt meanwhile from a service
    /// that is about to be out of date.
    pub(super) fn outdate(&self, is_affected: impl Fn(&usize) -> bool) {
        for at in self.blueprint.graph.order.iter().filter(|at| is_affected(at)) {
            self.live[*at].outdate();
        }
    }

    pub(super) fn step(&self, at: usize) -> Step {
        let recipe = &self.blueprint.recipes[at];
        Step { service: recipe.key.text(), lifecycle: recipe.lifecycle, registered: recipe.registered }
    }

    /// Where the service is kept; none if it is kept nowhere.
    fn place<'a>(&'a self, at: usize, entered: Option<&'a Entered<S>>) -> Option<Place<'a>> {
        let live = &self.live[at];
        match self.blueprint.recipes[at].lifecycle {
            Lifecycle::Transient => None,
            Lifecycle::Instance | Lifecycle::Singleton => Some(Place::shared(live)),
            Lifecycle::Scoped => Some(Place::scoped(live, &entered?.cache, at)),
        }
    }

    async fn build(&self, at: usize, entered: Option<&Entered<S>>) -> Result<Erased, ResolveError> {
        let make = match &self.blueprint.recipes[at].origin {
            Origin::Instance(service) => return Ok(Arc::clone(service)),
            Origin::Factory(make) => make,
        };
        let injector = Injector { registry: self.clone(), entered: entered.cloned(), at };
        // What a panic leaves behind belongs to the factory alone.
        let made = AssertUnwindSafe(make(injector)).catch_unwind().await;
        let panicked = |panic: Box<dyn Any + Send>| {
            Err(ResolveError::Panicked { path: vec![self.step(at)], message: panic_text(&*panic) })
        };
        made.unwrap_or_else(panicked)
    }

    #[cold]
    fn unregistered(&self, key: Key) -> ResolveError {
        let service = key.to_string();
        let known = self.blueprint.recipes.iter().map(|recipe| recipe.key.to_string());
        let similar = graph::similar(&service, known);
        ResolveError::Unregistered { service, similar }
    }
}

impl<S: Source> Injector<S> {
    pub(super) async fn service<T: Send + Sync + 'static>(&self, key: Key) -> Result<Arc<T>, ResolveError> {
        let at = self.registry.find(key)?;
        let service = self.registry.obtain(at, self.entered.as_ref()).await;
        let service = service.map_err(|error| error.needed_by(self.registry.step(self.at)))?;
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

/// The service under its own type.
pub(super) fn dep<T: Send + Sync + 'static, N>(service: Erased) -> Dep<T, N> {
    Dep::new(service.downcast().expect("a service is kept under its own type"))
}

impl<S: Source> Clone for Registry<S> {
    fn clone(&self) -> Self {
        let (blueprint, live) = (Arc::clone(&self.blueprint), Arc::clone(&self.live));
        Self { blueprint, live, test: Arc::clone(&self.test), id: self.id }
    }
}

impl<S: Source> Clone for Entered<S> {
    fn clone(&self) -> Self {
        Self { handle: self.handle.clone(), cache: Arc::clone(&self.cache) }
    }
}
