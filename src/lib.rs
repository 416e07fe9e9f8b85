//! Sessions and scopes over sqlx in which a stale session cannot be used, and a broken one recovers where that is safe.

mod error;
mod policy;
pub mod source;

pub use error::{Ended, Error, Stale};
pub use policy::{OnLoss, Policy, PolicyError};
