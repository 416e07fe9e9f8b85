//! The lender: what every scope of one `Sessions` borrows from and gives back to.
//!
//! | file | owns |
//! | --- | --- |
//! | [`holders`] | the list of open scopes |
//! | [`shared`] | the lender itself; what is counted and told; closing a connection that cannot be trusted |
//! | [`lending`] | attempts, backoff and deadline; health before lending |
//! | [`settling`] | what a cancelled call has left; losing a session's connection |
//! | [`release`] | the release gate: what a connection passes before its next borrower gets it |
//!
//! A lender knows holders, not scopes: whoever borrows is a name and a place in the code.

mod holders;
mod lending;
mod release;
mod settling;
mod shared;

pub(crate) use lending::Fitness;
pub(crate) use shared::{Gone, Lender};
