//! The simulated database: rows, transactions with savepoints, row locks, and what sessions leave on connections.
//!
//! READ COMMITTED: a statement sees what is committed when it runs, and its own transaction's writes. A write locks its
//! row until the transaction ends, and so does a read for update; a request that meets a lock waits; a request that would
//! close a cycle of waits loses its transaction. A statement that fails leaves its transaction open, as on SQLite.
//!
//! Pure: no time, no tasks, no faults. [`super::server`] decides when a request runs and delivers its answer.

use unstale::source::Control;
use unstale::{Begin, ErrorClass};

use super::request::{Refused, Request, Said, Statement};
use unstale_harness::history::{ConnectionId, Leftovers, Reply, What};
use unstale_harness::plan::{Conflict, Key, Residue, Value};

/// The database, with a transaction for each connection at most.
#[derive(Debug, Default)]
pub(super) struct Database {
    /// In the order of their keys.
    rows: Vec<(Key, Value)>,
    /// One for each connection that was ever opened.
    sessions: Vec<Session>,
}

/// What the database keeps for a connection.
#[derive(Debug, Default)]
struct Session {
    transaction: Option<Transaction>,
    leftovers: Leftovers,
}

#[derive(Debug, Default)]
struct Transaction {
    begun: Begin,
    /// What it wrote, in order. A row that is in here is locked.
    writes: Vec<(Key, Option<Value>)>,
    /// What it has locked without writing it.
    locked: Vec<Key>,
    /// The depth of each savepoint, and how many writes came before it.
    savepoints: Vec<(u32, usize)>,
}

impl Transaction {
    fn holds(&self, key: Key) -> bool {
        self.locked.contains(&key) || self.writes.iter().any(|it| it.0 == key)
    }
}

const NO_TRANSACTION: Refused = Refused { class: ErrorClass::Rejected, text: "no transaction is open" };
const READ_ONLY: Refused = Refused { class: ErrorClass::Rejected, text: "the transaction is read-only" };
const DUPLICATE: Refused = Refused { class: ErrorClass::Rejected, text: "the key is there already" };

impl Database {
    /// A connection is opened; they are numbered from 1.
    pub(super) fn connect(&mut self) -> ConnectionId {
        self.sessions.push(Session::default());
        ConnectionId(u16::try_from(self.sessions.len()).expect("a plan opens few connections"))
    }

    /// The rows that are committed.
    pub(super) fn rows(&self) -> &[(Key, Value)] {
        &self.rows
    }

    /// Whether the request would write a row that another transaction has locked: that one's connection.
    pub(super) fn blocker(&self, id: ConnectionId, request: &Request) -> Option<ConnectionId> {
        let Request::Statement(statement) = request else { return None };
        let key = statement.locks()?;
        let holds = |it: &Session| it.transaction.as_ref().is_some_and(|it| it.holds(key));
        let at = (0..self.sessions.len()).find(|at| label(*at) != id && holds(&self.sessions[*at]))?;
        Some(label(at))
    }

    /// Runs a request that nothing blocks; `refuse_commit` turns what it would commit into a rollback.
    pub(super) fn run(
        &mut self,
        id: ConnectionId,
        request: &Request,
        refuse_commit: bool,
        evidence: &mut Vec<What>,
    ) -> Result<Said, Refused> {
        match request {
            Request::Statement(statement) => self.statement(id, *statement, refuse_commit, evidence).map(Said::Reply),
            Request::Control(control) => {
                self.control(id, *control, refuse_commit, evidence).map(|()| Said::Reply(Reply::Done))
            }
            Request::InTransaction => Ok(Said::InTransaction(self.session(id).transaction.is_some())),
            Request::Probe => Ok(Said::Reply(Reply::Done)),
        }
    }

    /// Whether the request, if it succeeds, commits something.
    pub(super) fn commits(&mut self, id: ConnectionId, request: &Request) -> bool {
        match request {
            Request::Control(Control::Commit | Control::CommitUnlessFailed) => self.session(id).transaction.is_some(),
            Request::Statement(statement) => statement.writes().is_some() && self.session(id).transaction.is_none(),
            _ => false,
        }
    }

    /// Rolls back what is open on a connection; false if nothing is.
    pub(super) fn roll_back(&mut self, id: ConnectionId, evidence: &mut Vec<What>) -> bool {
        let open = self.session(id).transaction.take().is_some();
        if open {
            evidence.push(What::RolledBack(id));
        }
        open
    }

    fn session(&mut self, id: ConnectionId) -> &mut Session {
        &mut self.sessions[usize::from(id.0) - 1]
    }

    fn transaction(&mut self, id: ConnectionId) -> Result<&mut Transaction, Refused> {
        self.session(id).transaction.as_mut().ok_or(NO_TRANSACTION)
    }

