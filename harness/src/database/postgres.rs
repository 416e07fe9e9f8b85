//! A fresh schema per plan on a PostgreSQL server, behind a proxy that sees what goes over the wire.
//!
//! Owns the schema, the plan's proxy and the harness's own connection, which goes straight to the server. What the wire
//! says is the observer's; what is done to the server and the network is in `faults`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use sqlx::postgres::{PgConnectOptions, PgSslMode};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Executor, PgConnection};
use tokio::sync::{Mutex, MutexGuard};

use super::dialect::{ALL_ROWS, Dialect};
use super::faults::Faults;
use super::observer::{Observer, REFUSED_COMMIT};
use super::place::{self, Place, SetupError};
use crate::heartbeat::Heartbeat;
use crate::history::Log;
use crate::local::Local;
use crate::plan::{ActorId, Fault, Key, Plan, Value};
use crate::port::Wire;
use crate::spelling::FUNCTIONS_POSTGRES;
use unstale_wire::fleet::ServerLease;
use unstale_wire::inject::Target;
use unstale_wire::monitor;
use unstale_wire::proxy::Proxy;

/// The PostgreSQL database that one plan runs on.
pub(super) struct Postgres {
    schema: String,
    straight: PgConnectOptions,
    through_proxy: PgConnectOptions,
    observer: Arc<Observer>,
    faults: Faults,
    own: Mutex<PgConnection>,
    _watched: monitor::Watched,
}

impl Postgres {
    /// Makes a fresh schema with the core workload's table, and what the plan's faults need; on a server of its own if the plan
    /// does something to the whole of one.
    ///
    /// # Errors
    /// [`SetupError`] if no server is available.
    ///
    /// # Cancel safety
    /// Cancel safe, but a schema may be left on the server.
    pub(super) async fn create(plan: &Plan, log: Log, heartbeat: Heartbeat) -> Result<Self, SetupError> {
        let (own_server, refuses_commits) = (plan.owns_server(), plan.has(Fault::RefuseCommit));
        static SCHEMAS: AtomicU64 = AtomicU64::new(1);
        let server = Arc::new(ServerLease::take(own_server).map_err(SetupError::of)?);
        let schema = format!("unstale_{}_{}", std::process::id(), SCHEMAS.fetch_add(1, Ordering::Relaxed));
        let straight = server.tcp().options([("search_path", &schema)]).application_name("unstale-harness");
        let mut own = straight.connect().await.map_err(SetupError::of)?;
        let table = "create table kv (k bigint primary key, v bigint not null)";
        let made = format!("create schema {schema}; {table}; {FUNCTIONS_POSTGRES}");
        own.execute(AssertSqlSafe(made)).await.map_err(SetupError::of)?;
        if refuses_commits {
            own.execute(AssertSqlSafe(refusal())).await.map_err(SetupError::of)?;
        }
        let observer = Observer::new(log, heartbeat);
        let proxy = Proxy::start(server.address(), Arc::clone(&observer) as _).map_err(SetupError::of)?;
        let through_proxy = straight
            .clone()
            .application_name(&schema)
            .host("127.0.0.1")
            .port(proxy.address().port())
            .ssl_mode(PgSslMode::Disable);
        let _watched = monitor::watch(&server, Arc::clone(&observer) as _);
        let target = Target { server, connect: straight.clone(), column: ("kv", "v") };
        let faults = Faults::new(target, proxy, Arc::clone(&observer));
        Ok(Self { schema, straight, through_proxy, observer, faults, own: Mutex::new(own), _watched })
    }

    /// How to connect through the proxy.
    pub(super) fn connect_options(&self) -> PgConnectOptions {
        self.through_proxy.clone()
    }

    /// The harness's own connection; another one if the server was restarted meanwhile.
    async fn own(&self) -> Result<MutexGuard<'_, PgConnection>, sqlx::Error> {
        let mut own = self.own.lock().await;
        if self.faults.owns_server() && own.ping().await.is_err() {
            *own = self.straight.connect().await?;
        }
        Ok(own)
    }
}

impl Postgres {
    /// From now on, or no more, the constraint does not hold.
    async fn refuse_commits(&self, fault: Fault, refused: bool) {
        if fault != Fault::RefuseCommit {
            return;
        }
        let done = async { self.own().await?.execute(if refused { BREAK } else { MEND }).await };
        if let Err(error) = done.await {
            self.observer.refuse(&format!("{fault} could not be switched: {error}"));
        }
    }
}

/// A constraint on the workload's table, looked at when a transaction commits.
fn refusal() -> String {
    let raise = format!("raise exception 'a deferred constraint does not hold' using errcode = '{REFUSED_COMMIT}'");
    format!(
        "create table broken (is_so bool); \
        create function hold() returns trigger language plpgsql as \
        $$ begin if exists (select from broken) then {raise}; end if; return null; end $$; \
        create constraint trigger holds after insert or update or delete on kv \
        deferrable initially deferred for each row execute function hold()"
    )
}

const BREAK: &str = "insert into broken values (true)";
const MEND: &str = "delete from broken";

impl Place for Postgres {
    fn prepare<'a>(&'a self, statements: &'a [&'static str]) -> Local<'a, Result<(), sqlx::Error>> {
        Box::pin(async move {
            let mut own = self.own().await?;
            for statement in statements {
                own.execute(*statement).await?;
            }
            Ok(())
        })
    }

    fn final_state(&self) -> Local<'_, Result<BTreeMap<Key, Value>, SetupError>> {
        Box::pin(async {
            let mut own = self.own().await.map_err(SetupError::of)?;
            let rows = own.fetch_all(ALL_ROWS).await.map_err(SetupError::of)?;
            rows.iter().map(<sqlx::Postgres as Dialect>::pair).collect::<Result<_, _>>().map_err(SetupError::of)
        })
    }

    /// No reply reaches a client until this is dropped.
    fn hold(&self) -> place::Held<'_> {
        place::Held::new(self.faults.proxy().hold())
    }

    fn wire(&self, actor: ActorId) -> Option<Arc<Wire>> {
        Some(self.observer.wire(actor))
    }

    fn start_fault(&self, fault: Fault) -> Local<'_, ()> {
        Box::pin(async move {
            self.faults.start(fault);
            self.refuse_commits(fault, true).await;
        })
    }

    fn end_fault(&self, fault: Fault) -> Local<'_, ()> {
        Box::pin(async move {
            self.faults.end(fault);
            self.refuse_commits(fault, false).await;
        })
    }

    fn is_holding(&self) -> bool {
        self.observer.is_holding()
    }

    /// Ends what is still connected to the schema, and drops it. What cannot be removed stays until the server goes: the next
    /// plan has a schema of its own.
    fn remove(self: Box<Self>) -> Local<'static, ()> {
        Box::pin(async move {
            if let Ok(mut own) = self.own().await {
                let end = "select pg_terminate_backend(pid) from pg_stat_activity where application_name = $1";
                let _ = sqlx::query(end).bind(&self.schema).execute(&mut *own).await;
                let _ = own.execute(AssertSqlSafe(format!("drop schema {} cascade", self.schema))).await;
            }
            let _ = self.own.into_inner().close().await;
        })
    }
}
