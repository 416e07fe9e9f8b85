//! What a storm is like: how many actors, how many connections, which faults, and until when.

use std::time::Duration;

/// What a storm is like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Storm {
    /// How many actors work.
    pub actors: u32,
    /// How many connections the system may have.
    pub connections: u32,
    /// What the faults and the tasks are drawn from.
    pub seed: u64,
    /// How long faults are injected at most.
    pub time: Duration,
    /// No more faults are injected once the server was restarted so many times.
    pub restarts: u32,
}

impl Default for Storm {
    fn default() -> Self {
        Self { actors: 50, connections: 10, seed: 0, time: Duration::from_secs(30), restarts: u32::MAX }
    }
}
