//! Statements of SQLite, read by their text.

mod effect;
mod tokens;

pub(crate) use effect::effect;
