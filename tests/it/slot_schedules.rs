//! Hazard: several ask for a service that is being built. Every schedule of a few of them, one poll or lock at a time.
//!
//! The registry's own source is compiled here over locks that a model checker schedules.

#[allow(dead_code, reason = "the checks do not need all of it")]
#[path = "../../src/registry/slot.rs"]
mod slot;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::Poll;

use shuttle::future::{block_on, yield_now};
use slot::{Claim, Slot};

/// What the askers share. Only the slot's locks and the yields are places to switch at; the counters belong to the test.
#[derive(Default)]
struct Place {
    slot: Slot<u64>,
    version: AtomicU64,
    building: AtomicU64,
    built: AtomicU64,
}

impl Place {
    /// Asks, and builds if it has to; `ends_badly` says that it drops the permit instead of finishing.
    async fn ask(&self, ends_badly: bool) -> Option<u64> {
        match self.slot.claim(|| self.version.load(Ordering::SeqCst)).await {
            Claim::Ready(service) => Some(service),
            Claim::Build(permit) => {
                assert_eq!(self.building.fetch_add(1, Ordering::SeqCst), 0, "two build at the same time");
                let service = self.version.load(Ordering::SeqCst);
                yield_now().await;
                self.building.fetch_sub(1, Ordering::SeqCst);
                if ends_badly {
                    return None;
                }
                self.built.fetch_add(1, Ordering::SeqCst);
                permit.finish(service);
                Some(service)
            }
        }
    }
}

/// Far above what any of these has: a check that ends here has not seen every schedule.
const SCHEDULES_MAX: usize = 300_000;

/// Runs it along every schedule.
fn every_schedule(name: &str, run: impl Fn() + Send + Sync + 'static) {
    let runs = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&runs);
    let run = move || {
        counted.fetch_add(1, Ordering::SeqCst);
        run();
    };
    shuttle::check_dfs(run, Some(SCHEDULES_MAX));
    let runs = runs.load(Ordering::SeqCst);
    println!("{name}: explored {runs} schedules of {runs}");
    assert!(runs > 20 && runs < SCHEDULES_MAX, "{name}: {runs}");
}

/// Two who do something with a place at the same time; what each of them got.
fn both<A: Send + 'static, B>(
    place: &Arc<Place>,
    one: impl AsyncFnOnce(Arc<Place>) -> A + Send + 'static,
    other: impl AsyncFnOnce(Arc<Place>) -> B,
) -> (A, B) {
    let here = Arc::clone(place);
    let one = shuttle::thread::spawn({
        let place = Arc::clone(place);
        move || block_on(one(place))
    });
    let other = block_on(other(here));
    (one.join().expect("no panic"), other)
}

#[test]
fn each_schedule_builds_once_and_leaves_nobody_waiting() {
    every_schedule("two ask", || {
        let place: Arc<Place> = Arc::default();
        let got = both(&place, async |it| it.ask(false).await, async |it| it.ask(false).await);
        assert_eq!(got, (Some(0), Some(0)));
        assert_eq!(place.built.load(Ordering::SeqCst), 1);
    });
}

#[test]
fn builder_that_ends_badly_passes_its_right_on() {
    every_schedule("one ends badly", || {
        let place: Arc<Place> = Arc::default();
        let (bad, good) = both(&place, async |it| it.ask(true).await, async |it| it.ask(false).await);
        assert_eq!(good, Some(0));
        assert!(bad.is_none() || place.built.load(Ordering::SeqCst) == 1);
    });
}

#[test]
fn asker_that_is_cancelled_takes_nothing_with_it() {
    every_schedule("one is cancelled", || {
        let place: Arc<Place> = Arc::default();
        let cancelled = async |place: Arc<Place>| {
            let mut asking = Box::pin(place.slot.claim(|| 0));
            let claimed = std::future::poll_fn(|context| Poll::Ready(asking.as_mut().poll(context))).await;
            yield_now().await;
            // Dropped: the wait, or the right to build.
            drop(claimed);
        };
        let (_, got) = both(&place, cancelled, async |it| it.ask(false).await);
        assert_eq!(got, Some(0));
    });
}

#[test]
fn what_was_built_before_an_invalidation_is_never_had_after_it() {
    every_schedule("invalidated meanwhile", || {
        let place: Arc<Place> = Arc::default();
        let late = async |place: Arc<Place>| {
            place.version.store(1, Ordering::SeqCst);
            place.ask(false).await
        };
        let (_, got) = both(&place, async |it| it.ask(false).await, late);
        assert_eq!(got, Some(1));
    });
}
