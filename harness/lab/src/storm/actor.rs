//! One actor of a storm: one task after the other, some of them cancelled, until everything is healed and it has recovered.
//!
//! Owns the actor's loop and its part of the history. An operation is in the history from its invocation on, so that nothing
//! is lost if the system panics in it.

use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::clock::Clock;
use super::history::{Operation, Outcome};
use super::system::StormSystem;
use super::work::{Answer, Begun, End, Task, Work};

/// How long an operation may take before it counts as hung: longer than the system waits for a connection and for an answer
/// together, with everything healed within half a second.
const OPERATION_MAX: Duration = Duration::from_secs(30);

/// One operation in so many is cancelled, if it takes long enough.
const CANCEL_ONE_IN: u32 = 8;

/// Between two operations, in microseconds at most.
const PAUSE_US: u64 = 2000;

/// After an operation that failed, so that an outage is no busy loop.
const PAUSE_FAILED: Duration = Duration::from_millis(3);

/// What actors have in common.
pub(super) struct ActorContext<S> {
    pub(super) system: S,
    pub(super) clock: Clock,
    /// No fault is injected any more.
    pub(super) healed: AtomicBool,
}

/// One actor's part of the history.
#[derive(Clone, Default)]
pub(super) struct ActorLog {
    operations: Arc<Mutex<Vec<Operation>>>,
}

impl ActorLog {
    /// Takes what is there.
    pub(super) fn take(&self) -> Vec<Operation> {
        std::mem::take(&mut *self.operations.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn invoked(&self, task: Task, now: Duration) {
        let outcome = Outcome::Unknown("it never returned".into());
        let operation = Operation { task, invoked: now, returned: now, outcome, cancelled: false };
        self.operations.lock().unwrap_or_else(PoisonError::into_inner).push(operation);
    }

    fn returned(&self, now: Duration, outcome: Outcome, cancelled: bool) {
        let mut operations = self.operations.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(last) = operations.last_mut() {
            (last.returned, last.outcome, last.cancelled) = (now, outcome, cancelled);
        }
    }
}

/// Works until everything is healed, and then once more; what the system said when it panicked.
pub(super) async fn act<S: StormSystem>(
    context: Arc<ActorContext<S>>,
    actor: u32,
    seed: u64,
    log: ActorLog,
) -> Option<String> {
    match AssertUnwindSafe(work(&context, actor, seed, &log)).catch_unwind().await {
        Ok(()) => None,
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
            Some(text.unwrap_or("a panic without a text").to_owned())
        }
    }
}

async fn work<S: StormSystem>(context: &ActorContext<S>, actor: u32, seed: u64, log: &ActorLog) {
    let mut random = StdRng::seed_from_u64(seed ^ (u64::from(actor) + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    for sequence in 1.. {
        if context.healed.load(Ordering::SeqCst) {
            // The call that must succeed, and a look at everything that was ever acknowledged.
            let work = Work::Append { rows: 2, end: End::Commit };
            one(context, Task { actor, sequence, work }, None, log).await;
            one(context, Task { actor, sequence: sequence + 1, work: Work::Read { since: 1 } }, None, log).await;
            return;
        }
        // Most operations take a millisecond or so: a cancel may come before, within or after each of their parts.
        let after = Duration::from_micros(1 << random.random_range(4..15));
        let cancel = random.random_ratio(1, CANCEL_ONE_IN).then_some(after);
        let done = one(context, Task::draw(actor, sequence, &mut random), cancel, log).await;
        let pause = Duration::from_micros(random.random_range(0..PAUSE_US));
        tokio::time::sleep(if done { pause } else { PAUSE_FAILED }).await;
    }
}

/// One operation; whether it was done.
async fn one<S: StormSystem>(context: &ActorContext<S>, task: Task, cancel: Option<Duration>, log: &ActorLog) -> bool {
    let begun = Begun::default();
    log.invoked(task, context.clock.now());
    let limit = cancel.unwrap_or(OPERATION_MAX);
    let answer = tokio::time::timeout(limit, context.system.work(&task, &begun)).await;
    let (outcome, cancelled) = match answer {
        Ok(Answer::Done(seen)) => (Outcome::Done(seen), false),
        Ok(Answer::NotDone(why)) => (Outcome::NotDone(why), false),
        Ok(Answer::Unknown(why)) => (Outcome::Unknown(why), false),
        Err(_) if cancel.is_none() => (Outcome::Hung, false),
        Err(_) if begun.is() => (Outcome::Unknown("cancelled".into()), true),
        Err(_) => (Outcome::NotDone("cancelled before it could take effect".into()), true),
    };
    let done = matches!(outcome, Outcome::Done(_));
    log.returned(context.clock.now(), outcome, cancelled);
    done
}
