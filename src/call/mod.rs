//! One call of a scope, from its entry to its outcome.
//!
//! | file | owns |
//! | --- | --- |
//! | [`queued`] | waiting for the session, in the order of the calls |
//! | [`lending`] | whether the session allows the call, and the connection that it runs on |
//! | [`flight`] | the call in flight; a dropped one counts as cancelled |
//! | [`patience`] | how long the database's answer is waited for |
//! | [`outcome`] | what follows from the answer |
//! | [`unknown`] | a commit with unknown outcome |
//! | [`lent`] | what follows where the caller had the connection itself |
//! | [`ends`] | commit and rollback of the innermost level |
//! | [`begin`] | a begin, on as many connections as it takes |
//! | [`entry`] | the ways in |
//!
//! Every outcome passes through [`Session::transition`](crate::session::Session::transition) here, and nowhere else.
//! The operations that callers see are in `verbs` and `scope`.

mod begin;
mod ends;
mod entry;
mod flight;
mod lending;
mod lent;
mod outcome;
mod patience;
mod queued;
mod unknown;

pub(crate) use begin::begin;
pub(crate) use entry::{borrow, enter, enter_outside, queue};
pub(crate) use flight::{InFlight, ReadOnly};
pub(crate) use queued::close_gate;
