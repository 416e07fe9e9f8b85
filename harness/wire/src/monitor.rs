//! Observes whether a PostgreSQL server still works on a request.
//!
//! Owns one thread and one connection for each server. Pending is not blocked: a plan's scheduler asks whether anything
//! moves, and between a request and its reply nothing is seen on the wire. So this thread asks the server, and notifies
//! each watcher whose backends have not answered and wait for no other backend (`pg_blocking_pids`). A backend that
//! waits for a lock does not move. One that is idle has not read its request yet, or its answer is under way.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, PgConnection};

use crate::fleet::ServerLease;

/// Between two questions; a fraction of the looks after which a command counts as blocked.
const EVERY: Duration = Duration::from_millis(1);

/// After the server did not answer: it restarts, or is gone.
const PAUSE: Duration = Duration::from_millis(20);

/// A watcher of a server's work.
pub trait Watcher: Send + Sync {
    /// The backends that have been sent something that they have not answered.
    fn working(&self) -> Vec<i32>;

    /// Whether the server works at something that it does not tell of, as a login.
    fn is_logging_in(&self) -> bool;

    /// The server works for it.
    fn beat(&self);

    /// The server was asked; one that does not answer is not waited for.
    fn asked(&self);
}

#[derive(Default)]
struct Registry {
    watchers: Mutex<Watchers>,
    changed: Condvar,
}

#[derive(Default)]
struct Watchers {
    next: u64,
    all: BTreeMap<u64, Arc<dyn Watcher>>,
}

/// Being watched, until it is dropped.
pub struct Watched {
    registry: Arc<Registry>,
    number: u64,
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.registry.watchers().all.remove(&self.number);
    }
}

/// Lets the watcher's beat be called now and then while this server works for it.
pub fn watch(server: &ServerLease, watcher: Arc<dyn Watcher>) -> Watched {
    static REGISTRIES: Mutex<BTreeMap<SocketAddr, Arc<Registry>>> = Mutex::new(BTreeMap::new());
    let mut registries = REGISTRIES.lock().unwrap_or_else(PoisonError::into_inner);
    let registry = registries.entry(server.address()).or_insert_with(|| {
        let registry: Arc<Registry> = Arc::default();
        let (ours, options) = (Arc::clone(&registry), server.tcp().application_name("unstale-monitor"));
        // Without this thread a command that takes long is taken for one that waits: plans go on, and say so.
        let _ = std::thread::Builder::new().name("monitor".into()).spawn(move || ours.serve(&options));
        registry
    });
    let registry = Arc::clone(registry);
    drop(registries);
    // From here on it counts on being asked.
    watcher.asked();
    let number = {
        let mut watchers = registry.watchers();
        watchers.next += 1;
        let number = watchers.next;
        watchers.all.insert(number, watcher);
        number
    };
    registry.changed.notify_all();
    Watched { registry, number }
}

impl Registry {
    fn watchers(&self) -> MutexGuard<'_, Watchers> {
        self.watchers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs until the process ends.
    fn serve(&self, options: &PgConnectOptions) {
        let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return };
        let mut connection = None;
        loop {
            let mut watchers = self.watchers();
            while watchers.all.is_empty() {
                watchers = self.changed.wait(watchers).unwrap_or_else(PoisonError::into_inner);
            }
            let pids: Vec<i32> = watchers.all.values().flat_map(|it| it.working()).collect();
            drop(watchers);
            let asked = if pids.is_empty() {
                Ok(Vec::new())
            } else {
                runtime.block_on(unblocked(&mut connection, options, &pids))
            };
            for watcher in self.watchers().all.values() {
                let works = asked.iter().flatten().any(|it| watcher.working().contains(it));
                if works || watcher.is_logging_in() {
                    watcher.beat();
                }
                watcher.asked();
            }
            if asked.is_err() {
                connection = None;
            }
            std::thread::sleep(if asked.is_ok() { EVERY } else { PAUSE });
        }
    }
}

/// Which of these backends are there and wait for no other.
async fn unblocked(
    connection: &mut Option<PgConnection>,
    options: &PgConnectOptions,
    pids: &[i32],
) -> Result<Vec<i32>, sqlx::Error> {
    let connection = match connection {
        Some(connection) => connection,
        None => connection.insert(options.connect().await?),
    };
    let question = "select pid from pg_stat_activity where pid = any($1) and cardinality(pg_blocking_pids(pid)) = 0";
    sqlx::query_scalar(question).bind(pids).fetch_all(connection).await
}
