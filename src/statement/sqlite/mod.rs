//! Statements of SQLite, read by their text.

mod effect;
mod one;
mod tokens;

pub(crate) use effect::effect;
pub(crate) use one::{is_one, only_reads};
