//! `guarded`: a correct system, as small as can be, that must raise no alarm.
//!
//! It buys its correctness with bluntness: a session whose statement failed inside a transaction refuses everything
//! until the rollback; a connection that was touched by a cancel, by raw SQL or by an open transaction is closed
//! instead of being lent again. It is the harness's control: whatever alarms here is the harness's own defect.

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};
use std::sync::Arc;

use sqlx::{Connection, Executor, SqliteConnection};
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore};

use crate::database::{Connector, Database};
use crate::history::{Class, Failure, Reply};
use crate::plan::{BeginMode, Command, StaleUse};
use crate::system::port::Ended;
use crate::system::{Capabilities, Capability, Port, System};
use crate::workload::{begin_statement, get, put, statement};

/// A pool of raw connections behind a gate.
pub struct Guarded {
    shelf: Rc<Shelf>,
    connector: Connector,
}

struct Shelf {
    idle: RefCell<Vec<SqliteConnection>>,
    permits: Arc<Semaphore>,
    closed: Cell<bool>,
}

/// A connection lent to one session.
struct Lease {
    connection: Option<SqliteConnection>,
    shelf: Rc<Shelf>,
    /// 0 outside a transaction, 1 in one, more in savepoints.
    depth: u32,
    /// A statement failed in the transaction: only its end is accepted.
    aborted: bool,
    /// A call was cut off: nothing is known of the connection any more.
    lost: bool,
    /// Raw SQL ran here.
    raw: bool,
    _permit: OwnedSemaphorePermit,
}

impl System for Guarded {
    const NAME: &'static str = "guarded";

    fn capabilities() -> Capabilities {
        Capabilities::sqlite().with(Capability::Retention)
    }

    async fn start(database: &Database) -> Result<Self, Failure> {
        let permits = Arc::new(Semaphore::new(usize::from(database.connections())));
        let shelf = Shelf { idle: RefCell::default(), permits, closed: Cell::new(false) };
        Ok(Self { shelf: Rc::new(shelf), connector: database.connector() })
    }

    async fn actor(&self, mut port: Port) {
        let mut session: Option<Rc<Mutex<Lease>>> = None;
        let mut retained: Weak<Mutex<Lease>> = Weak::new();
        while let Some(command) = port.next().await {
            match (&command, &session) {
                (Command::Open, None) => {
                    session = port.run(self.open()).await.map(|lease| Rc::new(Mutex::new(lease)));
                }
                (Command::ClosePool, None) => {
                    port.run(self.shelf.close()).await;
                }
                (Command::Close, Some(_)) => {
                    let lease = session.take();
                    port.run(async move {
                        drop(lease);
                        Ok::<_, Failure>(())
                    })
                    .await;
                }
                (Command::Retain, Some(lease)) => {
                    let handle = Rc::downgrade(lease);
                    if let Some(kept) = port.run(std::future::ready(Ok::<_, Failure>(handle))).await {
                        retained = kept;
                    }
                }
                (Command::Stale(usage), _) => {
                    port.ask(use_retained(retained.clone(), *usage), Reply::clone).await;
                }
                (_, Some(lease)) => lease.lock().await.serve(&command, &mut port).await,
                (_, None) => {}
            }
        }
    }

    async fn stop(&self) {
        // Closing cannot fail: it waits for nothing but the connections on the shelf.
        let _ = self.shelf.close().await;
    }
}

impl Guarded {
    async fn open(&self) -> Result<Lease, Failure> {
        let permits = Arc::clone(&self.shelf.permits);
        let permit = permits.acquire_owned().await.map_err(|it| Failure::new(Class::Closed, it))?;
        let idle = self.shelf.idle.borrow_mut().pop();
        let connection = match idle {
            Some(connection) => connection,
            None => self.connector.connect().await?,
        };
        let shelf = Rc::clone(&self.shelf);
        Ok(Lease {
            connection: Some(connection),
            shelf,
            depth: 0,
            aborted: false,
            lost: false,
            raw: false,
            _permit: permit,
        })
    }
}

impl Shelf {
    async fn close(&self) -> Result<(), Failure> {
        self.closed.set(true);
        self.permits.close();
        loop {
            let Some(connection) = self.idle.borrow_mut().pop() else {
                return Ok(());
            };
            connection.close().await?;
        }
    }
}

