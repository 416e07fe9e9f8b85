//! Execution on a real database, for the [`stage`](crate::stage): from the database's creation to its removal.
//!
//! Owns the meaning of waiting where drivers have threads and servers have processes. Only the scheduler, and the
//! threads of the database and of the system itself, make progress. A command whose future waits counts as blocked once
//! nothing has moved for [`Limits::grace`]. Every wait has a bound in [`Limits`].
//!
//! After a hang the rows are still read if they can be, since they may show an earlier violation.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::time::timeout;

use crate::clock::Clock;
use crate::database::Database;
use crate::erased::{Started, Starter};
use crate::history::{By, History, Log, Outcome, What};
use crate::limits::Limits;
use crate::model::ends_session;
use crate::plan::{ActorId, Command, Fault, Key, Phase, Plan, Step, Tasks, Value};
use crate::port::Wire;
use crate::recorder::Recorder;
use crate::stage::{Alarm, Environment, Running, Stop, along, play};
use crate::stillness::{Stillness, tasks_alive, unless_endless, unless_still};

/// How many times [`Limits::hang`] the rows may take to be read at the end.
const PATIENCE: u32 = 20;

/// How many times [`Limits::quiet`] the database must be silent after something was dropped; after a command was
/// cancelled; and before the observers run.
const SILENCE: u32 = 1;
const SILENCE_CANCELLED: u32 = 5;
const SILENCE_BEFORE_LOOK: u32 = 5;

/// In so many strides a wait passes: what is due after a half of it happens before what is due at its end.
const STRIDES: u32 = 20;

/// Runs the plan on a fresh database. A watcher on another thread follows its progress through the recorder.
///
/// # Cancel safety
/// Cancel safe: the actors, the system and the database go with the future.
pub(crate) async fn execute(starter: Starter<Database>, plan: &Plan, limits: &Limits, recorder: &Recorder) -> History {
    let Recorder { log, heartbeat, .. } = recorder;
    log.begin(plan);
    let database = match Database::create(plan, recorder.clone()).await {
        Ok(database) => database,
        Err(error) => {
            log.record(What::HarnessFault(format!("cannot set up the plan's database: {error}")));
            return log.finish();
        }
    };
    // A closed pool takes its database in memory with it, and that is no mistake. Kept from the start, since nothing can be
    // opened beside a lock of everything.
    if plan.steps().any(|(_, _, step)| step.command == Command::ClosePool) {
        database.keep_alive().await;
    }
    heartbeat.set_on_stage(true);
    let clock = Clock::on(plan.storage.backend());
    match clock.to_the_end((starter.start)(&database, plan)).await {
        Ok(system) => {
            let limits = limits.on(plan.storage.backend());
            let mut environment = RealTime::new(&database, &clock, recorder, &limits, plan.tasks);
            play(&mut environment, system, starter.capabilities, plan, &mut along(&plan.schedule)).await;
        }
        Err(failure) => {
            log.record(What::HarnessFault(format!("the system did not start: {}", failure.message)));
            return log.finish();
        }
    }
    let history = log.finish();
    database.remove().await;
    history
}

/// A real database, whose threads and processes take real time; what of it the system sees is the [`Clock`]'s.
struct RealTime<'a> {
    database: &'a Database,
    clock: &'a Clock,
    recorder: &'a Recorder,
    limits: &'a Limits,
    /// The number of the system's tasks after its start.
    at_rest: usize,
    /// How many tasks the system keeps running when nothing happens, as far as it is known.
    tasks: usize,
    /// Whether they run on between two turns.
    mode: Tasks,
    ongoing: Option<Ongoing>,
    /// The wire of each actor, where its requests are visible.
    wires: Vec<Option<Gates>>,
    /// One for all waits in a row: an actor that is woken repeatedly without progress hangs as well.
    patience: Stillness<'a>,
}

/// The gates of an actor whose requests are visible.
#[derive(Clone)]
struct Gates {
    wire: Arc<Wire>,
    /// How many requests were sent and answered at the last gate.
    passed: (u32, u32),
}

/// A fault that is being injected. It ends with the command that it belongs to, or when its time is over, since other
/// actors may wait for that.
struct Ongoing {
    actor: ActorId,
    fault: Fault,
    until: Instant,
}

impl<'a> RealTime<'a> {
    fn new(database: &'a Database, clock: &'a Clock, recorder: &'a Recorder, limits: &'a Limits, mode: Tasks) -> Self {
        let (tasks, patience) = (tasks_alive(), Stillness::new(clock, recorder, limits));
        let (ongoing, wires) = (None, Vec::new());
        Self { database, clock, recorder, limits, at_rest: tasks, tasks, mode, ongoing, wires, patience }
    }

