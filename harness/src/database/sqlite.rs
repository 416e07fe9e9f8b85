//! A fresh SQLite database per plan, watched from below the system.
//!
//! Owns the file (or the shared `:memory:` database), the driver hooks that label every connection and say what it did, the
//! faults that are done to the database itself, and the harness's own connection.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Connection, Executor, SqliteConnection};
use tempfile::TempDir;
use tokio::sync::{MappedMutexGuard, Mutex, MutexGuard};
#[cfg(feature = "unstale")]
use unstale::SqliteOptions;

use super::dialect::{ALL_ROWS, Dialect};
use super::place::{self, Place, SetupError};
use crate::heartbeat::Heartbeat;
use crate::history::{ConnectionId, Log, What};
use crate::hold::Hold;
use crate::local::Local;
use crate::plan::{ActorId, Fault, Key, Storage, Value};
use crate::port::Wire;
use crate::recorder::Recorder;

const SCHEMA: &str = "create table kv (k integer primary key, v integer not null)";

/// The SQLite database that one plan runs on.
pub(super) struct Sqlite {
    pub(super) connector: Connector,
    storage: Storage,
    /// The harness's own connection; none while a database in memory is the system's to keep.
    own: Mutex<Option<SqliteConnection>>,
    own_options: SqliteConnectOptions,
    /// It is there to stay: the system closes its connections.
    stays: AtomicBool,
    /// Removed with the plan; none for `:memory:`.
    _folder: Option<TempDir>,
}

/// Opens connections to one plan's database that the harness observes.
#[derive(Clone)]
pub struct Connector {
    options: SqliteConnectOptions,
    recorder: Recorder,
    hold: Hold,
}

impl Connector {
    /// Opens one observed connection.
    ///
    /// # Errors
    /// The error of sqlx.
    ///
    /// # Cancel safety
    /// Cancel safe: a connection that is not returned is closed.
    pub async fn connect(&self) -> Result<SqliteConnection, sqlx::Error> {
        let mut connection = SqliteConnection::connect_with(&self.options).await?;
        self.observe(&mut connection).await?;
        Ok(connection)
    }

    /// Sets the driver hooks that identify this connection and label what it does.
    ///
    /// # Errors
    /// If the connection's worker has crashed.
    ///
    /// # Cancel safety
    /// Cancel safe, but a connection whose call was cancelled is not observed and must be closed.
    pub async fn observe(&self, connection: &mut SqliteConnection) -> Result<(), sqlx::Error> {
        observe(connection, self.recorder.clone(), self.hold.clone()).await
    }
}

impl Sqlite {
    /// Makes a fresh database with the core workload's table.
    ///
    /// # Errors
    /// [`SetupError`] if the temporary folder cannot be written or SQLite does not open.
    ///
    /// # Cancel safety
    /// Cancel safe: a half-made database is removed when the future is dropped.
    pub(super) async fn create(storage: Storage, recorder: Recorder) -> Result<Self, SetupError> {
        let (options, folder) = match storage {
            Storage::Memory => (SqliteConnectOptions::from_str("sqlite::memory:").map_err(SetupError::of)?, None),
            _ => {
                let folder = fresh_folder().map_err(SetupError::of)?;
                recorder.heartbeat.set_folder(folder.path().to_owned());
                let path = folder.path().join("db");
                let template = template(storage).await?;
                std::fs::write(&path, template).map_err(SetupError::of)?;
                let options = SqliteConnectOptions::new().filename(path);
                // A rollback journal has to be asked for by each connection; the write-ahead log is in the file.
                let options = match storage {
                    Storage::Journal => options.journal_mode(SqliteJournalMode::Memory),
                    _ => options,
                };
                (options, Some(folder))
            }
        };
        let options = options.busy_timeout(Duration::ZERO).synchronous(SqliteSynchronous::Off);
        let mut own = SqliteConnection::connect_with(&options).await.map_err(SetupError::of)?;
        if storage == Storage::Memory {
            own.execute(SCHEMA).await.map_err(SetupError::of)?;
        }
        let heartbeat = recorder.heartbeat.clone();
        let own_options = options.clone();
        let options = options.thread_name(move |_| announced(&heartbeat));
        let connector = Connector { options, recorder, hold: Hold::default() };
        let (own, stays) = (Mutex::new(Some(own)), AtomicBool::new(false));
        Ok(Self { connector, storage, own, own_options, stays, _folder: folder })
    }

