//! What everything in a simulated run shares: the database, the virtual clock, the tasks, the armed fault, the recorder.
//!
//! Wakes whoever waits for an answer or for a moment. It decides nothing: who runs next is [`super::execute`]'s.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};
use std::time::Duration;

use unstale::Class;
use unstale::source::Failure;

use super::database::{Database, Request};
use crate::history::{ConnectionId, Recorder, Reply, What};
use crate::plan::{Fault, Key, Value};

/// Shared by the source, its connections and the scheduler. Cheap to clone.
#[derive(Clone)]
pub struct World {
    shared: Arc<Mutex<Shared>>,
    pub(super) recorder: Recorder,
}

/// A task that was spawned and has not been taken by the scheduler.
pub(super) type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

#[derive(Default)]
struct Shared {
    database: Database,
    now: Duration,
    timers: BTreeMap<(Duration, u64), Waker>,
    waiting: Vec<Waker>,
    spawned: Vec<Task>,
    armed: Option<Fault>,
    numbers: u64,
    random: u64,
    /// The last command for which each connection was recorded as serving.
    served: BTreeMap<ConnectionId, u64>,
    actor: u64,
    /// The database is its one connection.
    only: bool,
}

impl World {
    pub(super) fn new(recorder: Recorder, only: bool) -> Self {
        Self { shared: Arc::new(Mutex::new(Shared { only, ..Shared::default() })), recorder }
    }

    fn shared(&self) -> MutexGuard<'_, Shared> {
        // A panic of the system under test leaves plain values behind.
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn number(&self) -> u64 {
        let mut shared = self.shared();
        shared.numbers += 1;
        shared.numbers
    }

    /// A gate: the scheduler may let somebody else go on here.
    pub(super) async fn gate(&self) {
        let mut passed = false;
        poll_fn(|context| {
            if passed {
                return Poll::Ready(());
            }
            passed = true;
            context.waker().wake_by_ref();
            Poll::Pending
        })
        .await;
    }

    /// One request and its answer, with a gate before it is sent and one before its answer is looked at.
    pub(super) async fn call(&self, id: ConnectionId, request: Request) -> Result<Reply, Failure> {
        self.gate().await;
        let gone = || Failure::new(Class::Dead, "the connection is lost");
        if self.take(Fault::LostBefore) {
            self.lose(id);
            return Err(gone());
        }
        if self.take(Fault::Interrupt) {
            self.record_served(id);
            return Err(Failure::new(Class::StatementLost, "interrupted"));
        }
        let own = !matches!(request, Request::Statement(_));
        if own && self.take(Fault::Freeze) {
            self.shared().database.freeze(id);
        }
        if is_commit(&request) && self.take(Fault::RefuseCommit) {
            return self.refuse_commit(id);
        }
        let number = self.number();
        if !self.shared().database.send(id, number, request) {
            return Err(gone());
        }
        let answer = poll_fn(|context| {
            let mut shared = self.shared();
            if !shared.database.is_connected(id) {
                return Poll::Ready(None);
            }
            match shared.database.answer(id, number) {
                Some(answer) => Poll::Ready(Some(answer)),
                None => {
                    // The scheduler lets the database run after each poll, and wakes who may have been answered.
                    shared.waiting.push(context.waker().clone());
                    Poll::Pending
                }
            }
        })
        .await;
        if self.take(Fault::LostAfter) {
            self.lose(id);
            return Err(gone());
        }
        match answer {
            None => Err(gone()),
            Some(answer) => answer.map_err(|it| Failure::new(it.class, it.text)),
        }
    }

    fn refuse_commit(&self, id: ConnectionId) -> Result<Reply, Failure> {
        self.record_served(id);
        let mut evidence = Vec::new();
        let rollback = Request::Control(unstale::source::Control::Rollback);
        let number = self.number();
        let mut shared = self.shared();
        shared.database.send(id, number, rollback);
        shared.database.run(&mut evidence);
        shared.database.answer(id, number);
        drop(shared);
        self.record(evidence);
        Err(Failure::new(Class::Mistake, "the commit was refused and rolled back"))
    }

    /// Lets the database do what was sent, and wakes those whose answers may be there.
    pub(super) fn run_database(&self) {
        let mut evidence = Vec::new();
        let mut shared = self.shared();
        if shared.waiting.is_empty() {
            // Requests whose callers are gone are done all the same.
            shared.database.run(&mut evidence);
            drop(shared);
            self.record(evidence);
            return;
        }
        shared.database.run(&mut evidence);
        let moved = !evidence.is_empty();
        let woken = if moved { std::mem::take(&mut shared.waiting) } else { Vec::new() };
        drop(shared);
        self.record(evidence);
        woken.into_iter().for_each(Waker::wake);
    }

