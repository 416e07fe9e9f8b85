//! What the library costs on PostgreSQL where nothing is wrong, beside sqlx's own pool and, as the ceiling, raw connections in
//! deadpool.
//!
//! A unit of work borrows a connection, works, and gives the connection back. `one caller`: how long a unit takes.
//! `saturated`: how many units a second 8 callers do on 4 connections. All take turns in short slices; the ratios are to be
//! compared.

mod pg_support;

use std::hint::black_box;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use deadpool::managed::{self, Metrics, RecycleResult};
use pg_support::{Run, SCHEMA, median, turns};
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool, PgPoolOptions};
use sqlx::{Connection, Postgres};
use tokio::runtime::{Builder, Runtime};
use unstale::{PgOptions, PgSource, Policy, Reset, Resolver, Scope, Sessions};

const CALLERS: usize = 8;
const CONNECTIONS: u32 = 4;
const READ: &str = "select v from kv where k = $1";
const INSERT: &str = "insert into log values ($1)";

/// How many units in a row one has its turn for.
const UNITS: usize = 20;

/// How long one has its turn for at saturation.
const SLICE: Duration = Duration::from_millis(200);

/// No unit of work is to fail here.
type Failure = Box<dyn std::error::Error + Send + Sync>;

#[derive(Clone, Copy)]
enum Work {
    Statement,
    Transaction,
    Insert,
}

const WORKS: [(Work, &str); 3] = [
    (Work::Statement, "one statement"),
    (Work::Transaction, "a transaction of one statement"),
    (Work::Insert, "an autocommit insert"),
];

struct Contender {
    name: &'static str,
    kind: Kind,
}

enum Kind {
    Sqlx(PgPool),
    Library(Sessions<PgSource>),
    Raw(managed::Pool<Raw>),
}

/// Lends what is there, whatever has become of it.
struct Raw(PgConnectOptions);

impl managed::Manager for Raw {
    type Type = PgConnection;
    type Error = sqlx::Error;

    async fn create(&self) -> sqlx::Result<PgConnection> {
        PgConnection::connect_with(&self.0).await
    }

    async fn recycle(&self, _: &mut PgConnection, _: &Metrics) -> RecycleResult<sqlx::Error> {
        Ok(())
    }
}

impl Contender {
    async fn all(options: &PgConnectOptions) -> Arc<[Self]> {
        let library = async |name, change: fn(&mut Policy)| {
            let mut policy = Policy::default();
            policy.sessions_max = CONNECTIONS;
            change(&mut policy);
            let sessions = PgOptions::new(options.clone()).open(policy).await.expect("sessions");
            Self { name, kind: Kind::Library(sessions) }
        };
        let mut resolving = library("unstale, Resolver::transaction_id()", |_| ()).await;
        if let Kind::Library(sessions) = &mut resolving.kind {
            *sessions = sessions.resolving(Resolver::transaction_id());
        }
        let raw = managed::Pool::builder(Raw(options.clone())).max_size(CONNECTIONS as usize).build().expect("a pool");
        [
            Self { name: "sqlx without test_before_acquire", kind: Kind::Sqlx(sqlx_pool(options, false).await) },
            Self { name: "sqlx", kind: Kind::Sqlx(sqlx_pool(options, true).await) },
            library("unstale", |_| ()).await,
            library("unstale, Reset::Always", |it| it.reset = Reset::Always).await,
            library("unstale, Reset::Never", |it| it.reset = Reset::Never).await,
            library("unstale, probe_writes_after 100 ms", |it| it.probe_writes_after = Duration::from_millis(100))
                .await,
            resolving,
            Self { name: "raw connections in deadpool", kind: Kind::Raw(raw) },
        ]
        .into()
    }

    /// Begins with a borrowing and ends with what was borrowed given back.
    async fn unit(&self, work: Work) -> Result<(), Failure> {
        match &self.kind {
            Kind::Sqlx(pool) => Ok(on_connection(&mut *pool.acquire().await?, work).await?),
            Kind::Raw(pool) => Ok(on_connection(&mut pool.get().await.expect("a connection"), work).await?),
            Kind::Library(sessions) => {
                let scope = sessions.scope("caller");
                in_scope(&scope, work).await?;
                Ok(scope.end().await?)
            }
        }
    }
}

async fn sqlx_pool(options: &PgConnectOptions, tests: bool) -> PgPool {
    let pool = PgPoolOptions::new().max_connections(CONNECTIONS).test_before_acquire(tests);
    pool.connect_with(options.clone()).await.expect("a pool")
}

async fn on_connection(connection: &mut PgConnection, work: Work) -> sqlx::Result<()> {
    match work {
        Work::Statement => read(connection).await,
        Work::Transaction => {
            let mut transaction = connection.begin().await?;
            insert(&mut *transaction).await?;
            transaction.commit().await
        }
        Work::Insert => insert(connection).await,
    }
}

