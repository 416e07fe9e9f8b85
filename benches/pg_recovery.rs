//! How long callers wait for their first success after a fault of a PostgreSQL server's, beside the floor: a plain reconnect
//! that runs the same statement. The library, sqlx's own pool and the floor take turns in one run.
//!
//! Also counted: errors shown to callers who had nothing in flight when the fault happened.

mod pg_support;

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use pg_support::contender::{Contender, Success};
use pg_support::{Run, SCHEMA, Times, turns};
use sqlx::Connection;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use tokio::runtime::Builder;
use unstale_wire::server::{Server, Shutdown, Signal};

/// How long a caller waits before he drops his statement.
const PATIENCE: Duration = Duration::from_millis(20);

/// sqlx's, where its default of 30 s would only make the bench longer.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(2);

/// As many restarts of each kind.
const RESTARTS: [Shutdown; 3] = [Shutdown::Fast, Shutdown::Immediate, Shutdown::Kill];

fn main() -> ExitCode {
    pg_support::main(|run| {
        let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
        let mut bench = runtime.block_on(Bench::new(run));
        runtime.block_on(bench.measure());
        drop(bench);
        runtime.shutdown_timeout(Duration::from_secs(1));
    })
}

struct Bench<'a> {
    run: &'a Run,
    outside: PgConnection,
    /// Errors that callers were shown, by contender, over all measurements.
    errors: BTreeMap<&'static str, u64>,
}

impl<'a> Bench<'a> {
    async fn new(run: &'a Run) -> Self {
        let mut outside = connect(&run.server.tcp()).await;
        sqlx::raw_sql(SCHEMA).execute(&mut outside).await.expect("ddl");
        Self { run, outside, errors: BTreeMap::new() }
    }

    async fn measure(&mut self) {
        let server = &self.run.server;
        self.terminated("idle connection terminated, TCP", server.tcp()).await;
        self.terminated("idle connection terminated, Unix socket", server.socket()).await;
        self.ten_killed("ten idle connections killed, one caller", 1).await;
        self.ten_killed("ten idle connections killed, ten callers at once", 10).await;
        self.frozen("frozen idle connection among four").await;
        self.cut_off("query cut off after 20 ms, pool of one").await;
        self.restarted("server restarted: from its accepting again").await;
        println!("\nerrors shown to callers who had nothing in flight");
        for (name, errors) in &self.errors {
            println!("  {name:<42} {errors:>6}");
        }
    }

    async fn terminated(&mut self, title: &str, options: PgConnectOptions) {
        if !self.run.wants(title) {
            return;
        }
        let contenders = [
            Contender::plain(&options, "plain", 10),
            Contender::library(&options, "unstale", 10, false).await,
            Contender::library(&options, "unstale in a transaction", 10, true).await,
            Contender::sqlx(&options, "sqlx", 10, true).await,
            Contender::sqlx(&options, "sqlx without test", 10, false).await,
        ];
        let mut times = Times::of(title, contenders.iter().map(|it| it.name));
        for _ in 0..self.run.rounds(400) {
            for turn in turns(contenders.len()) {
                let contender = &contenders[turn];
                contender.fill(1).await;
                self.terminate(contender).await;
                let Success { took, errors, .. } = contender.first_success().await;
                times.record(turn, took);
                times.errors(turn, errors);
            }
        }
        self.print(&times);
    }

    async fn ten_killed(&mut self, title: &str, callers: usize) {
        if !self.run.wants(title) {
            return;
        }
        let options = self.run.server.tcp();
        let contenders = [
            Contender::plain(&options, "plain", 10),
            Contender::library(&options, "unstale", 10, false).await,
            Contender::library(&options, "unstale in a transaction", 10, true).await,
            Contender::sqlx(&options, "sqlx", 10, true).await,
            Contender::sqlx(&options, "sqlx without test", 10, false).await,
        ]
        .map(Arc::new);
        let mut times = Times::of(title, contenders.iter().map(|it| it.name));
        let mut reconnects = vec![Vec::new(); contenders.len()];
        for _ in 0..self.run.rounds(200) {
            for turn in turns(contenders.len()) {
                let contender = &contenders[turn];
                contender.fill(10).await;
                self.terminate(contender).await;
                let began = Instant::now();
                let all: Vec<_> = (0..callers)
                    .map(|_| {
                        let contender = Arc::clone(contender);
                        tokio::spawn(async move { contender.first_success().await })
                    })
                    .collect();
                for caller in all {
                    times.errors(turn, caller.await.expect("no panic").errors);
                }
                times.record(turn, began.elapsed());
                reconnects[turn].push(self.backends(contender).await);
                if contender.is_plain() {
                    self.terminate(contender).await;
                }
            }
        }
        for (turn, mut counts) in reconnects.into_iter().enumerate() {
            counts.sort_unstable();
            let (middle, most) = (counts[counts.len() / 2], counts[counts.len() - 1]);
            times.note(turn, format!("reconnects: {middle} (median), {most} (most)"));
        }
        self.print(&times);
    }

