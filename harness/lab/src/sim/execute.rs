//! The scheduler of the simulation: runs one plan and returns its history.
//!
//! Owns who is polled next. A turn `a` polls one actor until its command has ended or it has to wait for somebody; a turn
//! `a/` polls it once, to its next gate. Whoever was not woken is blocked at once: here pending *is* blocked. After each turn
//! every task that was left behind is polled once, so that what is done beside the actors takes several of their turns;
//! while an actor waits, tasks go on until they have woken it or wait themselves. When everybody waits, time jumps to the
//! next timer; when there is none, the first who waits hangs, and with it the plan.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use super::server::Origin;
use super::system::{Started, Starter};
use super::world::World;
use unstale_harness::Local;
use unstale_harness::execute::{in_rounds, panic_text};
use unstale_harness::history::{History, Recorder, What};
use unstale_harness::model::observers;
use unstale_harness::plan::{Actor, ActorId, Gate, Ground, Plan, Turn};
use unstale_harness::port::ActorPort;
use unstale_harness::system::Capability;

/// The most polls of one plan: far above what any needs. A system that needs more turns in a circle.
const POLLS_MAX: u32 = 200_000;

/// The longest that a plan may take by its own clock. What waits for longer waits for ever.
const TIME_MAX: Duration = Duration::from_hours(1);

/// How long everybody rests before the observers come, so that what was idle is looked at before it is lent.
const REST: Duration = Duration::from_secs(1);

/// The numbers of tasks begin here, so that none is an actor's.
const FIRST_TASK: u64 = 1000;

/// Runs the plan in a world of its own, along its schedule.
pub(super) fn execute(starter: Starter, plan: &Plan) -> History {
    let mut turns = plan.schedule.0.iter().copied();
    direct(starter, plan, &mut |_| turns.next())
}

/// Where an actor stands between two turns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stance {
    /// Its next command may begin.
    AtBoundary,
    /// Within a command, at a gate.
    Within,
    /// It waits for somebody, or all its commands are done.
    Out,
}

/// Says whose turn is next, from where everybody stands; none when the schedule is over.
pub(super) type Director<'a> = &'a mut dyn FnMut(&mut dyn Iterator<Item = Stance>) -> Option<Turn>;

/// Runs the plan in a world of its own; the turns are the director's.
pub(super) fn direct(starter: Starter, plan: &Plan, director: Director<'_>) -> History {
    let recorder = Recorder::default();
    recorder.set_planned(plan.actors.len());
    recorder.set_ground(Ground::Simulation);
    recorder.set_fixture(plan.fixture);
    let world = World::new(recorder.clone());
    let system = (starter.start)(&world, plan);
    let mut stage = Stage {
        system: &*system,
        world: &world,
        tasks: Vec::new(),
        tasks_made: 0,
        polls: 0,
        running: (0, Origin::default()),
    };

    if let Some(Err(failure)) = stage.finish_one(system.begin(plan)) {
        recorder.record(What::HarnessFault(format!("the system did not begin: {}", failure.message)));
        return recorder.finish();
    }
    let mut hung = stage.perform(&plan.actors, 0, director);
    if !hung {
        stage.rest();
    }
    stage.set_running(0, Origin::default());
    recorder.record(What::PlanOver);
    if !hung {
        let observers = observers(plan, starter.capabilities);
        let mut turns = in_rounds(&observers, plan.actors.len()).into_iter();
        hung = stage.perform(&observers, plan.actors.len(), &mut |_| turns.next());
        stage.set_running(0, Origin::default());
    }
    if !hung {
        stage.rest();
        if starter.capabilities.has(Capability::Reports) {
            match stage.finish_one(system.report()) {
                Some(report) => recorder.record(What::Reported(report)),
                None => hung = true,
            }
        }
    }
    let stopped = !hung && stage.finish_one(system.stop()).is_some();
    if stopped {
        stage.rest();
        recorder.record(What::Stopped);
    } else if !hung {
        recorder.record(What::StopHung);
    }
    recorder.record(What::FinalState(world.rows()));
    let history = recorder.finish();
    // What is dropped from here on belongs to nobody's history.
    drop(stage);
    drop(system);
    history
}

struct Stage<'a> {
    system: &'a dyn Started,
    world: &'a World,
    tasks: Vec<Left>,
    tasks_made: u64,
    polls: u32,
    /// Who was last said to be running.
    running: (u64, Origin),
}

