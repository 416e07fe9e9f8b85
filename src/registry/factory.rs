//! Factories: functions whose parameter types are their dependencies.
//!
//! Owns what a factory may take, and that a singleton's factory cannot take what belongs to a scope: that does not compile.

use super::dep::{Dep, Name, Need};
use super::error::ResolveError;
use super::key::Key;
use super::resolve::Injector;
use crate::cell::Handle;
use crate::source::Source;

/// A parameter that a factory may take.
#[diagnostic::on_unimplemented(
    message = "a factory cannot take `{Self}`",
    label = "not a dependency",
    note = "a factory takes `Dep<T>` for each service that it needs, and `Handle<_>` for the session of its scope",
    note = "sessions, scopes and connections cannot be injected: the service would outlive them"
)]
pub trait Parameter<S: Source>: Sized + Send {
    /// What it declares as a need.
    fn need() -> Need;

    /// Resolves it.
    ///
    /// # Cancel safety
    /// Cancel safe: the next call builds what this one was building.
    fn obtain(injector: &Injector<S>) -> impl Future<Output = Result<Self, ResolveError>> + Send;
}

impl<S: Source, T: Send + Sync + 'static, N: Name> Parameter<S> for Dep<T, N> {
    fn need() -> Need {
        Need::Service(Key::of::<T>(N::NAME))
    }

    async fn obtain(injector: &Injector<S>) -> Result<Self, ResolveError> {
        injector.service(Key::of::<T>(N::NAME)).await.map(Self::new)
    }
}

impl<S: Source> Parameter<S> for Handle<S> {
    fn need() -> Need {
        Need::Session
    }

    async fn obtain(injector: &Injector<S>) -> Result<Self, ResolveError> {
        injector.handle()
    }
}

/// A parameter that may outlive a scope, so that a singleton may hold it.
#[diagnostic::on_unimplemented(
    message = "a singleton cannot take `{Self}`, which belongs to one scope",
    label = "the singleton would outlive it",
    note = "register the service with `scoped`, or let its methods take a `&Handle<_>` from their caller"
)]
pub trait Lasting<S: Source>: Parameter<S> {}

impl<S: Source, T: Send + Sync + 'static, N: Name> Lasting<S> for Dep<T, N> {}

/// The parameters of a factory.
pub trait Parameters<S: Source>: Send {
    /// What they declare as needs.
    fn needs() -> Vec<Need>;
}

/// Parameters that may outlive a scope.
pub trait LastingParameters<S: Source>: Parameters<S> {}

/// A function that makes a service from its parameters, of this [kind](Plain).
#[diagnostic::on_unimplemented(
    message = "this is not a factory of a service",
    label = "a factory takes at most eight of `Dep<T>` and `Handle<_>`",
    note = "`Dep<T>` is another service, `Handle<_>` the session of the scope",
    note = "sessions, scopes and connections cannot be injected: the service would outlive them",
    note = "a factory for a method `…_async` returns a future of a `Result`, any other factory the service itself"
)]
pub trait Factory<S: Source, P: Parameters<S>, M>: Send + Sync + 'static {
    /// What it makes.
    type Service: Send + Sync + 'static;

    /// Makes it.
    ///
    /// # Cancel safety
    /// As cancel safe as the function.
    fn make(&self, injector: &Injector<S>) -> impl Future<Output = Result<Self::Service, ResolveError>> + Send;
}

/// The kind of a function that returns the service.
#[derive(Clone, Copy, Debug)]
pub enum Plain {}

/// The kind of a function that returns a future of the service, and may fail.
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

            #[allow(unused_variables, reason = "a factory without parameters needs nothing")]
            async fn make(&self, injector: &Injector<S>) -> Result<T, ResolveError> {
                Ok(self($($parameter::obtain(injector).await?),*))
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

            async fn make(&self, injector: &Injector<S>) -> Result<T, ResolveError> {
                let made = self($($parameter::obtain(injector).await?),*).await;
                made.map_err(|error| injector.failed(error.into()))
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
