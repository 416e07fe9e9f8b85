//! Registering: which services there are, before anything is built.
//!
//! Owns the list of recipes until [`Builder::build`] checks it.

use std::any::Any;
use std::panic::Location;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use rustc_hash::FxHashMap;

use super::dep::Need;
use super::error::{BuildError, Problem};
use super::factory::{Awaited, Factory, LastingParameters, Parameters, Plain};
use super::graph::{Graph, Node};
use super::key::Key;
use super::lifecycle::Lifecycle;
use super::place::Erased;
use super::resolve::{Blueprint, Injector, Origin, Recipe, Registry};
use crate::source::Source;

/// Collects services. See [`Registry::builder`].
pub struct Builder<S: Source> {
    recipes: Vec<Recipe<S>>,
}

/// A service that was just registered, to be named and tagged.
pub struct Registration<'a, S: Source> {
    recipe: &'a mut Recipe<S>,
}

impl<S: Source> Registry<S> {
    /// Begins a list of services.
    pub fn builder() -> Builder<S> {
        Builder { recipes: Vec::new() }
    }
}

impl<S: Source> Registration<'_, S> {
    /// Gives it a name besides its type: it is resolved as [`Dep<T, N>`](super::Dep), or by
    /// [`Services::resolve_named`](super::Services::resolve_named).
    pub fn named(self, name: &'static str) -> Self {
        self.recipe.key.name = Key::name(name);
        self
    }

    /// Adds a tag: see [`Services::resolve_tagged`](super::Services::resolve_tagged).
    pub fn tagged(self, tag: &'static str) -> Self {
        self.recipe.tags.push(tag);
        self
    }
}

impl<S: Source> Builder<S> {
    /// Registers a service that is there already.
    #[track_caller]
    pub fn instance<T: Send + Sync + 'static>(&mut self, service: T) -> Registration<'_, S> {
        let origin = Origin::Instance(Arc::new(service));
        self.add(Key::of::<T>(""), Lifecycle::Instance, Vec::new(), origin)
    }

    /// Registers a service of which there is one. Its factory cannot take anything that belongs to a scope.
    #[track_caller]
    pub fn singleton<P, F>(&mut self, factory: F) -> Registration<'_, S>
    where
        P: LastingParameters<S>,
        F: Factory<S, P, Plain>,
    {
        self.add_factory(Lifecycle::Singleton, factory)
    }

    /// Registers a service of which there is one in each scope.
    #[track_caller]
    pub fn scoped<P, F>(&mut self, factory: F) -> Registration<'_, S>
    where
        P: Parameters<S>,
        F: Factory<S, P, Plain>,
    {
        self.add_factory(Lifecycle::Scoped, factory)
    }

    /// Registers a service that is made each time it is resolved.
    #[track_caller]
    pub fn transient<P, F>(&mut self, factory: F) -> Registration<'_, S>
    where
        P: Parameters<S>,
        F: Factory<S, P, Plain>,
    {
        self.add_factory(Lifecycle::Transient, factory)
    }

    /// As [`Builder::singleton`], from an asynchronous function that may fail.
    #[track_caller]
    pub fn singleton_async<P, F>(&mut self, factory: F) -> Registration<'_, S>
    where
        P: LastingParameters<S>,
        F: Factory<S, P, Awaited>,
    {
        self.add_factory(Lifecycle::Singleton, factory)
    }

    /// As [`Builder::scoped`], from an asynchronous function that may fail.
    #[track_caller]
    pub fn scoped_async<P, F>(&mut self, factory: F) -> Registration<'_, S>
    where
        P: Parameters<S>,
        F: Factory<S, P, Awaited>,
    {
        self.add_factory(Lifecycle::Scoped, factory)
    }

    /// As [`Builder::transient`], from an asynchronous function that may fail.
    #[track_caller]
    pub fn transient_async<P, F>(&mut self, factory: F) -> Registration<'_, S>
    where
        P: Parameters<S>,
        F: Factory<S, P, Awaited>,
    {
        self.add_factory(Lifecycle::Transient, factory)
    }

    /// Checks that the services fit together. Nothing is built yet.
    ///
    /// # Errors
    /// All missing and duplicate services, cycles, and singletons that would hold something of one scope.
    pub fn build(self) -> Result<Registry<S>, BuildError> {
        let mut index: FxHashMap<Key, usize> = FxHashMap::default();
        let mut problems = Vec::new();
        for (at, recipe) in self.recipes.iter().enumerate() {
            if let Some(first) = index.insert(recipe.key, at) {
                let (first, second) = (self.recipes[first].registered, recipe.registered);
                problems.push(Problem::Duplicate { service: recipe.key.to_string(), first, second });
            }
        }
        let nodes = self.recipes.iter().map(|it| node(it, &index)).collect();
        match Graph::check(nodes) {
            Ok(graph) if problems.is_empty() => {
                Ok(Registry::over(Arc::new(Blueprint { recipes: self.recipes, index, graph })))
            }
            Ok(_) => Err(BuildError { problems }),
            Err(more) => {
                problems.extend(more);
                Err(BuildError { problems })
            }
        }
    }

    #[track_caller]
    fn add(&mut self, key: Key, lifecycle: Lifecycle, needs: Vec<Need>, origin: Origin<S>) -> Registration<'_, S> {
        let registered = Location::caller();
        self.recipes.push(Recipe { key, lifecycle, registered, tags: Vec::new(), needs, origin });
        Registration { recipe: self.recipes.last_mut().expect("it was just pushed") }
    }

    #[track_caller]
    fn add_factory<P, M, F>(&mut self, lifecycle: Lifecycle, factory: F) -> Registration<'_, S>
    where
        P: Parameters<S>,
        F: Factory<S, P, M>,
    {
        let factory = Arc::new(factory);
        let make = move |injector: Injector<S>| -> BoxFuture<'static, _> {
            let factory = Arc::clone(&factory);
            Box::pin(async move { factory.make(&injector).await.map(erase) })
        };
        self.add(Key::of::<F::Service>(""), lifecycle, P::needs(), Origin::Factory(Box::new(make)))
    }
}

fn erase<T: Any + Send + Sync>(service: T) -> Erased {
    Arc::new(service)
}

fn node<S: Source>(recipe: &Recipe<S>, index: &FxHashMap<Key, usize>) -> Node<Key> {
    let service = |it: &Need| match it {
        Need::Service(key) => Some(index.get(key).copied().ok_or(*key)),
        Need::Session => None,
    };
    Node {
        name: recipe.key,
        lifecycle: recipe.lifecycle,
        registered: recipe.registered,
        takes_session: recipe.needs.iter().any(|it| matches!(it, Need::Session)),
        needs: recipe.needs.iter().filter_map(service).collect(),
    }
}
