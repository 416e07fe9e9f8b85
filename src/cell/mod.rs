//! What a scope and its handles share.
//!
//! | file | owns |
//! | --- | --- |
//! | [`queue`] | the call in flight, for the messages of those that wait |
//! | [`level`] | which level of the scope may use the session |
//! | [`shared`] | the cell: the session, its generation, its end, what is attached to it |
//! | [`handle`] | what names a cell for one owner |
//!
//! How a call uses the session is in `call`; what can be asked of a handle is in `verbs`.

mod handle;
mod level;
mod queue;
mod shared;

pub use handle::Handle;
pub(crate) use level::Level;
pub(crate) use shared::{Cell, SessionGuard};
