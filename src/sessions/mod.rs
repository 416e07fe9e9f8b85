//! The front door: sessions over a source.
//!
//! | file | owns |
//! | --- | --- |
//! | [`scopes`] | opening scopes, running whole transactions |
//! | [`validity`] | whether the database can be used now |
//! | [`drain`] | the end of sessions |
//!
//! The state of a session is in `session`; lending is in `lender`.

mod drain;
mod scopes;
mod validity;

pub use drain::DrainError;
pub use scopes::Sessions;
