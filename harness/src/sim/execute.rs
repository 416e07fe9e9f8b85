//! The scheduler of the simulation: runs one plan and returns its history.
//!
//! Owns who is polled next. A turn of the schedule polls one actor until it stands at the boundary of its command, or, for
//! `a/`, once; whoever cannot go on is blocked at once, since here pending *is* blocked. After each poll the database does
//! what was sent, and the tasks that were spawned run. When everybody waits, time jumps to the next timer; when there is
//! none, the first of them hangs.

use std::cell::Cell;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use super::system::Simulated;
use super::world::{Task, World};
use crate::execute::{in_rounds, panic_text};
use crate::history::{History, Recorder, What};
use crate::model::observers;
use crate::plan::{Actor, ActorId, Fault, Gate, Plan, Storage, Turn};
use crate::system::port::Seat;

/// The most polls of one plan: far above what any needs, and a bound all the same.
const POLLS_MAX: u32 = 100_000;

/// How long everybody rests before the observers come, so that what was idle is looked at before it is lent.
const REST: Duration = Duration::from_secs(1);

/// Runs the plan in a world of its own.
pub(super) fn execute<S: Simulated>(plan: &Plan) -> History {
    let recorder = Recorder::default();
    recorder.set_planned(plan.actors.len());
    let world = World::new(recorder.clone(), plan.storage == Storage::SimOnly);
    let system = S::start(&world, plan);
    let mut stage = Stage { system: &system, world: &world, tasks: Vec::new(), polls: 0 };

    let hung = stage.perform(&plan.actors, 0, &plan.schedule.0) || {
        recorder.set_current(None);
        recorder.record(What::PlanOver);
        stage.rest();
        let observers = observers(plan, S::capabilities());
        let turns = in_rounds(&observers, plan.actors.len());
        stage.perform(&observers, plan.actors.len(), &turns)
    };
    recorder.set_current(None);
    if !hung {
        match stage.finish_one(system.report()) {
            Some(report) => recorder.record(What::Reported(report)),
            None => recorder.record(What::StopHung),
        }
        let stopped = stage.finish_one(system.stop());
        stage.run_tasks();
        recorder.record(if stopped.is_some() { What::Stopped } else { What::StopHung });
    }
    if stage.polls >= POLLS_MAX {
        recorder.record(What::HarnessFault(format!("the plan took more than {POLLS_MAX} polls")));
    }
    recorder.record(What::FinalState(world.rows()));
    recorder.finish()
}

struct Stage<'a, S> {
    system: &'a S,
    world: &'a World,
    tasks: Vec<(Task, Arc<Flag>)>,
    polls: u32,
}

struct Performer<'a> {
    seat: Rc<Seat>,
    future: Option<Pin<Box<dyn Future<Output = ()> + 'a>>>,
    flag: Arc<Flag>,
    blocked: Cell<bool>,
    /// Turns that came while it was blocked.
    owed: usize,
    fault: Option<Fault>,
    id: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stop {
    Boundary,
    Reply,
    Blocked,
    Gone,
}

impl<'a, S: Simulated> Stage<'a, S> {
    /// Runs these actors along the schedule and to their ends; true if one of them hung.
    fn perform(&mut self, actors: &[Actor], first: usize, turns: &[Turn]) -> bool {
        let mut cast: Vec<_> = actors.iter().enumerate().map(|(at, it)| self.performer(first + at, it)).collect();
        for performer in &mut cast {
            self.advance(performer, Gate::Boundary);
        }
        for turn in turns {
            self.resume_woken(&mut cast);
            let performer = &mut cast[turn.actor.index() - first];
            self.take_turn(performer, turn.until);
        }
        self.finish(&mut cast)
    }

