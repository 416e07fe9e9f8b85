//! The registry: which services there are, what each needs, and what shares them.
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
//! | a closure captures a handle, which the types cannot show | [`Error::Stale`] at its first use after the scope, naming the holder |
//! | a factory fails or panics | [`ResolveError`] with the path and the cause; the next call tries again |
//! | a factory is cancelled | nothing; a call that waits for it builds instead |
//! | an override's guard is dropped, also by a panic | the original is back, and what depended on the override is built anew |
//!
//! # What is not checked
//!
//! The body of a factory: what it resolves from a registry while it builds is not in the graph, and it waits for ever if it
//! resolves itself.

mod builder;
mod container;
mod dep;
mod error;
mod factory;
mod graph;
mod key;
mod lifecycle;
mod overrides;
mod place;
mod reservation;
mod resolve;
mod services;
mod slot;
mod status;

pub use builder::{Builder, Registration};
pub use dep::{Dep, Name, Need, Unnamed};
pub use error::{BuildError, Problem, ResolveError, Step};
pub use factory::{Awaited, Factory, Lasting, LastingParameters, Parameter, Parameters, Plain};
pub use key::Key;
pub use lifecycle::Lifecycle;
pub use overrides::Override;
pub(crate) use reservation::Reservation;
pub use resolve::{Injector, Registry};
pub use services::Services;
pub use status::Status;

#[cfg(doc)]
use crate::{Error, Handle};
