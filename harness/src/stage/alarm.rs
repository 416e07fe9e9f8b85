//! The alarm: the waker of an actor or a task, visible to the scheduler.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Poll, Wake};

use futures_util::task::AtomicWaker;

/// Remembers that it rang, and wakes the waiting future.
#[derive(Default)]
pub struct Alarm {
    rang: AtomicBool,
    waiting: AtomicWaker,
}

impl Alarm {
    /// Creates an alarm that already rings, so that its future gets a first poll.
    pub fn ringing() -> Arc<Self> {
        Arc::new(Self { rang: AtomicBool::new(true), waiting: AtomicWaker::new() })
    }

    /// Whether it rang since it was silenced.
    pub fn rang(&self) -> bool {
        self.rang.load(Ordering::Acquire)
    }

    /// Silences it; returns whether it rang.
    pub fn silence(&self) -> bool {
        self.rang.swap(false, Ordering::AcqRel)
    }

    /// Waits until it rings, and silences it.
    ///
    /// # Cancel safety
    /// Cancel safe: an unobserved ring stays.
    pub async fn wait(&self) {
        std::future::poll_fn(|context| {
            self.waiting.register(context.waker());
            if self.silence() { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }
}

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.rang.store(true, Ordering::Release);
        self.waiting.wake();
    }
}