    fn control(
        &mut self,
        id: ConnectionId,
        control: Control,
        refuse_commit: bool,
        evidence: &mut Vec<What>,
    ) -> Result<(), Refused> {
        match control {
            Control::Begin(begun) => return self.begin(id, begun),
            Control::Commit | Control::CommitUnlessFailed if refuse_commit => {
                self.roll_back(id, evidence);
                return Err(Refused { class: ErrorClass::Rejected, text: "the commit was refused and rolled back" });
            }
            Control::Commit | Control::CommitUnlessFailed => {
                let transaction = self.session(id).transaction.take().ok_or(NO_TRANSACTION)?;
                // As SQLite's hook: an empty transaction commits nothing.
                if !transaction.writes.is_empty() {
                    evidence.push(What::Committed(id));
                }
                for (key, value) in transaction.writes {
                    self.apply(key, value);
                }
            }
            Control::Rollback => {
                if !self.roll_back(id, evidence) {
                    return Err(NO_TRANSACTION);
                }
            }
            Control::Reset => {}
            Control::Clean => self.session(id).leftovers = Leftovers::default(),
            Control::CleanBegin(begun) => {
                self.session(id).leftovers = Leftovers::default();
                return self.begin(id, begun);
            }
            Control::Savepoint(depth) => {
                let transaction = self.transaction(id)?;
                transaction.savepoints.push((depth, transaction.writes.len()));
            }
            Control::Release(depth) => {
                self.forget_savepoint(id, depth)?;
            }
            Control::RollbackTo(depth) => {
                let before = self.forget_savepoint(id, depth)?;
                self.transaction(id)?.writes.truncate(before);
            }
        }
        Ok(())
    }

    fn begin(&mut self, id: ConnectionId, begun: Begin) -> Result<(), Refused> {
        let session = self.session(id);
        if session.transaction.is_some() {
            return Err(Refused { class: ErrorClass::Rejected, text: "a transaction is open already" });
        }
        session.transaction = Some(Transaction { begun, ..Transaction::default() });
        Ok(())
    }

    /// Forgets a savepoint and those that were set after it; how many writes came before it.
    fn forget_savepoint(&mut self, id: ConnectionId, depth: u32) -> Result<usize, Refused> {
        let transaction = self.transaction(id)?;
        let at = transaction.savepoints.iter().rposition(|it| it.0 == depth);
        let at = at.ok_or(Refused { class: ErrorClass::Rejected, text: "no such savepoint" })?;
        let (_, before) = transaction.savepoints[at];
        transaction.savepoints.truncate(at);
        Ok(before)
    }

    fn statement(
        &mut self,
        id: ConnectionId,
        statement: Statement,
        refuse_commit: bool,
        evidence: &mut Vec<What>,
    ) -> Result<Reply, Refused> {
        let mut write = |database: &mut Self, key, value| {
            database.write(id, key, value, refuse_commit, evidence).map(|()| Reply::Changed(true))
        };
        match statement {
            Statement::Put(key, value) => write(self, key, Some(value)),
            Statement::Insert(key, value, conflict) => match (self.read(id, key), conflict) {
                (None, _) | (Some(_), Conflict::Replace) => write(self, key, Some(value)),
                (Some(_), Conflict::Ignore) => Ok(Reply::Changed(false)),
                (Some(_), Conflict::Abort) => Err(DUPLICATE),
                (Some(_), Conflict::Rollback) => {
                    self.roll_back(id, evidence);
                    Err(DUPLICATE)
                }
            },
            Statement::Delete(key) if self.read(id, key).is_some() => write(self, key, None),
            Statement::Delete(_) => Ok(Reply::Changed(false)),
            Statement::Get(key) => Ok(Reply::Value(self.read(id, key))),
            Statement::GetForUpdate(key) => self.read_for_update(id, key).map(Reply::Value),
            Statement::Scan => Ok(Reply::Rows(self.all(id))),
            Statement::Stream(limit) => {
                let mut rows = self.all(id);
                rows.truncate(usize::from(limit));
                Ok(Reply::FirstRows(rows))
            }
            Statement::Fail => Err(Refused { class: ErrorClass::Rejected, text: "a value is missing" }),
            Statement::Slow => Ok(Reply::Done),
            Statement::Raw(residue) => self.leave(id, residue).map(|()| Reply::Done),
            Statement::Inspect => {
                let session = self.session(id);
                Ok(Reply::Residue(session.leftovers))
            }
        }
    }

    fn leave(&mut self, id: ConnectionId, residue: Residue) -> Result<(), Refused> {
        match residue {
            Residue::Transaction => return self.begin(id, Begin::default()),
            Residue::Setting => self.session(id).leftovers.setting = true,
            Residue::TempTable => self.session(id).leftovers.temp_tables = 1,
            Residue::Lock => self.session(id).leftovers.locks += 1,
            // Its grammar has none of these.
            Residue::Channel | Residue::Cursor | Residue::Prepared | Residue::Attached => {}
        }
        Ok(())
    }

    fn read(&mut self, id: ConnectionId, key: Key) -> Option<Value> {
        let own = self.session(id).transaction.as_ref().and_then(|it| it.writes.iter().rfind(|it| it.0 == key));
        match own {
            Some((_, value)) => *value,
            None => self.rows.binary_search_by_key(&key, |it| it.0).ok().map(|at| self.rows[at].1),
        }
    }

