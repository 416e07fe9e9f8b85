//! Hazard: whoever had a connection leaves something on it of which the library, or sqlx, knows nothing.

use std::error::Error as StdError;
use std::sync::atomic::{AtomicI64, Ordering};

use sqlx::{Connection, Executor, Row, SqlSafeStr};
use unstale::testing::Fixture;
use unstale::{Error, PgOptions, PgSource, Policy, Reset, Scope};
use unstale_wire::trials::Trial;

use crate::bed::{Fresh, policy, put};
use crate::tests;

pub(crate) fn trials() -> Vec<Trial> {
    tests![
        copy_that_was_given_up_lets_no_commit_be_believed,
        copy_that_was_given_up_answers_nobody_else,
        statements_that_were_deallocated_are_prepared_again,
        transaction_that_was_forgotten_is_not_the_next_borrowers,
        what_a_function_leaves_is_undone_whatever_the_policy_says,
        opening_that_leaves_a_transaction_is_refused,
        first_question_on_a_dead_connection_is_asked_on_another,
        test_begins_on_another_connection_where_the_idle_one_is_dead,
        temporary_table_of_an_old_spelling_is_undone,
        run_does_not_repeat_what_it_has_committed,
    ]
}

type Failure = Box<dyn StdError + Send + Sync>;

fn only_one() -> Policy {
    let mut policy = policy();
    policy.sessions_max = 1;
    policy
}

/// A function that begins a COPY and does not finish it.
async fn give_up_a_copy(scope: &Scope<PgSource>) -> Result<(), Failure> {
    scope
        .with_connection("copy", async |connection| {
            let mut copy = connection.copy_in_raw("copy kv from stdin").await?;
            copy.send(&b"5\t5\n"[..]).await?;
            drop(copy);
            Ok(())
        })
        .await
}

async fn copy_that_was_given_up_lets_no_commit_be_believed() {
    let fresh = Fresh::with(only_one()).await;
    let mut outside = fresh.outside().await;
    let ddl = "create table child (k bigint references kv deferrable initially deferred)";
    outside.execute(ddl).await.expect("ddl");
    for begins in [false, true] {
        let scope = fresh.sessions.scope("request");
        if begins {
            scope.begin().await.expect("begin");
        }
        let error = give_up_a_copy(&scope).await.expect_err("nobody knows what the next answer belongs to");
        assert!(error.to_string().contains("answers on the connection"), "{error}");
        if begins {
            scope.rollback().await.expect("rollback");
        } else {
            scope.renew().await.expect("renewed");
        }
        scope.begin().await.expect("begin");
        scope.execute("insert into child values (99)").await.expect("deferred");
        assert!(matches!(scope.commit().await, Err(Error::RolledBack { .. })));
    }
    assert_eq!(fresh.rows().await, []);
}

async fn copy_that_was_given_up_answers_nobody_else() {
    let mut policy = only_one();
    policy.reset = Reset::Never;
    let fresh = Fresh::with(policy).await;
    give_up_a_copy(&fresh.sessions.scope("first")).await.expect_err("out of step");
    let second = fresh.sessions.scope("second");
    for asked in 10..13 {
        let row = sqlx::query("select $1::int").bind(asked).fetch_one(&second).await.expect("an answer");
        assert_eq!(row.get::<i32, _>(0), asked);
    }
}

async fn statements_that_were_deallocated_are_prepared_again() {
    let fresh = Fresh::with(only_one()).await;
    for (k, way) in (0..).zip(["discard all", "deallocate all", "do $$ begin execute 'deallocate all'; end $$"]) {
        put(&fresh.sessions.scope("before"), 2 * k, 0).await.expect("prepared");
        let scope = fresh.sessions.scope("request");
        let lent = async |connection: &mut sqlx::PgConnection| sqlx::raw_sql(way).execute(connection).await.map(drop);
        scope.with_connection("deallocate", lent).await.expect("done");
        scope.end().await.expect("end");
        put(&fresh.sessions.scope("after"), 2 * k + 1, 0).await.expect(way);
    }
}

