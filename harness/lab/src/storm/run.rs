//! One storm, from its server to its history.
//!
//! Owns the composition: the database, the system, the actors, the injector, and what is looked at when everything is healed.
//! What happened is judged elsewhere.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;

use super::actor::{self, ActorContext, ActorLog};
use super::clock::Clock;
use super::database::StormDatabase;
use super::history::{History, Left};
use super::injector::FaultInjector;
use super::settings::Storm;
use super::system::StormSystem;
use unstale_wire::fleet::ServerLease;
use unstale_wire::server::ServerError;

/// How many threads the system runs on.
const THREADS: usize = 4;

/// How long all actors may take to end once everything is healed.
const END_MAX: Duration = Duration::from_secs(60);

/// How long closing may take.
const STOP_MAX: Duration = Duration::from_secs(10);

/// How long what the system left running is waited for.
const LEFT_BEHIND_MAX: Duration = Duration::from_secs(2);

/// A storm could not be run; this is never the system's fault.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StormError {
    /// There is no server.
    #[error(transparent)]
    Server(#[from] ServerError),
    /// The harness's own connections failed.
    #[error("the harness's own connections to the private server failed: {0}")]
    Database(#[from] sqlx::Error),
    /// There is no proxy, or there are no threads.
    #[error("the storm's own parts cannot be started: {0}")]
    Io(#[from] std::io::Error),
    /// The system could not be made ready before the first fault.
    #[error("{system} did not start on a healthy server: {why}")]
    Start {
        /// Its name.
        system: &'static str,
        /// What it said.
        why: String,
    },
}

/// Runs a storm over a system, and returns what happened. It blocks, and is not called from within a runtime; `progress` is
/// told how many faults landed and how many restarts there were.
///
/// # Errors
/// [`StormError`].
pub fn pass<S: StormSystem>(
    storm: &Storm,
    stop: &AtomicBool,
    progress: &mut dyn FnMut(usize, u32),
) -> Result<History, StormError> {
    let server = Arc::new(ServerLease::roomy()?);
    let runtime = Builder::new_multi_thread().worker_threads(THREADS).enable_all().build()?;
    let history = on(&runtime, server, storm, stop, progress, S::start);
    // Not dropped: that would wait without bound for a task that blocks its thread.
    runtime.shutdown_timeout(LEFT_BEHIND_MAX);
    history
}

fn on<S: StormSystem, F: Future<Output = Result<S, String>>>(
    runtime: &Runtime,
    server: Arc<ServerLease>,
    storm: &Storm,
    stop: &AtomicBool,
    progress: &mut dyn FnMut(usize, u32),
    start: impl FnOnce(sqlx::postgres::PgConnectOptions, u32) -> F,
) -> Result<History, StormError> {
    let clock = Clock::start();
    let database = runtime.block_on(StormDatabase::prepare(server))?;
    let mut injector = FaultInjector::start(database.target(), clock, storm.seed)?;
    let tasks_before = tasks(runtime);
    let system = runtime
        .block_on(start(database.options(injector.port()), storm.connections))
        .map_err(|why| StormError::Start { system: S::NAME, why })?;
    let context = Arc::new(ActorContext { system, clock, healed: AtomicBool::new(false) });
    let logs: Vec<ActorLog> = (0..storm.actors).map(|_| ActorLog::default()).collect();
    let spawn = |(actor, log): (u32, &ActorLog)| {
        runtime.spawn(actor::act(Arc::clone(&context), actor, storm.seed, log.clone()))
    };
    let actors: Vec<_> = (0..).zip(&logs).map(spawn).collect();

    injector.inject_all(storm, stop, progress);
    let healed = clock.now();
    context.healed.store(true, Ordering::SeqCst);

    let panics = runtime.block_on(ends(actors));
    let lent = runtime.block_on(none_lent(&context.system));
    let (backends, in_transaction) = runtime.block_on(database.backends(storm.connections, 0))?;
    let stopped = runtime.block_on(async { tokio::time::timeout(STOP_MAX, context.system.stop()).await.is_ok() });
    drop(context);
    let (backends_after, _) = runtime.block_on(database.backends(0, 0))?;
    let tasks_after = tasks_left(runtime, tasks_before);
    let left = Left {
        lent,
        connections_max: storm.connections,
        backends,
        in_transaction,
        stopped,
        backends_after,
        tasks_after,
    };
    let (rows, balances) =
        runtime.block_on(async { Ok::<_, sqlx::Error>((database.rows().await?, database.balances().await?)) })?;
    let injected = injector.into_record();
    Ok(History {
        actors: logs.iter().map(ActorLog::take).collect(),
        panics,
        landings: injected.landings,
        missed: injected.missed,
        healed,
        rows,
        balances,
        left,
        harness: injected.harness,
    })
}

/// Waits for every actor, and tells which panicked. One that has not ended by then is given up: its last operation never
/// returned.
async fn ends(actors: Vec<JoinHandle<Option<String>>>) -> BTreeMap<u32, String> {
    let until = tokio::time::Instant::now() + END_MAX;
    let mut panics = BTreeMap::new();
    for (actor, mut task) in (0..).zip(actors) {
        match tokio::time::timeout_at(until, &mut task).await {
            Ok(Ok(None)) => {}
            Ok(Ok(Some(why))) => drop(panics.insert(actor, why)),
            Ok(Err(error)) => drop(panics.insert(actor, error.to_string())),
            Err(_) => task.abort(),
        }
    }
    panics
}

/// How many connections are lent, after those that are under way back had time to arrive.
async fn none_lent(system: &impl StormSystem) -> u32 {
    let until = tokio::time::Instant::now() + LEFT_BEHIND_MAX;
    while system.lent() > 0 && tokio::time::Instant::now() < until {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    system.lent()
}

fn tasks(runtime: &Runtime) -> usize {
    runtime.metrics().num_alive_tasks()
}

/// How many tasks there are more than before, after they had time to end.
fn tasks_left(runtime: &Runtime, before: usize) -> u32 {
    let until = Instant::now() + LEFT_BEHIND_MAX;
    while tasks(runtime) > before && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(5));
    }
    u32::try_from(tasks(runtime).saturating_sub(before)).unwrap_or(u32::MAX)
}
