//! `&Handle` and `&Scope` as sqlx executors: `query!`, `query_as`, streams and friends run on them.
//!
//! | file | owns |
//! | --- | --- |
//! | [`prepared`] | a statement taken apart, so that its text can be looked at before it runs |
//! | [`retry`] | retrying a statement of which nothing was done |
//! | [`run`] | the path of a statement from sqlx to the session, and of its outcome back |
//! | [`delegation`] | the two implementations of [`sqlx::Executor`], which are one |
//!
//! The caller never gets the connection itself: a caller with two of them could swap them.

mod delegation;
mod prepared;
mod retry;
mod run;