async fn transaction_that_was_forgotten_is_not_the_next_borrowers() {
    let fresh = Fresh::with(only_one()).await;
    let scope = fresh.sessions.scope("forgets");
    let left = scope.with_connection("forget", async |connection| {
        std::mem::forget(connection.begin().await?);
        Ok::<_, sqlx::Error>(())
    });
    left.await.expect_err("it was left open");
    scope.end().await.expect("end");
    let next = fresh.sessions.scope("next");
    let kept = next.with_connection("transaction", async |connection| {
        let mut transaction = connection.begin().await?;
        put(&mut *transaction, 1, 1).await?;
        transaction.commit().await
    });
    kept.await.expect("a transaction of its own");
    assert_eq!(fresh.rows().await, [(1, 1)]);
}

async fn what_a_function_leaves_is_undone_whatever_the_policy_says() {
    let mut policy = only_one();
    policy.reset = Reset::Never;
    let fresh = Fresh::with(policy).await;
    let scope = fresh.sessions.scope("first");
    let text = "set statement_timeout = 4321; select pg_advisory_lock(17); listen news";
    let lent = async |connection: &mut sqlx::PgConnection| sqlx::raw_sql(text).execute(connection).await.map(drop);
    scope.with_connection("leave", lent).await.expect("done");
    scope.end().await.expect("end");
    let asked = "select current_setting('statement_timeout') || ' ' || (select count(*) from pg_locks where locktype = 'advisory'
        and pid = pg_backend_pid()) || ' ' || (select count(*) from pg_listening_channels())";
    let found: String = sqlx::query_scalar(asked).fetch_one(&fresh.sessions.scope("next")).await.expect("an answer");
    assert_eq!(found, "0 0 0");
}

async fn opening_that_leaves_a_transaction_is_refused() {
    let fresh = Fresh::new().await;
    let options = PgOptions::new(fresh.options.clone()).on_open(|connection| {
        Box::pin(async move { connection.execute("begin; set lock_timeout = 5").await.map(drop) })
    });
    let error = options.open(policy()).await.err().expect("refused").to_string();
    assert!(error.contains("on_open"), "{error}");
}

async fn first_question_on_a_dead_connection_is_asked_on_another() {
    let fresh = Fresh::with(only_one()).await;
    fresh.fill(1).await;
    fresh.terminate_all().await;
    (&fresh.sessions.scope("request")).prepare("select 1".into_sql_str()).await.expect("unseen");
}

async fn test_begins_on_another_connection_where_the_idle_one_is_dead() {
    let fresh = Fresh::with(only_one()).await;
    fresh.fill(1).await;
    fresh.terminate_all().await;
    let test = Fixture::begin(&fresh.sessions).await.expect("on another connection");
    put(&test.sessions().scope("request"), 1, 1).await.expect("put");
    test.end().await.expect("isolated");
}

async fn temporary_table_of_an_old_spelling_is_undone() {
    let fresh = Fresh::with(only_one()).await;
    for sql in [
        "select 1::bigint as k, 2::bigint as v into local temp kv",
        "select 1::bigint as k, 2::bigint as v into global temporary table kv",
        "create local temp table kv (k bigint, v bigint)",
    ] {
        let scope = fresh.sessions.scope("first");
        scope.execute(sql).await.expect(sql);
        scope.end().await.expect("end");
    }
    put(&fresh.sessions.scope("second"), 1, 1).await.expect("put");
    assert_eq!(fresh.rows().await, [(1, 1)]);
}

async fn run_does_not_repeat_what_it_has_committed() {
    let fresh = Fresh::new().await;
    let refused = "do $$ begin raise exception 'again' using errcode = '40001'; end $$";
    for ends in ["commit", "rollback"] {
        let mut attempts = AtomicI64::new(0);
        let result = fresh.sessions.run("run", async |scope| {
            let attempt = attempts.fetch_add(1, Ordering::SeqCst);
            put(scope, attempt, 0).await?;
            if ends == "commit" {
                scope.commit().await?;
            } else {
                scope.rollback().await?;
                put(scope, attempt, 0).await?;
            }
            scope.begin().await?;
            scope.execute(refused).await?;
            Ok::<_, Failure>(())
        });
        result.await.expect_err("refused");
        assert_eq!(*attempts.get_mut(), 1, "{ends}");
        assert_eq!(fresh.rows().await, [(0, 0)]);
        fresh.outside().await.execute("delete from kv").await.expect("empty");
    }
}
