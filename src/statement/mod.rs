//! What a statement's text says about it before it runs, for each database by its own grammar.
//!
//! Owns two questions: would this statement begin or end a transaction behind the scope's back, or leave something on the
//! connection that the next borrower would find; and may it be retried? Strings and comments are skipped; SQL is not parsed. The
//! text does not show what a trigger, a view's function or an operator does.

mod effect;
#[cfg(feature = "postgres")]
pub(crate) mod postgres;
#[cfg(feature = "sqlite")]
pub(crate) mod sqlite;
mod words;

pub use effect::Effect;
