//! `unstale-pg` and `unstale-pg-resolving`: the library under test, on PostgreSQL, without and with a resolver of commits.

use std::time::Duration;

use unstale::{Handle, PgOptions, PgSource, Resolver, Sessions};

use super::{Library, Served, Setup, policy};
use unstale_harness::database::Database;
use unstale_harness::history::{Failure, Reply};
use unstale_harness::plan::{Command, Key, Usage, Value};
use unstale_harness::system::{Capabilities, Port};
use unstale_harness::workload::{get, get_for_update, put, statement};

/// Longer than any call of a plan takes.
const CALL_MAX: Duration = Duration::from_secs(4);

/// The library over a PostgreSQL server.
pub type UnstalePg = Library<OnPostgres>;

/// With limits for a busy machine.
pub struct OnPostgres;

impl Setup for OnPostgres {
    type Source = PgSource;
    const NAME: &'static str = "unstale-pg";

    fn pool() -> Capabilities {
        Capabilities::postgres()
    }

    fn sessions(database: &Database) -> Result<Sessions<PgSource>, Failure> {
        let mut policy = policy(database.connections());
        // Well below the wait that the harness takes for one without an end: a peer may be gone for good.
        policy.begin_timeout = CALL_MAX;
        policy.end_timeout = CALL_MAX;
        policy.statement_timeout = CALL_MAX;
        // On a busy machine a healthy server takes longer than in production: what it is late with is no loss.
        policy.connect_timeout = CALL_MAX;
        policy.probe_timeout = CALL_MAX / 4;
        policy.settle_timeout = CALL_MAX / 2;
        policy.release_timeout = CALL_MAX / 2;
        Ok(Sessions::new(PgSource::new(PgOptions::new(database.pg_connect_options()), &policy), policy)?)
    }
}

/// The same with a resolver of commits.
pub type UnstalePgResolving = Library<WithResolver>;

/// Every begin asks for its transaction's number in one message with it, so that a commit without an answer can be looked up.
pub struct WithResolver;

impl Setup for WithResolver {
    type Source = PgSource;
    const NAME: &'static str = "unstale-pg-resolving";

    fn pool() -> Capabilities {
        OnPostgres::pool()
    }

    fn sessions(database: &Database) -> Result<Sessions<PgSource>, Failure> {
        Ok(OnPostgres::sessions(database)?.resolving(Resolver::transaction_id()))
    }
}

impl Served for PgSource {
    async fn statement(handle: &Handle<Self>, command: &Command, port: &mut Port) {
        statement(handle, command, port).await;
    }

    async fn stale(handle: &Handle<Self>, usage: Usage) -> Result<Reply, Failure> {
        Ok(match usage {
            Usage::Get(key) => Reply::Value(get(handle, key).await?),
            Usage::Put(key, value) => Reply::Changed(put(handle, key, value).await?),
        })
    }

    async fn get_for_update(handle: &Handle<Self>, key: Key) -> Result<Option<Value>, Failure> {
        Ok(get_for_update(handle, key).await?)
    }
}
