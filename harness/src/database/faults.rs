//! What is done to PostgreSQL and to the network in front of it, and what shows that it took effect.
//!
//! Owns a fault from its start to its healing. Each is bound to a moment of the next request of the command that it belongs
//! to: the proxy says when that has come, and keeps the bytes back meanwhile. Everything here is synchronous, and may block
//! the plan's thread for as long as a server takes to restart; the recorder is told that something moves.
//!
//! What a fault took effect on is no guess: a terminated backend is waited for until it is gone, a signal is sent by the
//! server's own process table, and the proxy reports what it did.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use sqlx::{ConnectOptions, PgConnection};

use super::observer::Observer;
use crate::plan::{Fault, Harm, Moment, Trouble};
use crate::postgres::fleet::Berth;
use crate::postgres::proxy::{Proxy, Scope};
use crate::postgres::server::{Shutdown, Signal};

/// How long a backend that was told to end may take.
const GONE_MAX: Duration = Duration::from_secs(2);

/// How long a server may take until it accepts connections again.
const UP_MAX: Duration = Duration::from_secs(20);

/// Between two looks.
const LOOK: Duration = Duration::from_millis(2);

/// The faults of one plan.
pub(super) struct Faults {
    proxy: Proxy,
    doer: Arc<Doer>,
}

/// What does something to the server, on whatever thread the moment comes.
struct Doer {
    server: Arc<Berth>,
    observer: Arc<Observer>,
    /// The backends that are stopped.
    stopped: Mutex<Vec<i32>>,
}

impl Faults {
    pub(super) fn new(server: Arc<Berth>, proxy: Proxy, observer: Arc<Observer>) -> Self {
        Self { proxy, doer: Arc::new(Doer { server, observer, stopped: Mutex::default() }) }
    }

    pub(super) fn proxy(&self) -> &Proxy {
        &self.proxy
    }

    pub(super) fn owns_server(&self) -> bool {
        matches!(*self.doer.server, Berth::Own(_))
    }

    /// Does it, or lets it happen when its moment comes. What cannot be done has not landed, and the plan says so.
    pub(super) fn start(&self, fault: Fault) {
        self.doer.observer.arm(fault);
        match fault {
            Fault::Network(trouble, at) => {
                let scope = match (trouble, at) {
                    (Trouble::Refuse, _) | (_, Moment::Idle) => Scope::All,
                    _ => Scope::Next,
                };
                // An error is a proxy that does not answer: nothing landed.
                let _ = self.proxy.arm(trouble, at, scope);
            }
            Fault::Server(harm, Moment::Idle) => {
                let open = self.proxy.connections();
                let idle: Vec<u32> =
                    open.iter().filter(|it| it.open && it.answered == it.requests).filter_map(|it| it.pid).collect();
                let doer = Arc::clone(&self.doer);
                self.apart(move || doer.strike(harm, &idle));
            }
            Fault::Server(harm, at) => {
                let doer = Arc::clone(&self.doer);
                let _ = self.proxy.arm_call(at, Scope::Next, move |pid| {
                    doer.strike(harm, &[pid]);
                    doer.observer.struck();
                });
            }
            _ => {}
        }
    }

    /// Heals what it broke. What is being done to the server is waited for: its outage is part of this command, also if the
    /// command did not wait for that, and is not to reach into those who come later.
    pub(super) fn end(&self, _: Fault) {
        // A proxy that does not answer is none that a client could use: what follows shows it.
        let _ = self.proxy.heal_network();
        let until = Instant::now() + UP_MAX;
        while self.doer.observer.is_striking() && Instant::now() < until {
            self.doer.observer.moved();
            std::thread::sleep(LOOK);
        }
        self.doer.observer.disarm();
        let stopped = std::mem::take(&mut *self.doer.stopped.lock().unwrap_or_else(PoisonError::into_inner));
        for pid in stopped {
            // One that has ended meanwhile needs no waking.
            let _ = self.doer.server.signal_backend(pid, Signal::Continue);
        }
    }

    /// Blocks this thread while another one works, and lets it be seen that something moves. A runtime may be running here,
    /// and the work needs one of its own.
    fn apart(&self, work: impl FnOnce() + Send) {
        std::thread::scope(|scope| {
            let working = scope.spawn(work);
            while !working.is_finished() {
                self.doer.observer.moved();
                std::thread::sleep(LOOK);
            }
        });
    }
}

impl Doer {
    /// Does this to these backends, or to their server.
    fn strike(&self, harm: Harm, pids: &[u32]) {
        let pids: Vec<i32> = pids.iter().filter_map(|it| i32::try_from(*it).ok()).collect();
        let landed = match harm {
            Harm::Terminate => self.ask("pg_terminate_backend", &pids, GONE_MAX),
            Harm::CancelQuery => self.ask("pg_cancel_backend", &pids, Duration::ZERO),
            Harm::Stop => {
                let stopped = pids.iter().filter(|it| self.server.signal_backend(**it, Signal::Stop).is_ok());
                let stopped: Vec<i32> = stopped.copied().collect();
                self.stopped.lock().unwrap_or_else(PoisonError::into_inner).extend(&stopped);
                !stopped.is_empty()
            }
            Harm::KillBackend => {
                let killed = pids.first().is_some_and(|it| self.server.signal_backend(*it, Signal::Kill).is_ok());
                killed && self.is_up_again()
            }
            Harm::RestartFast => self.server.restart(Shutdown::Fast).is_ok(),
            Harm::RestartImmediate => self.server.restart(Shutdown::Immediate).is_ok(),
            Harm::RestartKilled => self.server.restart(Shutdown::Kill).is_ok(),
        };
        if landed {
            self.observer.landed_now();
        }
    }

    /// Lets the server do this to these backends, and waits until they are gone; whether there was one.
    fn ask(&self, function: &str, pids: &[i32], wait: Duration) -> bool {
        let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return false };
        let asked = runtime.block_on(async {
            let mut connection = self.server.tcp().application_name("unstale-harness").connect().await?;
            let question = format!("select count(*) from unnest($1::int[]) as it where {function}(it)");
            let question = sqlx::query_scalar(sqlx::AssertSqlSafe(question)).bind(pids);
            let done: i64 = question.fetch_one(&mut connection).await?;
            let until = Instant::now() + wait;
            while Instant::now() < until && any_left(&mut connection, pids).await? {
                tokio::time::sleep(LOOK).await;
            }
            Ok::<_, sqlx::Error>(done > 0)
        });
        asked.unwrap_or(false)
    }

    /// Waits until the server has recovered from a crash.
    fn is_up_again(&self) -> bool {
        let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return false };
        let until = Instant::now() + UP_MAX;
        while Instant::now() < until {
            // The kill is noticed a moment later: until then the server still answers.
            std::thread::sleep(LOOK * 5);
            if runtime.block_on(self.server.tcp().connect()).is_ok() {
                return true;
            }
        }
        false
    }
}

async fn any_left(connection: &mut PgConnection, pids: &[i32]) -> Result<bool, sqlx::Error> {
    let question = "select exists (select from pg_stat_activity where pid = any($1))";
    sqlx::query_scalar(question).bind(pids).fetch_one(connection).await
}
