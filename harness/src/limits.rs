//! The bounds of every wait while a plan runs.
//!
//! Owns the numbers, and how they differ between backends. Pure.

use std::time::Duration;

use crate::plan::Backend;

/// The bounds of every wait.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// How many looks, at least a millisecond apart, must have found that nothing moves before a command that waits counts
    /// as blocked.
    pub grace: u32,
    /// How long a command may wait when nothing is left that could wake it; then it hangs.
    pub hang: Duration,
    /// How many looks, at least a millisecond apart, must have found that nothing moves before a wait is taken to have no
    /// end.
    pub still: u32,
    /// How many looks, at least ten milliseconds apart, must have found that neither the scheduler nor the database
    /// moves before the thread of a plan is abandoned: the system blocks it. Ten times as many if the database moves,
    /// and while the system starts.
    pub motionless: u32,
    /// How long the system's own tasks may take after a step.
    pub settle: Duration,
    /// How long nothing may have moved in the database before it counts as silent.
    pub quiet: Duration,
    /// The longest time of a fault that lasts as long as its command: an outage ends, so that a system can wait for its
    /// end.
    pub fault: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            grace: 5,
            hang: Duration::from_millis(500),
            still: 15,
            motionless: 100,
            settle: Duration::from_millis(100),
            quiet: Duration::from_micros(200),
            fault: Duration::from_millis(60),
        }
    }
}

impl Limits {
    /// Returns the bounds on this backend: behind a wire everything takes longer, and some waits last until a server's
    /// time-out.
    pub(crate) fn on(self, backend: Backend) -> Self {
        match backend {
            Backend::Sqlite | Backend::Sim => self,
            Backend::Postgres => Self { hang: self.hang * 20, settle: self.settle * 10, ..self },
        }
    }
}
