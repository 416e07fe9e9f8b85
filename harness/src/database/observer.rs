//! Turns what passes on the wire to PostgreSQL into evidence in a plan's history.
//!
//! Owns the attribution of requests: a request belongs to the command that was running when it was sent, whichever
//! command runs when it is answered. A connection of the proxy's is one backend for its whole life, so it is the
//! identity; the backend's pid is kept beside its label. It is called on the proxy's thread, in the order in which
//! things happened.
//!
//! It does not see changes that a statement's tag does not mention (by a trigger or a function), nor the work of a
//! server whose answer was lost before the proxy.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::heartbeat::Heartbeat;
use crate::history::{By, ConnectionId, Log, What};
use crate::plan::{ActorId, Fault, NetworkFault, ServerFault};
use crate::port::Wire;
use unstale_wire::monitor::Watcher;
use unstale_wire::proxy::{Landed, Seen, Side, Watch};

/// How often the server was asked about its work, at least a millisecond apart, until a login that it has not answered hangs.
/// Longer than any takes, also on a machine so busy that the server is late with both.
const LOGIN_MAX: u32 = 1000;

/// The code with which a commit is refused: check_violation, which no statement of the workload can meet.
pub(super) const REFUSED_COMMIT: &str = "23514";

/// The code of a statement that was told to stop.
const QUERY_CANCELED: &str = "57014";

/// The code of a write on a connection that is read-only: no command of a plan asks for a transaction in which nothing can be
/// written.
const READ_ONLY: &str = "25006";

/// Whether a refusal with this code proves that the fault has hit. That the server was told to cancel a statement proves nothing: it
/// may have ended before.
fn proves(code: &str, fault: Fault) -> bool {
    match fault {
        Fault::Server(ServerFault::CancelQuery, _) => code == QUERY_CANCELED,
        Fault::RefuseCommit => code == REFUSED_COMMIT,
        _ => false,
    }
}

/// Watches the proxy of one plan.
pub(super) struct Observer {
    log: Log,
    heartbeat: Heartbeat,
    state: Mutex<State>,
    /// How many injections into the server are under way because their moment has come.
    injecting: AtomicU32,
}

#[derive(Default)]
struct State {
    logging_in: BTreeMap<u32, Login>,
    connections: BTreeMap<u32, Connection>,
    /// Those that a fault keeps still; none for one that is not open yet.
    held: BTreeSet<Option<u32>>,
    /// The backends that a fault keeps still.
    stopped: Vec<i32>,
    wires: BTreeMap<ActorId, Arc<Wire>>,
    /// The fault that waits for its moment, and the command that it belongs to.
    armed: Option<(Option<By>, Fault)>,
    /// The faults that have made connections read-only, which no write has met so far, and the commands that they belong to.
    unmet: Vec<(Option<By>, Fault)>,
}

/// One connection, until its backend is known.
#[derive(Default)]
struct Login {
    /// How often the server was asked since.
    asked: u32,
    /// Whether the server waits for its answer: an actor at a gate gives none.
    challenged: bool,
}

/// One connection, from the moment when its backend is known.
struct Connection {
    id: ConnectionId,
    pid: u32,
    /// The command whose request is under way.
    by: Option<By>,
    /// How many requests are.
    outstanding: u32,
    /// Whether the last of them executes anything.
    executes: bool,
    /// Whether its command had not ended when it was sent; what is sent after that is somebody's tidying.
    asked: bool,
    /// Whose request has begun to arrive, and may be kept back, and whether that command had not ended.
    begun: Option<(Option<By>, bool)>,
    /// Whether the server was told to stop the one under way, and did.
    stopped: bool,
    /// Whether any of it was refused.
    refused: bool,
    /// Whether the transaction that is open changed a row.
    wrote: bool,
    /// A rollback was done of which it is not known whether it ended the transaction or went back to a savepoint, with what
    /// `wrote` was before: both have the same tag.
    rolling_back: Option<bool>,
}

/// How a request that changed rows, or ended a transaction, came out.
enum Tag {
    Changed,
    Begin,
    Commit,
    Rollback,
    Release,
    Other,
}

impl Observer {
    pub(super) fn new(log: Log, heartbeat: Heartbeat) -> Arc<Self> {
        Arc::new(Self { log, heartbeat, state: Mutex::default(), injecting: AtomicU32::new(0) })
    }

    /// Returns the wire of this actor.
    pub(super) fn wire(&self, actor: ActorId) -> Arc<Wire> {
        Arc::clone(self.state().wires.entry(actor).or_default())
    }

