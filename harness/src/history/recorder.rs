//! The recorder: through it the executor and the database's hooks append to one total order.
//!
//! Owns whose name an event is recorded under, and the faults that the hooks do.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{By, ConnectionId, Event, History, Outcome, What};
use crate::plan::{Build, Fault, Ground, Service};

/// Appends to a history from the executor and from the threads of a database driver.
#[derive(Clone, Default)]
pub struct Recorder {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    log: Mutex<Log>,
    /// Counts everything that happens, the steps of statements too; lets the executor see that nothing moves any more.
    pulse: AtomicU64,
    /// Count the signs of life of those between a caller and a database that is another process; 0 where there are none.
    proxy_turns: AtomicU64,
    server_turns: AtomicU64,
    /// Counts the executor's looks at whether something moves.
    looks: AtomicU64,
    /// Whether the system is there, from its start to its stop.
    on_stage: AtomicBool,
    /// Counts the commands; lets a hook see without a lock that it has reported for this one already.
    stamp: AtomicU64,
    /// Whether the running command's statements are to be interrupted, or their commits refused.
    interrupt: AtomicBool,
    refuse_commit: AtomicBool,
}

#[derive(Default)]
struct Log {
    history: History,
    current: Option<By>,
    /// The connections that work for a command that has not ended, whoever runs meanwhile.
    bound: BTreeMap<ConnectionId, By>,
    connections: u16,
    open: u16,
    builds: u16,
    folder: Option<PathBuf>,
}

/// As many events as few plans exceed.
const EVENTS_USUAL: usize = 160;

impl Recorder {
    /// Appends an event that belongs to the running command.
    pub fn record(&self, what: What) {
        self.beat();
        let mut log = self.log();
        let by = log.current;
        log.history.events.push(Event { by, what });
    }

    /// Appends what a connection did: it belongs to the running command, or to the unfinished one that the
    /// connection works for.
    pub fn record_evidence(&self, connection: ConnectionId, what: What) {
        self.beat();
        let mut log = self.log();
        let by = log.bound.get(&connection).copied().or(log.current);
        log.history.events.push(Event { by, what });
    }

    /// Appends evidence that is known to belong to this command, or to none.
    pub fn record_as(&self, by: Option<By>, what: What) {
        self.log().history.events.push(Event { by, what });
    }

    /// Appends evidence that belongs to this command, unless the same was appended for it before.
    pub fn record_once(&self, by: By, what: What) {
        let mut log = self.log();
        let since = log.history.events.iter().rev().take_while(|it| !matches!(it.what, What::PlanOver));
        let mut own = since.filter(|it| it.by == Some(by));
        if !own.any(|it| it.what == what) {
            log.history.events.push(Event { by: Some(by), what });
        }
    }

    /// The running command.
    pub fn current(&self) -> Option<By> {
        self.log().current
    }

    /// Appends an event that belongs to this command.
    pub fn record_for(&self, by: By, what: What) {
        self.beat();
        let mut log = self.log();
        if !log.bound.is_empty() {
            log.bound.retain(|_, it| *it != by);
        }
        log.history.events.push(Event { by: Some(by), what });
    }

    /// The running command has not ended and another one is about to run: what its connections do until it ends is still
    /// its own.
    pub fn bind_connections(&self) {
        let mut log = self.log();
        let Some(by) = log.current else { return };
        let served = log.history.events.iter().filter(|it| it.by == Some(by)).filter_map(|it| match it.what {
            What::Served(connection) => Some((connection, by)),
            _ => None,
        });
        let served: Vec<_> = served.collect();
        log.bound.extend(served);
    }

    /// From now on, what the database does belongs to this command.
    pub fn set_current(&self, by: Option<By>) {
        self.log().current = by;
        self.shared.stamp.fetch_add(1, Ordering::Release);
    }

    /// The number of the running command; a new one for each call of [`Recorder::set_current`].
    pub fn stamp(&self) -> u64 {
        self.shared.stamp.load(Ordering::Acquire)
    }

    /// Something moved: a statement has come one step further.
    pub fn beat(&self) {
        self.shared.pulse.fetch_add(1, Ordering::Relaxed);
    }

    /// Changes whenever something moves.
    pub fn pulse(&self) -> u64 {
        self.shared.pulse.load(Ordering::Relaxed)
    }

    /// The executor waits, and looks whether something moves.
    pub fn look(&self) {
        self.shared.looks.fetch_add(1, Ordering::Relaxed);
    }

    /// How often it has looked.
    pub fn looks(&self) -> u64 {
        self.shared.looks.load(Ordering::Relaxed)
    }

    /// Says whether the system is there; what takes long before and after that is the harness's own.
    pub fn set_on_stage(&self, on_stage: bool) {
        self.shared.on_stage.store(on_stage, Ordering::Release);
    }

