//! The simulated database: rows, transactions with savepoints, row locks, and connections that do one request after the
//! other.
//!
//! READ COMMITTED: a statement sees what is committed when it runs, and its own transaction's writes. A write locks its
//! row until the transaction ends; who meets a lock waits; who would close a circle of waiting loses its transaction.
//! Pure: no time, no tasks. [`super::world`] says when a request arrives and who hears of the answer.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use unstale::source::Control;
use unstale::{Begin, Class};

use crate::history::{ConnectionId, Reply, What};
use crate::plan::{Command, Conflict, Key, StaleUse, Value};

/// What a connection is asked.
#[derive(Clone, Debug)]
pub(super) enum Request {
    /// A statement of the core workload.
    Statement(Command),
    /// A statement of the library's own.
    Control(Control),
    /// Whether a transaction is open.
    InTransaction,
    /// A simple query.
    Probe,
}

/// An answer that is no.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refused {
    /// What it means.
    pub class: Class,
    /// Its text.
    pub text: &'static str,
}

/// An answer.
pub(super) type Answer = Result<Reply, Refused>;

/// What ran, for whoever records it.
pub(super) type Evidence = (ConnectionId, What);

/// The database and its connections.
#[derive(Debug, Default)]
pub(super) struct Database {
    rows: BTreeMap<Key, Value>,
    locks: BTreeMap<Key, ConnectionId>,
    connections: BTreeMap<ConnectionId, Connection>,
}

#[derive(Debug, Default)]
struct Connection {
    transaction: Option<Transaction>,
    /// What was sent and has not been done; the first may wait for a lock.
    requests: VecDeque<(u64, Request)>,
    answers: BTreeMap<u64, Answer>,
    /// It takes requests and answers nothing any more.
    frozen: bool,
}

#[derive(Debug, Default)]
struct Transaction {
    begun: Begin,
    writes: BTreeMap<Key, Option<Value>>,
    locked: BTreeSet<Key>,
    savepoints: Vec<(u32, BTreeMap<Key, Option<Value>>)>,
}

impl Database {
    pub(super) fn connect(&mut self, id: ConnectionId) {
        self.connections.insert(id, Connection::default());
    }

    /// Closes a connection. What was sent on it and waits for nobody is still done, since the server has it; then its
    /// transaction is rolled back.
    pub(super) fn disconnect(&mut self, id: ConnectionId, evidence: &mut Vec<Evidence>) {
        while self.step(id, evidence) {}
        self.roll_back(id, evidence);
        self.connections.remove(&id);
    }

