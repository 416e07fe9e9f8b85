//! Hazard: a `PgPool` of the application's whose connections come from sqlx's own release.

mod pg_support;

use std::process::ExitCode;
use std::time::Duration;

use pg_support::{Fresh, pid, policy, put, within};
use sqlx::Executor;
use sqlx::postgres::{PgPool, PgPoolOptions};
use unstale::{AdoptedPgPool, Error, Sessions};
use unstale_wire::trial;
use unstale_wire::trials;

fn main() -> ExitCode {
    trials::run([
        trial!(scopes_and_the_application_share_the_pool),
        trial!(transaction_left_by_the_application_is_not_handed_on),
        trial!(what_a_scope_leaves_is_undone_before_the_application_gets_it),
        trial!(transaction_that_is_lost_is_told),
        trial!(statement_that_is_cut_off_costs_its_connection_and_goes_on_on_the_server),
        trial!(closed_pool_is_told),
    ])
}

async fn adopted(fresh: &Fresh, connections: u32) -> (PgPool, Sessions<AdoptedPgPool>) {
    let options = PgPoolOptions::new().max_connections(connections);
    let pool = options.connect_with(fresh.options.clone()).await.expect("a pool");
    let sessions = Sessions::new(AdoptedPgPool::new(pool.clone()), policy()).expect("a policy");
    (pool, sessions)
}

async fn scopes_and_the_application_share_the_pool() {
    let fresh = Fresh::new().await;
    let (pool, sessions) = adopted(&fresh, 1).await;
    for k in 1..=2 {
        let scope = sessions.scope("request");
        scope.begin().await.expect("begin");
        put(&scope, k, k).await.expect("put");
        scope.commit().await.expect("commit");
        scope.end().await.expect("end");
        put(&pool, k + 10, k).await.expect("put");
    }
    assert_eq!(fresh.rows().await.len(), 4);
    assert_eq!(sessions.health().usage.size, 1);
    pool.close().await;
}

async fn transaction_left_by_the_application_is_not_handed_on() {
    let fresh = Fresh::new().await;
    let (pool, sessions) = adopted(&fresh, 1).await;
    for spoilt in [false, true] {
        let mut left = pool.acquire().await.expect("a connection");
        left.execute("begin; insert into kv values (1, 1)").await.expect("begun");
        if spoilt {
            left.execute("select 1 / 0").await.expect_err("aborted");
        }
        drop(left);
        let scope = sessions.scope("request");
        let k = if spoilt { 3 } else { 2 };
        put(&scope, k, k).await.expect("on another connection");
        scope.end().await.expect("end");
    }
    assert_eq!(fresh.rows().await, [(2, 2), (3, 3)]);
    pool.close().await;
}

async fn what_a_scope_leaves_is_undone_before_the_application_gets_it() {
    let fresh = Fresh::new().await;
    let (pool, sessions) = adopted(&fresh, 1).await;
    let scope = sessions.scope("request");
    sqlx::query("set statement_timeout = 4321").execute(&scope).await.expect("set");
    let before = pid(&scope).await.expect("a pid");
    scope.end().await.expect("end");
    let found: String = sqlx::query_scalar("show statement_timeout").fetch_one(&pool).await.expect("a setting");
    assert_eq!((found.as_str(), pid(&pool).await.expect("a pid")), ("0", before));
    pool.close().await;
}

async fn transaction_that_is_lost_is_told() {
    let fresh = Fresh::new().await;
    let (pool, sessions) = adopted(&fresh, 2).await;
    let scope = sessions.scope("request");
    scope.begin().await.expect("begin");
    put(&scope, 1, 1).await.expect("put");
    fresh.terminate_all().await;
    put(&scope, 2, 2).await.expect_err("lost");
    assert!(matches!(scope.commit().await, Err(Error::TransactionLost { .. })));
    put(&scope, 3, 3).await.expect("on another connection");
    assert_eq!(fresh.rows().await, [(3, 3)]);
    drop(scope);
    pool.close().await;
}

async fn statement_that_is_cut_off_costs_its_connection_and_goes_on_on_the_server() {
    let fresh = Fresh::new().await;
    let (pool, sessions) = adopted(&fresh, 1).await;
    let scope = sessions.scope("request");
    let before = pid(&scope).await.expect("a pid");
    let slow = sqlx::query("select pg_sleep(2)").execute(&scope);
    tokio::time::timeout(Duration::from_millis(50), slow).await.expect_err("cut off");
    assert_ne!(pid(&scope).await.expect("at once"), before);
    assert!(fresh.pids().await.contains(&before), "nobody has told the server");
    within(Duration::from_secs(5), "it to end by itself", async || !fresh.pids().await.contains(&before)).await;
    drop(scope);
    pool.close().await;
}

async fn closed_pool_is_told() {
    let fresh = Fresh::new().await;
    let (pool, sessions) = adopted(&fresh, 1).await;
    pool.close().await;
    let begun = sessions.scope("request").begin().await;
    assert!(matches!(begun, Err(Error::Closed)), "{begun:?}");
}
