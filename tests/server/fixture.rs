//! Hazard: on PostgreSQL one refused or cancelled statement spoils the transaction that the whole test is in.

use std::pin::pin;
use std::time::{Duration, Instant};

use sqlx::Row;
use unstale::testing::{Fixture, FixtureError};
use unstale::{Error, PgSource, Scope};
use unstale_wire::trials::Trial;

use crate::bed::{Fresh, cancel_after, own, policy, put};
use crate::tests;

pub(crate) fn trials() -> Vec<Trial> {
    tests![
        refused_statement_in_a_transaction_spoils_that_alone,
        tidying_that_is_cancelled_too_is_done_by_whoever_comes_next,
        statement_cancelled_is_stopped_and_the_test_goes_on,
        statement_cancelled_while_it_is_sent_is_stopped_and_the_test_goes_on,
        statement_cancelled_at_the_end_of_the_test_is_stopped,
        connection_that_dies_ends_the_test,
        setting_of_a_transaction_does_not_outlive_its_scope,
        tests_run_in_parallel_on_one_database on 2 threads,
    ]
}

async fn rows(scope: &Scope<PgSource>) -> Vec<i64> {
    let rows = sqlx::query("select k from kv order by k").fetch_all(scope).await.expect("rows");
    rows.iter().map(|row| row.get(0)).collect()
}

/// How long a statement takes that nobody waits for.
const SLOW: &str = "select pg_sleep(30)";

async fn refused_statement_in_a_transaction_spoils_that_alone() {
    let fresh = Fresh::new().await;
    let test = Fixture::begin(&fresh.sessions).await.expect("a test");
    let scope = test.sessions().scope("request");
    put(&scope, 1, 1).await.expect("put");
    for ends in 0..3 {
        scope.begin().await.expect("begin");
        put(&scope, 2, 2).await.expect("put");
        put(&scope, 1, 2).await.expect_err("a clash");
        put(&scope, 3, 3).await.expect_err("the transaction is aborted, as it is outside of a test");
        match ends {
            0 => assert!(matches!(scope.commit().await, Err(Error::RolledBack { .. }))),
            1 => scope.rollback().await.expect("rolled back"),
            _ => continue,
        }
        assert_eq!(rows(&scope).await, [1]);
    }
    drop(scope);
    let look = test.sessions().scope("look");
    assert_eq!(rows(&look).await, [1]);
    drop(look);
    test.end().await.expect("isolated");
}

async fn tidying_that_is_cancelled_too_is_done_by_whoever_comes_next() {
    let fresh = Fresh::new().await;
    for (polls_of_end, polls) in (1..4).flat_map(|first| (1..16).map(move |second| (first, second))) {
        let test = Fixture::begin(&fresh.sessions).await.expect("a test");
        let (first, second, third) =
            (test.sessions().scope("first"), test.sessions().scope("second"), test.sessions().scope("third"));
        first.begin().await.expect("begin");
        cancel_after(polls_of_end, first.rollback()).await;
        drop(first);
        // A poll may come before the answer to what the last one sent.
        let slowly = async {
            let mut begin = pin!(second.begin());
            for _ in 0..polls {
                tokio::time::sleep(Duration::from_millis(1)).await;
                if tokio::time::timeout(Duration::ZERO, begin.as_mut()).await.is_ok() {
                    break;
                }
            }
        };
        slowly.await;
        drop(second);
        let name = format!("cancelled after {polls_of_end} and {polls} polls");
        third.begin().await.unwrap_or_else(|error| panic!("{name}: {error}"));
        put(&third, 1, 1).await.unwrap_or_else(|error| panic!("{name}: {error}"));
        third.rollback().await.unwrap_or_else(|error| panic!("{name}: {error}"));
        drop(third);
        test.end().await.unwrap_or_else(|error| panic!("{name}: {error}"));
    }
}

async fn statement_cancelled_is_stopped_and_the_test_goes_on() {
    let fresh = Fresh::new().await;
    let test = Fixture::begin(&fresh.sessions).await.expect("a test");
    let (scope, other) = (test.sessions().scope("request"), test.sessions().scope("other"));
    put(&scope, 1, 1).await.expect("put");
    let began = Instant::now();
    fresh.cancel_asleep(sqlx::query(SLOW).execute(&scope)).await;
    put(&other, 2, 2).await.expect("another's turn");

    scope.begin().await.expect("begin");
    put(&scope, 3, 3).await.expect("put");
    fresh.cancel_asleep(sqlx::query(SLOW).execute(&scope)).await;
    assert!(own(put(&scope, 4, 4).await).contains("was lost"), "as outside of a test");
    scope.rollback().await.expect("acknowledged");
    put(&scope, 5, 5).await.expect("put");

    scope.begin().await.expect("begin");
    fresh.cancel_asleep(sqlx::query(SLOW).execute(&scope)).await;
    drop(scope);
    assert_eq!(rows(&other).await, [1, 2, 5]);
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    drop(other);
    test.end().await.expect("isolated");
    assert_eq!(fresh.rows().await, []);
}

