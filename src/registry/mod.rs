//! The registry: what services there are, what each needs, and who shares them.
//!
//! Factories are functions whose parameter types are their dependencies, so [`Builder::build`] knows the whole graph before
//! anything runs: a missing service, a cycle, or a singleton that would hold something of one scope is an error there, with
//! the whole path. A singleton's factory that takes a [`Handle`] itself does not compile.
//!
//! ```
//! use unstale::registry::{Dep, Registry};
//! use unstale::{Handle, Policy, SqliteOptions, SqliteSource};
//!
//! struct Clock;
//!
//! struct Orders {
//!     db: Handle<SqliteSource>,
//!     clock: Dep<Clock>,
//! }
//!
//! impl Orders {
//!     fn new(db: Handle<SqliteSource>, clock: Dep<Clock>) -> Self {
//!         Self { db, clock }
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut services = Registry::builder();
//! services.singleton(|| Clock);
//! services.scoped(Orders::new);
//! let registry = services.build()?;
//!
//! let sessions = SqliteOptions::from_url("sqlite::memory:")?.open(Policy::default()).await?;
//! let request = sessions.scope("request 17");
//! let orders = registry.enter(&request).resolve::<Orders>().await?;
//! # let _ = (&orders.db, &orders.clock);
//! # Ok(())
//! # }
//! ```
//!
//! # When it goes wrong
//!
//! | what happens | what the caller sees |
//! | --- | --- |
//! | a singleton takes a [`Handle`] | it does not compile |
//! | a singleton takes something scoped, directly or through others | [`Problem::Captive`] with the whole path |
//! | two services need each other | [`Problem::Cycle`] with the whole path |
//! | a closure holds a handle behind the types' back | [`Error::Stale`] at its first use after the scope, naming the holder |
//! | a factory fails or panics | [`ResolveError`] with the path and the cause; the next who asks tries again |
//! | a factory is cancelled | nothing; whoever waits for it builds instead |
//! | an override's guard is dropped, by a panic too | the original is back, and what depended on the override is built anew |
//!
//! # What is not checked
//!
//! What a factory's body does: one that asks the registry for services while it builds is not seen in the graph, and waits
//! for ever if it asks for itself.

mod builder;
mod error;
mod factory;
mod graph;
mod key;
mod services;
mod slot;

pub use builder::{Builder, Registration};
pub use error::{BuildError, Problem, ResolveError, Step};
pub use factory::{
    Awaited, Dep, Factory, Lasting, LastingParameters, Name, Need, Parameter, Parameters, Plain, Unnamed,
};
pub use graph::Lifecycle;
pub use key::Key;
pub use services::{Resolver, Services};

use std::any::Any;
use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::FutureExt;
use rustc_hash::FxHashMap;

use crate::events::panic_text;
use crate::health::Holder;
use crate::scope::Scope;
use crate::sessions::Sessions;
use crate::source::Source;
use crate::sync::Shared;
use crate::testing::Seat;
#[cfg(doc)]
use crate::{Error, Handle};
use builder::{Origin, Recipe};
use graph::Graph;
use services::{Cache, Entered, dep};
use slot::{Claim, Slot};

type Erased = Arc<dyn Any + Send + Sync>;

/// Services, with what was built of them so far.
///
/// Cheap to clone; every clone is the same. [`fork`](Registry::fork) makes another one.
pub struct Registry<S: Source> {
    blueprint: Arc<Blueprint<S>>,
    live: Arc<[Live]>,
    /// The test that has joined it.
    test: Arc<Shared<Option<Holder>>>,
    /// Tells this registry's services in a scope from those of another one.
    id: u64,
}

/// What services there are. It never changes.
struct Blueprint<S: Source> {
    recipes: Vec<Recipe<S>>,
    index: FxHashMap<Key, usize>,
    graph: Graph,
}

/// What became of one recipe.
#[derive(Default)]
struct Live {
    /// The service, if it is shared by everybody.
    slot: Slot<Erased>,
    /// What was built under another version is out of date.
    version: AtomicU64,
    /// What stands in for it, the last one first in line, each with the number of its guard.
    overrides: Shared<Vec<(u64, Erased)>>,
    overridden: AtomicU64,
}

/// Where a service is kept.
struct Kept<'a> {
    slot: &'a Slot<Erased>,
    live: &'a Live,
    /// The scope's, if it is the scope's own.
    cache: Option<&'a Cache>,
}

/// While it lives, another service stands in for the registered one.
#[must_use = "the override ends when this is dropped"]
pub struct Override<S: Source> {
    registry: Registry<S>,
    at: usize,
    number: u64,
}

