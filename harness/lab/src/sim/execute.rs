//! Execution in the simulation: virtual time for the [`stage`](unstale_harness::stage), over a world of the plan's own.
//!
//! Owns the meaning of waiting where nothing takes time. An actor that was not woken is blocked at once: here pending
//! *is* blocked. After each turn every task that was left behind is polled once, so that what is done beside the actors
//! takes several of their turns, unless the plan has its tasks run late; while an actor waits, tasks go on until they have
//! woken it or wait themselves. When all actors wait, time jumps to the next timer; without one, the first waiting actor
//! hangs, and with it the plan.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures_util::FutureExt;

use super::link::Origin;
use super::world::World;
use unstale_harness::erased::{Started, Starter};
use unstale_harness::history::{By, History, Log, What};
use unstale_harness::plan::{ActorId, Key, Plan, Step, Tasks, Value};
use unstale_harness::port::Wire;
use unstale_harness::stage::{Alarm, Director, Environment, Running, Stop, panic_text, play};

/// The most polls of one plan: far more than any needs. A system that needs more is in a loop.
const POLLS_MAX: u32 = 200_000;

/// The longest that a plan may take by its own clock, beyond what it waits by its own will. What waits for longer waits for ever.
const TIME_MAX: Duration = Duration::from_hours(1);

/// How long everybody rests before the observers come, so that what was idle is looked at before it is lent.
const REST: Duration = Duration::from_secs(1);

/// The numbers of tasks begin here, so that none is an actor's.
const FIRST_TASK: u64 = 1000;

/// Runs the plan in a world of its own; the turns are the director's.
pub(super) fn execute(starter: Starter<World>, plan: &Plan, director: Director<'_>) -> History {
    let log = Log::default();
    log.begin(plan);
    let world = World::new(log.clone());
    let mut time = VirtualTime::new(world.clone(), plan.tasks);
    let played = async {
        match time.run_to_end((starter.start)(&world, plan)).await {
            Some(Ok(system)) => play(&mut time, system, starter.capabilities, plan, director).await,
            Some(Err(failure)) => {
                log.record(What::HarnessFault(format!("the system did not start: {}", failure.message)));
            }
            None => log.record(What::HarnessFault("the system did not start: it waits for ever".into())),
        }
    };
    played.now_or_never().expect("nothing waits in virtual time");
    // Drops from here on belong to no history.
    log.finish()
}

/// A simulated world, and its clock.
struct VirtualTime {
    world: World,
    tasks: Vec<Task>,
    /// Whether they run on between two turns.
    mode: Tasks,
    tasks_made: u64,
    polls: u32,
    /// How much time has passed since an actor waited for it.
    passed: Duration,
    /// The actor or task that was last recorded as running.
    running: (u64, Origin),
    /// The system after its end.
    remains: Option<Box<dyn Started>>,
}

/// A background task.
struct Task {
    number: u64,
    origin: Origin,
    future: Pin<Box<dyn Future<Output = ()> + Send>>,
    alarm: Arc<Alarm>,
    waker: Waker,
}

impl VirtualTime {
    fn new(world: World, mode: Tasks) -> Self {
        let running = (0, Origin::default());
        Self { world, tasks: Vec::new(), mode, tasks_made: 0, polls: 0, passed: Duration::ZERO, running, remains: None }
    }

    /// Says who is polled, if it is not who was polled before.
    fn set_running(&mut self, number: u64, origin: Origin) {
        if self.running != (number, origin) {
            self.running = (number, origin);
            self.world.set_running(number, origin);
        }
    }

    /// Whether it may be polled: the plan has polls left.
    fn spend(&mut self) -> bool {
        let left = self.polls < POLLS_MAX;
        self.polls += u32::from(left);
        left
    }

    fn is_spent(&self) -> bool {
        self.polls >= POLLS_MAX
    }

