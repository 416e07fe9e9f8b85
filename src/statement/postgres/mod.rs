//! Statements of PostgreSQL, read by their text.

mod effect;
mod first_word;
mod harmless;
mod places;
mod retry;
mod set_config;
mod tokens;

pub(crate) use effect::effect;
pub(crate) use harmless::{believed, disbelieve};
pub(crate) use retry::{RetrySafety, is_all_or_nothing, retry_safety};
