//! Statements of PostgreSQL, read by their text.

mod effect;
mod harmless;
mod retry;
mod tokens;

pub(crate) use effect::effect;
pub(crate) use retry::{RetrySafety, retry_safety};
