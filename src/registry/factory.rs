//! Factories: functions whose parameter types are their dependencies.
//!
//! Owns what a factory may take, and that a singleton's factory cannot take what belongs to a scope: that does not compile.

use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;
use std::sync::Arc;

use super::error::ResolveError;
use super::{Key, Resolver};
use crate::cell::Handle;
use crate::source::Source;

/// A service that was asked for: shared, and alive as long as somebody has it.
///
/// As a parameter of a factory, it is a dependency. `N` says under which name it is registered.
pub struct Dep<T, N = Unnamed> {
    service: Arc<T>,
    name: PhantomData<fn() -> N>,
}

/// The name of a service beside its type, for when there are several of one type.
///
/// ```
/// struct Replica;
///
/// impl unstale::registry::Name for Replica {
///     const NAME: &'static str = "replica";
/// }
/// ```
pub trait Name: 'static {
    /// The name, as given to [`named`](super::Registration::named).
    const NAME: &'static str;
}

/// Without a name.
#[derive(Clone, Copy, Debug)]
pub struct Unnamed;

impl Name for Unnamed {
    const NAME: &'static str = "";
}

impl<T, N> Dep<T, N> {
    pub(super) fn new(service: Arc<T>) -> Self {
        Self { service, name: PhantomData }
    }

    /// The service as it is shared.
    pub fn into_arc(self) -> Arc<T> {
        self.service
    }
}

impl<T, N> Clone for Dep<T, N> {
    fn clone(&self) -> Self {
        Self::new(Arc::clone(&self.service))
    }
}

impl<T, N> Deref for Dep<T, N> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.service
    }
}

impl<T: fmt::Debug, N> fmt::Debug for Dep<T, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.service.fmt(f)
    }
}

/// What a factory needs, as far as its types say.
#[derive(Clone, Copy, Debug)]
pub enum Need {
    /// Another service.
    Service(Key),
    /// The session of the scope.
    Session,
}

/// What a factory may take.
#[diagnostic::on_unimplemented(
    message = "a factory cannot take `{Self}`",
    label = "not a dependency",
    note = "a factory takes `Dep<T>` for each service that it needs, and `Handle<_>` for the session of its scope",
    note = "sessions, scopes and connections cannot be taken: who holds them outlives them"
)]
pub trait Parameter<S: Source>: Sized + Send {
    /// What it is.
    fn need() -> Need;

    /// Gets it.
    ///
    /// # Cancel safety
    /// Cancel safe: what was being built for it is built by the next who asks.
    fn obtain(resolver: &Resolver<S>) -> impl Future<Output = Result<Self, ResolveError>> + Send;
}

impl<S: Source, T: Send + Sync + 'static, N: Name> Parameter<S> for Dep<T, N> {
    fn need() -> Need {
        Need::Service(Key::of::<T>(N::NAME))
    }

    async fn obtain(resolver: &Resolver<S>) -> Result<Self, ResolveError> {
        resolver.service(Key::of::<T>(N::NAME)).await.map(Self::new)
    }
}

impl<S: Source> Parameter<S> for Handle<S> {
    fn need() -> Need {
        Need::Session
    }

    async fn obtain(resolver: &Resolver<S>) -> Result<Self, ResolveError> {
        resolver.handle()
    }
}

/// What may outlive a scope, so that a singleton may hold it.
#[diagnostic::on_unimplemented(
    message = "a singleton cannot take `{Self}`, which belongs to one scope",
    label = "the singleton would outlive it",
    note = "register the service with `scoped`, or let its methods take a `&Handle<_>` from their caller"
)]
pub trait Lasting<S: Source>: Parameter<S> {}

impl<S: Source, T: Send + Sync + 'static, N: Name> Lasting<S> for Dep<T, N> {}

/// The parameters of a factory.
pub trait Parameters<S: Source>: Send {
    /// What they are.
    fn needs() -> Vec<Need>;
}

/// Parameters that may outlive a scope.
pub trait LastingParameters<S: Source>: Parameters<S> {}

/// A function that makes a service from its parameters, in this [manner](Plain).
#[diagnostic::on_unimplemented(
    message = "this is not a factory of a service",
    label = "a factory takes at most eight of `Dep<T>` and `Handle<_>`",
    note = "`Dep<T>` is another service, `Handle<_>` the session of the scope",
    note = "scopes, sessions and connections cannot be taken: who holds them outlives them",
    note = "one that is registered by a method `…_async` returns a future of a `Result`, any other one the service itself"
)]
pub trait Factory<S: Source, P: Parameters<S>, M>: Send + Sync + 'static {
    /// What it makes.
    type Service: Send + Sync + 'static;

    /// Makes it.
    ///
    /// # Cancel safety
    /// As cancel safe as the function.
    fn make(&self, resolver: &Resolver<S>) -> impl Future<Output = Result<Self::Service, ResolveError>> + Send;
}

/// The manner of a function that returns the service.
#[derive(Clone, Copy, Debug)]
pub enum Plain {}

/// The manner of a function that returns a future of it, and may fail.
#[derive(Clone, Copy, Debug)]
pub enum Awaited {}

macro_rules! functions {
    ($($parameter:ident)*) => {
        impl<S: Source, $($parameter: Parameter<S>),*> Parameters<S> for ($($parameter,)*) {
            fn needs() -> Vec<Need> {
                vec![$($parameter::need()),*]
            }
        }

        impl<S: Source, $($parameter: Lasting<S>),*> LastingParameters<S> for ($($parameter,)*) {}

        impl<S, F, T, $($parameter),*> Factory<S, ($($parameter,)*), Plain> for F
        where
            S: Source,
            F: Fn($($parameter),*) -> T + Send + Sync + 'static,
            T: Send + Sync + 'static,
            $($parameter: Parameter<S>,)*
        {
            type Service = T;

            #[allow(unused_variables, reason = "a factory without parameters asks for nothing")]
            async fn make(&self, resolver: &Resolver<S>) -> Result<T, ResolveError> {
                Ok(self($($parameter::obtain(resolver).await?),*))
            }
        }

        impl<S, F, T, E, W, $($parameter),*> Factory<S, ($($parameter,)*), Awaited> for F
        where
            S: Source,
            F: Fn($($parameter),*) -> W + Send + Sync + 'static,
            W: Future<Output = Result<T, E>> + Send,
            T: Send + Sync + 'static,
            E: Into<Box<dyn std::error::Error + Send + Sync>>,
            $($parameter: Parameter<S>,)*
        {
            type Service = T;

            async fn make(&self, resolver: &Resolver<S>) -> Result<T, ResolveError> {
                let made = self($($parameter::obtain(resolver).await?),*).await;
                made.map_err(|error| resolver.failed(error.into()))
            }
        }
    };
}

functions!();
functions!(A);
functions!(A B);
functions!(A B C);
functions!(A B C D);
functions!(A B C D G);
functions!(A B C D G H);
functions!(A B C D G H I);
functions!(A B C D G H I J);
