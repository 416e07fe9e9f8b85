//! The connection that a session works on: its own, or turns on the one that all scopes of a test share.
//!
//! | file | owns |
//! | --- | --- |
//! | [`joint`] | the shared connection: the current turn, the loss of isolation, undoing what the last turn left |
//! | [`turns`] | one scope's turns, and the savepoint that stands for its transaction |
//! | [`kind`] | either of the two, as one connection |
//!
//! Lending and taking back belong to `lender`, the test's side to `testing`.

mod joint;
mod kind;
mod turns;

pub(crate) use joint::{Joint, quiesce};
pub(crate) use kind::Lease;
pub(crate) use turns::{Left, Turns};