    /// The harness's own connection, opened again if it was given up.
    async fn own(&self) -> Result<MappedMutexGuard<'_, SqliteConnection>, sqlx::Error> {
        let mut own = self.own.lock().await;
        let connection = match own.take() {
            Some(connection) => connection,
            None => SqliteConnection::connect_with(&self.own_options).await?,
        };
        Ok(MutexGuard::map(own, |own| own.insert(connection)))
    }

    /// How to connect: the plan's file or `:memory:`, without a busy time-out, since a gated run would sit in it.
    pub(super) fn connect_options(&self) -> SqliteConnectOptions {
        self.connector.options.clone()
    }

    /// Options for `unstale`, whose connections are observed from the moment they open.
    #[cfg(feature = "unstale")]
    pub(super) fn options(&self) -> SqliteOptions {
        let options = match self.storage {
            Storage::Memory => SqliteOptions::memory(self.connect_options()),
            _ => SqliteOptions::file(self.connect_options()),
        };
        let connector = self.connector.clone();
        options.on_open(move |connection| {
            let connector = connector.clone();
            Box::pin(async move { connector.observe(connection).await })
        })
    }

    /// Options for a pool of this size, whose connections are observed from the moment they open.
    pub(super) fn pool_options(&self, connections: u8) -> SqlitePoolOptions {
        let connector = self.connector.clone();
        SqlitePoolOptions::new().max_connections(u32::from(connections)).after_connect(move |connection, _| {
            let connector = connector.clone();
            Box::pin(async move { connector.observe(connection).await })
        })
    }
}

impl Place for Sqlite {
    fn prepare<'a>(&'a self, statements: &'a [&'static str]) -> Local<'a, Result<(), sqlx::Error>> {
        Box::pin(async move {
            let mut own = self.own().await?;
            for statement in statements {
                own.execute(*statement).await?;
            }
            Ok(())
        })
    }

    /// In a shared cache it waits for ever if a transaction stays open that changed the rows.
    fn final_state(&self) -> Local<'_, Result<BTreeMap<Key, Value>, SetupError>> {
        Box::pin(async {
            let mut own = self.own().await.map_err(SetupError::of)?;
            if self.storage == Storage::Memory && is_lost(&mut own).await.map_err(SetupError::of)? {
                return Ok(BTreeMap::new());
            }
            let rows = own.fetch_all(ALL_ROWS).await.map_err(SetupError::of)?;
            rows.iter().map(<sqlx::Sqlite as Dialect>::pair).collect::<Result<_, _>>().map_err(SetupError::of)
        })
    }

    /// No statement of an observed connection goes on until this is dropped.
    fn hold(&self) -> place::Held<'_> {
        place::Held::new(self.connector.hold.close())
    }

    /// Its calls do not go over a wire.
    fn wire(&self, _: ActorId) -> Option<Arc<Wire>> {
        None
    }

    /// Starts a fault that is done to the database from outside; the driver's faults are armed in the switch.
    ///
    /// A shared cache has no busy time-out: every connection that meets a lock there waits for it, the harness's too, so `:memory:` is
    /// never locked and the fault is recorded as not landed.
    fn start_fault(&self, fault: Fault) -> Local<'_, ()> {
        Box::pin(async move {
            if fault == Fault::Locked
                && self.storage != Storage::Memory
                && let Ok(mut own) = self.own().await
                && own.execute("begin exclusive").await.is_ok()
            {
                self.connector.recorder.log.record(What::FaultLanded(fault));
            }
            self.connector.recorder.faults.arm(Some(fault));
        })
    }

    fn end_fault(&self, fault: Fault) -> Local<'_, ()> {
        Box::pin(async move {
            self.connector.recorder.faults.arm(None);
            if fault == Fault::Locked && self.storage != Storage::Memory {
                // It fails exactly if the lock was not obtained in the first place.
                if let Ok(mut own) = self.own().await {
                    let _ = own.execute("rollback").await;
                }
            }
        })
    }

    fn is_kept_alive(&self) -> bool {
        let is_there = || self.own.try_lock().is_ok_and(|own| own.is_some());
        self.storage == Storage::Memory && !self.stays.load(Ordering::Acquire) && is_there()
    }

    fn let_go(&self) -> Local<'_, ()> {
        Box::pin(async move {
            let own = self.own.lock().await.take();
            if let Some(own) = own {
                let _ = own.close().await;
            }
        })
    }

    fn keep_alive(&self) -> Local<'_, ()> {
        Box::pin(async move {
            self.stays.store(true, Ordering::Release);
            // If it cannot be opened, neither can what reads the rows, and that says so.
            drop(self.own().await);
        })
    }

    /// The folder goes with this value.
    fn remove(self: Box<Self>) -> Local<'static, ()> {
        Box::pin(async move { drop(self) })
    }
}

