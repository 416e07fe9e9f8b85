//! The shared state of a simulated run: the server, the virtual clock, the tasks, the log.
//!
//! Owns the gates that a call passes and the timers. It decides nothing: [`super::execute`] chooses the next actor.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use unstale::ErrorClass;
use unstale::source::ConnectionError;

use super::link::{Answer, Origin};
use super::request::{Request, Said};
use super::server::Server;
use unstale_harness::history::{BuildRecorder, By, ConnectionId, Log};
use unstale_harness::plan::{Fault, Key, Value};
use unstale_harness::port::Wire;

/// How long connecting fails once it is refused.
const REFUSE: Duration = Duration::from_millis(40);

/// Shared by the source, its connections and the scheduler. Cheap to clone.
#[derive(Clone)]
pub struct World {
    shared: Arc<Mutex<Shared>>,
    log: Log,
}

/// What was spawned, with what it was spawned for.
pub(super) type Task = (Origin, Pin<Box<dyn Future<Output = ()> + Send>>);

#[derive(Default)]
struct Shared {
    server: Server,
    now: Duration,
    timers: BTreeMap<(Duration, u64), Alarm>,
    timers_made: u64,
    spawned: Vec<Task>,
    origin: Origin,
    /// The number of the actor or task that is polled.
    running: u64,
    wires: Vec<Arc<Wire>>,
    refused_until: Duration,
    random: u64,
}

/// The waker of a timer.
enum Alarm {
    Waiter(Waker),
    Connection(ConnectionId),
}

impl World {
    pub(super) fn new(log: Log) -> Self {
        Self { shared: Arc::default(), log }
    }

    /// Numbers the services that a system's factories build.
    pub(super) fn build_recorder(&self) -> BuildRecorder {
        BuildRecorder::new(self.log.clone())
    }

    pub(super) fn log(&self) -> &Log {
        &self.log
    }

