//! The alarm: how an actor or a task is woken, and how the scheduler sees that it was.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Poll, Wake};

use futures_util::task::AtomicWaker;

/// Remembers that it rang, and wakes whoever waits for that.
#[derive(Default)]
pub struct Alarm {
    rang: AtomicBool,
    waiting: AtomicWaker,
}

impl Alarm {
    /// One that rings already: what belongs to it is polled a first time.
    pub fn ringing() -> Arc<Self> {
        Arc::new(Self { rang: AtomicBool::new(true), waiting: AtomicWaker::new() })
    }

    /// Whether it rang since it was silenced.
    pub fn rang(&self) -> bool {
        self.rang.load(Ordering::Acquire)
    }

    /// Silences it; whether it rang.
    pub fn silence(&self) -> bool {
        self.rang.swap(false, Ordering::AcqRel)
    }

    /// Waits until it rings, and silences it.
    ///
    /// # Cancel safety
    /// Cancel safe: a ring that nobody has waited for stays.
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
