//! The heartbeat: signs of life for the detection of stillness and for the watch over a plan's thread.
//!
//! Owns counters that only ever grow, and the facts that a watch needs about a plan that it does not run. Hooks, the
//! proxy and the monitor beat it from their own threads; [`crate::stillness`] and [`crate::worker`] read it. Nothing of
//! it is history.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use crate::plan_threads::{AtWork, PlanThreads};

/// Counts signs of life of one plan. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Heartbeat {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    beats: AtomicU64,
    turns: AtomicU64,
    looks: AtomicU64,
    /// Turns of the proxy and the server, where the database is another process; 0 elsewhere.
    proxy_turns: AtomicU64,
    server_turns: AtomicU64,
    threads: OnceLock<PlanThreads>,
    on_stage: AtomicBool,
    folder: Mutex<Option<PathBuf>>,
}

impl Heartbeat {
    /// Records progress that is not an event: a statement has advanced one step.
    pub(crate) fn beat(&self) {
        self.shared.beats.fetch_add(1, Ordering::Relaxed);
    }

    /// Returns how often something moved.
    pub(crate) fn beats(&self) -> u64 {
        self.shared.beats.load(Ordering::Relaxed)
    }

    /// Records that the scheduler lets an actor go on.
    pub(crate) fn turn(&self) {
        self.shared.turns.fetch_add(1, Ordering::Release);
    }

    /// The number of the scheduler's present turn. By it a hook sees without a lock that it has reported for this turn
    /// already.
    pub(crate) fn turns(&self) -> u64 {
        self.shared.turns.load(Ordering::Acquire)
    }

    /// Records that the scheduler waits, and looks for progress.
    pub(crate) fn look(&self) {
        self.shared.looks.fetch_add(1, Ordering::Relaxed);
    }

    /// Returns how often it has looked.
    pub(crate) fn looks(&self) -> u64 {
        self.shared.looks.load(Ordering::Relaxed)
    }

    /// Records that the proxy has served all its sockets.
    #[cfg(feature = "postgres")]
    pub(crate) fn proxy_turned(&self) {
        self.shared.proxy_turns.fetch_add(1, Ordering::Release);
    }

    /// Records that the server has been asked about its work.
    #[cfg(feature = "postgres")]
    pub(crate) fn server_turned(&self) {
        self.shared.server_turns.fetch_add(1, Ordering::Release);
    }

    /// How often the proxy and the server had their turns; 0 where there is none.
    pub(crate) fn turns_between(&self) -> [u64; 2] {
        [&self.shared.proxy_turns, &self.shared.server_turns].map(|turns| turns.load(Ordering::Acquire))
    }

    /// Records that the plan runs on this thread.
    pub(crate) fn set_thread(&self) {
        self.shared.threads.get_or_init(PlanThreads::here);
    }

    /// Records that the driver is about to start a thread of this name.
    #[cfg(feature = "sqlite")]
    pub(crate) fn announce_driver(&self, name: &str) {
        if let Some(threads) = self.shared.threads.get() {
            threads.announce_driver(name);
        }
    }

    /// Whether every thread of the driver waits for work; true where there are none.
    pub(crate) fn are_drivers_asleep(&self) -> bool {
        self.shared.threads.get().is_none_or(PlanThreads::are_drivers_asleep)
    }

    /// Whether the plan's own thread has been let run since, if it has work; `before` is what it had run by then.
    pub(crate) fn has_thread_had_a_turn(&self, before: &mut Option<String>) -> bool {
        self.shared.threads.get().is_none_or(|threads| threads.has_own_had_a_turn(before))
    }

    /// The threads of this process that have work, but the plan's own.
    pub(crate) fn at_work(&self) -> AtWork {
        self.shared.threads.get().map(PlanThreads::at_work).unwrap_or_default()
    }

    /// Records whether the system is running; before its start and after its stop the time is the harness's own.
    pub(crate) fn set_on_stage(&self, on_stage: bool) {
        self.shared.on_stage.store(on_stage, Ordering::Release);
    }

    /// Whether the system is there, from its start to its stop.
    pub(crate) fn is_on_stage(&self) -> bool {
        self.shared.on_stage.load(Ordering::Acquire)
    }

    /// Records where the plan's files are, for a watch that has to abandon the plan's thread.
    #[cfg(feature = "sqlite")]
    pub(crate) fn set_folder(&self, folder: PathBuf) {
        *self.shared.folder.lock().unwrap_or_else(PoisonError::into_inner) = Some(folder);
    }

    /// Where the plan's files are, if it has any.
    pub(crate) fn folder(&self) -> Option<PathBuf> {
        self.shared.folder.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
