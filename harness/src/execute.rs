//! Execution: runs one plan against one system and returns its history.
//!
//! Owns the scheduler. It polls the actors itself, one at a time, and lets exactly one pass a gate; what the others do
//! meanwhile is only what the database's and the system's own threads do. It excuses nothing and judges nothing.
//!
//! Pending is not blocked. A command whose future waits counts as blocked (recorded) once nothing has moved for
//! [`Limits::grace`], and the schedule goes on. A blocked actor resumes at the next turn after it was woken; turns that
//! it missed are made up at the end of the schedule. Every wait has a bound in [`Limits`].
//!
//! The first command that hangs ends the plan: that it hangs is a violation already, nothing later could count, and those
//! who are left would only wait for it. They are given up and nobody observes; the rows are still read if they can be,
//! since they may show an earlier violation.

use std::cell::Cell;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use tokio::time::timeout;

use crate::capability::Capability;
use crate::database::Database;
use crate::erased::{Started, Starter};
use crate::history::{History, Outcome, Recorder, What};
use crate::limits::Limits;
use crate::local::Local;
use crate::model::{ends_session, observers};
use crate::plan::{Actor, ActorId, Command, Fault, Gate, Phase, Plan, Turn};
use crate::port::ActorPort;
use crate::stillness::{LOOK, Stillness, tasks_alive, unless_endless, unless_still};

/// Between two looks at what ends within a round trip to a driver's thread: turning in a circle would take the processor
/// from that thread.
const NAP: Duration = Duration::from_micros(20);

/// How many times [`Limits::quiet`] the database must be silent after something was dropped; after a command was cut off; and
/// before somebody looks whether everything is in order again.
const SILENCE: u32 = 1;
const SILENCE_CUT_OFF: u32 = 5;
const SILENCE_BEFORE_LOOK: u32 = 5;

/// Runs the plan on a fresh database. Whoever watches from another thread sees in the recorder how far it has come.
///
/// # Cancel safety
/// Cancel safe: the actors, the system and the database go with the future.
pub(crate) async fn execute(starter: Starter, plan: &Plan, limits: &Limits, recorder: &Recorder) -> History {
    let limits = &limits.on(plan.storage.backend());
    recorder.set_planned(plan.actors.len());
    recorder.set_ground(plan.storage.ground());
    recorder.set_fixture(plan.fixture);
    let database = match Database::create(plan, recorder.clone()).await {
        Ok(database) => database,
        Err(error) => {
            recorder.record(What::HarnessFault(error.to_string()));
            return recorder.finish();
        }
    };
    recorder.set_on_stage(true);
    let system = match (starter.start)(&database).await {
        Ok(system) => system,
        Err(failure) => {
            recorder.record(What::HarnessFault(format!("the system did not start: {}", failure.message)));
            return recorder.finish();
        }
    };
    let tasks = tasks_alive();
    let mut stage =
        Stage { system: &*system, database: &database, recorder, limits, at_rest: tasks, tasks, ongoing: None };

    let mut hung = stage.perform(&plan.actors, 0, &plan.schedule.0).await;
    recorder.set_current(None);
    stage.rest().await;
    recorder.record(What::PlanOver);
    if !hung {
        let observers = observers(plan, starter.capabilities);
        let turns = in_rounds(&observers, plan.actors.len());
        hung = stage.perform(&observers, plan.actors.len(), &turns).await;
        recorder.set_current(None);
    }
    if !hung && starter.capabilities.has(Capability::Reports) {
        stage.rest().await;
        // A report that never comes is a hang like any other.
        match unless_endless(system.report(), recorder, limits).await {
            Some(report) => recorder.record(What::Reported(report)),
            None => {
                recorder.record(What::Hung);
                hung = true;
            }
        }
    }
    if !hung {
        let stopped = unless_endless(system.stop(), recorder, limits).await;
        stage.settle(SILENCE).await;
        stage.wait_disconnected().await;
        recorder.record(if stopped.is_some() { What::Stopped } else { What::StopHung });
    }
    // What the system still holds may keep a shared cache locked.
    drop(system);
    recorder.set_on_stage(false);
    let rows = database.final_state();
    // After a hang the rows are likely to stay locked, and the verdict does not need them.
    let rows = if hung { unless_still(rows, recorder, limits).await } else { timeout(limits.hang, rows).await.ok() };
    match rows {
        Some(Ok(rows)) => recorder.record(What::FinalState(rows)),
        Some(Err(error)) => recorder.record(What::HarnessFault(error.to_string())),
        None => recorder.record(What::HarnessFault("the rows stay locked after the system has stopped".into())),
    }
    let history = recorder.finish();
    database.remove().await;
    history
}