async fn in_scope(scope: &Scope<PgSource>, work: Work) -> Result<(), Failure> {
    match work {
        Work::Statement => Ok(read(scope).await?),
        Work::Transaction => {
            scope.begin().await?;
            insert(scope).await?;
            Ok(scope.commit().await?)
        }
        Work::Insert => Ok(insert(scope).await?),
    }
}

async fn read<'c>(executor: impl sqlx::Executor<'c, Database = Postgres>) -> sqlx::Result<()> {
    black_box(sqlx::query(READ).bind(7_i64).fetch_one(executor).await?);
    Ok(())
}

async fn insert<'c>(executor: impl sqlx::Executor<'c, Database = Postgres>) -> sqlx::Result<()> {
    black_box(sqlx::query(INSERT).bind(7_i64).execute(executor).await?);
    Ok(())
}

fn main() -> ExitCode {
    pg_support::main(|run| {
        let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let mut outside = PgConnection::connect_with(&run.server.tcp()).await.expect("a connection");
            sqlx::raw_sql(SCHEMA).execute(&mut outside).await.expect("ddl");
        });
        for (way, options) in [("TCP", run.server.tcp()), ("Unix socket", run.server.socket())] {
            let thread = Builder::new_current_thread().enable_all().build().expect("a runtime");
            one_caller(run, &thread, &format!("one caller, one thread, {way}"), &options);
            one_caller(run, &runtime, &format!("one caller, two threads, {way}"), &options);
            saturated(run, &runtime, &format!("saturated, {way}"), &options);
        }
        runtime.shutdown_timeout(Duration::from_secs(1));
    })
}

fn one_caller(run: &Run, runtime: &Runtime, title: &str, options: &PgConnectOptions) {
    compare(run, runtime, title, options, run.rounds(400), ("µs", false), async |contenders, turn, work| {
        let contenders = Arc::clone(contenders);
        // A task, as in an application, and not the thread that waits for it.
        let units = tokio::spawn(async move {
            let mut took = Vec::with_capacity(UNITS);
            for _ in 0..UNITS {
                let began = Instant::now();
                contenders[turn].unit(work).await.expect("done");
                took.push(began.elapsed().as_secs_f64() * 1e6);
            }
            took
        });
        median(units.await.expect("no panic"))
    });
}

fn saturated(run: &Run, runtime: &Runtime, title: &str, options: &PgConnectOptions) {
    compare(run, runtime, title, options, run.rounds(32), ("units/s", true), speed);
}

/// Lets all take turns in every round, and prints the medians over the rounds. The ratios are medians as well: of those within
/// the rounds, so that what slows a round down slows both of its sides.
fn compare(
    run: &Run,
    runtime: &Runtime,
    title: &str,
    options: &PgConnectOptions,
    rounds: usize,
    (unit, more_is_better): (&str, bool),
    measure: impl AsyncFn(&Arc<[Contender]>, usize, Work) -> f64,
) {
    let wanted = WORKS.map(|(work, what)| (work, format!("{title}: {what}")));
    if !wanted.iter().any(|(_, title)| run.wants(title)) {
        return;
    }
    let contenders = runtime.block_on(Contender::all(options));
    for (work, title) in wanted.iter().filter(|it| run.wants(&it.1)) {
        let mut figures = vec![Vec::new(); contenders.len()];
        for round in 0..=rounds {
            for turn in turns(contenders.len()) {
                let figure = runtime.block_on(measure(&contenders, turn, *work));
                // The first round opens connections and prepares statements.
                if round > 0 {
                    figures[turn].push(figure);
                }
            }
        }
        let better = if more_is_better { "more is better" } else { "less is better" };
        println!("\n{title} ({better})");
        println!("  {:<42} {unit:>10} {:>16} {:>10}", "", "over no test", "over sqlx");
        for (contender, mine) in contenders.iter().zip(&figures) {
            let over = |other: &[f64]| median(mine.iter().zip(other).map(|(mine, other)| mine / other).collect());
            let (no_test, default) = (over(&figures[0]), over(&figures[1]));
            println!("  {:<42} {:>10.1} {no_test:>16.2} {default:>10.2}", contender.name, median(mine.clone()));
        }
    }
}

/// Units per second of all callers together, in one slice.
async fn speed(contenders: &Arc<[Contender]>, turn: usize, work: Work) -> f64 {
    let (over, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let began = Instant::now();
    let callers: Vec<_> = (0..CALLERS)
        .map(|_| {
            let (contenders, over, done) = (Arc::clone(contenders), Arc::clone(&over), Arc::clone(&done));
            tokio::spawn(async move {
                let mut units = 0;
                while !over.load(Ordering::Relaxed) {
                    contenders[turn].unit(work).await.expect("done");
                    units += 1;
                }
                done.fetch_add(units, Ordering::Relaxed);
            })
        })
        .collect();
    tokio::time::sleep(SLICE).await;
    over.store(true, Ordering::Relaxed);
    for caller in callers {
        caller.await.expect("no panic");
    }
    #[expect(clippy::cast_precision_loss, reason = "thousands")]
    let units = done.load(Ordering::Relaxed) as f64;
    units / began.elapsed().as_secs_f64()
}