    /// Loses a connection before its requests have arrived.
    pub(super) fn lose(&mut self, id: ConnectionId, evidence: &mut Vec<Evidence>) {
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.requests.clear();
        }
        self.roll_back(id, evidence);
        self.connections.remove(&id);
    }

    pub(super) fn is_connected(&self, id: ConnectionId) -> bool {
        self.connections.contains_key(&id)
    }

    pub(super) fn freeze(&mut self, id: ConnectionId) {
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.frozen = true;
            connection.requests.clear();
        }
    }

    /// A request arrives; false if there is no such connection.
    pub(super) fn send(&mut self, id: ConnectionId, number: u64, request: Request) -> bool {
        match self.connections.get_mut(&id) {
            Some(connection) => {
                if !connection.frozen {
                    connection.requests.push_back((number, request));
                }
                true
            }
            None => false,
        }
    }

    /// Takes the answer to a request, if it is there.
    pub(super) fn answer(&mut self, id: ConnectionId, number: u64) -> Option<Answer> {
        self.connections.get_mut(&id)?.answers.remove(&number)
    }

    /// The rows that are committed.
    pub(super) fn rows(&self) -> &BTreeMap<Key, Value> {
        &self.rows
    }

    /// Does what can be done now, connection by connection, until everything waits.
    pub(super) fn run(&mut self, evidence: &mut Vec<Evidence>) {
        loop {
            let ids: Vec<_> =
                self.connections.iter().filter(|(_, it)| !it.requests.is_empty()).map(|(id, _)| *id).collect();
            let mut moved = false;
            for id in ids {
                while self.step(id, evidence) {
                    moved = true;
                }
            }
            if !moved {
                return;
            }
        }
    }

    /// Does the first request of a connection; false if there is none or it waits.
    fn step(&mut self, id: ConnectionId, evidence: &mut Vec<Evidence>) -> bool {
        let Some((number, request)) = self.connections.get(&id).and_then(|it| it.requests.front().cloned()) else {
            return false;
        };
        let answer = match self.blocker(id, &request) {
            Some(holder) if self.waits_for(holder, id) => {
                evidence.push((id, What::Served(id)));
                self.roll_back(id, evidence);
                Err(Refused { class: Class::TransactionLost, text: "deadlock: the transaction was rolled back" })
            }
            Some(_) => return false,
            None => {
                evidence.push((id, What::Served(id)));
                self.run_request(id, &request, evidence)
            }
        };
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.requests.pop_front();
            connection.answers.insert(number, answer);
        }
        true
    }

    /// Who holds a lock that the request needs.
    fn blocker(&self, id: ConnectionId, request: &Request) -> Option<ConnectionId> {
        let Request::Statement(command) = request else { return None };
        let key = match command {
            Command::Put(key, _)
            | Command::Insert(key, ..)
            | Command::Delete(key)
            | Command::Stale(StaleUse::Put(key, _)) => key,
            _ => return None,
        };
        self.locks.get(key).copied().filter(|holder| *holder != id)
    }

    /// Whether `from` waits, through others, for `to`.
    fn waits_for(&self, from: ConnectionId, to: ConnectionId) -> bool {
        let mut at = from;
        for _ in 0..=self.connections.len() {
            if at == to {
                return true;
            }
            let first = self.connections.get(&at).and_then(|it| it.requests.front());
            match first.and_then(|(_, request)| self.blocker(at, request)) {
                Some(next) => at = next,
                None => return false,
            }
        }
        false
    }

    fn run_request(&mut self, id: ConnectionId, request: &Request, evidence: &mut Vec<Evidence>) -> Answer {
        match request {
            Request::Statement(command) => self.statement(id, command, evidence),
            Request::Control(control) => self.control(id, *control, evidence),
            Request::InTransaction => Ok(Reply::Changed(self.transaction(id).is_some())),
            Request::Probe => Ok(Reply::Done),
        }
    }

    fn transaction(&mut self, id: ConnectionId) -> Option<&mut Transaction> {
        self.connections.get_mut(&id)?.transaction.as_mut()
    }

    fn control(&mut self, id: ConnectionId, control: Control, evidence: &mut Vec<Evidence>) -> Answer {
        let none = Refused { class: Class::Mistake, text: "there is no transaction" };
        match control {
            Control::Begin(begun) => {
                if self.transaction(id).is_some() {
                    return Err(Refused { class: Class::Mistake, text: "a transaction is open already" });
                }
                if let Some(connection) = self.connections.get_mut(&id) {
                    connection.transaction = Some(Transaction { begun, ..Transaction::default() });
                }
            }
            Control::Commit => {
                let transaction = self.connections.get_mut(&id).and_then(|it| it.transaction.take()).ok_or(none)?;
                if !transaction.writes.is_empty() {
                    evidence.push((id, What::Committed(id)));
                }
                self.locks.retain(|_, holder| *holder != id);
                for (key, value) in transaction.writes {
                    self.apply(key, value);
                }
            }
            Control::Rollback => {
                self.transaction(id).ok_or(none)?;
                self.roll_back(id, evidence);
            }
            Control::Reset => {}
            Control::Savepoint(depth) => {
                let transaction = self.transaction(id).ok_or(none)?;
                let writes = transaction.writes.clone();
                transaction.savepoints.push((depth, writes));
            }
            Control::Release(depth) => {
                self.savepoint(id, depth)?;
            }
            Control::RollbackTo(depth) => {
                let writes = self.savepoint(id, depth)?;
                self.transaction(id).ok_or(none)?.writes = writes;
            }
        }
        Ok(Reply::Done)
    }

    /// Forgets a savepoint and those set after it; what was written when it was set.
    fn savepoint(&mut self, id: ConnectionId, depth: u32) -> Result<BTreeMap<Key, Option<Value>>, Refused> {
        let missing = Refused { class: Class::Mistake, text: "no such savepoint" };
        let transaction = self.transaction(id).ok_or(missing.clone())?;
        let at = transaction.savepoints.iter().rposition(|(it, _)| *it == depth).ok_or(missing)?;
        let (_, writes) = transaction.savepoints.swap_remove(at);
        transaction.savepoints.truncate(at);
        Ok(writes)
    }

    fn statement(&mut self, id: ConnectionId, command: &Command, evidence: &mut Vec<Evidence>) -> Answer {
        let duplicate = Refused { class: Class::Mistake, text: "the key is there already" };
        Ok(match *command {
            Command::Put(key, value) | Command::Stale(StaleUse::Put(key, value)) => {
                self.write(id, key, Some(value), evidence)?;
                Reply::Changed(true)
            }
            Command::Insert(key, value, conflict) => match (self.read(id, key), conflict) {
                (None, _) | (Some(_), Conflict::Replace) => {
                    self.write(id, key, Some(value), evidence)?;
                    Reply::Changed(true)
                }
                (Some(_), Conflict::Ignore) => Reply::Changed(false),
                (Some(_), Conflict::Abort) => return Err(duplicate),
                (Some(_), Conflict::Rollback) => {
                    self.roll_back(id, evidence);
                    return Err(duplicate);
                }
            },
            Command::Delete(key) => {
                let there = self.read(id, key).is_some();
                if there {
                    self.write(id, key, None, evidence)?;
                }
                Reply::Changed(there)
            }
            Command::Get(key) | Command::Stale(StaleUse::Get(key)) => Reply::Value(self.read(id, key)),
            Command::Scan => Reply::Rows(self.all(id)),
            Command::Stream(limit) => {
                let mut rows = self.all(id);
                rows.truncate(usize::from(limit));
                Reply::FirstRows(rows)
            }
            Command::Fail => return Err(Refused { class: Class::Mistake, text: "a value is missing" }),
            _ => Reply::Done,
        })
    }

    fn read(&mut self, id: ConnectionId, key: Key) -> Option<Value> {
        let own = self.transaction(id).and_then(|it| it.writes.get(&key).copied());
        own.unwrap_or_else(|| self.rows.get(&key).copied())
    }

    fn all(&mut self, id: ConnectionId) -> Vec<(Key, Value)> {
        let mut rows = self.rows.clone();
        if let Some(transaction) = self.transaction(id) {
            for (key, value) in &transaction.writes {
                match value {
                    Some(value) => rows.insert(*key, *value),
                    None => rows.remove(key),
                };
            }
        }
        rows.into_iter().collect()
    }

    fn write(
        &mut self,
        id: ConnectionId,
        key: Key,
        value: Option<Value>,
        evidence: &mut Vec<Evidence>,
    ) -> Result<(), Refused> {
        if self.transaction(id).is_some_and(|it| it.begun.read_only) {
            return Err(Refused { class: Class::Mistake, text: "the transaction is read-only" });
        }
        evidence.push((id, What::Wrote(id)));
        match self.transaction(id) {
            Some(transaction) => {
                transaction.writes.insert(key, value);
                transaction.locked.insert(key);
                self.locks.insert(key, id);
            }
            None => {
                evidence.push((id, What::Committed(id)));
                self.apply(key, value);
            }
        }
        Ok(())
    }

    fn apply(&mut self, key: Key, value: Option<Value>) {
        match value {
            Some(value) => self.rows.insert(key, value),
            None => self.rows.remove(&key),
        };
    }

    fn roll_back(&mut self, id: ConnectionId, evidence: &mut Vec<Evidence>) {
        let transaction = self.connections.get_mut(&id).and_then(|it| it.transaction.take());
        self.locks.retain(|_, holder| *holder != id);
        if transaction.is_some() {
            evidence.push((id, What::RolledBack(id)));
        }
    }
}
