//! The state that a scope and its handles share.
//!
//! | file | owns |
//! | --- | --- |
//! | [`queue`] | the call in flight, for the messages of waiting calls |
//! | [`level`] | which level of the scope may use the session |
//! | [`shared`] | the cell: the session, its generation, its end, what is attached to it |
//! | [`handle`] | what names a cell for one owner |
//!
//! How a call uses the session is in `call`; the operations of a handle are in `verbs`.

mod handle;
mod level;
mod queue;
mod shared;

pub use handle::Handle;
pub(crate) use level::Level;
pub(crate) use shared::{Cell, SessionGuard};
