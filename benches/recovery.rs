//! How long a scope takes to work again after its connection was lost, beside a plain reconnect.
//!
//! The loss is real: the file's header is overwritten until SQLite answers NOTADB, and restored. Timed is the first
//! statement after that, in both cases while the driver's thread still closes the connection that was lost: for the scope
//! lending a connection and running it; for the plain reconnect opening one and running it.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{Connection, SqliteConnection};
use tempfile::TempDir;
use tokio::runtime::Builder;
use unstale::{Begin, Locking, Policy, SqliteOptions};

const READ: &str = "select count(*) from kv";

struct File {
    _folder: TempDir,
    path: PathBuf,
    bytes: Vec<u8>,
    options: SqliteConnectOptions,
}

impl File {
    async fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("db");
        let options = SqliteConnectOptions::new()
            .filename(&path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Delete)
            .synchronous(SqliteSynchronous::Off);
        let mut connection = SqliteConnection::connect_with(&options).await.expect("a connection");
        sqlx::query("create table kv (k integer primary key, v integer)").execute(&mut connection).await.expect("ddl");
        connection.close().await.expect("close");
        let bytes = std::fs::read(&path).expect("the file");
        Self { _folder: folder, path, bytes, options }
    }

    fn damage(&self) {
        std::fs::write(&self.path, vec![0x5a; self.bytes.len()]).expect("garbage");
    }

    fn repair(&self) {
        std::fs::write(&self.path, &self.bytes).expect("the old bytes");
    }
}

fn connection_lost(criterion: &mut Criterion) {
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    let file = runtime.block_on(File::new());
    let mut group = criterion.benchmark_group("connection-lost");
    group.bench_function("reconnect/sqlx", |it| {
        it.iter_custom(|rounds| {
            runtime.block_on(async {
                let mut took = Duration::ZERO;
                let mut connection = SqliteConnection::connect_with(&file.options).await.expect("a connection");
                for _ in 0..rounds {
                    sqlx::query(READ).fetch_one(&mut connection).await.expect("a row");
                    file.damage();
                    sqlx::query(READ).fetch_one(&mut connection).await.expect_err("not a database");
                    drop(connection);
                    file.repair();
                    let began = Instant::now();
                    connection = SqliteConnection::connect_with(&file.options).await.expect("a connection");
                    sqlx::query(READ).fetch_one(&mut connection).await.expect("a row");
                    took += began.elapsed();
                }
                took
            })
        });
    });
    group.bench_function("recovery/unstale", |it| {
        it.iter_custom(|rounds| {
            runtime.block_on(async {
                let sessions =
                    SqliteOptions::file(file.options.clone()).open(Policy::default()).await.expect("sessions");
                let scope = sessions.scope("bench");
                let mut took = Duration::ZERO;
                for round in 0..rounds {
                    sqlx::query(READ).fetch_one(&scope).await.expect("a row");
                    file.damage();
                    sqlx::query(READ).fetch_one(&scope).await.expect_err("not a database");
                    file.repair();
                    let began = Instant::now();
                    sqlx::query(READ).fetch_one(&scope).await.expect("a row");
                    took += began.elapsed();
                    assert_eq!(scope.generation(), round + 2, "recovered");
                }
                took
            })
        });
    });
    group.finish();
}

/// The lock is held for a moment, released, and the next attempt has to come through: nothing was lost, so nothing is
/// reconnected.
fn database_locked(criterion: &mut Criterion) {
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    let file = runtime.block_on(File::new());
    let options = file.options.clone().busy_timeout(Duration::ZERO);
    let mut group = criterion.benchmark_group("database-locked");
    let begin = Begin { locking: Locking::Immediate, ..Begin::default() };
    group.bench_function("begin-after-unlock/sqlx", |it| {
        it.iter_custom(|rounds| {
            runtime.block_on(async {
                let mut holder = SqliteConnection::connect_with(&options).await.expect("a connection");
                let mut waiter = SqliteConnection::connect_with(&options).await.expect("a connection");
                let mut took = Duration::ZERO;
                for _ in 0..rounds {
                    let lock = holder.begin_with("begin exclusive").await.expect("a lock");
                    waiter.begin_with("begin immediate").await.map(drop).expect_err("locked");
                    lock.rollback().await.expect("unlocked");
                    let began = Instant::now();
                    let transaction = waiter.begin_with("begin immediate").await.expect("begin");
                    took += began.elapsed();
                    transaction.rollback().await.expect("rollback");
                }
                took
            })
        });
    });
    group.bench_function("begin-after-unlock/unstale", |it| {
        it.iter_custom(|rounds| {
            runtime.block_on(async {
                let mut holder = SqliteConnection::connect_with(&options).await.expect("a connection");
                let sessions = SqliteOptions::file(options.clone()).open(Policy::default()).await.expect("sessions");
                let scope = sessions.scope("bench");
                let mut took = Duration::ZERO;
                for _ in 0..rounds {
                    let lock = holder.begin_with("begin exclusive").await.expect("a lock");
                    scope.begin_with(begin).await.expect_err("locked");
                    lock.rollback().await.expect("unlocked");
                    let began = Instant::now();
                    scope.begin_with(begin).await.expect("begin");
                    took += began.elapsed();
                    scope.rollback().await.expect("rollback");
                }
                assert_eq!(scope.generation(), 1, "a lock is no reason to reconnect");
                took
            })
        });
    });
    group.finish();
}

criterion_group!(benches, connection_lost, database_locked);
criterion_main!(benches);