/// A task that somebody has left behind.
struct Left {
    number: u64,
    origin: Origin,
    future: Pin<Box<dyn Future<Output = ()> + Send>>,
    flag: Arc<Flag>,
    waker: Waker,
}

/// One actor while it performs.
struct Performer<'a> {
    number: u64,
    seat: Rc<ActorPort>,
    future: Option<Local<'a, ()>>,
    flag: Arc<Flag>,
    waker: Waker,
    blocked: bool,
    /// Turns that came while it was blocked.
    owed: usize,
}

impl Performer<'_> {
    fn stance(&self) -> Stance {
        if self.future.is_none() || self.blocked {
            Stance::Out
        } else if !self.seat.is_at_boundary() {
            Stance::Within
        } else if self.seat.is_done() {
            Stance::Out
        } else {
            Stance::AtBoundary
        }
    }
}

impl<'a> Stage<'a> {
    /// Runs these actors as they are directed and then to their ends; whether one of them hung.
    fn perform(&mut self, actors: &[Actor], first: usize, director: Director<'_>) -> bool {
        let mut cast: Vec<_> = actors.iter().enumerate().map(|(at, it)| self.performer(first + at, it)).collect();
        for performer in &mut cast {
            self.advance(performer, Gate::Boundary);
        }
        loop {
            self.resume_woken(&mut cast);
            let Some(turn) = director(&mut cast.iter().map(Performer::stance)) else { break };
            self.take_turn(&mut cast[turn.actor.index() - first], turn.until);
        }
        self.finish(&mut cast)
    }

