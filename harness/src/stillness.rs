//! Stillness: whether anything still moves that could wake a waiting command.
//!
//! Waiting alone cannot distinguish an endless wait from a long one, but observation can: no event, no step of a
//! statement in the database, no task of the system that came or went. When nothing has moved for [`Limits::still`]
//! looks, the runtime's clock is brought forward by a stride, and again until it has gone the whole of
//! [`Limits::hang`]: every timer of the system that would have fired by then has fired, the shorter of two before the
//! longer. If nothing moves after that either, the wait counts as endless.
//!
//! Looks are counted and not milliseconds: on a machine that is too busy to run the driver's threads, the looking
//! thread does not run either. Between us and a server there are the proxy's thread and the server's processes, which
//! run or wait on their own: there a look counts only if both have had a turn since the last one, so that a busy
//! machine slows the look down too. It does not see threads of a system that neither touch the database nor wake an
//! actor.

use std::time::{Duration, Instant};

use tokio::runtime::{Handle, RuntimeFlavor};

use crate::limits::Limits;
use crate::recorder::Recorder;

/// The least time between two looks.
pub(crate) const LOOK: Duration = Duration::from_millis(1);

/// The stride by which the clock is brought forward. Two timers of a system that are further apart fire one after the
/// other.
const STRIDE: Duration = Duration::from_secs(1);

/// Watches a wait.
pub(crate) struct Stillness<'a> {
    recorder: &'a Recorder,
    limits: &'a Limits,
    seen: (u64, usize),
    turns: [u64; 2],
    looked: Instant,
    looks: u32,
    brought_forward: Duration,
    until: Instant,
}

impl<'a> Stillness<'a> {
    /// Starts to watch; the wait ends after [`Limits::hang`] even if something moves all the time.
    pub(crate) fn new(recorder: &'a Recorder, limits: &'a Limits) -> Self {
        let (seen, turns, now) = (signs(recorder), recorder.heartbeat.turns_between(), Instant::now());
        Self {
            recorder,
            limits,
            seen,
            turns,
            looked: now,
            looks: 0,
            brought_forward: Duration::ZERO,
            until: now + limits.hang,
        }
    }

    /// Looks, if it is time to; returns whether to give up the wait.
    ///
    /// # Cancel safety
    /// Not cancel safe: the runtime's clock could be left standing.
    pub(crate) async fn is_endless(&mut self) -> bool {
        if Instant::now() > self.until {
            return true;
        }
        // The last look decides, and takes twice as long.
        let is_over = self.brought_forward >= self.limits.hang;
        let looks = self.limits.still * if is_over { 2 } else { 1 };
        if !self.is_still(looks) {
            return false;
        }
        if is_over {
            return true;
        }
        // Another kind of runtime keeps its own time: the wait takes the whole limit there.
        if Handle::current().runtime_flavor() != RuntimeFlavor::CurrentThread {
            return false;
        }
        let stride = STRIDE.min(self.limits.hang);
        self.brought_forward += stride;
        self.looks = 0;
        tokio::time::pause();
        tokio::time::advance(stride).await;
        tokio::time::resume();
        false
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
        let now = signs(self.recorder);
        if now != self.seen {
            (self.seen, self.looks) = (now, 0);
            return false;
        }
        self.looks += 1;
        self.looks >= looks
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
    recorder: &Recorder,
    limits: &Limits,
) -> Option<T> {
    let mut future = std::pin::pin!(future);
    let mut stillness = Stillness::new(recorder, limits);
    loop {
        if let Ok(output) = tokio::time::timeout(LOOK, future.as_mut()).await {
            return Some(output);
        }
        if stillness.is_still(limits.still) {
            return None;
        }
    }
}

/// Runs the future to its end; returns none if it hangs.
///
/// # Cancel safety
/// Not cancel safe, as [`Stillness::is_endless`].
pub(crate) async fn unless_endless<T>(
    future: impl Future<Output = T>,
    recorder: &Recorder,
    limits: &Limits,
) -> Option<T> {
    let mut future = std::pin::pin!(future);
    let mut stillness = Stillness::new(recorder, limits);
    loop {
        if let Ok(output) = tokio::time::timeout(LOOK, future.as_mut()).await {
            return Some(output);
        }
        if stillness.is_endless().await {
            return None;
        }
    }
}
