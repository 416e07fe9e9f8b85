//! The hold: while an actor is polled, the statements of real connections stand still.
//!
//! Without it, the driver's threads would decide whether a statement is answered in the very poll that sends it, and a
//! run could miss a gate or a cancel within a command that another run meets.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

/// The longest that a statement is held: far longer than a poll takes, unless the poll waits for that very statement.
const HOLD_MAX: Duration = Duration::from_millis(20);

/// Shared by the executor and the hooks of one plan's connections.
#[derive(Clone, Default)]
pub(crate) struct Hold {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    held: AtomicBool,
    /// Guards no data: a waiting thread takes it between its look at `held` and its sleep.
    turnstile: Mutex<()>,
    released: Condvar,
}

impl Hold {
    /// Statements stand still until the guard is dropped.
    pub(crate) fn close(&self) -> Held<'_> {
        self.shared.held.store(true, Ordering::Release);
        Held { hold: self }
    }

    /// Called by the hooks of a statement that executes, on the driver's thread: waits until it may go on.
    pub(crate) fn wait(&self) {
        let held = || self.shared.held.load(Ordering::Acquire);
        if held() {
            let turnstile = self.shared.turnstile.lock().unwrap_or_else(PoisonError::into_inner);
            // The statement goes on after a release or a time-out.
            let _ = self.shared.released.wait_timeout_while(turnstile, HOLD_MAX, |()| held());
        }
    }
}

/// See [`Hold::close`].
pub(crate) struct Held<'a> {
    hold: &'a Hold,
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.hold.shared.held.store(false, Ordering::Release);
        drop(self.hold.shared.turnstile.lock().unwrap_or_else(PoisonError::into_inner));
        self.hold.shared.released.notify_all();
    }
}