/// Every actor begins its first command before any ends it; from then on they run in turn, one command each.
pub fn in_rounds(actors: &[Actor], first: usize) -> Vec<Turn> {
    let rounds = actors.iter().map(|it| it.steps.len()).max().unwrap_or(0);
    let round = |round: usize, until: Gate| {
        let who = actors.iter().enumerate().filter(move |(_, it)| round < it.steps.len());
        who.map(move |(at, _)| Turn { actor: ActorId::new(first + at), until })
    };
    round(0, Gate::Reply).chain((0..rounds).flat_map(|it| round(it, Gate::Boundary))).collect()
}

/// What a group of actors performs on.
struct Stage<'a> {
    system: &'a dyn Started,
    database: &'a Database,
    recorder: &'a Recorder,
    limits: &'a Limits,
    /// How many tasks the system had when it had started.
    at_rest: usize,
    /// How many tasks the system keeps running when nothing happens, as far as it is known.
    tasks: usize,
    ongoing: Option<Ongoing>,
}

/// A fault that is being done; it ends with the command that it belongs to, or when its time is over: whoever else runs
/// meanwhile may wait for that.
struct Ongoing {
    actor: ActorId,
    fault: Fault,
    until: Instant,
}

/// One actor while it performs.
struct Performer<'a> {
    seat: Rc<ActorPort>,
    future: Option<Local<'a, ()>>,
    alarm: Arc<Alarm>,
    blocked: Cell<bool>,
    /// Turns that came while it was blocked.
    owed: usize,
    /// Its last turn was to end within a command: the next one goes on with that command, if it has not ended by itself.
    halved: bool,
}

/// Why a performer stopped where it stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stop {
    Boundary,
    Reply,
    Blocked,
    Gone,
}

impl<'a> Stage<'a> {
    /// Runs these actors along the schedule and to their ends; whether one of them hung.
    async fn perform(&mut self, actors: &[Actor], first: usize, turns: &[Turn]) -> bool {
        let mut cast: Vec<_> = actors.iter().enumerate().map(|(at, it)| self.performer(first + at, it)).collect();
        for performer in &mut cast {
            self.advance(performer, Gate::Boundary).await;
        }
        for turn in turns {
            self.resume_woken(&mut cast).await;
            let performer = &mut cast[turn.actor.index() - first];
            self.take_turn(performer, turn.until).await;
        }
        self.finish(&mut cast).await
    }