    fn set_current(&self, by: Option<By>) {
        self.recorder.log.set_current(by);
        self.recorder.heartbeat.turn();
    }

    /// Ends the fault, if it is over.
    async fn heal(&mut self, is_over: impl Fn(&Ongoing) -> bool) {
        if let Some(ended) = self.ongoing.take_if(|ongoing| is_over(ongoing)) {
            self.clock.to_the_end(self.database.end_fault(ended.fault)).await;
        }
    }

    /// Waits until the system's own tasks have ended, if they are prompt, and, after something was dropped, until nothing
    /// moves in the database.
    async fn settle(&mut self, silence: u32) {
        let mut stillness = Stillness::new(self.clock, self.recorder, self.limits);
        // A task that nothing waited for may have ended by itself since.
        self.tasks = self.tasks.min(tasks_alive());
        while self.mode == Tasks::Prompt && tasks_alive() > self.tasks {
            if stillness.is_still(self.limits.still) || stillness.has_lasted(self.limits.settle) {
                // A task that stays is the system's own, so the next wait ignores it.
                self.tasks = tasks_alive();
                break;
            }
            self.clock.nap().await;
        }
        let (mut silent, mut looks) = (0, 0);
        while silent < silence && self.limits.quiet * looks < self.limits.settle {
            let before = self.recorder.signs();
            self.clock.pause(self.limits.quiet).await;
            tokio::task::yield_now().await;
            silent = if self.recorder.signs() == before { silent + 1 } else { 0 };
            // A thread that has work may not have been let run.
            if silent == silence && !self.recorder.heartbeat.are_drivers_asleep() {
                silent = 0;
            }
            looks += 1;
        }
    }

    /// Returns how long the database has to be silent to show that the last command has left no work behind on other
    /// threads.
    fn silence_after(&self, running: Running<'_>) -> u32 {
        let Some((by, step)) = running.command else { return 0 };
        let leaves = ends_session(&step.command)
            || matches!(step.command, Command::Drop | Command::Stream(_) | Command::ClosePool);
        match self.recorder.log.outcome_of(by) {
            // A request continues without its caller, and its later effects would be attributed to the next command.
            Some(Outcome::Cancelled(phase)) if phase != Phase::BeforeSend => SILENCE_CANCELLED,
            Some(Outcome::Done(_)) if !leaves && step.fault.is_none() => 0,
            _ => SILENCE,
        }
    }
}

