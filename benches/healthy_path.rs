//! What the library costs where nothing is wrong, beside plain sqlx with the same statements.
//!
//! `latency`: one caller. `saturation`: 8 callers on 4 connections; the figure is the time per unit of work of all of them
//! together. Compare ratios within one run.

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous};
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};
use unstale::{Policy, Sessions, SqliteOptions, SqliteSource};

const CALLERS: u64 = 8;
const READ: &str = "select v from kv where k = ?";
const WRITE: &str = "update kv set v = v + 1 where k = ?";

struct Both {
    _folder: TempDir,
    plain: SqlitePool,
    sessions: Sessions<SqliteSource>,
}

impl Both {
    async fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let options = SqliteConnectOptions::new()
            .filename(folder.path().join("db"))
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Off)
            .busy_timeout(Duration::from_secs(5));
        let plain = SqlitePoolOptions::new().max_connections(4).connect_with(options.clone()).await.expect("a pool");
        sqlx::query("create table kv (k integer primary key, v integer not null)").execute(&plain).await.expect("ddl");
        for k in 0..100_i64 {
            sqlx::query("insert into kv values (?, 0)").bind(k).execute(&plain).await.expect("a row");
        }
        let mut policy = Policy::default();
        policy.sessions_max = 4;
        policy.acquire_timeout = Duration::from_secs(30);
        let sessions = SqliteOptions::file(options).open(policy).await.expect("sessions");
        Self { _folder: folder, plain, sessions }
    }

    async fn plain_statement(&self) {
        let mut connection = self.plain.acquire().await.expect("a connection");
        black_box(sqlx::query(READ).bind(7_i64).fetch_one(&mut *connection).await.expect("a row"));
    }

    async fn scope_statement(&self) {
        let scope = self.sessions.scope("bench");
        black_box(sqlx::query(READ).bind(7_i64).fetch_one(&scope).await.expect("a row"));
    }

    async fn plain_transaction(&self) {
        let mut transaction = self.plain.begin_with("begin immediate").await.expect("begin");
        sqlx::query(WRITE).bind(7_i64).execute(&mut *transaction).await.expect("a row");
        transaction.commit().await.expect("commit");
    }

    async fn scope_transaction(&self) {
        let scope = self.sessions.scope("bench");
        let begin = unstale::Begin { locking: unstale::Locking::Immediate, ..Default::default() };
        scope.begin_with(begin).await.expect("begin");
        sqlx::query(WRITE).bind(7_i64).execute(&scope).await.expect("a row");
        scope.commit().await.expect("commit");
    }
}

fn latency(criterion: &mut Criterion) {
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    let both = runtime.block_on(Both::new());
    let mut group = criterion.benchmark_group("latency");
    group.bench_function("statement/sqlx", |it| it.to_async(&runtime).iter(|| both.plain_statement()));
    group.bench_function("statement/unstale", |it| it.to_async(&runtime).iter(|| both.scope_statement()));
    group.bench_function("transaction/sqlx", |it| it.to_async(&runtime).iter(|| both.plain_transaction()));
    group.bench_function("transaction/unstale", |it| it.to_async(&runtime).iter(|| both.scope_transaction()));
    group.finish();
}

/// The time that this many units of work take when [`CALLERS`] callers share them.
fn saturated<F: Future<Output = ()> + Send + 'static>(
    runtime: &Runtime,
    units: u64,
    work: impl Fn() -> F + Clone + Send + 'static,
) -> Duration {
    runtime.block_on(async {
        let began = Instant::now();
        let callers: Vec<_> = (0..CALLERS)
            .map(|caller| {
                let work = work.clone();
                let share = units / CALLERS + u64::from(caller < units % CALLERS);
                tokio::spawn(async move {
                    for _ in 0..share {
                        work().await;
                    }
                })
            })
            .collect();
        for caller in callers {
            caller.await.expect("no panic");
        }
        began.elapsed()
    })
}

fn saturation(criterion: &mut Criterion) {
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    let both: &'static Both = Box::leak(Box::new(runtime.block_on(Both::new())));
    let mut group = criterion.benchmark_group("saturation");
    group.bench_function("statement/sqlx", |it| {
        it.iter_custom(|units| saturated(&runtime, units, || both.plain_statement()));
    });
    group.bench_function("statement/unstale", |it| {
        it.iter_custom(|units| saturated(&runtime, units, || both.scope_statement()));
    });
    group.finish();
}

criterion_group!(benches, latency, saturation);
criterion_main!(benches);
