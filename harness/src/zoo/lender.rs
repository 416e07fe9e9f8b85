//! The base of the zoo: a lender of connections that is correct but for one switch.
//!
//! It can do little (no nesting, no cancellation), so that each defect is all there is to find.

use std::cell::RefCell;
use std::marker::PhantomData;
use std::rc::Rc;
use std::sync::Arc;

use sqlx::{Executor, SqliteConnection};
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore};

use crate::database::{Connector, Database};
use crate::history::{Class, Failure, Reply};
use crate::plan::{BeginMode, Command, StaleUse};
use crate::system::{Capabilities, Capability, Port, System};
use crate::workload::{get, put, statement};

/// Which switch is wrong.
pub trait Defect: 'static {
    /// The name of the system.
    const NAME: &'static str;
    /// A connection that is lent stays on the shelf.
    const SHARES: bool = false;
    /// What was begun is rolled back before the connection is lent again.
    const ROLLS_BACK: bool = true;
    /// A commit is sent only with the next statement.
    const COMMITS_LATER: bool = false;

    /// What the system can do.
    fn capabilities() -> Capabilities {
        Capabilities::of([Capability::Transactions, Capability::Identity])
    }
}

/// A lender of connections with this defect.
pub struct Lender<D> {
    shelf: RefCell<Vec<Connection>>,
    permits: Arc<Semaphore>,
    connector: Connector,
    defect: PhantomData<D>,
}

type Connection = Rc<Mutex<SqliteConnection>>;

struct Session {
    connection: Connection,
    in_transaction: bool,
    owes_commit: bool,
    _permit: OwnedSemaphorePermit,
}

impl<D: Defect> System for Lender<D> {
    const NAME: &'static str = D::NAME;

    fn capabilities() -> Capabilities {
        D::capabilities()
    }

    async fn start(database: &Database) -> Result<Self, Failure> {
        let permits = Arc::new(Semaphore::new(usize::from(database.connections())));
        Ok(Self { shelf: RefCell::default(), permits, connector: database.connector(), defect: PhantomData })
    }

    async fn actor(&self, mut port: Port) {
        let mut session: Option<Session> = None;
        let mut retained: Option<Connection> = None;
        while let Some(command) = port.next().await {
            match (&command, &mut session) {
                (Command::Open, None) => session = port.run(self.open()).await,
                (Command::Close, Some(_)) => {
                    port.run(self.close(session.take())).await;
                }
                (Command::Retain, Some(it)) => {
                    let handle = Rc::clone(&it.connection);
                    retained = port.run(std::future::ready(Ok::<_, Failure>(handle))).await.or(retained);
                }
                (Command::Stale(usage), _) => {
                    if let Some(connection) = &retained {
                        port.ask(use_retained(connection, *usage), Reply::clone).await;
                    }
                }
                (_, Some(it)) => it.serve::<D>(&command, &mut port).await,
                (_, None) => {}
            }
        }
        // The actor ends without closing; nobody waits for what it leaves.
        if let Some(it) = session.filter(|it| !it.in_transaction || !D::ROLLS_BACK) {
            self.give_back(it.connection);
        }
    }

    async fn stop(&self) {
        self.shelf.borrow_mut().clear();
    }
}

impl<D: Defect> Lender<D> {
    async fn open(&self) -> Result<Session, Failure> {
        let permit = Arc::clone(&self.permits).acquire_owned().await;
        let permit = permit.map_err(|it| Failure::new(Class::Closed, it))?;
        let idle = if D::SHARES { self.shelf.borrow().last().cloned() } else { self.shelf.borrow_mut().pop() };
        let connection = match idle {
            Some(connection) => connection,
            None => Rc::new(Mutex::new(self.connector.connect().await?)),
        };
        if D::SHARES {
            self.give_back(Rc::clone(&connection));
        }
        Ok(Session { connection, in_transaction: false, owes_commit: false, _permit: permit })
    }

    async fn close(&self, session: Option<Session>) -> Result<(), Failure> {
        let Some(session) = session else {
            return Ok(());
        };
        if session.in_transaction && D::ROLLS_BACK {
            // It may have been ended by the database; then there is nothing to roll back.
            let _ = session.connection.lock().await.execute("rollback").await;
        }
        self.give_back(session.connection);
        Ok(())
    }

    fn give_back(&self, connection: Connection) {
        let mut shelf = self.shelf.borrow_mut();
        if !shelf.iter().any(|it| Rc::ptr_eq(it, &connection)) {
            shelf.push(connection);
        }
    }
}

impl Session {
    async fn serve<D: Defect>(&mut self, command: &Command, port: &mut Port) {
        if std::mem::take(&mut self.owes_commit) {
            self.in_transaction = false;
            // Nobody is left who could be told that it failed.
            let _ = self.connection.lock().await.execute("commit").await;
        }
        match command {
            Command::Begin(BeginMode::Plain) if !self.in_transaction => {
                self.in_transaction = port.run(self.execute("begin")).await.is_some();
            }
            Command::Commit if self.in_transaction && D::COMMITS_LATER => {
                self.owes_commit = true;
                port.run(std::future::ready(Ok::<_, Failure>(()))).await;
            }
            Command::Commit if self.in_transaction => {
                if port.run(self.execute("commit")).await.is_none() {
                    let _ = self.execute("rollback").await;
                }
                self.in_transaction = false;
            }
            Command::Rollback | Command::Drop if self.in_transaction => {
                port.run(self.execute("rollback")).await;
                self.in_transaction = false;
            }
            command => statement(&mut *self.connection.lock().await, command, port).await,
        }
    }

    async fn execute(&self, sql: &'static str) -> Result<(), Failure> {
        self.connection.lock().await.execute(sql).await?;
        Ok(())
    }
}

async fn use_retained(connection: &Connection, usage: StaleUse) -> Result<Reply, Failure> {
    let mut connection = connection.lock().await;
    Ok(match usage {
        StaleUse::Get(key) => Reply::Value(get(&mut *connection, key).await?),
        StaleUse::Put(key, value) => Reply::Changed(put(&mut *connection, key, value).await?),
    })
}
