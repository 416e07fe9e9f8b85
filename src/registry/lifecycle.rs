//! How long services live.

use std::fmt;

/// How long a service lives, and what shares it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lifecycle {
    /// It was made before the registry, and everything shares it.
    Instance,
    /// Built once, when it is first resolved, and everything shares it.
    Singleton,
    /// Built once for each scope.
    Scoped,
    /// Built each time it is resolved.
    Transient,
}

impl fmt::Display for Lifecycle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Instance => "instance",
            Self::Singleton => "singleton",
            Self::Scoped => "scoped",
            Self::Transient => "transient",
        })
    }
}
