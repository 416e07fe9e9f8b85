//! A session of `guarded`: a connection lent to one actor, its transaction, and the release gate.

use std::rc::Rc;
use std::sync::Arc;

use sqlx::{Connection, Executor};
use tokio::sync::OwnedSemaphorePermit;

use super::{Flaw, Kept, Pool, discard, reply};
use unstale_harness::history::{Class, Failure, Reply};
use unstale_harness::plan::{BeginMode, Command, StaleUse};
use unstale_harness::port::Ended;
use unstale_harness::system::Port;
use unstale_harness::workload::{begin_statement, statement};

/// For [`Flaw::FakesCommit`]: without savepoints there is only the whole test to roll back.
const FORGET_TEST: &str = "rollback; begin immediate";

/// A connection lent to one session.
pub(super) struct Lease {
    connection: Option<Kept>,
    pool: Rc<Pool>,
    /// 0 outside a transaction, 1 in one, more in savepoints.
    depth: u32,
    /// A statement failed in the transaction: only its end is accepted.
    aborted: bool,
    /// A call was cut off: nothing is known of the connection any more.
    lost: bool,
    /// Raw SQL ran here.
    raw: bool,
    /// A commit was answered and not sent; for [`Flaw::CommitsLater`].
    owes_commit: bool,
    permit: Option<OwnedSemaphorePermit>,
}

/// The release gate: a connection goes back only if nothing can be left on it.
impl Drop for Lease {
    fn drop(&mut self) {
        self.pool.sessions.set(self.pool.sessions.get() - 1);
        let Some(connection) = self.connection.take() else {
            return;
        };
        if self.pool.test.borrow().is_some() {
            return self.clean_up_in_test(connection);
        }
        let open = self.depth > 0 && !self.has(Flaw::KeepsTransaction) || self.owes_commit;
        let doubtful = (self.lost || self.raw || open) && !self.has(Flaw::AlwaysHealthy) || self.has(Flaw::AlwaysSick);
        if doubtful || self.pool.closed.get() {
            if let Some(connection) = Arc::into_inner(connection) {
                tokio::spawn(connection.into_inner().close());
            }
        } else {
            self.pool.put_back(connection);
        }
    }
}

impl Lease {
    pub(super) fn new(pool: Rc<Pool>, connection: Kept, permit: Option<OwnedSemaphorePermit>) -> Self {
        pool.sessions.set(pool.sessions.get() + 1);
        pool.opened.set(pool.opened.get() + 1);
        if pool.has(Flaw::Shares) {
            pool.put_back(Arc::clone(&connection));
        }
        Self {
            connection: Some(connection),
            pool,
            depth: 0,
            aborted: false,
            lost: false,
            raw: false,
            owes_commit: false,
            permit,
        }
    }

    fn has(&self, flaw: Flaw) -> bool {
        self.pool.has(flaw)
    }

    pub(super) fn connection(&self) -> Option<Kept> {
        self.connection.clone()
    }

    /// Whether a transaction is open.
    pub(super) fn is_open(&self) -> bool {
        self.depth > 0
    }

    /// The next session of the test gets its turn when nothing is left of this one.
    fn clean_up_in_test(&mut self, connection: Kept) {
        let permit = self.permit.take();
        if self.depth == 0 && !self.lost {
            return;
        }
        let undo = if self.has(Flaw::FakesCommit) { FORGET_TEST } else { "rollback to s0; release s0" };
        tokio::spawn(async move {
            // Where nothing is open there is nothing to undo.
            let _ = connection.lock().await.execute(undo).await;
            drop(permit);
        });
    }

    pub(super) async fn serve(&mut self, command: &Command, port: &mut Port) {
        match command {
            Command::Commit | Command::Rollback | Command::Drop if self.depth == 0 => {}
            Command::Commit => {
                port.run(self.commit()).await;
            }
            Command::Rollback | Command::Drop => {
                port.run(self.rollback()).await;
            }
            Command::Raw(_) if self.in_test() => {
                let refusal = Failure::new(Class::Mistake, "it would stay on the test's connection");
                port.run(std::future::ready(Err::<(), _>(refusal))).await;
            }
            command => match self.refusal().await {
                Some(refusal) => {
                    port.run(std::future::ready(Err::<(), _>(refusal))).await;
                }
                None => self.statement(command, port).await,
            },
        }
        self.lost |= port.last() == Ended::Cancelled;
    }

    pub(super) async fn serve_retained(&mut self, usage: StaleUse) -> Result<Reply, Failure> {
        if let Some(refusal) = self.refusal().await {
            return Err(refusal);
        }
        self.lost = true;
        let connection = self.kept();
        let result = reply(&mut *connection.lock().await, usage).await;
        self.lost = false;
        self.aborted |= self.depth > 0 && result.is_err();
        Ok(result?)
    }

