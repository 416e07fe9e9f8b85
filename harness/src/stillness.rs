//! Stillness: whether anything still moves that could wake a waiting command.
//!
//! Waiting alone cannot distinguish an endless wait from a long one, but observation can: no event, no step of a
//! statement in the database, no task of the system that came or went. When nothing has moved for [`Limits::still`]
//! looks, the runtime's clock is brought forward by a stride, and again until it has gone further than what a system waits
//! for by default: every timer of the system that would have fired by then has fired, the shorter of two before the longer. If
//! nothing moves after that either, the wait counts as endless.
//!
//! Looks are counted and not milliseconds, the bounds of waits included: on a machine that is too busy to run a plan, its
//! looks are late as well. Whoever works for the database must have had a turn. The threads of a driver in this process must be
//! asleep, since one that has work may not have been let run. Between us and a server there are the proxy's thread and the
//! server's processes: there a look counts only if both have had a turn since the last one. It does not see threads of
//! a system that neither touch the database nor wake an actor.

use std::time::{Duration, Instant};

use futures_util::FutureExt;
use tokio::runtime::Handle;

use crate::clock::Clock;
use crate::limits::Limits;
use crate::plan_threads::AtWork;
use crate::recorder::Recorder;

/// The least time between two looks.
pub(crate) const LOOK: Duration = Duration::from_millis(1);

/// The stride by which the clock is brought forward. Two timers of a system that are further apart fire one after the
/// other.
const STRIDE: Duration = Duration::from_secs(1);

/// How far the clock is brought forward before a wait counts as endless. sqlx's pools wait for a connection for 30 s by default.
const FORWARD_MAX: Duration = Duration::from_mins(1);

/// However busy the machine is, a wait whose bound is counted in looks ends after so many times that bound.
const SLOWED_MAX: u32 = 20;

/// Watches a wait.
pub(crate) struct Stillness<'a> {
    clock: &'a Clock,
    recorder: &'a Recorder,
    limits: &'a Limits,
    seen: (u64, usize),
    turns: [u64; 2],
    looked: Instant,
    /// Looks in a row that found nothing.
    looks: u32,
    /// The threads that had work when nothing had moved for long enough: each must have had a turn since.
    at_work: Option<AtWork>,
    /// All looks since the wait began.
    all_looks: u32,
    brought_forward: Duration,
    begun: Instant,
}

impl<'a> Stillness<'a> {
    /// Starts to watch; the wait ends after [`Limits::hang`] even if something moves all the time.
    pub(crate) fn new(clock: &'a Clock, recorder: &'a Recorder, limits: &'a Limits) -> Self {
        let (seen, turns, now) = (signs(recorder), recorder.heartbeat.turns_between(), Instant::now());
        Self {
            clock,
            recorder,
            limits,
            seen,
            turns,
            looked: now,
            looks: 0,
            at_work: None,
            all_looks: 0,
            brought_forward: Duration::ZERO,
            begun: now,
        }
    }

    /// Whether the wait has lasted for so long, by its looks, with nobody on the way who has not had a turn.
    pub(crate) fn has_lasted(&self, bound: Duration) -> bool {
        let elapsed = self.begun.elapsed();
        elapsed > bound && LOOK * self.all_looks >= bound && self.recorder.heartbeat.are_drivers_asleep()
            || elapsed > bound * SLOWED_MAX
    }

    /// Looks, if it is time to; returns whether to give up the wait.
    ///
    /// # Cancel safety
    /// Not cancel safe: the runtime's clock could be left standing.
    pub(crate) async fn is_endless(&mut self) -> bool {
        if self.has_lasted(self.limits.hang) {
            return true;
        }
        // The last look decides, and takes twice as long.
        let is_over = self.brought_forward >= FORWARD_MAX;
        let looks = self.limits.still * if is_over { 2 } else { 1 };
        if !self.is_still(looks) || !self.had_everybody_a_turn() {
            return false;
        }
        if is_over {
            return true;
        }
        // Beyond what a call takes the strides grow, and still two timers fire one after the other unless they are nearly as long.
        let stride = if self.brought_forward < self.limits.hang { self.stride() } else { self.brought_forward };
        self.go_forward(stride).await;
        false
    }

    /// Brings the runtime's clock forward by one stride, unless it has gone the whole of [`Limits::hang`]; whether it was.
    ///
    /// # Cancel safety
    /// Not cancel safe, as [`Stillness::is_endless`].
    pub(crate) async fn bring_forward(&mut self) -> bool {
        self.brought_forward < self.limits.hang && self.go_forward(self.stride()).await
    }

    fn stride(&self) -> Duration {
        STRIDE.min(self.limits.hang)
    }

    async fn go_forward(&mut self, stride: Duration) -> bool {
        if !self.clock.bring_forward(stride).await {
            return false;
        }
        self.brought_forward += stride;
        (self.looks, self.at_work) = (0, None);
        true
    }

