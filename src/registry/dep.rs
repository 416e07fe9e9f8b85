//! Dependencies: a service that another one holds, and what a factory says that it needs.

use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;
use std::sync::Arc;

use super::key::Key;

/// A service that was resolved: shared, and alive as long as anything holds it.
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