/// How a service stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// The service.
    pub service: Step,
    /// What its factory takes.
    pub needs: Vec<String>,
    /// Its groups.
    pub tags: Vec<&'static str>,
    /// Whether the one that everybody shares is built and up to date; none if nobody shares it.
    pub built: Option<bool>,
    /// Whether something stands in for it.
    pub overridden: bool,
}

impl<S: Source> Registry<S> {
    /// Begins a list of services.
    pub fn builder() -> Builder<S> {
        Builder::new()
    }

    fn over(blueprint: Arc<Blueprint<S>>) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let live = blueprint.recipes.iter().map(|_| Live::default()).collect();
        Self { blueprint, live, test: Arc::default(), id: NEXT.fetch_add(1, Ordering::Relaxed) }
    }

    /// Another registry of the same services: it shares the instances, and nothing that is built. For a test that overrides
    /// what other tests must not see. One that was made inside a [test](crate::testing::Fixture) stays with its sessions.
    #[must_use]
    pub fn fork(&self) -> Self {
        let fork = Self::over(Arc::clone(&self.blueprint));
        let test = self.test.with(|it| it.clone());
        if test.is_some()
            && let Some(at) = self.blueprint.index.get(&Key::of::<Sessions<S>>(""))
        {
            let standing_in = self.live[*at].overrides.with(|it| it.clone());
            fork.live[*at].overridden.store(standing_in.len() as u64, Ordering::Release);
            fork.live[*at].overrides.with(|it| *it = standing_in);
            fork.test.with(|it| *it = test);
        }
        fork
    }

    /// The services of this scope. Entered twice, it is the same.
    #[track_caller]
    pub fn enter(&self, scope: &Scope<S>) -> Services<S> {
        let handle = scope.handle("its services");
        let cache = handle.attached(self.id, || Arc::new(Cache::with_room_for(self.live.len())));
        Services { registry: self.clone(), entered: Entered { handle, cache } }
    }

    /// A service that belongs to no scope.
    ///
    /// # Errors
    /// [`ResolveError`].
    ///
    /// # Cancel safety
    /// Cancel safe: what was being built is built by the next who asks.
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

    /// Builds every singleton, what is needed first.
    ///
    /// # Errors
    /// The first that cannot be built; those before it are there.
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

    /// Lets another service stand in for the registered one until the guard is dropped, and whatever depends on it be built
    /// anew. Everybody who uses this registry sees it: see [`Registry::fork`].
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
        let live = &self.live[at];
        live.overrides.with(|it| it.push((number, Arc::new(service))));
        live.overridden.fetch_add(1, Ordering::Release);
        self.outdate_with_dependents(at);
        Ok(Override { registry: self.clone(), at, number })
    }

    /// Lets this service, and all that depends on it, be built anew by the next who asks.
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

    /// Lets every service be built anew by the next who asks.
    pub fn clear(&self) {
        self.outdate(|_| true);
    }

    /// The order in which services can be built: each after everything that it needs.
    pub fn order(&self) -> Vec<Step> {
        self.blueprint.graph.order.iter().map(|it| self.step(*it)).collect()
    }

    /// How each service stands, in the order of registration.
    pub fn status(&self) -> Vec<Status> {
        let status = |(at, recipe): (usize, &Recipe<S>)| {
            let live = &self.live[at];
            let shared = matches!(recipe.lifecycle, Lifecycle::Instance | Lifecycle::Singleton);
            let current = Some(live.version.load(Ordering::Acquire));
            let is_there = recipe.lifecycle == Lifecycle::Instance || live.slot.version() == current;
            let name = |it: &Need| match it {
                Need::Service(key) => key.to_string(),
                Need::Session => "the scope's session".to_owned(),
            };
            Status {
                service: self.step(at),
                needs: recipe.needs.iter().map(name).collect(),
                tags: recipe.tags.clone(),
                built: shared.then_some(is_there),
                overridden: live.overridden.load(Ordering::Acquire) > 0,
            }
        };
        self.blueprint.recipes.iter().enumerate().map(status).collect()
    }

    /// The one place for a test, or who has it.
    pub(crate) fn seat_for(&self, test: &Holder) -> Result<Seat, Holder> {
        Seat::take(&self.test, test)
    }

    fn step(&self, at: usize) -> Step {
        let recipe = &self.blueprint.recipes[at];
        Step { service: recipe.key.to_string(), lifecycle: recipe.lifecycle, registered: recipe.registered }
    }

    /// Where the service is kept, and in which version; none if it is kept nowhere.
    fn kept<'a>(&'a self, at: usize, entered: Option<&'a Entered<S>>) -> Option<Kept<'a>> {
        let live = &self.live[at];
        match self.blueprint.recipes[at].lifecycle {
            Lifecycle::Transient => None,
            Lifecycle::Instance | Lifecycle::Singleton => Some(Kept { slot: &live.slot, live, cache: None }),
            Lifecycle::Scoped => {
                let cache = &*entered?.cache;
                Some(Kept { slot: &cache.slots[at], live, cache: Some(cache) })
            }
        }
    }

    /// The service, if it is there.
    fn ready(&self, at: usize, entered: Option<&Entered<S>>) -> Option<Erased> {
        let live = &self.live[at];
        if live.overridden.load(Ordering::Acquire) > 0 {
            return live.overrides.with(|it| it.last().map(|it| Arc::clone(&it.1)));
        }
        let kept = self.kept(at, entered)?;
        kept.slot.ready(kept.version())
    }

    fn find(&self, key: Key) -> Result<usize, ResolveError> {
        self.blueprint.index.get(&key).copied().ok_or_else(|| {
            let service = key.to_string();
            let known = self.blueprint.recipes.iter().map(|it| it.key.to_string());
            let similar = graph::similar(&service, known);
            ResolveError::Unregistered { service, similar }
        })
    }

    /// What is needed first: else a dependent could be built anew meanwhile, from what is about to be out of date.
    fn outdate(&self, is_affected: impl Fn(&usize) -> bool) {
        for at in self.blueprint.graph.order.iter().filter(|it| is_affected(it)) {
            self.live[*at].version.fetch_add(1, Ordering::AcqRel);
        }
    }

    fn outdate_with_dependents(&self, at: usize) {
        let dependents = &self.blueprint.graph.dependents[at];
        self.outdate(|it| dependents.contains(it));
    }

    /// The service, from wherever it is to be had.
    async fn obtain(&self, at: usize, entered: Option<&Entered<S>>) -> Result<Erased, ResolveError> {
        if let Some(service) = self.ready(at, entered) {
            return Ok(service);
        }
        match (self.kept(at, entered), self.blueprint.recipes[at].lifecycle) {
            (Some(kept), _) => match kept.slot.claim(|| kept.version()).await {
                Claim::Ready(service) => Ok(service),
                Claim::Build(permit) => {
                    // What everybody shares is built without a scope.
                    let service = self.build(at, entered.filter(|_| kept.cache.is_some())).await?;
                    permit.finish(Arc::clone(&service));
                    Ok(service)
                }
            },
            (None, Lifecycle::Scoped) => Err(ResolveError::OutsideOfScope { service: self.step(at).service }),
            (None, _) => self.build(at, entered).await,
        }
    }

    async fn build(&self, at: usize, entered: Option<&Entered<S>>) -> Result<Erased, ResolveError> {
        let make = match &self.blueprint.recipes[at].origin {
            Origin::Instance(service) => return Ok(Arc::clone(service)),
            Origin::Factory(make) => make,
        };
        let resolver = Resolver { registry: self.clone(), entered: entered.cloned(), at };
        // What a panic leaves behind belongs to the factory alone.
        let made = AssertUnwindSafe(make(resolver)).catch_unwind().await;
        let panicked = |panic: Box<dyn Any + Send>| {
            Err(ResolveError::Panicked { path: vec![self.step(at)], message: panic_text(&*panic) })
        };
        made.unwrap_or_else(panicked)
    }
}

impl Kept<'_> {
    /// What was built under another version is out of date. Both numbers only grow, so their sum is a version of its own.
    fn version(&self) -> u64 {
        self.live.version.load(Ordering::Acquire) + self.cache.map_or(0, Cache::epoch)
    }
}

impl<S: Source> Drop for Override<S> {
    fn drop(&mut self) {
        let live = &self.registry.live[self.at];
        let stood_in = live.overrides.with(|it| {
            let place = it.iter().position(|it| it.0 == self.number)?;
            Some(it.remove(place))
        });
        live.overridden.fetch_sub(1, Ordering::AcqRel);
        self.registry.outdate_with_dependents(self.at);
        // Outside of the lock: what is dropped may ask for services.
        drop(stood_in);
    }
}

impl<S: Source> Clone for Registry<S> {
    fn clone(&self) -> Self {
        let (blueprint, live) = (Arc::clone(&self.blueprint), Arc::clone(&self.live));
        Self { blueprint, live, test: Arc::clone(&self.test), id: self.id }
    }
}

impl<S: Source> fmt::Debug for Registry<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.blueprint.recipes.iter().map(|it| it.key)).finish()
    }
}
