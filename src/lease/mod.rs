//! What a session works on: a connection of its own, or turns on the one that all scopes of a test share.
//!
//! | file | owns |
//! | --- | --- |
//! | [`joint`] | the shared connection: who has the turn, whether the test is still isolated, undoing what the last turn left |
//! | [`turns`] | one scope's turns, and the savepoint that stands for its transaction |
//! | [`kind`] | either of the two, as one connection |
//!
//! Lending and taking back is `lender`'s, the test's side `testing`'s.

mod joint;
mod kind;
mod turns;

pub(crate) use joint::{Joint, quiesce};
pub(crate) use kind::Lease;
pub(crate) use turns::{Left, Turns};
