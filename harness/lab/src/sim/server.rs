//! The server's side of all connections: which request runs when, which waits for a lock, and what a fault does to it.
//!
//! Owns the order in which requests run across connections: as they arrive. What was sent is done, whether or not its caller
//! still waits: a request whose caller is gone arrives [late](Server::turn_over), and a connection that was closed ends when
//! everything on it has been done. The queue of one connection is [`super::link`]'s, locks and rows are [`super::database`]'s,
//! time and wakers [`super::world`]'s.

use std::task::Waker;
use std::time::Duration;

use unstale::ErrorClass;

use super::database::{Database, label};
use super::link::{Answer, Link, Origin};
use super::request::{Refused, Request, Said, Statement};
use unstale_harness::history::{By, ConnectionId, What};
use unstale_harness::plan::Fault;

/// How long a slow statement takes: longer than a connection may be idle without being probed, shorter than a probe may
/// take.
const SLOW: Duration = Duration::from_millis(700);

/// How much later a slow reply comes: longer than a probe may take, shorter than a begin or a commit may.
const LATE_REPLY: Duration = Duration::from_secs(2);

/// How long a frozen connection stands still: longer than anybody here waits for anything.
const FREEZE: Duration = Duration::from_mins(1);

/// The database with its connections.
#[derive(Debug, Default)]
pub(super) struct Server {
    database: Database,
    links: Vec<Link>,
    /// Those whose first request waits for a lock, in the order in which they began to wait.
    waiting: Vec<ConnectionId>,
    /// What arrives when nobody waits for it any more.
    late: Vec<Late>,
    /// Faults that have not landed, each with the command that it is bound to.
    armed: Vec<(By, Fault)>,
    requests: u64,
    /// What happened and has not been recorded.
    pub(super) evidence: Vec<(Option<By>, What)>,
    /// Whose answers have come, and have not been told so.
    pub(super) answered: Vec<Origin>,
    /// When connections that stand still go on, and have not been entered in the clock.
    pub(super) alarms: Vec<(Duration, ConnectionId)>,
    scratch: Vec<What>,
}

#[derive(Debug)]
struct Late {
    id: ConnectionId,
    number: u64,
    /// It has been late for a turn.
    due: bool,
}

impl Server {
    /// Opens a connection.
    pub(super) fn connect(&mut self, origin: Origin) -> ConnectionId {
        let id = self.database.connect();
        self.links.push(Link::new(origin));
        id
    }

    /// The database itself.
    pub(super) fn database(&self) -> &Database {
        &self.database
    }

    /// Sends a request; its number, or none if the connection is lost, perhaps just now.
    pub(super) fn send(&mut self, id: ConnectionId, request: Request, origin: Origin, now: Duration) -> Option<u64> {
        if self.link(id).is_up() && self.lands(origin, Fault::LostBefore) {
            self.lose(id, origin);
            self.unblock(now);
        }
        if !self.link(id).is_up() {
            return None;
        }
        self.requests += 1;
        let number = self.requests;
        self.link_mut(id).send(number, request, origin);
        Some(number)
    }

    /// Everything that was sent on this connection up to this request arrives.
    pub(super) fn arrive(&mut self, id: ConnectionId, number: u64, now: Duration) {
        self.link_mut(id).arrive(number);
        self.go_on(id, now);
        self.unblock(now);
    }

    /// Takes the answer to a request; none if it is not there yet.
    pub(super) fn take_answer(&mut self, id: ConnectionId, number: u64, now: Duration) -> Option<Answer> {
        self.link_mut(id).take_answer(number, now)
    }

    /// Whether there is an answer to take.
    pub(super) fn has_answer(&self, id: ConnectionId, number: u64, now: Duration) -> bool {
        self.link(id).has_answer(number, now)
    }

    /// Wakes this one when the answer is there.
    pub(super) fn wait(&mut self, id: ConnectionId, waker: &Waker) {
        self.link_mut(id).wait(waker);
    }