    fn performer(&self, at: usize, actor: &Actor) -> Performer<'a> {
        let system = self.system;
        let seat = Seat::new(ActorId::new(at), actor.steps.clone());
        let port = seat.port(self.world.recorder.clone());
        Performer {
            seat,
            future: Some(Box::pin(system.actor(port))),
            flag: Arc::default(),
            blocked: Cell::new(false),
            owed: 0,
            fault: None,
            id: at as u64 + 1,
        }
    }

    fn take_turn(&mut self, performer: &mut Performer<'_>, until: Gate) {
        if performer.future.is_none() {
            return;
        }
        if performer.blocked.get() {
            performer.owed += usize::from(until == Gate::Boundary);
            return;
        }
        let fresh = performer.seat.is_at_boundary();
        if fresh && !performer.seat.grant() {
            return;
        }
        if fresh && let Some((by, step)) = performer.seat.step() {
            performer.fault = step.fault;
            self.world.recorder.set_current(Some(by));
        }
        self.advance(performer, until);
    }

    /// Polls the actor until it reaches the gate, cannot go on, or is gone.
    fn advance(&mut self, performer: &mut Performer<'_>, until: Gate) -> Stop {
        let by = performer.seat.step().map(|(by, _)| by);
        self.world.recorder.set_current(by);
        self.world.arm(performer.fault);
        let stop = loop {
            performer.flag.0.store(false, Ordering::Relaxed);
            if self.poll(performer) {
                break Stop::Gone;
            }
            if performer.seat.is_at_boundary() {
                break Stop::Boundary;
            }
            self.world.run_database();
            self.run_tasks();
            self.world.recorder.set_current(by);
            if until == Gate::Reply {
                break Stop::Reply;
            }
            if !performer.flag.0.load(Ordering::Relaxed) {
                break Stop::Blocked;
            }
            if self.polls >= POLLS_MAX {
                break Stop::Blocked;
            }
        };
        performer.blocked.set(stop == Stop::Blocked);
        if stop == Stop::Blocked {
            self.world.recorder.record(What::Blocked);
        }
        if matches!(stop, Stop::Blocked | Stop::Reply) {
            self.world.recorder.bind_connections();
        } else {
            performer.fault = None;
        }
        self.world.run_database();
        self.run_tasks();
        // What has landed does not land again when the command goes on.
        performer.fault = performer.fault.filter(|_| self.world.disarm());
        stop
    }

    /// Polls once; true if the actor is gone.
    fn poll(&mut self, performer: &mut Performer<'_>) -> bool {
        self.polls += 1;
        self.world.set_actor(performer.id);
        let Some(future) = performer.future.as_mut() else { return true };
        let waker = Waker::from(Arc::clone(&performer.flag));
        let result = catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(&mut Context::from_waker(&waker))));
        let what = match result {
            Ok(Poll::Pending) => return false,
            Ok(Poll::Ready(())) => What::Ended,
            Err(panic) => What::Panicked(panic_text(&*panic)),
        };
        self.discard(performer, what);
        true
    }

    /// Drops the actor with all that it holds. Its destructors may panic too.
    fn discard(&self, performer: &mut Performer<'_>, what: What) {
        self.world.recorder.record(what);
        let future = performer.future.take();
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| drop(future))) {
            self.world.recorder.record(What::Panicked(panic_text(&*panic)));
        }
    }

    /// Runs what was spawned, until everything of it waits.
    fn run_tasks(&mut self) {
        self.world.set_actor(0);
        loop {
            self.tasks.extend(self.world.take_spawned().into_iter().map(|task| (task, Arc::new(Flag::raised()))));
            let mut moved = false;
            let mut at = 0;
            while at < self.tasks.len() {
                let (task, flag) = &mut self.tasks[at];
                if !flag.0.swap(false, Ordering::Relaxed) {
                    at += 1;
                    continue;
                }
                self.polls += 1;
                moved = true;
                self.world.recorder.set_current(None);
                let waker = Waker::from(Arc::clone(flag));
                let result = catch_unwind(AssertUnwindSafe(|| task.as_mut().poll(&mut Context::from_waker(&waker))));
                match result {
                    Ok(Poll::Pending) => at += 1,
                    Ok(Poll::Ready(())) => drop(self.tasks.remove(at)),
                    Err(panic) => {
                        self.world.recorder.record(What::Panicked(panic_text(&*panic)));
                        drop(self.tasks.remove(at));
                    }
                }
                self.world.run_database();
            }
            if !moved || self.polls >= POLLS_MAX {
                return;
            }
        }
    }

    fn resume_woken(&mut self, cast: &mut [Performer<'_>]) {
        for performer in cast.iter_mut() {
            if performer.blocked.get() && performer.flag.0.load(Ordering::Relaxed) {
                self.advance(performer, Gate::Boundary);
            }
        }
    }

    /// Makes up missed turns and ends every actor; true if one of them hung, and with it the plan.
    fn finish(&mut self, cast: &mut [Performer<'_>]) -> bool {
        let mut queue: VecDeque<usize> = (0..cast.len()).collect();
        let mut idle = 0;
        while let Some(at) = queue.pop_front() {
            self.resume_woken(cast);
            let performer = &mut cast[at];
            if performer.future.is_none() {
                idle = 0;
                continue;
            }
            if performer.blocked.get() {
                queue.push_back(at);
                idle += 1;
                if idle > queue.len() {
                    if !self.wake_any(cast) {
                        return true;
                    }
                    idle = 0;
                }
                continue;
            }
            idle = 0;
            if performer.owed > 0 || !performer.seat.is_at_boundary() {
                performer.owed = performer.owed.saturating_sub(1);
                self.take_turn(performer, Gate::Boundary);
            } else {
                performer.seat.close();
                self.advance(performer, Gate::Boundary);
            }
            queue.push_back(at);
        }
        false
    }

    /// Everybody who is left is blocked: goes forward in time until somebody is woken. False if nothing is to come: the
    /// first of them hangs, and everybody is dropped.
    fn wake_any(&mut self, cast: &mut [Performer<'_>]) -> bool {
        while self.polls < POLLS_MAX {
            if cast.iter().any(|it| it.blocked.get() && it.flag.0.load(Ordering::Relaxed)) {
                return true;
            }
            let Some(next) = self.world.next_timer() else { break };
            self.world.advance_to(next);
            self.run_tasks();
        }
        if let Some(performer) = cast.iter_mut().find(|it| it.blocked.get() && it.future.is_some()) {
            self.world.recorder.set_current(performer.seat.step().map(|(by, _)| by));
            self.discard(performer, What::Hung);
        }
        false
    }

    /// Lets time pass in which nobody does anything.
    fn rest(&mut self) {
        let until = self.world.now() + REST;
        while let Some(next) = self.world.next_timer().filter(|it| *it <= until) {
            self.world.advance_to(next);
            self.run_tasks();
        }
        self.world.advance_to(until);
        self.run_tasks();
    }

    /// Runs a future of the system to its end; none if it waits for ever.
    fn finish_one<T>(&mut self, future: impl Future<Output = T>) -> Option<T> {
        let mut future = Box::pin(future);
        let flag = Arc::new(Flag::raised());
        let waker = Waker::from(Arc::clone(&flag));
        while self.polls < POLLS_MAX {
            if flag.0.swap(false, Ordering::Relaxed) {
                self.polls += 1;
                if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
                    return Some(output);
                }
                self.world.run_database();
                self.run_tasks();
            } else {
                let next = self.world.next_timer()?;
                self.world.advance_to(next);
                self.run_tasks();
            }
        }
        None
    }
}

/// Whether somebody is to be polled again.
#[derive(Default)]
struct Flag(AtomicBool);

impl Flag {
    fn raised() -> Self {
        Self(AtomicBool::new(true))
    }
}

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}
