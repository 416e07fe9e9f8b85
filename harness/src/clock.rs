//! The clock of a plan's runtime, and the waits of the harness beside it.
//!
//! Owns who moves that clock. It is brought forward where nothing moves. Behind a wire it stands while a system is on the stage,
//! and moves by what the harness waits alone, a moment at a time: a system has limits in time, and on a busy machine they would
//! run out although nothing is wrong, since an answer takes four processes their turns, and a server its start.

use std::cell::Cell;
use std::pin::pin;
use std::thread;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use futures_util::future::{Either, select};
use tokio::runtime::{Handle, RuntimeFlavor};

use crate::plan::Backend;

/// How long something is waited for between two looks. The runtime's timers fire up to a millisecond later than they are told.
const WAIT: Duration = Duration::from_micros(100);

/// The pause between two looks at something that ends within a round trip to a driver's thread: a busy loop would take
/// the processor from that thread.
const NAP: Duration = Duration::from_micros(20);

/// The same behind a wire, where a round trip takes the turns of four processes.
const NAP_BEHIND_A_WIRE: Duration = Duration::from_micros(100);

/// The most that a standing clock moves by one wait, however long the machine took over it.
const WAIT_COUNTS_MAX: Duration = Duration::from_millis(1);

/// The clock of the runtime that a plan runs on.
pub(crate) struct Clock {
    /// It stands, and moves by waits alone.
    stands: Cell<bool>,
}

impl Clock {
    /// The clock for a plan on this backend; it stands until this is dropped, where that matters and can be. Another kind of
    /// runtime than a thread's own keeps its own time.
    pub(crate) fn on(backend: Backend) -> Self {
        let stands = backend == Backend::Postgres && is_ours();
        if stands {
            tokio::time::pause();
        }
        Self { stands: Cell::new(stands) }
    }

    /// Lets it go on by itself, for waits of other kinds than these.
    pub(crate) fn let_go(&self) {
        if self.stands.take() {
            tokio::time::resume();
        }
    }

    /// Lets the runtime's tasks and the threads of a driver or a proxy make progress.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub(crate) async fn nap(&self) {
        self.pause(if self.stands.get() { NAP_BEHIND_A_WIRE } else { NAP }).await;
    }

    /// Lets the runtime's tasks run, and then blocks its thread for so long.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub(crate) async fn pause(&self, time: Duration) {
        tokio::task::yield_now().await;
        let begun = Instant::now();
        thread::sleep(time);
        if self.stands.get() {
            advance(begun.elapsed().min(WAIT_COUNTS_MAX));
        }
    }

    /// Waits a moment for the future; returns none if it has not ended.
    ///
    /// # Cancel safety
    /// As the future.
    pub(crate) async fn for_a_moment<T>(&self, future: impl Future<Output = T>) -> Option<T> {
        if !self.stands.get() {
            return tokio::time::timeout(WAIT, future).await.ok();
        }
        match select(pin!(future), pin!(self.nap())).await {
            Either::Left((output, _)) => Some(output),
            Either::Right(_) => None,
        }
    }

    /// Runs the future to its end. Everything that the harness itself waits for goes through here: while its thread sleeps, a clock
    /// that stands is moved on to the next timer of the system, by tokio.
    ///
    /// # Cancel safety
    /// As the future.
    pub(crate) async fn to_the_end<T>(&self, future: impl Future<Output = T>) -> T {
        let mut future = pin!(future);
        if !self.stands.get() {
            return future.await;
        }
        loop {
            if let Some(output) = self.for_a_moment(future.as_mut()).await {
                return output;
            }
        }
    }

    /// Brings it forward; whether it was.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub(crate) async fn bring_forward(&self, stride: Duration) -> bool {
        let is_possible = is_ours();
        if is_possible && self.stands.get() {
            advance(stride);
        } else if is_possible {
            tokio::time::pause();
            advance(stride);
            tokio::time::resume();
        }
        tokio::task::yield_now().await;
        is_possible
    }
}

impl Drop for Clock {
    fn drop(&mut self) {
        self.let_go();
    }
}

/// Moves a standing clock at once. What tokio offers moves it when it is polled, and then yields.
fn advance(time: Duration) {
    let _ = tokio::time::advance(time).now_or_never();
}

fn is_ours() -> bool {
    Handle::current().runtime_flavor() == RuntimeFlavor::CurrentThread
}
