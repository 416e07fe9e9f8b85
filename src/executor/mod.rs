//! `&Handle` and `&Scope` as sqlx executors: `query!`, `query_as`, streams and friends run on them.
//!
//! | file | owns |
//! | --- | --- |
//! | [`prepared`] | a statement taken apart, so that its text can be looked at before it runs |
//! | [`retry`] | retrying a statement of which nothing was done |
//! | [`run`] | the path of a statement from sqlx to the session, and of its outcome back |
//! | [`delegation`] | the two implementations of [`sqlx::Executor`], which are one |
//!
//! A query never hands out the connection itself: a caller with two of them could swap them. Functions that want it are for `lent`.

mod delegation;
mod prepared;
mod retry;
mod run;

pub(crate) use prepared::DatabaseOf;
