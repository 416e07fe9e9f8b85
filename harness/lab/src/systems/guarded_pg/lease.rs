//! A session of `guarded-pg`: a connection lent to one actor, its transaction, and the release gate.

use std::rc::Rc;
use std::sync::Arc;

use sqlx::{Connection, Executor, PgConnection};
use tokio::sync::OwnedSemaphorePermit;

use super::{Flaw, Kept, Pool, discard, give_up, limited};
use unstale_harness::history::{Class, Failure, Reply};
use unstale_harness::plan::{BeginMode, Command};
use unstale_harness::port::Ended;
use unstale_harness::system::Port;
use unstale_harness::workload::{Dialect, answer, begin_statement, is_statement};

/// A connection lent to one session.
pub(super) struct Lease {
    /// None once it was given up: then everything but the end of the session is refused.
    kept: Option<Kept>,
    pool: Rc<Pool>,
    /// 0 outside a transaction, 1 in one, more in savepoints.
    depth: u32,
    /// A statement failed in the transaction: only its end is accepted.
    aborted: bool,
    /// A call was cut off, or not answered as it should be: nothing is known of the connection any more.
    in_doubt: bool,
    /// Something may be left on the connection: raw SQL ran here, or a stream was dropped.
    touched: bool,
    /// Shared with what closes the connection: until that is done there is no room for another one.
    permit: Arc<OwnedSemaphorePermit>,
}

/// The release gate: a connection goes back only if nothing can be left on it.
impl Drop for Lease {
    fn drop(&mut self) {
        if self.in_doubt {
            return self.give_up();
        }
        let Some(kept) = self.kept.take() else {
            return;
        };
        let unclean = self.depth > 0 || self.touched && !self.has(Flaw::KeepsResidue);
        if unclean || self.pool.closed.get() {
            let permit = Arc::clone(&self.permit);
            tokio::spawn(async move {
                discard(kept).await;
                drop(permit);
            });
        } else {
            self.pool.put_back(kept);
        }
    }
}

impl Lease {
    pub(super) fn new(pool: Rc<Pool>, kept: Kept, permit: OwnedSemaphorePermit) -> Self {
        Self {
            kept: Some(kept),
            pool,
            depth: 0,
            aborted: false,
            in_doubt: false,
            touched: false,
            permit: Arc::new(permit),
        }
    }