    /// Polls every woken task once and lets arrive what is late. Whether there was anything to do.
    fn go_on_beside(&mut self) -> bool {
        let (late, spawned) = self.world.turn_over();
        if spawned.is_empty() && self.tasks.is_empty() {
            return late;
        }
        for (origin, future) in spawned {
            let alarm = Alarm::ringing();
            let waker = Waker::from(Arc::clone(&alarm));
            self.tasks_made += 1;
            self.tasks.push(Task { number: FIRST_TASK + self.tasks_made, origin, future, alarm, waker });
        }
        let mut moved = late;
        let mut tasks = std::mem::take(&mut self.tasks);
        tasks.retain_mut(|task| {
            if !task.alarm.silence() || !self.spend() {
                return true;
            }
            moved = true;
            self.set_running(task.number, task.origin);
            let mut context = Context::from_waker(&task.waker);
            match catch_unwind(AssertUnwindSafe(|| task.future.as_mut().poll(&mut context))) {
                Ok(Poll::Pending) => true,
                Ok(Poll::Ready(())) => false,
                Err(panic) => {
                    self.world.log().record_as(task.origin.by, What::Panicked(panic_text(&*panic)));
                    false
                }
            }
        });
        self.tasks = tasks;
        moved
    }

    /// Goes forward to the next timer, if it rings while the plan may last.
    fn go_forward(&mut self) -> bool {
        self.go_forward_until(TIME_MAX + self.passed)
    }

    fn go_forward_until(&mut self, until: Duration) -> bool {
        let next = self.world.next_timer().filter(|next| *next <= until && !self.is_spent());
        if let Some(next) = next {
            self.world.advance_to(next);
        }
        next.is_some()
    }
}

impl Environment for VirtualTime {
    const POLLS_ARE_DECIDED: bool = true;
    const RESTS_ARE_FREE: bool = true;

    fn log(&self) -> &Log {
        self.world.log()
    }

    fn wire(&mut self, _: ActorId) -> Option<Arc<Wire>> {
        Some(self.world.add_wire())
    }

    async fn begin_command(&mut self, by: By, step: &Step) {
        self.world.arm(by, step.fault);
    }

    async fn pass(&mut self, time: Duration) {
        let until = self.world.now() + time;
        self.passed += time;
        while self.go_on_beside() || self.go_forward_until(until) {}
        self.world.advance_to(until);
    }

    async fn enter(&mut self, running: Option<Running<'_>>) {
        match running {
            Some(running) => self.set_running(number(running), origin(running)),
            None => self.set_running(0, Origin::default()),
        }
    }

    /// An actor for which no poll is left is not woken any more, so it will hang.
    fn poll(
        &mut self,
        running: Running<'_>,
        future: Pin<&mut dyn Future<Output = ()>>,
        context: &mut Context<'_>,
    ) -> Poll<()> {
        self.set_running(number(running), origin(running));
        if self.spend() { future.poll(context) } else { Poll::Pending }
    }

    async fn is_woken(&mut self, alarm: &Alarm) -> bool {
        while !alarm.rang() && self.go_on_beside() {}
        alarm.rang()
    }

    async fn end_turn(&mut self, _: Running<'_>, _: Stop) {
        if self.mode == Tasks::Prompt {
            self.go_on_beside();
        }
    }

    async fn await_any(&mut self, is_any_woken: &dyn Fn() -> bool) -> bool {
        loop {
            if is_any_woken() {
                return !self.is_spent();
            }
            if !self.go_on_beside() && !self.go_forward() {
                return false;
            }
        }
    }

    /// All actors rest until the background tasks have ended, and for a while longer.
    async fn rest(&mut self) {
        self.mode = Tasks::Prompt;
        while self.go_on_beside() || self.go_forward() {}
        self.world.advance_to(self.world.now() + REST);
    }

    /// What is left behind has no thread of its own that could go on.
    async fn rest_after_hang(&mut self) {}

    async fn run_to_end<T>(&mut self, future: impl Future<Output = T>) -> Option<T> {
        let mut future = pin!(future);
        let alarm = Alarm::ringing();
        let waker = Waker::from(Arc::clone(&alarm));
        while !self.is_spent() {
            if alarm.silence() {
                self.polls += 1;
                self.set_running(0, Origin::default());
                if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
                    return Some(output);
                }
            } else if !self.go_on_beside() && !self.go_forward() {
                return None;
            }
        }
        None
    }

    async fn closed(&mut self) {
        self.rest().await;
    }

    /// What is dropped with the system is no part of the history, so it is kept until that was taken.
    async fn final_state(&mut self, system: Box<dyn Started>, _: bool) -> Result<BTreeMap<Key, Value>, String> {
        self.remains = Some(system);
        Ok(self.world.rows())
    }
}

fn number(running: Running<'_>) -> u64 {
    running.actor.index() as u64
}

fn origin(running: Running<'_>) -> Origin {
    Origin { by: running.by(), by_actor: true }
}
