//! Errors of a registry's definition, and of resolving a service.

use std::fmt;
use std::panic::Location;

use super::lifecycle::Lifecycle;
use crate::error::Stale;

/// One service on a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Its type, and its name if it has one.
    pub service: String,
    /// How long it lives.
    pub lifecycle: Lifecycle,
    /// Where it was registered.
    pub registered: &'static Location<'static>,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { service, lifecycle, registered } = self;
        write!(f, "`{service}` ({lifecycle}, {}:{})", registered.file(), registered.line())
    }
}

/// Services that do not fit together. Nothing was built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BuildError {
    /// Everything that is wrong.
    pub problems: Vec<Problem>,
}

impl std::error::Error for BuildError {}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the services do not fit together:")?;
        self.problems.iter().try_for_each(|it| write!(f, "\n  {it}"))
    }
}

/// One thing that is wrong with a set of services.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// A factory takes something that is not registered.
    #[error(
        "missing: {by} takes `{needed}`, which is not registered{}; register it, or take another",
        did_you_mean(similar)
    )]
    Missing {
        /// The service with this factory.
        by: Step,
        /// What it takes.
        needed: String,
        /// Similar names that are registered.
        similar: Vec<String>,
    },
    /// Services need each other in a cycle, so none can be built first.
    #[error("cycle: {}; let one of them resolve the other when it is called, not when it is built", path_text(path))]
    Cycle {
        /// From one of them back to it.
        path: Vec<Step>,
    },
    /// A singleton would hold something of one scope for ever: the first scope's session would serve all other scopes.
    #[error(
        "captive: {}{}: the singleton outlives the scope; make it scoped, or let it take what it needs when it is called",
        path_text(path),
        if *session { " takes the scope's session" } else { "" }
    )]
    Captive {
        /// From the singleton to the service that it must not hold.
        path: Vec<Step>,
        /// The last one is not scoped, but takes the session of a scope.
        session: bool,
    },
    /// Two registrations of the same service.
    #[error(
        "duplicate: `{service}` is registered at {first} and again at {second}; name one of them, or leave one out"
    )]
    Duplicate {
        /// Its type and name.
        service: String,
        /// The first registration.
        first: &'static Location<'static>,
        /// The second.
        second: &'static Location<'static>,
    },
}

/// Why a service cannot be resolved.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ResolveError {
    /// It is not registered.
    #[error("`{service}` is not registered{}", did_you_mean(similar))]
    Unregistered {
        /// The service.
        service: String,
        /// Similar names that are registered.
        similar: Vec<String>,
    },
    /// It belongs to a scope, and none was entered.
    #[error("`{service}` is scoped: resolve it through `registry.enter(&scope)`")]
    OutsideOfScope {
        /// The service.
        service: String,
    },
    /// The scope has ended.
    #[error(transparent)]
    Stale(#[from] Box<Stale>),
    /// A factory failed. The next call tries again.
    #[error("{} could not be built: {source}", path_text(path))]
    Factory {
        /// From the service that was resolved to the one that could not be built.
        path: Vec<Step>,
        /// The factory's error.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A factory panicked. The next call tries again.
    #[error("{} could not be built, its factory panicked: {message}", path_text(path))]
    Panicked {
        /// From the service that was resolved to the one that could not be built.
        path: Vec<Step>,
        /// The panic's message.
        message: String,
    },
}

impl ResolveError {
    /// The same error, seen from a service that needs the one that failed.
    pub(super) fn needed_by(mut self, step: Step) -> Self {
        if let Self::Factory { path, .. } | Self::Panicked { path, .. } = &mut self {
            path.insert(0, step);
        }
        self
    }
}

fn path_text(path: &[Step]) -> String {
    path.iter().map(ToString::to_string).collect::<Vec<_>>().join(" → ")
}

fn did_you_mean(similar: &[String]) -> String {
    match similar {
        [] => String::new(),
        similar => format!(" (there is {})", similar.iter().map(|it| format!("`{it}`")).collect::<Vec<_>>().join(", ")),
    }
}
