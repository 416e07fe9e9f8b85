//! The log: through it the scheduler and the database's hooks append to one total order.
//!
//! Owns the history while it is written, the labels of connections and builds, and under whose name an event is recorded. It
//! knows neither whether anything still moves nor which fault is armed.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{By, ConnectionId, Event, History, Outcome, What};
use crate::plan::{Build, Plan, Service};

/// Appends to a history from the scheduler and from the threads of a database driver. Cheap to clone.
#[derive(Clone, Default)]
pub struct Log {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    written: Mutex<Written>,
    /// How many events were appended, readable without the lock.
    appended: AtomicU64,
}

#[derive(Default)]
struct Written {
    history: History,
    current: Option<By>,
    /// The connections that work for a command that has not ended, even while another command runs.
    bound: BTreeMap<ConnectionId, By>,
    connections: u16,
    open: u16,
    builds: u16,
}

/// As many events as few plans exceed.
const EVENTS_USUAL: usize = 160;

impl Log {
    /// Appends an event that belongs to the running command.
    pub fn record(&self, what: What) {
        let mut written = self.written();
        let by = written.current;
        self.append(&mut written, by, what);
    }

    /// Appends what a connection did: it belongs to the running command, or to the unfinished one that the
    /// connection works for.
    pub fn record_evidence(&self, connection: ConnectionId, what: What) {
        let mut written = self.written();
        let by = written.bound.get(&connection).copied().or(written.current);
        self.append(&mut written, by, what);
    }

    /// Appends an event that is known to belong to this command, or to none.
    pub fn record_as(&self, by: Option<By>, what: What) {
        self.append(&mut self.written(), by, what);
    }

    /// Appends events that are known to belong to these commands, in their order.
    pub fn record_all(&self, events: impl Iterator<Item = (Option<By>, What)>) {
        let mut written = self.written();
        for (by, what) in events {
            self.append(&mut written, by, what);
        }
    }

    /// Appends evidence that belongs to this command, unless the same was appended for it before.
    pub fn record_once(&self, by: By, what: What) {
        let mut written = self.written();
        let since = written.history.events.iter().rev().take_while(|event| !matches!(event.what, What::PlanOver));
        let mut own = since.filter(|event| event.by == Some(by));
        if !own.any(|event| event.what == what) {
            self.append(&mut written, Some(by), what);
        }
    }

    /// Appends what an actor says of its own command; from then on its connections are not bound to that command any more.
    pub fn record_for(&self, by: By, what: What) {
        let mut written = self.written();
        if !written.bound.is_empty() {
            written.bound.retain(|_, bound_to| *bound_to != by);
        }
        self.append(&mut written, Some(by), what);
    }

    /// The running command.
    pub fn current(&self) -> Option<By> {
        self.written().current
    }

    /// From now on, what the database does belongs to this command.
    pub fn set_current(&self, by: Option<By>) {
        self.written().current = by;
    }

    /// The running command has not ended and another one is about to run: what its connections do until it ends is still
    /// its own.
    pub fn bind_connections(&self) {
        let Written { history, current, bound, .. } = &mut *self.written();
        let Some(by) = *current else { return };
        bound.extend(history.events.iter().filter(|event| event.by == Some(by)).filter_map(|event| match event.what {
            What::Served(connection) => Some((connection, by)),
            _ => None,
        }));
    }

    /// How many events were ever appended; changes whenever something is recorded.
    pub fn appended(&self) -> u64 {
        self.shared.appended.load(Ordering::Relaxed)
    }

    /// How this command ended, if it has.
    pub fn outcome_of(&self, by: By) -> Option<Outcome> {
        self.written().history.events.iter().rev().find_map(|event| match &event.what {
            What::Returned(outcome) if event.by == Some(by) => Some(outcome.clone()),
            _ => None,
        })
    }

    /// A connection was opened: labels it.
    pub fn connected(&self) -> ConnectionId {
        let mut written = self.written();
        written.connections += 1;
        written.open += 1;
        let (id, by) = (ConnectionId(written.connections), written.current);
        self.append(&mut written, by, What::Connected(id));
        id
    }

    /// A connection was closed.
    pub fn disconnected(&self, connection: ConnectionId) {
        let mut written = self.written();
        written.open -= 1;
        let by = written.current;
        self.append(&mut written, by, What::Disconnected(connection));
    }

    /// How many observed connections are open.
    pub fn connections_open(&self) -> u16 {
        self.written().open
    }

    /// A service was built: numbers it.
    pub fn built(&self, service: Service, parts: &[Build]) -> Build {
        let mut written = self.written();
        written.builds += 1;
        let (build, by) = (Build(written.builds), written.current);
        self.append(&mut written, by, What::Built { build, service, parts: parts.to_vec() });
        build
    }

    /// Says what the history is of: how many actors the plan has, where it happens, whether inside a test fixture, and how
    /// many connections there may be.
    pub fn begin(&self, plan: &Plan) {
        let history = &mut self.written().history;
        history.planned = plan.actors.len();
        history.isolation = plan.storage.isolation();
        history.fixture = plan.fixture;
        history.connections_max = Some(plan.connections);
        history.in_memory = plan.storage.is_in_memory();
        history.events.reserve(EVENTS_USUAL);
    }

    /// A task of the system goes on while the next command runs.
    pub fn tasks_overlap(&self) {
        let history = &mut self.written().history;
        history.tasks_overlap.get_or_insert(history.events.len());
    }

    /// Reads what has been appended so far.
    pub fn read<R>(&self, read: impl FnOnce(&History) -> R) -> R {
        read(&self.written().history)
    }

    /// Takes the history; what comes later is appended to an empty one that nobody reads.
    pub fn finish(&self) -> History {
        std::mem::take(&mut self.written().history)
    }

    /// Takes the history of a plan whose thread is given up: the running command hangs.
    pub fn give_up(&self) -> History {
        let mut written = self.written();
        let by = written.current;
        self.append(&mut written, by, What::Hung);
        self.append(&mut written, None, What::ThreadGivenUp);
        std::mem::take(&mut written.history)
    }

    fn append(&self, written: &mut Written, by: Option<By>, what: What) {
        written.history.events.push(Event { by, what });
        // No other thread counts while the lock is held.
        self.shared.appended.store(self.shared.appended.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    }

    fn written(&self) -> MutexGuard<'_, Written> {
        // A panic while the lock was held leaves a log that is still append-only and whole.
        self.shared.written.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