    async fn statement(&mut self, command: &Command, port: &mut Port) {
        if let Command::Begin(mode) = command {
            port.run(self.begin(*mode)).await;
        } else {
            self.raw |= matches!(command, Command::Raw(_));
            let connection = self.served_by();
            let mut connection = connection.lock().await;
            if std::mem::take(&mut self.owes_commit) {
                // Whatever it answers, the caller was told that it is done.
                let _ = connection.execute("commit").await;
            }
            statement(&mut *connection, command, port).await;
        }
        self.aborted |= self.depth > 0 && port.last() == Ended::Failed;
    }

    /// Why nothing may run here before the transaction, or the session, has ended.
    async fn refusal(&mut self) -> Option<Failure> {
        if self.has(Flaw::RecoversInside) && self.lost && self.depth > 0 {
            let fresh = self.pool.connector.connect().await.ok()?;
            let lost = self.connection.replace(Arc::new(tokio::sync::Mutex::new(fresh)));
            lost.map(discard)?.await;
            self.lost = false;
        }
        if self.lost {
            return Some(Failure::new(Class::Closed, "an earlier call was cut off: close the session"));
        }
        self.aborted.then(|| Failure::new(Class::NoTransaction, "an earlier statement failed: roll back"))
    }

    async fn begin(&mut self, mode: BeginMode) -> Result<(), Failure> {
        let sql = match (self.depth, begin_statement::<sqlx::Sqlite>(mode)) {
            (0, _) if self.in_test() && self.has(Flaw::FakesCommit) => "select 1".to_owned(),
            (0, _) if self.in_test() => "savepoint s0".to_owned(),
            (0, statement) => statement.unwrap_or("begin").to_owned(),
            (depth, None) => format!("savepoint s{depth}"),
            (_, Some(_)) => {
                return Err(Failure::new(Class::Mistake, "an explicit begin cannot be nested"));
            }
        };
        if std::mem::take(&mut self.owes_commit) {
            self.execute("commit".to_owned()).await?;
        }
        self.execute(sql).await?;
        self.depth += 1;
        Ok(())
    }

    async fn commit(&mut self) -> Result<(), Failure> {
        if let Some(refusal) = self.refusal().await {
            self.rollback().await?;
            return Err(refusal);
        }
        if self.has(Flaw::CommitsLater) && self.depth == 1 {
            self.owes_commit = true;
            self.depth = 0;
            return Ok(());
        }
        let sql = match self.depth {
            1 if self.in_test() && self.has(Flaw::FakesCommit) => "select 1".to_owned(),
            1 if !self.in_test() => "commit".to_owned(),
            depth => format!("release s{}", depth - 1),
        };
        let result = self.execute(sql).await;
        match result {
            Ok(()) => self.depth -= 1,
            Err(Failure { class: Class::NoTransaction, .. }) if self.has(Flaw::RecoversInside) => {
                self.depth -= 1;
                return Ok(());
            }
            Err(_) => self.rollback().await?,
        }
        result
    }

    /// Ends the innermost transaction. One that may have been ended by the database itself, and a savepoint of one that
    /// failed, stay refused until the outermost has ended.
    async fn rollback(&mut self) -> Result<(), Failure> {
        self.depth -= 1;
        if self.lost {
            // The connection is closed with its session, and its transaction with it.
            return Ok(());
        }
        if self.depth > u32::from(self.has(Flaw::DepthOffByOne)) {
            if self.aborted {
                return Ok(());
            }
            let result = self.execute(format!("rollback to s{0}; release s{0}", self.depth)).await;
            // What was to be undone is still there: only the end of the session undoes it.
            self.lost |= result.is_err();
            return result;
        }
        let failed = std::mem::take(&mut self.aborted);
        let undo = match self.in_test() {
            true if self.has(Flaw::FakesCommit) => FORGET_TEST,
            true => "rollback to s0; release s0",
            false => "rollback",
        };
        match self.execute(undo.to_owned()).await {
            Err(failure) if (failed || self.has(Flaw::RecoversInside)) && failure.class == Class::NoTransaction => {
                Ok(())
            }
            result => {
                // A rollback that failed leaves the transaction open: nobody may have the connection after this.
                self.lost |= result.is_err();
                result
            }
        }
    }

    /// Runs SQL; if this is cut off, the session is lost.
    async fn execute(&mut self, sql: String) -> Result<(), Failure> {
        self.lost = true;
        let connection = self.kept();
        let result = connection.lock().await.execute(sqlx::AssertSqlSafe(sql)).await;
        self.lost = false;
        result?;
        Ok(())
    }

    /// Whether it takes turns on a test's connection.
    fn in_test(&self) -> bool {
        self.pool.test.borrow().is_some()
    }

    /// The connection for statements.
    fn served_by(&self) -> Kept {
        if self.has(Flaw::CaptiveSession) {
            return Arc::clone(self.pool.captive.borrow_mut().get_or_insert_with(|| self.kept()));
        }
        self.kept()
    }

    fn kept(&self) -> Kept {
        self.connection.clone().expect("a lease keeps its connection until it is dropped")
    }
}
