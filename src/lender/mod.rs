//! The lender: every scope of one `Sessions` borrows from it and gives back to it.
//!
//! | file | owns |
//! | --- | --- |
//! | [`holders`] | the list of open scopes |
//! | [`shared`] | the lender itself; counters and listeners; closing a connection that cannot be trusted |
//! | [`lending`] | attempts, backoff and deadline; health before lending |
//! | [`settling`] | the end of a cancelled call; losing a session's connection |
//! | [`release`] | the release gate, which a connection passes before its next borrower gets it |
//!
//! A lender knows holders, not scopes: a borrower is a name and a place in the code.

mod holders;
mod lending;
mod release;
mod settling;
mod shared;

pub(crate) use lending::Fitness;
pub(crate) use shared::{Gone, Lender};
