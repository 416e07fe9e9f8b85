//! The thread that a plan runs on, and the watch over it.
//!
//! Owns the runtime of a plan and the boundary to a system that never gives its thread back: a system that sleeps,
//! waits for a lock or loops inside a poll. The executor handles futures that wait; a blocked thread cannot poll
//! anything, so the plan runs on a thread of its own and the caller watches it. A thread cannot be ended from outside:
//! it is abandoned, and stays with its connections until the process ends.
//!
//! The criterion is that nothing moves, as for a future (`stillness`), and looks are counted instead of time: only those
//! count before which the plan's thread was let run, if it had work.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};

use crate::database::Database;
use crate::erased::Starter;
use crate::execute::execute;
use crate::history::{Event, History, What};
use crate::limits::Limits;
use crate::plan::Plan;
use crate::plan_threads::AtWork;
use crate::recorder::Recorder;
use crate::stage::panic_text;

/// The pause between two looks at a plan that has not ended.
const LOOK: Duration = Duration::from_millis(10);

/// Without optimisation the futures of a system are large and nested on the stack. Untouched pages cost nothing.
const STACK: usize = 64 << 20;

/// How much longer a thread is watched while its statements move, or while its system starts.
const PATIENCE: u32 = 10;

/// How many threads of this process were abandoned; they stay until it ends.
pub fn threads_given_up() -> u64 {
    GIVEN_UP.load(Ordering::Relaxed)
}

static GIVEN_UP: AtomicU64 = AtomicU64::new(0);

static HIRED: AtomicU64 = AtomicU64::new(0);

type Job = Box<dyn FnOnce() + Send>;

thread_local! {
    /// The worker of this thread; none before the first plan, and after a worker was abandoned.
    static WORKER: RefCell<Option<Sender<Job>>> = const { RefCell::new(None) };
    /// One runtime for the plans of a worker; a plan that leaves tasks behind ends it.
    static RUNTIME: RefCell<Option<Runtime>> = const { RefCell::new(None) };
}

/// Runs a plan on the worker of this thread and waits for its history, or abandons the worker.
pub(crate) fn watched(starter: Starter<Database>, plan: &Plan, limits: &Limits) -> History {
    let recorder = Recorder::default();
    let (answer, answered) = channel();
    let job = {
        let (plan, limits, recorder) = (plan.clone(), *limits, recorder.clone());
        // The result of an abandoned worker that returns later is ignored.
        Box::new(move || drop(answer.send(run(starter, &plan, &limits, &recorder))))
    };
    let worker = match WORKER.take().map_or_else(hire, Ok) {
        Ok(worker) => worker,
        Err(error) => return harness_fault(format!("no thread for the plan: {error}")),
    };
    if worker.send(job).is_err() {
        return harness_fault("the plan's thread has ended".into());
    }
    let mut watch = Watch::new(&recorder, limits);
    loop {
        match answered.recv_timeout(LOOK) {
            Ok(history) => {
                WORKER.set(Some(worker));
                return history;
            }
            Err(RecvTimeoutError::Timeout) if watch.is_over() => {
                GIVEN_UP.fetch_add(1, Ordering::Relaxed);
                // The thread keeps its files open after their names are removed.
                if let Some(folder) = recorder.heartbeat.folder() {
                    let _ = std::fs::remove_dir_all(folder);
                }
                return recorder.log.give_up();
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return harness_fault("the plan's thread has ended".into()),
        }
    }
}

/// Starts a worker; it ends when the last sender of jobs is dropped.
fn hire() -> std::io::Result<Sender<Job>> {
    let (sender, jobs) = channel::<Job>();
    let work = move || jobs.into_iter().for_each(|job| job());
    // Each has a name of its own: a driver's thread that has just been started still has the name of its plan's.
    let name = format!("plan-{}", HIRED.fetch_add(1, Ordering::Relaxed));
    std::thread::Builder::new().name(name).stack_size(STACK).spawn(work)?;
    Ok(sender)
}

/// Runs a plan on this thread.
fn run(starter: Starter<Database>, plan: &Plan, limits: &Limits, recorder: &Recorder) -> History {
    recorder.heartbeat.set_thread();
    let runtime = match RUNTIME.take().map_or_else(|| Builder::new_current_thread().enable_all().build(), Ok) {
        Ok(runtime) => runtime,
        Err(error) => return harness_fault(format!("no runtime: {error}")),
    };
    // The executor catches panics of actors; this one catches panics of a system that starts or stops.
    let history = catch_unwind(AssertUnwindSafe(|| runtime.block_on(execute(starter, plan, limits, recorder))));
    if history.is_ok() && runtime.metrics().num_alive_tasks() == 0 {
        RUNTIME.set(Some(runtime));
    } else {
        runtime.shutdown_background();
    }
    history.unwrap_or_else(|panic| {
        recorder.log.record(What::Panicked(panic_text(&*panic)));
        recorder.log.finish()
    })
}

fn harness_fault(why: String) -> History {
    let events = vec![Event { by: None, what: What::HarnessFault(why) }];
    History { events, ..History::default() }
}

/// The observations of the watch so far.
struct Watch<'a> {
    recorder: &'a Recorder,
    limits: &'a Limits,
    /// The scheduler's turns and the movements at the last look.
    seen: (u64, u64),
    /// Looks since the scheduler went on.
    unmoved: u32,
    /// Looks since anything moved.
    motionless: u32,
    /// How long the plan's thread had run by the last look.
    run_time: Option<String>,
    /// The threads that had work when nothing had moved for long enough: each must have had a turn since.
    at_work: Option<AtWork>,
}

impl<'a> Watch<'a> {
    fn new(recorder: &'a Recorder, limits: &'a Limits) -> Self {
        Self { recorder, limits, seen: (0, 0), unmoved: 0, motionless: 0, run_time: None, at_work: None }
    }

    /// Looks; returns whether to abandon the thread. An executor that looks for movement is not blocked.
    fn is_over(&mut self) -> bool {
        let heartbeat = &self.recorder.heartbeat;
        if !heartbeat.is_on_stage() || !heartbeat.has_thread_had_a_turn(&mut self.run_time) {
            return false;
        }
        let now = (heartbeat.turns(), self.recorder.signs() + heartbeat.looks());
        self.unmoved = if now.0 == self.seen.0 { self.unmoved + 1 } else { 0 };
        self.motionless = if now == self.seen { self.motionless + 1 } else { 0 };
        self.seen = now;
        let started = now.0 > 0;
        let is_over =
            started && self.motionless >= self.limits.motionless || self.unmoved >= PATIENCE * self.limits.motionless;
        if !is_over {
            self.at_work = None;
            return false;
        }
        // It may wait for a lock whose holder was not let run.
        self.at_work.get_or_insert_with(|| heartbeat.at_work()).have_had_a_turn()
    }
}