    /// Nobody waits for this request any more.
    pub(super) fn abandon(&mut self, id: ConnectionId, number: u64) {
        if self.link_mut(id).abandon(number) {
            self.late.push(Late { id, number, due: false });
        }
    }

    /// The caller closes the connection.
    pub(super) fn close(&mut self, id: ConnectionId, origin: Origin, now: Duration) {
        let link = self.link_mut(id);
        link.close(origin);
        if link.first().is_none() {
            self.end(id);
            self.unblock(now);
        } else {
            self.late.push(Late { id, number: u64::MAX, due: false });
        }
    }

    /// Whether anything was sent, by somebody who is gone, that has not arrived.
    pub(super) fn is_anything_late(&self) -> bool {
        !self.late.is_empty()
    }

    /// A turn of the schedule is over: what was late for a whole turn arrives.
    pub(super) fn turn_over(&mut self, now: Duration) {
        let mut at = 0;
        while at < self.late.len() {
            if std::mem::replace(&mut self.late[at].due, true) {
                let Late { id, number, .. } = self.late.remove(at);
                self.arrive(id, number, now);
            } else {
                at += 1;
            }
        }
    }

    /// A connection that stood still goes on.
    pub(super) fn ring(&mut self, id: ConnectionId, now: Duration) {
        let link = self.link(id);
        if link.holds_any_answer(now) {
            let origin = link.origin();
            self.tell(id, origin);
        }
        self.go_on(id, now);
        self.unblock(now);
    }

    /// Binds a fault to a command; those that were bound to an earlier one of its actor are over.
    pub(super) fn arm(&mut self, by: By, fault: Option<Fault>, now: Duration) {
        self.armed.retain(|(it, _)| it.actor != by.actor);
        self.armed.extend(fault.map(|it| (by, it)));
        let origin = Origin { by: Some(by), by_actor: true };
        if fault == Some(Fault::LostIdle) && self.links.iter().any(Link::is_idle) && self.lands(origin, Fault::LostIdle)
        {
            for at in 0..self.links.len() {
                if self.links[at].is_idle() {
                    self.lose(label(at), origin);
                }
            }
            self.unblock(now);
        }
    }

    /// Whether this fault is to happen now; it happens once.
    pub(super) fn lands(&mut self, origin: Origin, fault: Fault) -> bool {
        let Some(by) = origin.by.filter(|_| !self.armed.is_empty()) else { return false };
        let Some(at) = self.armed.iter().position(|it| *it == (by, fault)) else { return false };
        self.armed.remove(at);
        self.evidence.push((Some(by), What::FaultLanded(fault)));
        true
    }

    fn link(&self, id: ConnectionId) -> &Link {
        &self.links[usize::from(id.0) - 1]
    }

    fn link_mut(&mut self, id: ConnectionId) -> &mut Link {
        &mut self.links[usize::from(id.0) - 1]
    }

    /// Does what has arrived on a connection, until something has to wait.
    fn go_on(&mut self, id: ConnectionId, now: Duration) {
        while self.step(id, now) {}
        if self.link(id).can_end(now) {
            self.end(id);
        }
    }

    /// Does the first request of a connection; false if there is none that can be done now.
    fn step(&mut self, id: ConnectionId, now: Duration) -> bool {
        let Some(first) = self.link(id).arrived(now) else { return false };
        let (origin, takes_time) =
            (first.origin, !first.took_time && first.request == Request::Statement(Statement::Slow));
        if self.lands(origin, Fault::Freeze) {
            self.stand(id, now + FREEZE);
            return false;
        }
        self.record_served(id, origin);
        let Some(first) = self.link_mut(id).first_mut() else { return false };
        if takes_time {
            first.took_time = true;
            self.stand(id, now + SLOW);
            return false;
        }
        let request = first.request.clone();
        let blocker = self.database.blocker(id, &request);
        let answer = match blocker {
            _ if self.lands(origin, Fault::Interrupt) => {
                Err(Refused { class: ErrorClass::RetryStatement, text: "the statement was interrupted" })
            }
            Some(holder) if self.waits_for(holder, id) => {
                self.roll_back(id, origin);
                Err(Refused {
                    class: ErrorClass::RetryTransaction,
                    text: "a deadlock: the transaction was rolled back",
                })
            }
            Some(_) => {
                if !self.waiting.contains(&id) {
                    self.waiting.push(id);
                }
                return false;
            }
            None => self.run(id, &request, origin),
        };
        if self.lands(origin, Fault::LostAfter) {
            self.lose(id, origin);
            return false;
        }
        let late = self.lands(origin, Fault::SlowReply);
        if late {
            self.stand(id, now + LATE_REPLY);
        }
        if self.link_mut(id).finish_first(answer) && !late {
            self.tell(id, origin);
        }
        true
    }