impl Environment for RealTime<'_> {
    const POLLS_ARE_DECIDED: bool = false;
    const RESTS_ARE_FREE: bool = false;

    fn log(&self) -> &Log {
        &self.recorder.log
    }

    fn wire(&mut self, actor: ActorId) -> Option<Arc<Wire>> {
        let wire = self.database.wire(actor);
        self.wires.resize(actor.index(), None);
        self.wires.push(wire.clone().map(|wire| Gates { wire, passed: (0, 0) }));
        wire
    }

    /// The fault before it is over then.
    async fn begin_command(&mut self, by: By, step: &Step) {
        self.set_current(Some(by));
        if let Some(fault) = step.fault {
            self.heal(|_| true).await;
            self.clock.to_the_end(self.database.start_fault(fault)).await;
            self.ongoing = Some(Ongoing { actor: by.actor, fault, until: Instant::now() + self.limits.fault });
        }
    }

    /// What is under way ends first, so that no limit of a driver's or a server's work runs out which took no time.
    async fn pass(&mut self, time: Duration) {
        self.settle(SILENCE).await;
        let mut passed = Duration::ZERO;
        while passed < time && self.clock.bring_forward(time / STRIDES).await {
            passed += time / STRIDES;
            let signs = self.recorder.signs();
            self.clock.nap().await;
            if self.recorder.signs() != signs {
                self.settle(SILENCE).await;
            }
        }
    }

    async fn enter(&mut self, running: Option<Running<'_>>) {
        self.set_current(running.and_then(|running| running.by()));
        self.heal(|ongoing| Instant::now() > ongoing.until).await;
    }

    fn poll(
        &mut self,
        _: Running<'_>,
        future: Pin<&mut dyn Future<Output = ()>>,
        context: &mut Context<'_>,
    ) -> Poll<()> {
        let _held = self.database.hold();
        // Without this, tokio's cooperative budget would make ready things look pending.
        std::pin::pin!(tokio::task::coop::unconstrained(future)).poll(context)
    }

    /// Returns false if nothing moves that could wake it. What a fault holds back is held until the time limits of the system
    /// have run out, however long those are.
    async fn is_woken(&mut self, alarm: &Alarm) -> bool {
        let mut stillness = Stillness::new(self.clock, self.recorder, self.limits);
        let mut woken = false;
        while !woken && !stillness.has_lasted(self.limits.settle) {
            if stillness.is_still(self.limits.grace) && !(self.database.is_holding() && stillness.bring_forward().await)
            {
                break;
            }
            woken = self.clock.for_a_moment(alarm.wait()).await.is_some();
        }
        let woken = woken || timeout(Duration::ZERO, alarm.wait()).await.is_ok();
        self.heal(|ongoing| Instant::now() > ongoing.until).await;
        woken
    }

    fn is_at_gate(&mut self, running: Running<'_>) -> bool {
        let Some(Some(Gates { wire, passed })) = self.wires.get_mut(running.actor.index()) else { return true };
        let now = wire.counts();
        let is_unanswered = now.0 != passed.0 && now.1 == passed.1;
        if !is_unanswered {
            *passed = now;
        }
        !is_unanswered
    }

    async fn end_turn(&mut self, running: Running<'_>, stop: Stop) {
        if matches!(stop, Stop::Blocked | Stop::Reply) {
            self.recorder.log.bind_connections();
        }
        if stop != Stop::Reply {
            self.heal(|ongoing| ongoing.actor == running.actor).await;
        }
        let silence = match stop {
            Stop::Gone => SILENCE,
            Stop::Boundary => self.silence_after(running),
            Stop::Reply | Stop::Blocked => 0,
        };
        self.settle(silence).await;
        if self.database.is_kept_alive() && self.recorder.log.connections_open() > 0 {
            self.clock.to_the_end(self.database.let_go()).await;
        }
        if self.mode == Tasks::Late && tasks_alive() > self.at_rest {
            self.recorder.log.tasks_overlap();
        }
    }

    fn got_on(&mut self) {
        self.patience = Stillness::new(self.clock, self.recorder, self.limits);
    }

    async fn await_any(&mut self, is_any_woken: &dyn Fn() -> bool) -> bool {
        while !is_any_woken() {
            if self.patience.is_endless().await {
                // Its end may have come with the last look.
                return is_any_woken();
            }
            self.clock.for_a_moment(std::future::pending::<()>()).await;
        }
        true
    }

    /// The system may be waiting for a time limit of its own, to abandon a dead peer for example, and nothing moves
    /// until then.
    async fn rest(&mut self) {
        self.mode = Tasks::Prompt;
        let mut stillness = Stillness::new(self.clock, self.recorder, self.limits);
        while tasks_alive() > self.at_rest && !stillness.is_endless().await {
            self.clock.nap().await;
        }
        self.settle(SILENCE_BEFORE_LOOK).await;
    }

    /// Abandoned work still ends by itself, and may release its locks on the rows.
    async fn rest_after_hang(&mut self) {
        self.rest().await;
    }

    async fn begin_end(&mut self) {
        self.clock.to_the_end(self.database.keep_alive()).await;
    }

    async fn run_to_end<T>(&mut self, future: impl Future<Output = T>) -> Option<T> {
        unless_endless(future, self.clock, self.recorder, self.limits).await
    }

    /// The driver closes a dropped connection on its own thread.
    async fn closed(&mut self) {
        self.settle(SILENCE).await;
        let mut stillness = Stillness::new(self.clock, self.recorder, self.limits);
        while self.recorder.log.connections_open() > 0 && !stillness.is_endless().await {
            self.clock.nap().await;
        }
    }

    async fn final_state(&mut self, system: Box<dyn Started>, hung: bool) -> Result<BTreeMap<Key, Value>, String> {
        // Connections that the system still holds may keep a shared cache locked.
        drop(system);
        self.recorder.heartbeat.set_on_stage(false);
        self.clock.let_go();
        let rows = self.database.final_state();
        // After a hang the rows are likely to stay locked, and the verdict does not need them.
        let rows = match hung {
            true => unless_still(rows, self.clock, self.recorder, self.limits).await,
            // A busy machine may take its time over it.
            false => timeout(self.limits.hang * PATIENCE, rows).await.ok(),
        };
        let rows = rows.ok_or("the rows stay locked after the system has stopped")?;
        rows.map_err(|error| error.to_string())
    }
}