    fn has(&self, flaw: Flaw) -> bool {
        self.pool.has(flaw)
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
            Command::Begin(mode) => {
                port.run(self.begin(*mode)).await;
            }
            command if is_statement(command) => {
                port.ask(self.statement(command), Reply::clone).await;
            }
            _ => {}
        }
        if self.in_doubt || port.last() == Ended::Cancelled {
            self.give_up();
        }
    }

    pub(super) async fn serve_retained(&mut self, command: &Command) -> Result<Reply, Failure> {
        let result = self.statement(command).await;
        if self.in_doubt {
            self.give_up();
        }
        result
    }

    async fn statement(&mut self, command: &Command) -> Result<Reply, Failure> {
        if let Some(refusal) = self.refusal() {
            return Err(refusal);
        }
        self.touched |= matches!(command, Command::Raw(_) | Command::Stream(_));
        let result = self.answer(command).await;
        self.aborted |= self.depth > 0 && result.is_err();
        result
    }

    async fn answer(&mut self, command: &Command) -> Result<Reply, Failure> {
        if let (Command::Get(key), true) = (command, self.has(Flaw::PreparesOnce)) {
            let sql = sqlx::AssertSqlSafe(format!("execute get_kv({})", key.0));
            let rows = self.call(async |connection| connection.fetch_optional(sql).await).await?;
            return Ok(Reply::Value(rows.map(|it| sqlx::Postgres::pair(&it).1)));
        }
        let result = self.call(async |connection| answer(connection, command).await).await;
        if self.has(Flaw::MistakesAreLosses) && self.depth == 0 && result.is_err() && !self.in_doubt {
            self.kept = Some(self.pool.connect().await?);
            return self.call(async |connection| answer(connection, command).await).await;
        }
        result
    }

    async fn begin(&mut self, mode: BeginMode) -> Result<(), Failure> {
        if let Some(refusal) = self.refusal() {
            return Err(refusal);
        }
        let sql = match (self.depth, begin_statement::<sqlx::Postgres>(mode)) {
            (0, statement) => statement.unwrap_or("begin").to_owned(),
            (depth, None) => format!("savepoint s{depth}"),
            (_, Some(_)) => return Err(Failure::new(Class::Mistake, "an explicit begin cannot be nested")),
        };
        let result = self.execute(sql).await;
        match &result {
            Ok(()) => self.depth += 1,
            Err(_) => self.aborted |= self.depth > 0,
        }
        result
    }

    /// A COMMIT of a transaction that has failed answers that it is done and rolls back; a statement before it in the same
    /// message is refused instead.
    async fn commit(&mut self) -> Result<(), Failure> {
        if let Some(refusal) = self.refusal() {
            self.rollback().await?;
            return Err(refusal);
        }
        let sql = match self.depth {
            1 => "select 1; commit".to_owned(),
            depth => format!("release s{}", depth - 1),
        };
        let result = self.execute(sql).await;
        if result.is_ok() {
            self.depth -= 1;
        } else {
            // What it answers changes nothing: the commit has failed, and a connection in doubt is given up.
            let _ = self.rollback().await;
        }
        result
    }

    /// Ends the innermost transaction. A savepoint of one that failed stays refused until the outermost has ended.
    async fn rollback(&mut self) -> Result<(), Failure> {
        self.depth -= 1;
        if self.kept.is_none() || self.in_doubt {
            // The connection is given up, and its transaction with it.
            return Ok(());
        }
        let sql = match self.depth {
            0 => "rollback".to_owned(),
            _ if self.aborted => return Ok(()),
            depth => format!("rollback to s{depth}; release s{depth}"),
        };
        let result =
            if self.has(Flaw::RollsBackForEver) { self.execute_for_ever(sql).await } else { self.execute(sql).await };
        // What was to be undone may still be there: only the end of the session undoes it then.
        self.in_doubt |= result.is_err();
        self.aborted &= self.depth > 0;
        result
    }

    /// Why nothing may run here before the transaction, or the session, has ended.
    fn refusal(&self) -> Option<Failure> {
        if self.kept.is_none() {
            return Some(Failure::new(Class::Closed, "the connection was given up: close the session"));
        }
        self.aborted.then(|| Failure::new(Class::NoTransaction, "an earlier statement failed: roll back"))
    }

    async fn execute(&mut self, sql: String) -> Result<(), Failure> {
        self.call(async |connection| connection.execute(sqlx::AssertSqlSafe(sql)).await.map(drop)).await
    }

    /// For [`Flaw::RollsBackForEver`].
    async fn execute_for_ever(&mut self, sql: String) -> Result<(), Failure> {
        let kept = self.kept.as_mut().expect("whoever rolls back has looked whether it was given up");
        kept.connection.execute(sqlx::AssertSqlSafe(sql)).await?;
        Ok(())
    }

    /// Runs a call on the connection, which is in doubt until it is answered, and for good if the answer is not about the
    /// statement.
    async fn call<T>(
        &mut self,
        call: impl AsyncFnOnce(&mut PgConnection) -> Result<T, sqlx::Error>,
    ) -> Result<T, Failure> {
        let kept = self.kept.as_mut().expect("whoever calls has looked whether it was given up");
        self.in_doubt = true;
        let result = limited(call(&mut kept.connection)).await;
        self.in_doubt =
            result.as_ref().is_err_and(|it| !is_about_statement(it.class)) && !self.has(Flaw::LossesAreMistakes);
        result
    }

    /// Nobody waits for the connection any more.
    fn give_up(&mut self) {
        self.in_doubt = false;
        if let Some(mut kept) = self.kept.take() {
            let (options, permit) = (self.pool.options.clone(), Arc::clone(&self.permit));
            let awaits = self.has(Flaw::AwaitsAbandoned);
            tokio::spawn(async move {
                if awaits {
                    // It is closed in any case.
                    let _ = kept.connection.ping().await;
                }
                give_up(options, kept).await;
                drop(permit);
            });
        }
    }
}

/// Whether an error says that the statement was refused, and the connection is as good as before.
fn is_about_statement(class: Class) -> bool {
    matches!(class, Class::Mistake | Class::Busy | Class::Interrupted | Class::NoTransaction)
}