    /// This fault belongs to the running command.
    pub(super) fn arm(&self, fault: Fault) {
        self.state().armed = Some((self.log.current(), fault));
    }

    /// It is over, and what it held back goes on.
    pub(super) fn disarm(&self) {
        let mut state = self.state();
        state.armed = None;
        state.held.clear();
        state.stopped.clear();
    }

    /// These backends stand still until then.
    pub(super) fn stopped(&self, backends: &[i32]) {
        self.state().stopped.extend(backends);
    }

    /// Whether a fault keeps anything still.
    pub(super) fn is_holding(&self) -> bool {
        let state = self.state();
        !state.held.is_empty() || !state.stopped.is_empty()
    }

    /// It has taken effect.
    pub(super) fn landed_now(&self) {
        self.heartbeat.beat();
        if let Some((Some(by), fault)) = self.state().armed {
            self.log.record_once(by, What::FaultLanded(fault));
        }
    }

    /// The fault has made connections read-only for good. That it has landed is known when a write meets it, maybe a later
    /// command's.
    pub(super) fn turned_read_only(&self) {
        let mut state = self.state();
        let armed = state.armed;
        state.unmet.extend(armed);
    }

    /// Records that the fault was not injected, which makes the plan inconclusive.
    pub(super) fn refuse(&self, why: &str) {
        self.log.record(What::HarnessFault(why.to_owned()));
    }

    /// An injection that a moment has set off is over.
    pub(super) fn injected(&self) {
        self.injecting.fetch_sub(1, Ordering::SeqCst);
    }

    /// Whether an injection that a moment has set off is not over.
    pub(super) fn is_injecting(&self) -> bool {
        self.injecting.load(Ordering::SeqCst) > 0
    }

    /// Something is under way that the wire does not show.
    pub(super) fn moved(&self) {
        self.heartbeat.beat();
    }

