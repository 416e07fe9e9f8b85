//! Free mode: real threads, a real server, and faults raining down. No gates, and no replay.
//!
//! Many actors use one system at the same time, while a private server is restarted and killed, the network in front of it
//! fails, and futures are dropped. What was asked and answered is kept with its times and judged afterwards by pure
//! functions: acknowledged work is there, nothing is there twice or half, everybody recovers, nothing is left over.
//!
//! Owns the composition of one storm. What a storm shows has no minimal plan; the same seed gives the same weather and the
//! same tasks, and not the same run.
//!
//! | file | owns |
//! | --- | --- |
//! | `work` | the tasks, and what a system answers |
//! | `system`, `systems` | what is under test |
//! | `actor`, `rain`, `ground` | who works, what falls, and where |
//! | `history`, `judge`, `summary` | what happened, what it comes to, and its figures; pure |

mod actor;
mod ground;
pub mod history;
pub mod judge;
mod rain;
pub mod summary;
pub mod system;
pub mod systems;
pub mod work;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;

use self::actor::{Diary, Shared};
use self::ground::Ground;
use self::history::{History, Left};
use self::rain::Rain;
use self::system::FreeSystem;
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

/// What a storm is like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Storm {
    /// How many actors work.
    pub actors: u32,
    /// How many connections the system may have.
    pub connections: u32,
    /// What the weather and the tasks are drawn from.
    pub seed: u64,
    /// How long it rains at most.
    pub time: Duration,
    /// It stops raining when the server was restarted so many times.
    pub restarts: u32,
}

impl Default for Storm {
    fn default() -> Self {
        Self { actors: 50, connections: 10, seed: 0, time: Duration::from_secs(30), restarts: u32::MAX }
    }
}

/// A storm could not be had; this is never the system's fault.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StormError {
    /// There is no server.
    #[error(transparent)]
    Server(#[from] ServerError),
    /// The harness's own connections failed.
    #[error("the private server does not serve the harness itself: {0}")]
    Database(#[from] sqlx::Error),
    /// There is no proxy, or there are no threads.
    #[error("the storm's own parts cannot be started: {0}")]
    Io(#[from] std::io::Error),
    /// The system could not be made ready before anything fell.
    #[error("{system} did not start on a server in order: {why}")]
    Start {
        /// Its name.
        system: &'static str,
        /// What it said.
        why: String,
    },
}

/// Lets a storm pass over a system, and answers what happened. It blocks, and is not called from within a runtime; `told`
/// hears how many faults and restarts there were.
///
/// # Errors
/// [`StormError`].
pub fn pass<S: FreeSystem>(
    storm: &Storm,
    stop: &AtomicBool,
    told: &mut dyn FnMut(usize, u32),
) -> Result<History, StormError> {
    let server = Arc::new(ServerLease::roomy()?);
    let runtime = Builder::new_multi_thread().worker_threads(THREADS).enable_all().build()?;
    let history = on(&runtime, server, storm, stop, told, S::start);
    // Not dropped: that would wait without bound for a task that blocks its thread.
    runtime.shutdown_timeout(LEFT_BEHIND_MAX);
    history
}

fn on<S: FreeSystem, F: Future<Output = Result<S, String>>>(
    runtime: &Runtime,
    server: Arc<ServerLease>,
    storm: &Storm,
    stop: &AtomicBool,
    told: &mut dyn FnMut(usize, u32),
    start: impl FnOnce(sqlx::postgres::PgConnectOptions, u32) -> F,
) -> Result<History, StormError> {
    let clock = Clock::start();
    let ground = runtime.block_on(Ground::prepare(server))?;
    let mut rain = Rain::over(ground.target(), clock, storm.seed)?;
    let tasks_before = tasks(runtime);
    let system = runtime
        .block_on(start(ground.options(rain.port()), storm.connections))
        .map_err(|why| StormError::Start { system: S::NAME, why })?;
    let shared = Arc::new(Shared { system, clock, healed: AtomicBool::new(false) });
    let diaries: Vec<Diary> = (0..storm.actors).map(|_| Diary::default()).collect();
    let spawn = |(actor, diary): (u32, &Diary)| {
        runtime.spawn(actor::act(Arc::clone(&shared), actor, storm.seed, diary.clone()))
    };
    let actors: Vec<_> = (0..).zip(&diaries).map(spawn).collect();

    rain.fall(storm, stop, told);
    let healed = clock.now();
    shared.healed.store(true, Ordering::SeqCst);

    let panics = runtime.block_on(ends(actors));
    let lent = runtime.block_on(none_lent(&shared.system));
    let (backends, in_transaction) = runtime.block_on(ground.backends(storm.connections, 0))?;
    let stopped = runtime.block_on(async { tokio::time::timeout(STOP_MAX, shared.system.stop()).await.is_ok() });
    drop(shared);
    let (backends_after, _) = runtime.block_on(ground.backends(0, 0))?;
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
        runtime.block_on(async { Ok::<_, sqlx::Error>((ground.rows().await?, ground.balances().await?)) })?;
    let fallen = rain.into_record();
    Ok(History {
        actors: diaries.iter().map(Diary::take).collect(),
        panics,
        landings: fallen.landings,
        missed: fallen.missed,
        healed,
        rows,
        balances,
        left,
        harness: fallen.harness,
    })
}

/// Waits for every actor, and tells which panicked. Who has not ended by then is given up: its last operation never returned.
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
async fn none_lent(system: &impl FreeSystem) -> u32 {
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

/// The storm's clock; it never goes back.
#[derive(Clone, Copy)]
struct Clock(Instant);

impl Clock {
    fn start() -> Self {
        Self(Instant::now())
    }

    fn now(self) -> Duration {
        self.0.elapsed()
    }
}