    fn performer(&self, at: usize, actor: &Actor) -> Performer<'a> {
        let seat = ActorPort::new(ActorId::new(at), actor.steps.clone(), Some(self.world.add_wire()));
        let port = seat.port(self.world.recorder().clone());
        let flag: Arc<Flag> = Arc::default();
        Performer {
            number: at as u64,
            seat,
            future: Some(self.system.actor(port)),
            waker: Waker::from(Arc::clone(&flag)),
            flag,
            blocked: false,
            owed: 0,
        }
    }

    /// Says who is polled, if it is not who was polled before.
    fn set_running(&mut self, number: u64, origin: Origin) {
        if self.running != (number, origin) {
            self.running = (number, origin);
            self.world.set_running(number, origin);
        }
    }

    fn take_turn(&mut self, performer: &mut Performer<'_>, until: Gate) {
        if performer.future.is_none() {
            return;
        }
        if performer.blocked {
            performer.owed += usize::from(until == Gate::Boundary);
            return;
        }
        if performer.seat.is_at_boundary() {
            if !performer.seat.grant() {
                return;
            }
            if let Some((by, step)) = performer.seat.step() {
                self.world.arm(by, step.fault);
            }
        }
        self.advance(performer, until);
    }

    /// Polls the actor until it reaches the gate, has to wait, or is gone.
    fn advance(&mut self, performer: &mut Performer<'_>, until: Gate) {
        let by = performer.seat.step().map(|(by, _)| by);
        performer.blocked = false;
        loop {
            self.set_running(performer.number, Origin { by, by_actor: true });
            if self.poll(performer) || performer.seat.is_at_boundary() {
                break;
            }
            while !performer.flag.is_raised() && self.go_on_beside() {}
            if !performer.flag.is_raised() {
                performer.blocked = true;
                self.world.recorder().record_as(by, What::Blocked);
                break;
            }
            if until == Gate::Reply {
                break;
            }
        }
        self.go_on_beside();
    }

    /// Polls once; whether the actor is gone.
    fn poll(&mut self, performer: &mut Performer<'_>) -> bool {
        performer.flag.lower();
        let Some(future) = performer.future.as_mut() else { return true };
        if self.is_spent() {
            // It is not woken any more, so it will hang.
            return false;
        }
        self.polls += 1;
        let mut context = Context::from_waker(&performer.waker);
        let result = catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(&mut context)));
        let what = match result {
            Ok(Poll::Pending) => return false,
            Ok(Poll::Ready(())) => What::Ended,
            Err(panic) => What::Panicked(panic_text(&*panic)),
        };
        self.discard(performer, what);
        true
    }

    fn is_spent(&self) -> bool {
        self.polls >= POLLS_MAX
    }

    /// Drops the actor with all that it holds. Its destructors may panic too.
    fn discard(&mut self, performer: &mut Performer<'_>, what: What) {
        let by = performer.seat.step().map(|(by, _)| by);
        self.set_running(performer.number, Origin { by, by_actor: true });
        self.world.recorder().record_as(by, what);
        let future = performer.future.take();
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| drop(future))) {
            self.world.recorder().record_as(by, What::Panicked(panic_text(&*panic)));
        }
    }

    /// Polls every woken task once and lets arrive what is late. Whether there was anything to do.
    fn go_on_beside(&mut self) -> bool {
        let (late, spawned) = self.world.turn_over();
        if spawned.is_empty() && self.tasks.is_empty() {
            return late;
        }
        for (origin, future) in spawned {
            let flag = Arc::new(Flag::raised());
            let waker = Waker::from(Arc::clone(&flag));
            self.tasks_made += 1;
            self.tasks.push(Left { number: FIRST_TASK + self.tasks_made, origin, future, flag, waker });
        }
        let mut moved = late;
        let mut tasks = std::mem::take(&mut self.tasks);
        tasks.retain_mut(|task| {
            if !task.flag.lower() || self.polls >= POLLS_MAX {
                return true;
            }
            moved = true;
            self.polls += 1;
            self.set_running(task.number, task.origin);
            let mut context = Context::from_waker(&task.waker);
            match catch_unwind(AssertUnwindSafe(|| task.future.as_mut().poll(&mut context))) {
                Ok(Poll::Pending) => true,
                Ok(Poll::Ready(())) => false,
                Err(panic) => {
                    self.world.recorder().record_as(task.origin.by, What::Panicked(panic_text(&*panic)));
                    false
                }
            }
        });
        self.tasks = tasks;
        moved
    }

    fn resume_woken(&mut self, cast: &mut [Performer<'_>]) {
        for performer in cast.iter_mut() {
            if performer.blocked && performer.flag.is_raised() {
                self.advance(performer, Gate::Boundary);
            }
        }
    }

    /// Makes up missed turns and ends every actor. If one hangs, all are given up, and it answers true.
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
            queue.push_back(at);
            if performer.blocked {
                idle += 1;
                if idle > queue.len() {
                    if !self.wake_any(cast) {
                        self.give_up(cast);
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
        }
        false
    }

    /// Everybody who is left is blocked: goes forward in time until somebody is woken. False if nothing is to come.
    fn wake_any(&mut self, cast: &mut [Performer<'_>]) -> bool {
        loop {
            if cast.iter().any(|it| it.blocked && it.flag.is_raised()) {
                return !self.is_spent();
            }
            if !self.go_on_beside() && !self.go_forward(TIME_MAX) {
                return false;
            }
        }
    }

    /// The first who is blocked hangs. The others are dropped with it: they could only wait as well.
    fn give_up(&mut self, cast: &mut [Performer<'_>]) {
        let mut what = What::Hung;
        for performer in cast.iter_mut().filter(|it| it.future.is_some()) {
            self.discard(performer, std::mem::replace(&mut what, What::Ended));
        }
    }

    /// Goes forward to the next timer, if it rings before this moment.
    fn go_forward(&mut self, before: Duration) -> bool {
        let next = self.world.next_timer().filter(|it| *it <= before && !self.is_spent());
        if let Some(next) = next {
            self.world.advance_to(next);
        }
        next.is_some()
    }

    /// Nobody does anything until everything that was left behind has come to its end, and for a while longer.
    fn rest(&mut self) {
        while self.go_on_beside() || self.go_forward(TIME_MAX) {}
        self.world.advance_to(self.world.now() + REST);
    }

    /// Runs a future of the system to its end; none if it waits for ever.
    fn finish_one<T>(&mut self, future: impl Future<Output = T>) -> Option<T> {
        let mut future = pin!(future);
        let flag = Arc::new(Flag::raised());
        let waker = Waker::from(Arc::clone(&flag));
        while !self.is_spent() {
            if flag.lower() {
                self.polls += 1;
                self.set_running(0, Origin::default());
                if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
                    return Some(output);
                }
            } else if !self.go_on_beside() && !self.go_forward(TIME_MAX) {
                return None;
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

    fn is_raised(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Whether it was raised.
    fn lower(&self) -> bool {
        self.0.swap(false, Ordering::Relaxed)
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
