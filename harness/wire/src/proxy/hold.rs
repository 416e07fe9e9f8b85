//! The hold: while an actor is polled, no byte goes to a client.
//!
//! Without it, the server's speed would decide whether a reply is there in the very poll that sends the request, and a
//! run could miss a gate or a cancel within a command that another run meets; the harness has the same for SQLite's
//! statements. Taken by the plan's thread for every poll, so it costs a lock and a look at the clock. The look and the
//! write that it allows are under one lock: what is written was not held, and a holder knows that nothing is being
//! written.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::time::timeout_at;

/// The longest that bytes are held: far longer than a poll takes, unless the poll waits for those very bytes.
const HOLD_MAX: Duration = Duration::from_millis(20);

#[derive(Default)]
pub(super) struct Hold {
    taken: Mutex<Taken>,
    released: Notify,
}

#[derive(Default)]
struct Taken {
    guards: u32,
    /// Since when there has been a guard.
    since: Option<Instant>,
}

/// No byte goes to a client while this is alive, for at most 20 ms.
#[must_use = "released when dropped"]
pub struct Held<'a> {
    hold: &'a Hold,
}

impl Hold {
    pub(super) fn take(&self) -> Held<'_> {
        let mut taken = self.lock();
        taken.guards += 1;
        taken.since.get_or_insert_with(Instant::now);
        Held { hold: self }
    }

    /// Does something at once that may not happen under a hold; waits for it to be released, or over, if need be.
    ///
    /// Cancel safe: either it was done or it was not.
    pub(super) async fn pass<T>(&self, act: impl FnOnce() -> T) -> T {
        let arrived = Instant::now();
        loop {
            // From here on a release is not missed, whenever it comes.
            let released = self.released.notified();
            let until = {
                let taken = self.lock();
                // Holds that follow each other closely must not starve a reply.
                let until = taken.since.map(|since| since.min(arrived) + HOLD_MAX);
                match until.filter(|it| *it > Instant::now()) {
                    Some(until) => until,
                    None => return act(),
                }
            };
            let _ = timeout_at(until.into(), released).await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        // A count and a time are whole at every point.
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        let mut taken = self.hold.lock();
        taken.guards -= 1;
        if taken.guards == 0 {
            taken.since = None;
            self.hold.released.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::{Instant as Clock, sleep};

    #[tokio::test]
    async fn held_act_waits_for_the_release() {
        let hold = Hold::default();
        let (outer, inner) = (hold.take(), hold.take());
        drop(inner);
        let release = async {
            sleep(Duration::from_millis(5)).await;
            drop(outer);
        };
        let begun = Clock::now();
        tokio::join!(hold.pass(|| ()), release);
        assert!((Duration::from_millis(5)..HOLD_MAX).contains(&begun.elapsed()));
    }

    #[tokio::test]
    async fn hold_is_over_in_the_end() {
        let hold = Hold::default();
        let held = hold.take();
        let begun = Clock::now();
        hold.pass(|| ()).await;
        assert!(begun.elapsed() >= HOLD_MAX - Duration::from_millis(1));
        let restarted = Clock::now();
        hold.pass(|| ()).await;
        assert!(restarted.elapsed() < HOLD_MAX / 2, "it is over for everything, not for one piece at a time");
        drop(held);
    }

    #[tokio::test]
    async fn one_hold_after_the_other_starves_nobody() {
        let hold = Hold::default();
        let begun = Clock::now();
        let polls = async {
            while begun.elapsed() < 10 * HOLD_MAX {
                let held = hold.take();
                sleep(Duration::from_millis(1)).await;
                drop(held);
                let _held = hold.take();
                sleep(Duration::from_millis(1)).await;
            }
        };
        let passed = async {
            sleep(Duration::from_micros(500)).await;
            hold.pass(|| begun.elapsed()).await
        };
        let (passed, ()) = tokio::join!(passed, polls);
        assert!(passed < 3 * HOLD_MAX, "{passed:?}");
    }
}
