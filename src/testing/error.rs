//! Why a test could not begin, or why its result cannot be trusted.

use crate::error::Error;
use crate::health::Holder;
use crate::registry::ResolveError;
#[cfg(feature = "sqlite")]
use crate::source::OpenError;

/// Why a test could not begin, or why its result cannot be trusted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FixtureError {
    /// The test's database could not be made.
    #[error("the test's database could not be made: {0}")]
    Template(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// There is no connection for the test.
    #[error("the test has no connection: {0}")]
    Connection(#[source] Error),
    /// The sessions are those of another test.
    #[error(
        "a test cannot begin inside test {outer}, whose one connection it would wait for: begin it on the application's own sessions"
    )]
    Inside {
        /// The other test.
        outer: Holder,
    },
    /// The test's transaction could not be begun.
    #[error(
        "the test's own transaction could not be begun: {0}; if other tests use this database, give each a copy of its own \
         with a `Template`"
    )]
    Begin(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Something in the test ended its transaction, or cost it its connection.
    #[error("test {test} was not isolated: {why}; its changes may be kept, and it may have seen another test's")]
    IsolationLost {
        /// The test.
        test: Holder,
        /// The cause.
        why: String,
    },
    /// Scopes are still open at the end of the test.
    #[error(
        "test {test} ended while {} scopes are open, the first is {}: end them first; their handles are stale from now on",
        holders.len(), holders.first().map_or_else(String::new, ToString::to_string)
    )]
    StillOpen {
        /// The test.
        test: Holder,
        /// The open scopes.
        holders: Vec<Holder>,
    },
    /// The registry has no sessions that could be replaced.
    #[error("the registry has no `Sessions` to replace: register the application's with `instance(sessions)`: {0}")]
    NoSessions(#[source] ResolveError),
    /// Another test has joined the registry.
    #[error("the registry is in use by test {test}: let every test join a `fork()` of it, and none the original")]
    RegistryInUse {
        /// The other test.
        test: Holder,
    },
}

#[cfg(feature = "sqlite")]
impl From<OpenError> for FixtureError {
    fn from(error: OpenError) -> Self {
        Self::Template(Box::new(error))
    }
}