    /// Looks, if it is time to; returns whether nothing has moved for this many looks.
    pub(crate) fn is_still(&mut self, looks: u32) -> bool {
        if self.looked.elapsed() < LOOK {
            return false;
        }
        self.looked = Instant::now();
        self.recorder.heartbeat.look();
        let turns = self.recorder.heartbeat.turns_between();
        if turns.iter().zip(self.turns).any(|(now, before)| *now == before && before > 0) {
            return false;
        }
        self.turns = turns;
        self.all_looks += 1;
        let now = signs(self.recorder);
        if now != self.seen {
            (self.seen, self.looks, self.at_work) = (now, 0, None);
            return false;
        }
        self.looks += 1;
        if self.looks < looks {
            return false;
        }
        // A thread that has work moves, although it has shown nothing yet.
        let is_still = self.recorder.heartbeat.are_drivers_asleep() && signs(self.recorder) == self.seen;
        if !is_still {
            (self.looks, self.at_work) = (0, None);
        }
        is_still
    }

    /// Whether each thread that had work has had a turn since nothing moves. Whoever waited for one of them has work again.
    fn had_everybody_a_turn(&mut self) -> bool {
        let heartbeat = &self.recorder.heartbeat;
        self.at_work.get_or_insert_with(|| heartbeat.at_work()).have_had_a_turn() && heartbeat.are_drivers_asleep()
    }
}

fn signs(recorder: &Recorder) -> (u64, usize) {
    (recorder.signs(), tasks_alive())
}

/// Returns how many tasks the runtime has.
pub(crate) fn tasks_alive() -> usize {
    Handle::current().metrics().num_alive_tasks()
}

/// Runs the harness's own wait, which no timer of the system can end; returns none once nothing moves.
///
/// # Cancel safety
/// As the future.
pub(crate) async fn unless_still<T>(
    future: impl Future<Output = T>,
    clock: &Clock,
    recorder: &Recorder,
    limits: &Limits,
) -> Option<T> {
    let mut future = std::pin::pin!(future);
    let mut stillness = Stillness::new(clock, recorder, limits);
    loop {
        if let Some(output) = clock.for_a_moment(future.as_mut()).await {
            return Some(output);
        }
        if stillness.is_still(limits.still) {
            return future.now_or_never();
        }
    }
}

/// Runs the future to its end; returns none if it hangs.
///
/// # Cancel safety
/// Not cancel safe, as [`Stillness::is_endless`].
pub(crate) async fn unless_endless<T>(
    future: impl Future<Output = T>,
    clock: &Clock,
    recorder: &Recorder,
    limits: &Limits,
) -> Option<T> {
    let mut future = std::pin::pin!(future);
    let mut stillness = Stillness::new(clock, recorder, limits);
    loop {
        if let Some(output) = clock.for_a_moment(future.as_mut()).await {
            return Some(output);
        }
        if stillness.is_endless().await {
            // Its end may have come with the last look.
            return future.now_or_never();
        }
    }
}

#[cfg(test)]
#[cfg(all(feature = "sqlite", target_os = "linux"))]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::mpsc::channel;
    use std::thread;

    use super::*;
    use crate::plan::Backend;

    /// A driver's thread that has work and shows nothing of it yet.
    #[test]
    fn nothing_is_still_while_a_thread_of_the_driver_has_work() {
        let of_plan = thread::Builder::new().name("plan-of-still".into()).spawn(|| {
            let (recorder, limits) = (Recorder::default(), Limits::default());
            recorder.heartbeat.set_thread();
            recorder.heartbeat.announce_driver("db-still");
            let is_done = Arc::new(AtomicBool::new(false));
            let (begun, begins) = channel();
            let works = Arc::clone(&is_done);
            let driver = thread::Builder::new().name("db-still".into()).spawn(move || {
                begun.send(()).expect("the test goes on");
                while !works.load(Ordering::Acquire) {
                    std::hint::spin_loop();
                }
            });
            begins.recv().expect("it works");
            let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
            runtime.block_on(async {
                let clock = Clock::on(Backend::Sqlite);
                let mut stillness = Stillness::new(&clock, &recorder, &limits);
                let mut is_still = || {
                    thread::sleep(LOOK);
                    stillness.is_still(limits.grace)
                };
                assert!(!(0..4 * limits.grace).any(|_| is_still()), "it has work");
                is_done.store(true, Ordering::Release);
                driver.expect("there is room for a thread").join().expect("it ends");
                // A bound for a failure alone: it takes as many looks as it must.
                assert!((0..1000 * limits.grace).any(|_| is_still()), "it has ended");
            });
        });
        of_plan.expect("there is room for a thread").join().expect("nothing failed in it");
    }
}