    /// The running command, and whether it has not ended.
    fn asker(&self) -> (Option<By>, bool) {
        let by = self.log.current();
        (by, by.is_some_and(|it| self.log.outcome_of(it).is_none()))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic leaves every value in here consistent.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Watcher for Observer {
    fn working(&self) -> Vec<i32> {
        let state = self.state();
        let moving = state.connections.iter().filter(|(number, _)| !state.held.contains(&Some(**number)));
        let working = moving.filter(|(_, it)| it.outstanding > 0);
        let backends = working.filter_map(|(_, it)| i32::try_from(it.pid).ok());
        backends.filter(|it| !state.stopped.contains(it)).collect()
    }

    fn is_logging_in(&self) -> bool {
        let state = self.state();
        let moving = state.logging_in.iter().filter(|(number, _)| !state.held.contains(&Some(**number)));
        moving.into_iter().any(|(_, login)| !login.challenged && login.asked < LOGIN_MAX)
    }

    fn beat(&self) {
        self.heartbeat.beat();
    }

    fn asked(&self) {
        self.state().logging_in.values_mut().for_each(|it| it.asked += 1);
        self.heartbeat.server_turned();
    }
}

impl Watch for Observer {
    fn turned(&self, is_late: bool) {
        if is_late {
            self.heartbeat.beat();
        }
        self.heartbeat.proxy_turned();
    }

    fn seen(&self, connection: u32, what: Seen<'_>) {
        self.heartbeat.beat();
        let mut state = self.state();
        if let Seen::Opened = what {
            state.logging_in.insert(connection, Login::default());
            return;
        }
        if let Seen::Challenged | Seen::Responded = what {
            if let Some(login) = state.logging_in.get_mut(&connection) {
                login.challenged = matches!(what, Seen::Challenged);
            }
            return;
        }
        if let Seen::Begun = what {
            let asker = self.asker();
            if let Some(known) = state.connections.get_mut(&connection) {
                known.begun.get_or_insert(asker);
            }
            return;
        }
        state.logging_in.remove(&connection);
        if let Seen::Backend { pid } = what {
            let id = self.log.connected();
            let fresh = Connection {
                id,
                pid,
                by: None,
                outstanding: 0,
                executes: false,
                asked: false,
                stopped: false,
                refused: false,
                begun: None,
                wrote: false,
                rolling_back: None,
            };
            state.connections.insert(connection, fresh);
            return;
        }
        let State { connections, wires, armed, unmet, .. } = &mut *state;
        let Some(known) = connections.get_mut(&connection) else { return };
        match what {
            // Drivers prepare a new statement in a request of its own, by which nothing is done.
            Seen::Request { executes, .. } => {
                (known.by, known.asked) = known.begun.take().unwrap_or_else(|| self.asker());
                known.outstanding += 1;
                known.executes = executes;
                (known.stopped, known.refused) = (false, false);
                if let Some(by) = known.by.filter(|_| executes) {
                    self.log.record_once(by, What::Served(known.id));
                    wires.entry(by.actor).or_default().sent();
                }
            }
            Seen::Completed { tag } => known.completed(tag, &self.log),
            Seen::Refused { code, .. } => {
                known.refused = true;
                if code == READ_ONLY {
                    self.log.record_as(known.by, What::RefusedWrite(known.id));
                    for (by, fault) in unmet.drain(..) {
                        self.log.record_as(by, What::FaultLanded(fault));
                    }
                }
                if code == QUERY_CANCELED {
                    known.stopped = true;
                } else {
                    // The work is over, and a driver that goes on without the end of the reply leaves nothing to wait for.
                    known.asked &= known.by.is_some_and(|it| self.log.outcome_of(it).is_some());
                }
                if let Some((Some(by), fault)) = *armed
                    && known.by == Some(by)
                    && proves(code, fault)
                {
                    self.log.record_once(by, What::FaultLanded(fault));
                }
            }
            Seen::Ready { status } => {
                known.ready(status, &self.log);
                if let Some(by) = known.by.filter(|_| known.executes) {
                    wires.entry(by.actor).or_default().answered();
                }
            }
            Seen::Closed { by } => {
                if by != Side::Client {
                    self.log.record_as(known.by, What::Lost(known.id));
                }
                self.log.disconnected(known.id);
                connections.remove(&connection);
            }
            _ => {}
        }
    }

    fn landed(&self, landed: Landed) {
        if let Some(NetworkFault::BlackHole | NetworkFault::HangConnect) = landed.fault {
            self.state().held.insert(landed.connection);
        }
        // The injection of a server fault reports its own success.
        if landed.fault.is_some() {
            self.landed_now();
        } else {
            self.injecting.fetch_add(1, Ordering::SeqCst);
        }
    }
}

impl Connection {
    fn completed(&mut self, tag: &str, log: &Log) {
        let say = |what| log.record_as(self.by, what);
        match kind(tag) {
            Tag::Changed => {
                say(What::Wrote(self.id));
                self.wrote = true;
            }
            // As with SQLite's hooks, only commits that changed something are recorded.
            Tag::Commit if self.wrote => {
                say(What::Committed(self.id));
                self.wrote = false;
            }
            Tag::Rollback => self.rolling_back = Some(std::mem::take(&mut self.wrote)),
            // A savepoint is released in the message that goes back to it, and a transaction begins in the one that ends another.
            Tag::Release => self.went_back_to_savepoint(),
            Tag::Begin => self.rolled_back(log),
            Tag::Commit | Tag::Other => {}
        }
    }

    fn went_back_to_savepoint(&mut self) {
        self.wrote |= self.rolling_back.take().unwrap_or_default();
    }

    fn rolled_back(&mut self, log: &Log) {
        if self.rolling_back.take().is_some() {
            log.record_as(self.by, What::RolledBack(self.id));
        }
    }

    fn ready(&mut self, status: u8, log: &Log) {
        let in_transaction = status != b'I';
        if in_transaction {
            self.went_back_to_savepoint();
        } else {
            self.rolled_back(log);
        }
        if !in_transaction && std::mem::take(&mut self.wrote) {
            // Outside a transaction the end of the request is the commit, unless that was refused.
            let end = if self.refused { What::RolledBack } else { What::Committed };
            log.record_as(self.by, end(self.id));
        }
        self.outstanding = self.outstanding.saturating_sub(1);
        if let Some(by) = self.by.filter(|_| self.asked && !self.stopped)
            && log.outcome_of(by).is_some()
        {
            log.record_as(Some(by), What::Late(self.id));
        }
    }
}

/// Reads a command's tag. Its last word is the number of rows.
fn kind(tag: &str) -> Tag {
    let mut words = tag.split(' ');
    match words.next() {
        Some("INSERT" | "UPDATE" | "DELETE" | "MERGE") if words.next_back().is_some_and(|it| it != "0") => Tag::Changed,
        Some("BEGIN") => Tag::Begin,
        Some("COMMIT") => Tag::Commit,
        Some("ROLLBACK") => Tag::Rollback,
        Some("RELEASE") => Tag::Release,
        _ => Tag::Other,
    }
}