    /// Idle for longer than `probe_idle_after` when it is lent; so is everybody else's.
    async fn frozen(&mut self, title: &str) {
        if !self.run.wants(title) {
            return;
        }
        let options = self.run.server.tcp();
        let contenders = [
            Contender::plain(&options, "plain", 4),
            Contender::library(&options, "unstale", 4, false).await,
            Contender::library(&options, "unstale in a transaction", 4, true).await,
            Contender::sqlx_within(&options, "sqlx", 4, true, ACQUIRE_TIMEOUT).await,
        ];
        let mut times = Times::of(title, contenders.iter().map(|it| it.name));
        let mut permits = vec![usize::MAX; contenders.len()];
        let rounds = self.run.rounds(60);
        for round in 0..rounds {
            // sqlx's takes its whole acquire_timeout.
            let taking_part: Vec<_> =
                turns(contenders.len()).into_iter().filter(|it| *it < 3 || round % 10 == 0).collect();
            let mut frozen = Vec::new();
            for turn in &taking_part {
                let contender = &contenders[*turn];
                contender.fill(4).await;
                if !contender.is_plain() {
                    let pid = contender.next_backend(4).await;
                    self.run.server.signal_backend(pid, Signal::Stop).expect("frozen");
                    frozen.push(pid);
                }
            }
            tokio::time::sleep(Duration::from_millis(550)).await;
            for turn in &taking_part {
                let contender = &contenders[*turn];
                let Success { took, errors, .. } = contender.first_success().await;
                times.record(*turn, took);
                times.errors(*turn, errors);
                permits[*turn] = permits[*turn].min(contender.at_once().await);
                contender.forget().await;
            }
            for pid in frozen {
                // Who was given up has been terminated and is gone once it goes on, or before.
                let _ = self.run.server.signal_backend(pid, Signal::Continue);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        for (turn, least) in permits.into_iter().enumerate() {
            times.note(turn, format!("lent at once after it: {least} of 4"));
        }
        self.print(&times);
    }

    async fn cut_off(&mut self, title: &str) {
        if !self.run.wants(title) {
            return;
        }
        let options = self.run.server.tcp();
        let contenders = [
            Contender::plain(&options, "plain", 1),
            Contender::library(&options, "unstale", 1, false).await,
            Contender::library(&options, "unstale in a transaction", 1, true).await,
            Contender::sqlx(&options, "sqlx", 1, true).await,
            Contender::sqlx(&options, "sqlx without test", 1, false).await,
        ];
        let mut times = Times::of(title, contenders.iter().map(|it| it.name));
        for round in 0..self.run.rounds(200) {
            // sqlx's pools wait for the rest of the query.
            for turn in turns(contenders.len()).into_iter().filter(|it| *it < 3 || round % 20 == 0) {
                let contender = &contenders[turn];
                contender.fill(1).await;
                contender.forget().await;
                contender.cut_off(PATIENCE).await;
                let Success { took, errors, .. } = contender.first_success().await;
                times.record(turn, took);
                times.errors(turn, errors);
                // The abandoned query is nobody's business in the next turn.
                self.stopped(contender).await;
            }
        }
        self.print(&times);
    }

    /// In every round somebody else knocks as well, and says when the server accepted. The plain one's time is that of its
    /// attempt that came through.
    async fn restarted(&mut self, title: &str) {
        if !self.run.wants(title) {
            return;
        }
        let server = Arc::new(Server::start().expect("a server"));
        let mut outside = connect(&server.tcp()).await;
        sqlx::raw_sql(SCHEMA).execute(&mut outside).await.expect("ddl");
        drop(outside);
        let options = server.tcp();
        let contenders = [
            Contender::plain(&options, "plain", 4),
            Contender::library(&options, "unstale", 4, false).await,
            Contender::library(&options, "unstale in a transaction", 4, true).await,
            Contender::sqlx(&options, "sqlx", 4, true).await,
            Contender::sqlx(&options, "sqlx without test", 4, false).await,
        ]
        .map(Arc::new);
        let mut times = Times::of(title, contenders.iter().map(|it| it.name));
        let rounds = self.run.rounds(8);
        for round in 0..rounds * RESTARTS.len() {
            for turn in turns(contenders.len()) {
                let contender = &contenders[turn];
                contender.fill(2).await;
                contender.forget().await;
                stop(&server, RESTARTS[round % RESTARTS.len()]).await;
                let knocking = tokio::spawn(knock(Arc::clone(&contenders[0])));
                let caller = Arc::clone(contender);
                let caller = tokio::spawn(async move {
                    if caller.is_plain() { Err(knock(caller).await) } else { Ok(caller.first_success().await) }
                });
                tokio::time::sleep(Duration::from_millis(100)).await;
                start(&server).await;
                let accepted = knocking.await.expect("no panic").began;
                match caller.await.expect("no panic") {
                    Err(Knock { began, done }) => times.record(turn, done - began),
                    Ok(Success { at, errors, .. }) => {
                        times.record(turn, at.saturating_duration_since(accepted));
                        times.errors(turn, errors);
                    }
                }
            }
        }
        self.print(&times);
        for contender in contenders {
            contender.forget().await;
        }
    }

    fn print(&mut self, times: &Times) {
        for (name, errors) in times.print() {
            *self.errors.entry(name).or_default() += errors;
        }
    }

    /// Terminates all connections of a contender's, and waits until they are gone.
    async fn terminate(&mut self, contender: &Contender) {
        let sql = "select pg_terminate_backend(pid) from pg_stat_activity where application_name = $1";
        sqlx::query(sql).bind(&contender.application).execute(&mut self.outside).await.expect("terminated");
        while self.backends(contender).await > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        contender.forget().await;
        // A process is taken off the list a moment before it closes its connection.
        tokio::time::sleep(Duration::from_millis(2)).await;
    }

    async fn backends(&mut self, contender: &Contender) -> i64 {
        let sql = "select count(*) from pg_stat_activity where application_name = $1";
        sqlx::query_scalar(sql).bind(&contender.application).fetch_one(&mut self.outside).await.expect("a count")
    }

    /// Waits until the server has stopped what was abandoned, and stops it where nobody else does.
    async fn stopped(&mut self, contender: &Contender) {
        let running = "select count(*) from pg_stat_activity where query like 'select pg_sleep%' and state = 'active'";
        if !contender.is_library() {
            let stop = "select pg_terminate_backend(pid) from pg_stat_activity where query like 'select pg_sleep%'";
            sqlx::raw_sql(stop).execute(&mut self.outside).await.expect("stopped");
        }
        let began = Instant::now();
        while sqlx::query_scalar::<_, i64>(running).fetch_one(&mut self.outside).await.expect("a count") > 0 {
            assert!(began.elapsed() < Duration::from_secs(5), "{}: nobody stops it", contender.name);
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

async fn connect(options: &PgConnectOptions) -> PgConnection {
    PgConnection::connect_with(options).await.expect("a connection")
}

async fn stop(server: &Arc<Server>, how: Shutdown) {
    let server = Arc::clone(server);
    tokio::task::spawn_blocking(move || server.stop(how)).await.expect("no panic").expect("stopped");
}

async fn start(server: &Arc<Server>) {
    let server = Arc::clone(server);
    tokio::task::spawn_blocking(move || server.start_again()).await.expect("no panic").expect("started");
}

/// The attempt to connect and run a statement that came through.
struct Knock {
    began: Instant,
    done: Instant,
}

/// Tries every millisecond.
async fn knock(plain: Arc<Contender>) -> Knock {
    let limit = Instant::now() + Duration::from_secs(60);
    loop {
        let began = Instant::now();
        if plain.attempt().await.is_ok() {
            return Knock { began, done: Instant::now() };
        }
        assert!(began < limit, "the server does not come back");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}
