//! One session of one scope: a pure state machine that knows no connection.
//!
//! | file | owns |
//! | --- | --- |
//! | [`state`] | the states of a session and the events that change them |
//! | [`machine`] | the session itself and the only writer of its state |

mod machine;
mod state;

pub(crate) use machine::Session;
pub(crate) use state::{AfterLoss, Call, Happened, Loss, State, TransactionId};