    fn read_for_update(&mut self, id: ConnectionId, key: Key) -> Result<Option<Value>, Refused> {
        match &mut self.session(id).transaction {
            Some(transaction) if transaction.begun.read_only => return Err(READ_ONLY),
            Some(transaction) => transaction.locked.push(key),
            None => {}
        }
        Ok(self.read(id, key))
    }

    fn all(&mut self, id: ConnectionId) -> Vec<(Key, Value)> {
        let mut rows = self.rows.clone();
        if let Some(transaction) = &self.session(id).transaction {
            for (key, value) in &transaction.writes {
                put(&mut rows, *key, *value);
            }
        }
        rows
    }

    fn write(
        &mut self,
        id: ConnectionId,
        key: Key,
        value: Option<Value>,
        refuse_commit: bool,
        evidence: &mut Vec<What>,
    ) -> Result<(), Refused> {
        match &mut self.session(id).transaction {
            Some(transaction) if transaction.begun.read_only => {
                return Err(READ_ONLY);
            }
            Some(transaction) => {
                transaction.writes.push((key, value));
                evidence.push(What::Wrote(id));
            }
            None if refuse_commit => {
                evidence.extend([What::Wrote(id), What::RolledBack(id)]);
                return Err(Refused { class: ErrorClass::Rejected, text: "the commit was refused and rolled back" });
            }
            None => {
                evidence.extend([What::Wrote(id), What::Committed(id)]);
                self.apply(key, value);
            }
        }
        Ok(())
    }

    fn apply(&mut self, key: Key, value: Option<Value>) {
        put(&mut self.rows, key, value);
    }
}

/// The name of the connection at this place; they are numbered from 1.
pub(super) fn label(at: usize) -> ConnectionId {
    ConnectionId(u16::try_from(at + 1).unwrap_or(u16::MAX))
}

fn put(rows: &mut Vec<(Key, Value)>, key: Key, value: Option<Value>) {
    match (rows.binary_search_by_key(&key, |it| it.0), value) {
        (Ok(at), Some(value)) => rows[at].1 = value,
        (Ok(at), None) => drop(rows.remove(at)),
        (Err(at), Some(value)) => rows.insert(at, (key, value)),
        (Err(_), None) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const K: Key = Key(1);

    fn database(connections: usize) -> Database {
        let mut database = Database::default();
        for _ in 0..connections {
            database.connect();
        }
        database
    }

    fn run(database: &mut Database, id: u16, request: Request) -> Result<Said, Refused> {
        database.run(ConnectionId(id), &request, false, &mut Vec::new())
    }

    fn begin() -> Request {
        Request::Control(Control::Begin(Begin::default()))
    }

    #[test]
    fn uncommitted_write_is_seen_by_its_own_transaction_alone_and_locks_its_row() {
        let mut database = database(2);
        run(&mut database, 1, begin()).expect("it begins");
        run(&mut database, 1, Request::Statement(Statement::Put(K, 7))).expect("it writes");
        let get = Request::Statement(Statement::Get(K));
        assert_eq!(run(&mut database, 1, get.clone()), Ok(Said::Reply(Reply::Value(Some(7)))));
        assert_eq!(run(&mut database, 2, get.clone()), Ok(Said::Reply(Reply::Value(None))));
        assert_eq!(database.blocker(ConnectionId(2), &get), None);
        let delete = Request::Statement(Statement::Delete(K));
        assert_eq!(database.blocker(ConnectionId(2), &delete), Some(ConnectionId(1)));
        run(&mut database, 1, Request::Control(Control::Commit)).expect("it commits");
        assert_eq!(database.blocker(ConnectionId(2), &delete), None);
        assert_eq!(run(&mut database, 2, get), Ok(Said::Reply(Reply::Value(Some(7)))));
    }

    #[test]
    fn rollback_to_undoes_what_came_after_and_keeps_what_came_before() {
        let mut database = database(1);
        for request in [
            begin(),
            Request::Statement(Statement::Put(K, 1)),
            Request::Control(Control::Savepoint(1)),
            Request::Statement(Statement::Put(K, 2)),
            Request::Control(Control::Savepoint(2)),
            Request::Control(Control::RollbackTo(1)),
        ] {
            run(&mut database, 1, request).expect("it is done");
        }
        assert_eq!(
            run(&mut database, 1, Request::Control(Control::Release(2))),
            Err(Refused { class: ErrorClass::Rejected, text: "no such savepoint" })
        );
        run(&mut database, 1, Request::Control(Control::Commit)).expect("it commits");
        assert_eq!(database.rows(), [(K, 1)]);
    }

    #[test]
    fn insert_or_rollback_ends_the_transaction_by_itself() {
        let mut database = database(1);
        run(&mut database, 1, Request::Statement(Statement::Put(K, 1))).expect("it writes");
        run(&mut database, 1, begin()).expect("it begins");
        let insert = Request::Statement(Statement::Insert(K, 2, Conflict::Rollback));
        assert_eq!(run(&mut database, 1, insert), Err(DUPLICATE));
        assert_eq!(run(&mut database, 1, Request::InTransaction), Ok(Said::InTransaction(false)));
        assert_eq!(run(&mut database, 1, Request::Control(Control::Rollback)), Err(NO_TRANSACTION));
    }
}
