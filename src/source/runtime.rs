//! Time, tasks and randomness from tokio and the machine, for the sources of real databases.
//!
//! Nothing above a [`Source`](super::Source) calls this: a simulated source has a clock and tasks of its own.

use std::pin::Pin;
use std::sync::OnceLock;
use std::thread::ThreadId;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::task::{self, AbortHandle};
use tokio::time::Instant;

/// The task that makes an asynchronous call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TaskId {
    /// A task of tokio's.
    Tokio(task::Id),
    /// A task of another scheduler.
    Task(u64),
    /// Outside of any task: the thread.
    Thread(ThreadId),
}

/// Since the first question, by the clock of tokio, which a test may bring forward.
pub(crate) fn now() -> Duration {
    static START: OnceLock<std::time::Instant> = OnceLock::new();
    // By the machine's clock: that of a runtime may have been brought forward, and another's is behind it then.
    let start = *START.get_or_init(std::time::Instant::now);
    Instant::now().into_std().saturating_duration_since(start)
}

/// Runs the task on the current runtime, if there is one.
pub(crate) fn spawn(task: Pin<Box<dyn Future<Output = ()> + Send>>) -> bool {
    match Handle::try_current() {
        Ok(runtime) => {
            drop(runtime.spawn(task));
            true
        }
        Err(_) => false,
    }
}

/// The same, for a task that is ended before its end; none if there is no runtime.
pub(super) fn spawn_abortable(task: impl Future<Output = ()> + Send + 'static) -> Option<AbortHandle> {
    Some(Handle::try_current().ok()?.spawn(task).abort_handle())
}

/// The current task; outside of one (in `block_on`, as in the body of a test) the thread.
pub(crate) fn task() -> TaskId {
    match task::try_id() {
        Some(id) => TaskId::Tokio(id),
        None => TaskId::Thread(std::thread::current().id()),
    }
}

/// A random number.
pub(crate) fn random() -> u64 {
    rand::random()
}

/// Waits.
pub(crate) async fn sleep(duration: Duration) {
    tokio::time::sleep(duration).await;
}

/// The future's output, or none when the limit was reached first.
pub(crate) async fn within<F: Future>(limit: Duration, future: F) -> Option<F::Output> {
    tokio::time::timeout(limit, future).await.ok()
}