/// Whether the database has ended with its last connection, and this is another one.
async fn is_lost(own: &mut SqliteConnection) -> Result<bool, sqlx::Error> {
    let found = own.fetch_optional("select 1 from sqlite_schema where name = 'kv'").await?;
    Ok(found.is_none())
}

/// The name of the next thread of a connection, told to the watch before the thread is there. No two have the same.
fn announced(heartbeat: &Heartbeat) -> String {
    static THREADS: AtomicU64 = AtomicU64::new(1);
    let name = format!("db-{:x}", THREADS.fetch_add(1, Ordering::Relaxed));
    heartbeat.announce_driver(&name);
    name
}

/// Tells the log when the hooks are dropped: the driver drops them when it closes the connection.
struct Closing {
    log: Log,
    id: ConnectionId,
}

impl Drop for Closing {
    fn drop(&mut self) {
        self.log.disconnected(self.id);
    }
}

async fn observe(connection: &mut SqliteConnection, recorder: Recorder, hold: Hold) -> Result<(), sqlx::Error> {
    let mut handle = connection.lock_handle().await?;
    let Recorder { log, heartbeat, faults } = recorder;
    let id = log.connected();
    let closing = Closing { log: log.clone(), id };

    let mut reported = u64::MAX;
    let interrupt = faults.clone();
    handle.set_progress_handler(1, move || {
        // Named whole, so that the closure owns it and not a copy of its label: it ends with the connection.
        let closing = &closing;
        hold.wait();
        heartbeat.beat();
        let turn = heartbeat.turns();
        if reported != turn {
            reported = turn;
            closing.log.record_evidence(closing.id, What::Served(closing.id));
        }
        let interrupted = interrupt.take_interrupt();
        if interrupted {
            closing.log.record(What::FaultLanded(Fault::Interrupt));
        }
        !interrupted
    });
    let update = log.clone();
    handle.set_update_hook(move |change| {
        if change.database == "main" {
            update.record_evidence(id, What::Wrote(id));
        }
    });
    let commit = log.clone();
    handle.set_commit_hook(move || {
        if faults.take_refuse_commit() {
            commit.record(What::FaultLanded(Fault::RefuseCommit));
            return false;
        }
        commit.record_evidence(id, What::Committed(id));
        true
    });
    handle.set_rollback_hook(move || log.record_evidence(id, What::RolledBack(id)));
    Ok(())
}

/// A folder for one plan's file; in memory where the machine has such a place, since nothing here outlives the process.
fn fresh_folder() -> std::io::Result<TempDir> {
    let builder = || {
        let mut it = tempfile::Builder::new();
        it.prefix("unstale-");
        it
    };
    builder().tempdir_in("/dev/shm").or_else(|_| builder().tempdir())
}

/// The bytes of an empty database with the schema: copying them is cheaper than creating the table for each plan.
async fn template(storage: Storage) -> Result<&'static [u8], SetupError> {
    static WAL: OnceLock<Vec<u8>> = OnceLock::new();
    static JOURNAL: OnceLock<Vec<u8>> = OnceLock::new();
    let (cell, mode) = match storage {
        Storage::Wal => (&WAL, SqliteJournalMode::Wal),
        _ => (&JOURNAL, SqliteJournalMode::Delete),
    };
    if let Some(bytes) = cell.get() {
        return Ok(bytes);
    }
    let made = async {
        let folder = fresh_folder()?;
        let path: PathBuf = folder.path().join("template");
        let options = SqliteConnectOptions::new().filename(&path).create_if_missing(true).journal_mode(mode);
        let mut connection = SqliteConnection::connect_with(&options).await?;
        connection.execute(SCHEMA).await?;
        connection.close().await?;
        Ok::<_, sqlx::Error>(std::fs::read(&path)?)
    };
    let bytes = made.await.map_err(SetupError::of)?;
    Ok(cell.get_or_init(|| bytes))
}