    fn run(&mut self, id: ConnectionId, request: &Request, origin: Origin) -> Result<Said, Refused> {
        let refuse =
            !self.armed.is_empty() && self.database.commits(id, request) && self.lands(origin, Fault::RefuseCommit);
        self.with_database(origin, |database, evidence| database.run(id, request, refuse, evidence))
    }

    /// Does something to the database; what comes of it is this one's evidence.
    fn with_database<R>(&mut self, origin: Origin, with: impl FnOnce(&mut Database, &mut Vec<What>) -> R) -> R {
        let result = with(&mut self.database, &mut self.scratch);
        self.evidence.extend(self.scratch.drain(..).map(|it| (origin.by, it)));
        result
    }

    /// The answer is there.
    fn tell(&mut self, id: ConnectionId, origin: Origin) {
        self.answered.push(origin);
        self.link_mut(id).wake();
    }

    /// Those who waited for a lock go on, if it is free now.
    fn unblock(&mut self, now: Duration) {
        let mut at = 0;
        while at < self.waiting.len() {
            let id = self.waiting[at];
            let free = match self.link(id).first() {
                Some(first) => self.database.blocker(id, &first.request).is_none(),
                None => true,
            };
            if free {
                self.waiting.remove(at);
                self.go_on(id, now);
                // It may have set others free that were passed over.
                at = 0;
            } else {
                at += 1;
            }
        }
    }

    /// Whether `from` waits, through others, for `to`.
    fn waits_for(&self, from: ConnectionId, to: ConnectionId) -> bool {
        let mut at = from;
        for _ in 0..=self.links.len() {
            if at == to {
                return true;
            }
            let first = self.link(at).first().filter(|_| self.waiting.contains(&at));
            match first.and_then(|it| self.database.blocker(at, &it.request)) {
                Some(next) => at = next,
                None => return false,
            }
        }
        false
    }

    /// Nothing is done on this connection until then.
    fn stand(&mut self, id: ConnectionId, until: Duration) {
        self.link_mut(id).stand(until);
        self.alarms.push((until, id));
    }

    /// The connection is cut. What had not arrived never will; its other end sees it with the next call.
    fn lose(&mut self, id: ConnectionId, origin: Origin) {
        let link = self.link_mut(id);
        if link.is_closed() {
            return;
        }
        let closing = link.is_closing();
        link.cut();
        self.waiting.retain(|it| *it != id);
        self.roll_back(id, origin);
        self.evidence.push((origin.by, What::Lost(id)));
        if closing {
            self.end(id);
        } else {
            self.tell(id, origin);
        }
    }

    /// Everything on a connection that its caller has closed is done.
    fn end(&mut self, id: ConnectionId) {
        let link = self.link_mut(id);
        link.end();
        let origin = link.origin();
        self.roll_back(id, origin);
        self.evidence.push((origin.by, What::Disconnected(id)));
    }

    fn roll_back(&mut self, id: ConnectionId, origin: Origin) {
        self.with_database(origin, |database, evidence| database.roll_back(id, evidence));
    }

    /// Once for each command, as the hooks of a real driver do it here.
    fn record_served(&mut self, id: ConnectionId, origin: Origin) {
        if self.link_mut(id).serve(origin.by) {
            self.evidence.push((origin.by, What::Served(id)));
        }
    }
}
