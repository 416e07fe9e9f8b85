//! What a statement's text says about it before it runs, for each database by its own grammar.
//!
//! Owns one question: would this statement begin or end a transaction behind the scope's back, or leave something on the
//! connection that the next borrower would find? Strings and comments are skipped; SQL is not parsed. What is not seen: what a
//! trigger, a view's function or an operator does.

mod harmless;
pub(crate) mod postgres;
pub(crate) mod sqlite;

/// The word of this list that is this one, in whatever case.
fn listed(word: &str, list: &[&'static str]) -> Option<&'static str> {
    list.iter().find(|it| it.eq_ignore_ascii_case(word)).copied()
}