    pub(super) fn connect(&self) -> ConnectionId {
        let id = self.recorder.connected();
        self.shared().database.connect(id);
        id
    }

    pub(super) fn disconnect(&self, id: ConnectionId) {
        let mut evidence = Vec::new();
        let mut shared = self.shared();
        let was_connected = shared.database.is_connected(id);
        shared.database.disconnect(id, &mut evidence);
        drop(shared);
        self.record(evidence);
        if was_connected {
            self.recorder.disconnected(id);
        }
    }

    /// The connection is lost. Its other end sees it with the next call.
    fn lose(&self, id: ConnectionId) {
        let mut evidence = Vec::new();
        let mut shared = self.shared();
        let was_connected = shared.database.is_connected(id);
        shared.database.lose(id, &mut evidence);
        drop(shared);
        self.record(evidence);
        if was_connected {
            self.recorder.disconnected(id);
        }
    }

    fn record(&self, evidence: Vec<(ConnectionId, What)>) {
        for (id, what) in evidence {
            match what {
                What::Served(_) => self.record_served(id),
                what => self.recorder.record_evidence(id, what),
            }
        }
    }

    /// Once for each command, as the hooks of a real driver do it here.
    fn record_served(&self, id: ConnectionId) {
        let stamp = self.recorder.stamp();
        if self.shared().served.insert(id, stamp) != Some(stamp) {
            self.recorder.record_evidence(id, What::Served(id));
        }
    }

    pub(super) fn rows(&self) -> BTreeMap<Key, Value> {
        self.shared().database.rows().clone()
    }

    /// Arms a fault for the running command, or disarms it. A database that is its connection is in the same process: it
    /// cannot be lost on the way, and such a fault does not land.
    pub(super) fn arm(&self, fault: Option<Fault>) {
        let on_the_way = |it: &Fault| matches!(it, Fault::LostBefore | Fault::LostAfter | Fault::Freeze);
        let mut shared = self.shared();
        shared.armed = fault.filter(|it| !(shared.only && on_the_way(it)));
    }

    /// Disarms the fault; whether it was still armed.
    pub(super) fn disarm(&self) -> bool {
        self.shared().armed.take().is_some()
    }

    /// Whether this fault is to happen now; it happens once.
    pub(super) fn take(&self, fault: Fault) -> bool {
        let mut shared = self.shared();
        let hit = shared.armed == Some(fault);
        if hit {
            shared.armed = None;
            drop(shared);
            self.recorder.record(What::FaultLanded(fault));
        }
        hit
    }

    pub(super) fn now(&self) -> Duration {
        self.shared().now
    }

    /// Waits in virtual time.
    pub(super) async fn sleep(&self, duration: Duration) {
        let number = self.number();
        let until = self.now() + duration;
        let timer = Timer { world: self, key: (until, number) };
        poll_fn(|context| {
            let mut shared = timer.world.shared();
            if shared.now >= until {
                return Poll::Ready(());
            }
            shared.timers.insert(timer.key, context.waker().clone());
            Poll::Pending
        })
        .await;
    }

    /// When the next timer rings.
    pub(super) fn next_timer(&self) -> Option<Duration> {
        self.shared().timers.first_key_value().map(|((at, _), _)| *at)
    }

    /// Goes forward to this moment and rings what is due.
    pub(super) fn advance_to(&self, moment: Duration) {
        let mut shared = self.shared();
        shared.now = shared.now.max(moment);
        let now = shared.now;
        let later = shared.timers.split_off(&(now + Duration::from_nanos(1), 0));
        let due = std::mem::replace(&mut shared.timers, later);
        drop(shared);
        due.into_values().for_each(Waker::wake);
    }

    /// Takes a task to run; false if the runtime has ended.
    pub(super) fn spawn(&self, task: Task) -> bool {
        if self.take(Fault::NoRuntime) {
            return false;
        }
        self.shared().spawned.push(task);
        true
    }

    pub(super) fn take_spawned(&self) -> Vec<Task> {
        std::mem::take(&mut self.shared().spawned)
    }

    /// A number that looks random and is the same in every run.
    pub(super) fn random(&self) -> u64 {
        let mut shared = self.shared();
        shared.random = shared.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        shared.random >> 16
    }

    /// Who is being polled: the scheduler says so.
    pub(super) fn set_actor(&self, actor: u64) {
        self.shared().actor = actor;
    }

    pub(super) fn actor(&self) -> u64 {
        self.shared().actor
    }
}

/// A timer that is taken back when nobody waits for it any more.
struct Timer<'a> {
    world: &'a World,
    key: (Duration, u64),
}

impl Drop for Timer<'_> {
    fn drop(&mut self) {
        self.world.shared().timers.remove(&self.key);
    }
}

fn is_commit(request: &Request) -> bool {
    matches!(request, Request::Control(unstale::source::Control::Commit))
}