    fn performer(&self, at: usize, actor: &Actor) -> Performer<'a> {
        let id = ActorId::new(at);
        let seat = ActorPort::new(id, actor.steps.clone(), self.database.wire(id));
        let port = seat.port(self.recorder.clone());
        Performer {
            seat,
            future: Some(self.system.actor(port)),
            alarm: Arc::default(),
            blocked: Cell::new(false),
            owed: 0,
            halved: false,
        }
    }

    async fn take_turn(&mut self, performer: &mut Performer<'_>, until: Gate) {
        if performer.future.is_none() {
            return;
        }
        if performer.blocked.get() {
            performer.owed += usize::from(until == Gate::Boundary);
            return;
        }
        let fresh = performer.seat.is_at_boundary();
        // Whether the first half of a command is all of it depends on the driver's threads; which turn is whose must not.
        let is_rest = std::mem::replace(&mut performer.halved, until == Gate::Reply);
        if fresh && (is_rest || !performer.seat.grant()) {
            return;
        }
        if fresh && let Some((by, step)) = performer.seat.step() {
            let fault = step.fault;
            self.recorder.set_current(Some(by));
            if let Some(fault) = fault {
                self.strike(by.actor, fault).await;
            }
        }
        self.advance(performer, until).await;
    }

    /// Polls the actor until it reaches the gate, is blocked, or is gone.
    async fn advance(&mut self, performer: &mut Performer<'_>, until: Gate) -> Stop {
        self.recorder.set_current(performer.seat.step().map(|(by, _)| by));
        let stop = loop {
            self.heal(|it| Instant::now() > it.until).await;
            if let Some(gone) = self.poll(performer).await {
                break gone;
            }
            if performer.seat.is_at_boundary() {
                break Stop::Boundary;
            }
            if !self.is_woken(performer).await {
                break Stop::Blocked;
            }
            if until == Gate::Reply {
                break Stop::Reply;
            }
        };
        performer.blocked.set(stop == Stop::Blocked);
        if stop == Stop::Blocked {
            self.recorder.record(What::Blocked);
        }
        if matches!(stop, Stop::Blocked | Stop::Reply) {
            self.recorder.bind_connections();
        }
        if stop != Stop::Reply {
            let actor = performer.seat.actor();
            self.heal(|it| it.actor == actor).await;
        }
        let silence = match stop {
            Stop::Gone => SILENCE,
            Stop::Boundary => performer.silence_after(self.recorder),
            Stop::Reply | Stop::Blocked => 0,
        };
        self.settle(silence).await;
        stop
    }

    /// Starts a fault; the one before it is over then.
    async fn strike(&mut self, actor: ActorId, fault: Fault) {
        self.heal(|_| true).await;
        self.database.start_fault(fault).await;
        self.ongoing = Some(Ongoing { actor, fault, until: Instant::now() + self.limits.fault });
    }

    /// Ends the fault, if it is over.
    async fn heal(&mut self, is_over: impl Fn(&Ongoing) -> bool) {
        if let Some(ended) = self.ongoing.take_if(|it| is_over(it)) {
            self.database.end_fault(ended.fault).await;
        }
    }

    /// Waits until the actor is woken; false if nothing moves that could wake it.
    async fn is_woken(&self, performer: &Performer<'_>) -> bool {
        let until = Instant::now() + self.limits.settle;
        let mut stillness = Stillness::new(self.recorder, self.limits);
        while Instant::now() < until && !stillness.is_still(self.limits.grace) {
            if performer.alarm.wait(LOOK).await {
                return true;
            }
        }
        performer.alarm.wait(Duration::ZERO).await
    }

    async fn poll(&mut self, performer: &mut Performer<'_>) -> Option<Stop> {
        performer.alarm.rang.store(false, Ordering::Release);
        let future = performer.future.as_mut()?;
        let waker = Waker::from(Arc::clone(&performer.alarm));
        let held = self.database.hold();
        let result = catch_unwind(AssertUnwindSafe(|| {
            let mut context = Context::from_waker(&waker);
            // Without this, tokio's cooperative budget would make ready things look pending.
            std::pin::pin!(tokio::task::coop::unconstrained(future.as_mut())).poll(&mut context)
        }));
        drop(held);
        let what = match result {
            Ok(Poll::Pending) => return None,
            Ok(Poll::Ready(())) => What::Ended,
            Err(panic) => What::Panicked(panic_text(&*panic)),
        };
        self.discard(performer, what);
        Some(Stop::Gone)
    }

    /// Drops the actor with all that it holds. Its destructors may panic too.
    fn discard(&self, performer: &mut Performer<'_>, what: What) {
        self.recorder.record(what);
        let future = performer.future.take();
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| drop(future))) {
            self.recorder.record(What::Panicked(panic_text(&*panic)));
        }
    }

    async fn resume_woken(&mut self, cast: &mut [Performer<'_>]) {
        for performer in cast.iter_mut().filter(|it| it.blocked.get()) {
            if performer.alarm.rang() {
                self.advance(performer, Gate::Boundary).await;
            }
        }
    }

    /// Makes up missed turns and ends every actor. If one hangs, all are given up, and it answers true.
    async fn finish(&mut self, cast: &mut [Performer<'_>]) -> bool {
        let mut queue: VecDeque<usize> = (0..cast.len()).collect();
        let mut idle = 0;
        // One for all waits in a row: somebody who is woken again and again and never gets on hangs as well.
        let mut stillness = Stillness::new(self.recorder, self.limits);
        while let Some(at) = queue.pop_front() {
            self.resume_woken(cast).await;
            let performer = &mut cast[at];
            if performer.future.is_none() {
                idle = 0;
                continue;
            }
            if performer.blocked.get() {
                queue.push_back(at);
                idle += 1;
                if idle > queue.len() {
                    if !await_any(cast, &mut stillness).await {
                        self.give_up(cast).await;
                        return true;
                    }
                    idle = 0;
                }
                continue;
            }
            idle = 0;
            if performer.owed > 0 || !performer.seat.is_at_boundary() {
                performer.owed = performer.owed.saturating_sub(1);
                self.take_turn(performer, Gate::Boundary).await;
            } else {
                performer.seat.close();
                self.advance(performer, Gate::Boundary).await;
            }
            queue.push_back(at);
            stillness = Stillness::new(self.recorder, self.limits);
        }
        false
    }

    /// The first who is blocked hangs. The others are dropped with it: they could only wait as well.
    async fn give_up(&mut self, cast: &mut [Performer<'_>]) {
        let mut what = What::Hung;
        for performer in cast.iter_mut().filter(|it| it.future.is_some()) {
            self.recorder.set_current(performer.seat.step().map(|(by, _)| by));
            self.discard(performer, std::mem::replace(&mut what, What::Ended));
        }
    }

    /// Waits until the system's own tasks have ended and, after something was dropped, until nothing moves in the database.
    async fn settle(&mut self, silence: u32) {
        let until = Instant::now() + self.limits.settle;
        let mut stillness = Stillness::new(self.recorder, self.limits);
        // One that was not waited for may have ended by itself since.
        self.tasks = self.tasks.min(tasks_alive());
        while tasks_alive() > self.tasks {
            if stillness.is_still(self.limits.still) || Instant::now() > until {
                // A task that stays is the system's own; it is not waited for again.
                self.tasks = tasks_alive();
                break;
            }
            tokio::task::yield_now().await;
            std::thread::sleep(NAP);
        }
        let mut silent = 0;
        while silent < silence && Instant::now() < until {
            let before = self.recorder.pulse();
            std::thread::sleep(self.limits.quiet);
            tokio::task::yield_now().await;
            silent = if self.recorder.pulse() == before { silent + 1 } else { 0 };
        }
    }

    /// Before somebody looks whether everything is in order: the system may be waiting for a time limit of its own, to give
    /// up a peer that is gone for one, and nothing moves until then.
    async fn rest(&mut self) {
        let mut stillness = Stillness::new(self.recorder, self.limits);
        while tasks_alive() > self.at_rest && !stillness.is_endless().await {
            tokio::task::yield_now().await;
            std::thread::sleep(NAP);
        }
        self.settle(SILENCE_BEFORE_LOOK).await;
    }

    /// The driver closes a dropped connection on its own thread: gives it the time.
    async fn wait_disconnected(&self) {
        let mut stillness = Stillness::new(self.recorder, self.limits);
        while self.recorder.connections_open() > 0 && !stillness.is_endless().await {
            tokio::task::yield_now().await;
            std::thread::sleep(NAP);
        }
    }
}

/// Everybody who is left is blocked: waits until one is woken; false if none ever will be.
async fn await_any(cast: &[Performer<'_>], stillness: &mut Stillness<'_>) -> bool {
    while !cast.iter().any(|it| it.blocked.get() && it.alarm.rang()) {
        if stillness.is_endless().await {
            return false;
        }
        tokio::time::sleep(LOOK).await;
    }
    true
}

impl Performer<'_> {
    /// How long a silence shows that the command that just ended has left no work to threads that nobody waits for.
    fn silence_after(&self, recorder: &Recorder) -> u32 {
        let Some((by, step)) = self.seat.step() else {
            return 0;
        };
        let leaves = ends_session(&step.command)
            || matches!(step.command, Command::Drop | Command::Stream(_) | Command::ClosePool);
        match recorder.outcome_of(by) {
            // What was sent goes on without its caller, and what it does then would be taken for the next command's.
            Some(Outcome::Cancelled(phase)) if phase != Phase::BeforeSend => SILENCE_CUT_OFF,
            Some(Outcome::Done(_)) if !leaves && step.fault.is_none() => 0,
            _ => SILENCE,
        }
    }
}

/// Wakes the scheduler, and remembers that it rang.
#[derive(Default)]
struct Alarm {
    rang: AtomicBool,
    scheduler: Mutex<Option<Waker>>,
}

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.rang.store(true, Ordering::Release);
        if let Some(waker) = self.scheduler.lock().unwrap_or_else(PoisonError::into_inner).take() {
            waker.wake();
        }
    }
}

impl Alarm {
    /// Waits until it rings, at most this long; false if it did not. Takes the ring.
    async fn wait(&self, limit: Duration) -> bool {
        let ring = std::future::poll_fn(|context| {
            *self.scheduler.lock().unwrap_or_else(PoisonError::into_inner) = Some(context.waker().clone());
            if self.rang.swap(false, Ordering::AcqRel) { Poll::Ready(()) } else { Poll::Pending }
        });
        timeout(limit, ring).await.is_ok()
    }

    /// Whether it rang since it was last waited for.
    fn rang(&self) -> bool {
        self.rang.load(Ordering::Acquire)
    }
}

/// The text of a panic, if it has one.
pub fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(ToString::to_string);
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "a panic without a text".into())
}
