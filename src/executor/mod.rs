//! `&Handle` and `&Scope` as sqlx executors: `query!`, `query_as`, streams and friends run on them.
//!
//! | file | owns |
//! | --- | --- |
//! | [`prepared`] | a statement taken apart, so that its text can be looked at before it runs |
//! | [`retry`] | running a statement again of which nothing was done |
//! | [`run`] | the way of a statement from sqlx to the session, and of its outcome back |
//! | [`delegation`] | the two implementations of [`sqlx::Executor`], which are one |
//!
//! The connection is never in the caller's hands: two of them could be swapped.

mod delegation;
mod prepared;
mod retry;
mod run;