    /// Whether it is.
    pub fn is_on_stage(&self) -> bool {
        self.shared.on_stage.load(Ordering::Acquire)
    }

    /// The proxy has been to all its sockets.
    pub fn proxy_turned(&self) {
        self.shared.proxy_turns.fetch_add(1, Ordering::Release);
    }

    /// The server has been asked what it works at.
    pub fn server_turned(&self) {
        self.shared.server_turns.fetch_add(1, Ordering::Release);
    }

    /// How often either had its turn; 0 where there is none.
    pub fn turns(&self) -> [u64; 2] {
        [&self.shared.proxy_turns, &self.shared.server_turns].map(|it| it.load(Ordering::Acquire))
    }

    /// How many events there are.
    pub fn len(&self) -> usize {
        self.log().history.events.len()
    }

    /// Whether there are no events.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How this command ended, if it has.
    pub fn outcome_of(&self, by: By) -> Option<Outcome> {
        self.log().history.events.iter().rev().find_map(|event| match &event.what {
            What::Returned(outcome) if event.by == Some(by) => Some(outcome.clone()),
            _ => None,
        })
    }

    /// Arms a fault for the running command, or disarms all.
    pub fn arm(&self, fault: Option<Fault>) {
        self.shared.interrupt.store(fault == Some(Fault::Interrupt), Ordering::Release);
        self.shared.refuse_commit.store(fault == Some(Fault::RefuseCommit), Ordering::Release);
    }

    /// Whether the statement that executes now is to be interrupted; the first to ask is told so, once.
    pub fn take_interrupt(&self) -> bool {
        self.take(&self.shared.interrupt, Fault::Interrupt)
    }

    /// Whether the commit that happens now is to be refused; the first to ask is told so, once.
    pub fn take_refuse_commit(&self) -> bool {
        self.take(&self.shared.refuse_commit, Fault::RefuseCommit)
    }

    fn take(&self, armed: &AtomicBool, fault: Fault) -> bool {
        let hit = armed.load(Ordering::Acquire) && armed.swap(false, Ordering::AcqRel);
        if hit {
            self.record(What::FaultLanded(fault));
        }
        hit
    }

    /// A connection was opened: labels it.
    pub fn connected(&self) -> ConnectionId {
        self.beat();
        let mut log = self.log();
        log.connections += 1;
        log.open += 1;
        let id = ConnectionId(log.connections);
        let by = log.current;
        log.history.events.push(Event { by, what: What::Connected(id) });
        id
    }

    /// A connection was closed.
    pub fn disconnected(&self, connection: ConnectionId) {
        self.beat();
        let mut log = self.log();
        log.open -= 1;
        let by = log.current;
        log.history.events.push(Event { by, what: What::Disconnected(connection) });
    }

    /// How many observed connections are open.
    pub fn connections_open(&self) -> u16 {
        self.log().open
    }

    /// A service was built: numbers it.
    pub fn built(&self, service: Service, parts: &[Build]) -> Build {
        self.beat();
        let mut log = self.log();
        log.builds += 1;
        let build = Build(log.builds);
        let by = log.current;
        log.history.events.push(Event { by, what: What::Built { build, service, parts: parts.to_vec() } });
        build
    }

    /// Says whether it happens inside a test fixture.
    pub fn set_fixture(&self, fixture: bool) {
        self.log().history.fixture = fixture;
    }

    /// Says where it happens.
    pub fn set_ground(&self, ground: Ground) {
        self.log().history.ground = ground;
    }

    /// Says how many actors the plan has.
    pub fn set_planned(&self, planned: usize) {
        let mut log = self.log();
        log.history.planned = planned;
        log.history.events.reserve(EVENTS_USUAL);
    }

    /// A copy of the history so far.
    pub fn snapshot(&self) -> History {
        self.log().history.clone()
    }

    /// Takes the history; what comes later is appended to an empty one that nobody reads.
    pub fn finish(&self) -> History {
        std::mem::take(&mut self.log().history)
    }

    /// Says where the plan's files are.
    pub fn set_folder(&self, folder: &Path) {
        self.log().folder = Some(folder.to_owned());
    }

    /// Where they are.
    pub fn folder(&self) -> Option<PathBuf> {
        self.log().folder.clone()
    }

    /// Takes the history of a plan whose thread is given up: the running command hangs.
    pub fn give_up(&self) -> History {
        self.record(What::Hung);
        let mut log = self.log();
        log.history.events.push(Event { by: None, what: What::ThreadGivenUp });
        std::mem::take(&mut log.history)
    }

    fn log(&self) -> MutexGuard<'_, Log> {
        // A panic while the lock was held leaves a log that is still append-only and whole.
        self.shared.log.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
