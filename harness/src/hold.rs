//! The hold: while an actor is polled, the statements of real connections stand still.
//!
//! Else it would be up to the driver's threads whether a statement is answered in the very poll that sends it, and a gate or a
//! cancel within a command would be met in one run and missed in the next.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// The longest that a statement is held: far longer than a poll takes, unless the poll waits for that very statement.
const HOLD_MAX: Duration = Duration::from_millis(20);

/// Shared by the executor and the hooks of one plan's connections.
#[derive(Clone, Default)]
pub(crate) struct Hold {
    held: Arc<AtomicBool>,
}

impl Hold {
    /// Statements stand still until the guard is dropped.
    pub(crate) fn close(&self) -> Held<'_> {
        self.held.store(true, Ordering::Release);
        Held { hold: self }
    }

    /// Called by the hooks of a statement that executes, on the driver's thread: waits until it may go on.
    pub(crate) fn wait(&self) {
        if !self.held.load(Ordering::Acquire) {
            return;
        }
        let since = Instant::now();
        while self.held.load(Ordering::Acquire) && since.elapsed() < HOLD_MAX {
            std::thread::yield_now();
        }
    }
}

/// See [`Hold::close`].
pub(crate) struct Held<'a> {
    hold: &'a Hold,
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.hold.held.store(false, Ordering::Release);
    }
}
