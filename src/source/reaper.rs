//! The reaper: closes idle connections that are too old, whether or not anybody borrows one.
//!
//! Owns the task that looks, and when there is one: from the pool's beginning to its end, on the runtime of whoever made it, or gave
//! a connection back. Which connection is too old is the pool's.

use std::time::Duration;

use tokio::task::AbortHandle;

use super::runtime;
use crate::sync::Shared;

/// How often it looks, at least: the pools of many processes that began together do not close together.
const EVERY_MAX: Duration = Duration::from_secs(30);

/// How often it looks, at most.
const EVERY_MIN: Duration = Duration::from_secs(1);

/// The task of one pool; it ends with this.
#[derive(Default)]
pub(super) struct Reaper {
    task: Shared<Option<AbortHandle>>,
}

impl Reaper {
    /// Sees to it that the task is there. `reap` closes what has been idle for `limit`. A runtime may have ended, and its task with it;
    /// without a runtime nothing is closed before somebody borrows.
    pub(super) fn watch(&self, limit: Duration, reap: impl FnMut() + Send + 'static) {
        self.task.with(|task| {
            if task.as_ref().is_none_or(AbortHandle::is_finished) {
                let every = (limit / 2).clamp(EVERY_MIN, EVERY_MAX);
                *task = runtime::spawn_abortable(look(every, reap));
            }
        });
    }

    /// Ends the task.
    pub(super) fn stop(&self) {
        if let Some(task) = self.task.with(Option::take) {
            task.abort();
        }
    }
}

impl Drop for Reaper {
    fn drop(&mut self) {
        self.stop();
    }
}

async fn look(every: Duration, mut reap: impl FnMut() + Send) {
    loop {
        runtime::sleep(every).await;
        reap();
    }
}
