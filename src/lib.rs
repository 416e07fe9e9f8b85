//! Sessions and scopes over sqlx in which a stale session cannot be used, and a broken one recovers where that is safe.

mod call;
mod error;
mod events;
mod executor;
mod health;
mod policy;
mod scope;
mod session;
mod sessions;
pub mod source;
mod statement;
mod sync;

pub use error::{Ended, Error, Stale};
pub use events::{Event, ListenerError, Listening};
pub use health::{Health, Holder, RecoveryTimes, Validity};
pub use policy::{OnLoss, Policy, PolicyError};
pub use scope::{Handle, Scope};
pub use sessions::{DrainError, Sessions};
pub use source::{AdoptedPool, Begin, Class, Isolation, Locking, OpenError, SqliteOptions, SqliteSource};