    fn with<R>(&self, with: impl FnOnce(&mut Shared) -> R) -> R {
        // A panic of the system under test leaves plain values behind.
        with(&mut self.shared.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Does something to the server, and records what came of it.
    fn serve<R>(&self, with: impl FnOnce(&mut Server, Duration, Origin) -> R) -> R {
        self.with(|shared| {
            let result = with(&mut shared.server, shared.now, shared.origin);
            if !shared.server.evidence.is_empty() {
                self.log.record_all(shared.server.evidence.drain(..));
            }
            for origin in shared.server.answered.drain(..) {
                if let Some(wire) = wire(&shared.wires, origin) {
                    wire.answered();
                }
            }
            for (at, id) in shared.server.alarms.drain(..) {
                shared.timers_made += 1;
                shared.timers.insert((at, shared.timers_made), Alarm::Connection(id));
            }
            result
        })
    }

    /// A gate: the scheduler may let another actor go on here.
    pub(super) async fn gate(&self) {
        let mut passed = false;
        poll_fn(|context| pause(&mut passed, context)).await;
    }

    /// One request and its answer, with gates before it is sent, after it, and before its answer is looked at.
    ///
    /// # Cancel safety
    /// Not cancel safe: what was sent will be done.
    pub(super) async fn call(&self, id: ConnectionId, request: Request) -> Result<Said, ConnectionError> {
        self.gate().await;
        let Some(number) = self.send(id, request) else { return Err(lost()) };
        let call = Call { world: self, id, number };
        self.gate().await;
        self.serve(|server, now, _| server.arrive(id, number, now));
        let answer = call.answer().await;
        std::mem::forget(call);
        match answer {
            Ok(said) => Ok(said),
            Err(None) => Err(lost()),
            Err(Some(refused)) => Err(ConnectionError::new(refused.class, refused.text)),
        }
    }

    fn send(&self, id: ConnectionId, request: Request) -> Option<u64> {
        let number = self.serve(|server, now, origin| server.send(id, request, origin, now))?;
        self.with(|shared| {
            if let Some(wire) = wire(&shared.wires, shared.origin) {
                wire.sent();
            }
        });
        Some(number)
    }

    /// Opens a connection.
    ///
    /// # Errors
    /// Connecting is refused at the moment.
    ///
    /// # Cancel safety
    /// Cancel safe: the last thing it does is to open one.
    pub(super) async fn connect(&self) -> Result<ConnectionId, ConnectionError> {
        self.gate().await;
        let refused = self.serve(|server, _, origin| server.lands(origin, Fault::RefuseConnect));
        let refused = self.with(|shared| {
            if refused {
                shared.refused_until = shared.now + REFUSE;
            }
            shared.now < shared.refused_until
        });
        if refused {
            return Err(ConnectionError::new(ErrorClass::Unavailable, "the connection was refused"));
        }
        let id = self.serve(|server, _, origin| server.connect(origin));
        let label = self.log.connected();
        debug_assert_eq!(id, label, "both count from 1");
        Ok(id)
    }

    /// Closes a connection without waiting.
    pub(super) fn close(&self, id: ConnectionId) {
        self.serve(|server, now, origin| server.close(id, origin, now));
    }

    /// A turn of the schedule is over: what was late arrives. Whether anything was, and what has been spawned.
    pub(super) fn turn_over(&self) -> (bool, Vec<Task>) {
        let (late, spawned) =
            self.with(|shared| (shared.server.is_anything_late(), std::mem::take(&mut shared.spawned)));
        if late {
            self.serve(|server, now, _| server.turn_over(now));
        }
        (late, spawned)
    }

    /// Binds a fault, or none, to a command that is about to begin.
    pub(super) fn arm(&self, by: By, fault: Option<Fault>) {
        self.serve(|server, now, _| server.arm(by, fault, now));
    }

    /// The rows that are committed.
    pub(super) fn rows(&self) -> BTreeMap<Key, Value> {
        self.with(|shared| shared.server.database().rows().iter().copied().collect())
    }

    pub(super) fn now(&self) -> Duration {
        self.with(|shared| shared.now)
    }

    /// Waits in virtual time.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub(super) async fn sleep(&self, duration: Duration) {
        let (until, number) = self.with(|shared| {
            shared.timers_made += 1;
            (shared.now.saturating_add(duration), shared.timers_made)
        });
        let mut timer = Timer { world: self, key: (until, number), set: false };
        poll_fn(|context| timer.poll(context)).await;
    }

    /// When the next timer rings.
    pub(super) fn next_timer(&self) -> Option<Duration> {
        self.with(|shared| shared.timers.first_key_value().map(|((at, _), _)| *at))
    }

    /// Goes forward to this moment and rings what is due by then.
    pub(super) fn advance_to(&self, moment: Duration) {
        let due = self.with(|shared| {
            shared.now = shared.now.max(moment);
            let later = shared.timers.split_off(&(shared.now, u64::MAX));
            std::mem::replace(&mut shared.timers, later)
        });
        for alarm in due.into_values() {
            match alarm {
                Alarm::Waiter(waker) => waker.wake(),
                Alarm::Connection(id) => self.serve(|server, now, _| server.ring(id, now)),
            }
        }
    }

    /// Takes a task to run; false if the runtime has ended.
    pub(super) fn spawn(&self, task: Pin<Box<dyn Future<Output = ()> + Send>>) -> bool {
        let ended = self.serve(|server, _, origin| server.lands(origin, Fault::NoRuntime));
        if !ended {
            self.with(|shared| shared.spawned.push((Origin { by_actor: false, ..shared.origin }, task)));
        }
        !ended
    }

    /// A number that looks random and is the same in every run.
    pub(super) fn random(&self) -> u64 {
        self.with(|shared| {
            shared.random =
                shared.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            shared.random >> 16
        })
    }

    /// Records which actor or task is polled from now on, and for which command; called by the scheduler.
    pub(super) fn set_running(&self, running: u64, origin: Origin) {
        self.log.set_current(origin.by);
        self.with(|shared| (shared.running, shared.origin) = (running, origin));
    }

    pub(super) fn running(&self) -> u64 {
        self.with(|shared| shared.running)
    }

    /// The wire of the next actor; they are added in their order.
    pub(super) fn add_wire(&self) -> Arc<Wire> {
        let wire: Arc<Wire> = Arc::default();
        self.with(|shared| shared.wires.push(Arc::clone(&wire)));
        wire
    }
}

/// The wire of the actor itself, if it is not a task on its behalf that is at work.
fn wire(wires: &[Arc<Wire>], origin: Origin) -> Option<&Arc<Wire>> {
    origin.by.filter(|_| origin.by_actor).and_then(|it| wires.get(it.actor.index()))
}

fn pause(passed: &mut bool, context: &mut Context<'_>) -> Poll<()> {
    if std::mem::replace(passed, true) {
        return Poll::Ready(());
    }
    context.waker().wake_by_ref();
    Poll::Pending
}

fn lost() -> ConnectionError {
    ConnectionError::new(ErrorClass::Disconnected, "the connection is lost")
}

/// A request that was sent. Dropped, nobody waits for it any more.
struct Call<'a> {
    world: &'a World,
    id: ConnectionId,
    number: u64,
}

impl Call<'_> {
    /// Waits for the answer. It is a gate before the reply also when the answer is there at once.
    async fn answer(&self) -> Answer {
        let mut passed = false;
        poll_fn(|context| {
            self.world.with(|shared| {
                if passed && let Some(answer) = shared.server.take_answer(self.id, self.number, shared.now) {
                    return Poll::Ready(answer);
                }
                if !std::mem::replace(&mut passed, true) && shared.server.has_answer(self.id, self.number, shared.now) {
                    context.waker().wake_by_ref();
                } else {
                    shared.server.wait(self.id, context.waker());
                }
                Poll::Pending
            })
        })
        .await
    }
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        self.world.with(|shared| shared.server.abandon(self.id, self.number));
    }
}

/// A timer that is taken back when nobody waits for it any more.
struct Timer<'a> {
    world: &'a World,
    key: (Duration, u64),
    set: bool,
}

impl Timer<'_> {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        self.world.with(|shared| {
            if shared.now >= self.key.0 {
                return Poll::Ready(());
            }
            match shared.timers.get_mut(&self.key) {
                Some(Alarm::Waiter(old)) => old.clone_from(context.waker()),
                _ => drop(shared.timers.insert(self.key, Alarm::Waiter(context.waker().clone()))),
            }
            self.set = true;
            Poll::Pending
        })
    }
}

impl Drop for Timer<'_> {
    fn drop(&mut self) {
        if self.set {
            self.world.with(|shared| shared.timers.remove(&self.key));
        }
    }
}