/// The release gate: a connection goes back only if nothing can be left on it.
impl Drop for Lease {
    fn drop(&mut self) {
        let Some(connection) = self.connection.take() else {
            return;
        };
        if self.lost || self.raw || self.depth > 0 || self.shelf.closed.get() {
            tokio::spawn(connection.close());
        } else {
            self.shelf.idle.borrow_mut().push(connection);
        }
    }
}

impl Lease {
    async fn serve(&mut self, command: &Command, port: &mut Port) {
        match command {
            Command::Commit | Command::Rollback | Command::Drop if self.depth == 0 => {}
            Command::Commit => {
                port.run(self.commit()).await;
            }
            Command::Rollback | Command::Drop => {
                port.run(self.rollback()).await;
            }
            command => match self.refusal() {
                Some(refusal) => {
                    port.run(std::future::ready(Err::<(), _>(refusal))).await;
                }
                None => self.statement(command, port).await,
            },
        }
        self.lost |= port.last() == Ended::Cancelled;
    }

    async fn statement(&mut self, command: &Command, port: &mut Port) {
        if let Command::Begin(mode) = command {
            port.run(self.begin(*mode)).await;
        } else {
            self.raw |= matches!(command, Command::Raw(_));
            statement(self.connection(), command, port).await;
        }
        self.aborted |= self.depth > 0 && port.last() == Ended::Failed;
    }

    /// Why nothing may run here before the transaction, or the session, has ended.
    fn refusal(&self) -> Option<Failure> {
        if self.lost {
            return Some(Failure::new(Class::Closed, "an earlier call was cut off: close the session"));
        }
        self.aborted.then(|| Failure::new(Class::NoTransaction, "an earlier statement failed: roll back"))
    }

    async fn begin(&mut self, mode: BeginMode) -> Result<(), Failure> {
        let sql = match (self.depth, begin_statement(mode)) {
            (0, statement) => statement.unwrap_or("begin").to_owned(),
            (depth, None) => format!("savepoint s{depth}"),
            (_, Some(_)) => {
                return Err(Failure::new(Class::Mistake, "an explicit begin cannot be nested"));
            }
        };
        self.execute(sql).await?;
        self.depth += 1;
        Ok(())
    }

    async fn commit(&mut self) -> Result<(), Failure> {
        if let Some(refusal) = self.refusal() {
            self.rollback().await?;
            return Err(refusal);
        }
        let sql = match self.depth {
            1 => "commit".to_owned(),
            depth => format!("release s{}", depth - 1),
        };
        let result = self.execute(sql).await;
        match result {
            Ok(()) => self.depth -= 1,
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
        if self.depth > 0 {
            if !self.aborted {
                self.execute(format!("rollback to s{0}; release s{0}", self.depth)).await?;
            }
            return Ok(());
        }
        let failed = std::mem::take(&mut self.aborted);
        match self.execute("rollback".to_owned()).await {
            Err(failure) if failed && failure.class == Class::NoTransaction => Ok(()),
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
        let result = self.connection().execute(sqlx::AssertSqlSafe(sql)).await;
        self.lost = false;
        result?;
        Ok(())
    }

    fn connection(&mut self) -> &mut SqliteConnection {
        self.connection.as_mut().expect("a lease keeps its connection until it is dropped")
    }
}

async fn use_retained(handle: Weak<Mutex<Lease>>, usage: StaleUse) -> Result<Reply, Failure> {
    let Some(lease) = handle.upgrade() else {
        return Err(Failure::new(Class::Stale, "this handle's session has ended: resolve it again"));
    };
    let mut lease = lease.lock().await;
    if let Some(refusal) = lease.refusal() {
        return Err(refusal);
    }
    lease.lost = true;
    let connection = lease.connection();
    let result = match usage {
        StaleUse::Get(key) => get(connection, key).await.map(Reply::Value),
        StaleUse::Put(key, value) => put(connection, key, value).await.map(Reply::Changed),
    };
    lease.lost = false;
    lease.aborted |= lease.depth > 0 && result.is_err();
    Ok(result?)
}