async fn statement_cancelled_while_it_is_sent_is_stopped_and_the_test_goes_on() {
    let fresh = Fresh::new().await;
    let test = Fixture::begin(&fresh.sessions).await.expect("a test");
    let (scope, other) = (test.sessions().scope("request"), test.sessions().scope("other"));
    let long = "x".repeat(8_000_000);
    let statement = "select pg_sleep(case when length($1) > 5 then 30 else 0 end)";
    sqlx::query(statement).bind("x").execute(&scope).await.expect("prepared");
    for polls in 1..8 {
        let slow = sqlx::query(statement).bind(&long).execute(&scope);
        // In the middle of sending it, or while it sleeps.
        let cut = tokio::time::timeout(Duration::from_millis(100), cancel_after(polls, slow)).await;
        assert!(!matches!(cut, Ok(Some(_))), "it takes 30 s");
        put(&other, polls.into(), 2).await.expect("another's turn");
    }
    drop((scope, other));
    test.end().await.expect("isolated");
}

async fn statement_cancelled_at_the_end_of_the_test_is_stopped() {
    let fresh = Fresh::new().await;
    let test = Fixture::begin(&fresh.sessions).await.expect("a test");
    let scope = test.sessions().scope("request");
    fresh.cancel_asleep(sqlx::query(SLOW).execute(&scope)).await;
    drop(scope);
    let began = Instant::now();
    test.end().await.expect("isolated");
    assert!(began.elapsed() < Duration::from_secs(5));
}

async fn connection_that_dies_ends_the_test() {
    let fresh = Fresh::new().await;
    let test = Fixture::begin(&fresh.sessions).await.expect("a test");
    let scope = test.sessions().scope("request");
    put(&scope, 1, 1).await.expect("put");
    fresh.terminate_all().await;
    put(&scope, 2, 2).await.expect_err("terminated");
    assert!(own(put(&scope, 3, 3).await).contains("isolation"));
    drop(scope);
    assert!(matches!(test.end().await, Err(FixtureError::IsolationLost { .. })));
    assert_eq!(fresh.rows().await, []);
}

async fn tests_run_in_parallel_on_one_database() {
    let mut policy = policy();
    policy.sessions_max = 8;
    let fresh = Fresh::with(policy).await;
    let tests = (0..24).map(|k| {
        let sessions = fresh.sessions.clone();
        tokio::spawn(async move {
            let test = Fixture::begin(&sessions).await.expect("a test");
            let scope = test.sessions().scope("request");
            put(&scope, k, 0).await.expect("put");
            scope.begin().await.expect("begin");
            put(&scope, k + 100, 0).await.expect("put");
            scope.commit().await.expect("commit");
            assert_eq!(rows(&scope).await, [k, k + 100]);
            drop(scope);
            test.end().await.expect("isolated");
        })
    });
    for test in tests.collect::<Vec<_>>() {
        test.await.expect("a test");
    }
    assert_eq!(fresh.rows().await, []);
    assert_eq!(fresh.sessions.health().usage.in_use, 0);
}

/// Outside of a test it ends with its transaction; the test's own transaction goes on.
async fn setting_of_a_transaction_does_not_outlive_its_scope() {
    let fresh = Fresh::new().await;
    let test = Fixture::begin(&fresh.sessions).await.expect("a test");
    for sql in ["set local statement_timeout = 4321", "select set_config('statement_timeout', '4321', true)"] {
        let scope = test.sessions().scope("request");
        scope.begin().await.expect("begin");
        sqlx::query(sql).execute(&scope).await.expect(sql);
        scope.commit().await.expect("commit");
        scope.end().await.expect("end");
        let next = test.sessions().scope("next");
        let limit: String = sqlx::query_scalar("show statement_timeout").fetch_one(&next).await.expect("a limit");
        assert_eq!(limit, "0", "{sql}");
        next.end().await.expect("end");
    }
    test.end().await.expect("isolated");
}
