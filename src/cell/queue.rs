//! The call in flight of a scope.
//!
//! Owns what a waiting call reports: which call has the session, of which task, and whether it waits for its reader.
//! The waiting itself is in `call`.

use crate::source::TaskId;
use crate::sync::Shared;

/// Which call has the session.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    call: Shared<Option<CallInFlight>>,
}

/// A call that has the session.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CallInFlight {
    pub(crate) operation: &'static str,
    pub(crate) task: TaskId,
    /// It is a row stream that handed a row out and waits for its reader.
    pub(crate) paused: bool,
}

impl Queue {
    pub(crate) fn call(&self) -> Option<CallInFlight> {
        self.call.with(|call| *call)
    }

    /// Records that this call has the session.
    pub(crate) fn begin(&self, operation: &'static str, task: TaskId) {
        self.call.with(|call| *call = Some(CallInFlight { operation, task, paused: false }));
    }

    /// Records that no call has the session.
    pub(crate) fn end(&self) {
        self.call.with(|call| *call = None);
    }

    /// Records that the call handed out a row and waits for its reader.
    pub(crate) fn pause(&self) {
        self.set_paused(true);
    }

    /// Records that the reader wants the next row.
    pub(crate) fn resume(&self) {
        self.set_paused(false);
    }

    fn set_paused(&self, paused: bool) {
        self.call.with(|call| {
            if let Some(call) = call {
                call.paused = paused;
            }
        });
    }
}
