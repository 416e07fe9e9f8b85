//! Hazard: a `PgPool` of the application's whose connections come from sqlx's own release.

use std::error::Error as StdError;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use sqlx::Executor;
use sqlx::postgres::PgPoolOptions;
use unstale::{AdoptedPgPool, Error, Resolver, Sessions};
use unstale_wire::trials::Trial;

use crate::bed::{Adopted, Fresh, SOON, pid, policy, put, within};
use crate::tests;

pub(crate) fn trials() -> Vec<Trial> {
    tests![
        what_a_scope_leaves_is_undone_before_the_application_gets_it,
        what_the_application_sets_after_connecting_is_never_undone,
        commit_that_is_under_way_is_not_taken_for_undone,
        transaction_that_is_lost_is_told,
        statement_that_is_cancelled_costs_its_connection_and_goes_on_on_the_server,
    ]
}

async fn what_a_scope_leaves_is_undone_before_the_application_gets_it() {
    let Adopted { fresh: _fresh, pool, sessions } = Adopted::over(1, policy()).await;
    let scope = sessions.scope("request");
    sqlx::query("set statement_timeout = 4321").execute(&scope).await.expect("set");
    scope.end().await.expect("end");
    let found: String = sqlx::query_scalar("show statement_timeout").fetch_one(&pool).await.expect("a setting");
    assert_eq!(found, "0");
    pool.close().await;
}

async fn what_the_application_sets_after_connecting_is_never_undone() {
    let fresh = Fresh::new().await;
    let pool = PgPoolOptions::new().max_connections(1).after_connect(|connection, _| {
        Box::pin(async move { connection.execute("set role pg_monitor; set lock_timeout = 1234").await.map(drop) })
    });
    let pool = pool.connect_with(fresh.options.clone()).await.expect("a pool");
    let sessions = Sessions::new(AdoptedPgPool::new(pool.clone()), policy()).expect("sessions");
    let asked = "select current_role || ' ' || current_setting('lock_timeout')";
    for leaves in ["select pg_notify('a', 'b')", "set lock_timeout = 1", "select pg_advisory_lock(17)"] {
        let scope = sessions.scope("leaves");
        scope.execute(leaves).await.expect("done");
        scope.end().await.expect("end");
        let found: String = sqlx::query_scalar(asked).fetch_one(&sessions.scope("next")).await.expect("an answer");
        assert_eq!(found, "pg_monitor 1234ms", "{leaves}");
        let found: String = sqlx::query_scalar(asked).fetch_one(&pool).await.expect("an answer");
        assert_eq!(found, "pg_monitor 1234ms", "{leaves}");
    }
    pool.close().await;
}

/// The commit goes on for longer than anybody waits, and then happens.
async fn commit_that_is_under_way_is_not_taken_for_undone() {
    let mut policy = policy();
    (policy.end_timeout, policy.resolve_timeout) = (Duration::from_millis(300), Duration::from_millis(300));
    let Adopted { fresh, pool, sessions } = Adopted::over(5, policy).await;
    let ddl = "create function slow() returns trigger language plpgsql as $$ begin perform pg_sleep(2); return null; end $$;
        create constraint trigger slowly after insert on kv deferrable initially deferred for each row execute function slow()";
    sqlx::raw_sql(ddl).execute(&mut fresh.outside().await).await.expect("ddl");
    let sessions = sessions.resolving(Resolver::asking(|scope| async move {
        let there: i64 = sqlx::query_scalar("select count(*) from kv").fetch_one(&scope).await?;
        Ok::<_, sqlx::Error>(Some(there > 0))
    }));
    let mut attempts = AtomicU32::new(0);
    let paid = sessions.run("pay", async |scope| {
        attempts.fetch_add(1, Ordering::SeqCst);
        put(scope, 1, 1).await?;
        Ok::<_, Box<dyn StdError + Send + Sync>>(())
    });
    let error = paid.await.expect_err("nobody knows yet");
    assert!(matches!(error.downcast_ref(), Some(Error::CommitUnknown { .. })), "{error:?}");
    assert_eq!(*attempts.get_mut(), 1);
    within(SOON, "the commit to happen", async || fresh.rows().await == [(1, 1)]).await;
    pool.close().await;
}

async fn transaction_that_is_lost_is_told() {
    let Adopted { fresh, pool, sessions } = Adopted::over(2, policy()).await;
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

async fn statement_that_is_cancelled_costs_its_connection_and_goes_on_on_the_server() {
    let Adopted { fresh, pool, sessions } = Adopted::over(1, policy()).await;
    let scope = sessions.scope("request");
    let before = pid(&scope).await.expect("a pid");
    fresh.cancel_asleep(sqlx::query("select pg_sleep(3)").execute(&scope)).await;
    assert_ne!(pid(&scope).await.expect("at once"), before);
    assert!(fresh.pids().await.contains(&before), "nobody has told the server");
    within(SOON, "it to end by itself", async || !fresh.pids().await.contains(&before)).await;
    drop(scope);
    pool.close().await;
}
