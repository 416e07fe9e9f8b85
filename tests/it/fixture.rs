//! Hazard: on SQLite a statement can end the test's own transaction, and tests have copies of a template or wait for each other.

use std::panic::AssertUnwindSafe;

use sqlx::Row;
use unstale::testing::{Fixture, FixtureError, Template};
use unstale::{Error, Scope, SqliteSource};

use crate::bed::{Fresh, cancel_after, own, put};

static TEMPLATE: Template = Template::new("create table kv (k integer primary key, v integer not null)");

async fn rows(scope: &Scope<SqliteSource>) -> Vec<i64> {
    let rows = sqlx::query("select k from kv order by k").fetch_all(scope).await.expect("rows");
    rows.iter().map(|row| row.get(0)).collect()
}

#[tokio::test]
async fn what_was_committed_survives_a_call_that_is_cancelled_after_it() {
    let fresh = Fresh::new().await;
    let test = Fixture::begin(&fresh.sessions).await.expect("a test");
    let (scope, other) = (test.sessions().scope("request"), test.sessions().scope("other"));
    scope.begin().await.expect("begin");
    put(&scope, 1, 1).await.expect("put");
    scope.commit().await.expect("commit");
    fresh.changes.close_after(0);
    fresh.changes.cancel(put(&other, 2, 2)).await;
    fresh.changes.open();
    assert!(rows(&scope).await.contains(&1));
    drop((scope, other));
    test.end().await.expect("isolated");
}

#[tokio::test]
async fn a_statement_that_ends_the_tests_transaction_is_told_at_once_and_at_the_end() {
    let fresh = Fresh::new().await;
    let test = Fixture::begin(&fresh.sessions).await.expect("a test");
    let scope = test.sessions().scope("request");
    scope.begin().await.expect("begin");
    put(&scope, 1, 1).await.expect("put");
    let clash = sqlx::query("insert or rollback into kv values (1, 2)").execute(&scope).await;
    assert!(own(clash).contains("was lost"));
    scope.rollback().await.expect("acknowledged");
    let message = own(put(&scope, 2, 2).await);
    assert!(message.contains("isolation") && message.contains("`request`"), "{message}");
    drop(scope);
    let error = test.end().await.expect_err("not isolated").to_string();
    assert!(error.contains(file!()) && error.contains("ended the test's own transaction"), "{error}");
    assert_eq!(fresh.rows().await, []);
}

#[tokio::test]
async fn after_an_autocommit_statement_ended_the_tests_transaction_nothing_is_really_committed() {
    let fresh = Fresh::new().await;
    let test = Fixture::begin(&fresh.sessions).await.expect("a test");
    let (scope, other) = (test.sessions().scope("request"), test.sessions().scope("other"));
    put(&scope, 1, 1).await.expect("put");
    sqlx::query("insert or rollback into kv values (1, 2)").execute(&scope).await.expect_err("a clash");
    assert!(matches!(other.begin().await, Err(Error::IsolationLost { .. })));
    drop((scope, other));
    assert!(matches!(test.end().await, Err(FixtureError::IsolationLost { .. })));
    assert_eq!(fresh.rows().await, []);
}

/// Ends the test's own transaction, if it runs.
const CLASH: &str = "insert or rollback into kv values (1, 2)";

/// 1. The statement runs on the driver's thread, and ends the test's transaction.
/// 2. It is cancelled before the driver answers.
/// 3. The driver answers, and nobody is there to hear it.
#[tokio::test]
async fn after_a_statement_cancelled_unanswered_ended_the_tests_transaction_nothing_is_really_committed() {
    clash_cancelled_at_rollback_loses_the_isolation(0).await;
}

/// 1. The statement runs, ends the test's transaction, and is answered.
/// 2. The session asks whether a transaction is open: it begins one, which succeeds, and rolls it back.
/// 3. The call is cancelled before that is answered.
#[tokio::test]
async fn after_a_statement_cancelled_when_it_was_asked_about_ended_the_tests_transaction_nothing_is_really_committed() {
    clash_cancelled_at_rollback_loses_the_isolation(1).await;
}

/// Cancels the statement that ends the test's transaction while SQLite is in the rollback after so many others.
async fn clash_cancelled_at_rollback_loses_the_isolation(others: u32) {
    let fresh = Fresh::new().await;
    let test = Fixture::begin(&fresh.sessions).await.expect("a test");
    let (scope, other) = (test.sessions().scope("request"), test.sessions().scope("other"));
    put(&scope, 1, 1).await.expect("put");
    fresh.rollbacks.close_after(others);
    fresh.rollbacks.cancel(sqlx::query(CLASH).execute(&scope)).await;
    fresh.rollbacks.open();
    assert!(matches!(other.begin().await, Err(Error::IsolationLost { .. })));
    drop((scope, other));
    assert!(matches!(test.end().await, Err(FixtureError::IsolationLost { .. })));
    assert_eq!(fresh.rows().await, []);
}

#[tokio::test]
async fn statement_cancelled_before_it_was_sent_leaves_the_tests_transaction_open() {
    let fresh = Fresh::new().await;
    let test = Fixture::begin(&fresh.sessions).await.expect("a test");
    let (scope, other) = (test.sessions().scope("request"), test.sessions().scope("other"));
    put(&scope, 1, 1).await.expect("put");
    other.begin().await.expect("begin");
    let cancelled = cancel_after(1, sqlx::query(CLASH).execute(&scope)).await;
    assert!(cancelled.is_none(), "it is the other's turn");
    put(&other, 2, 2).await.expect("put");
    other.commit().await.expect("commit");
    assert_eq!(rows(&scope).await, [1, 2]);
    drop((scope, other));
    test.end().await.expect("isolated");
    assert_eq!(fresh.rows().await, []);
}

#[tokio::test]
async fn a_fixture_dropped_after_its_isolation_was_lost_panics() {
    let test = TEMPLATE.fixture().await.expect("a test");
    let scope = test.sessions().scope("request");
    scope.begin().await.expect("begin");
    put(&scope, 1, 1).await.expect("put");
    sqlx::query("insert or rollback into kv values (1, 2)").execute(&scope).await.expect_err("a clash");
    drop(scope);
    let panic = std::panic::catch_unwind(AssertUnwindSafe(|| drop(test))).expect_err("a panic");
    assert!(panic.downcast_ref::<String>().is_some_and(|it| it.contains("was not isolated")));
}

#[tokio::test(flavor = "multi_thread")]
async fn many_tests_at_once_do_not_see_each_other() {
    let tests = (0..32).map(|k| {
        tokio::spawn(async move {
            let test = TEMPLATE.fixture().await.expect("a test");
            let scope = test.sessions().scope("request");
            put(&scope, k, 0).await.expect("put");
            assert_eq!(rows(&scope).await, [k]);
            drop(scope);
            test.end().await.expect("isolated");
        })
    });
    for test in tests.collect::<Vec<_>>() {
        test.await.expect("a test");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tests_on_one_file_wait_for_each_other() {
    let fresh = Fresh::new().await;
    let tests = (0..3).map(|_| {
        let sessions = fresh.sessions.clone();
        tokio::spawn(async move {
            let test = Fixture::begin(&sessions).await.expect("a test");
            let scope = test.sessions().scope("request");
            put(&scope, 1, 0).await.expect("put: nobody else's row is there");
            drop(scope);
            test.end().await.expect("isolated");
        })
    });
    for test in tests.collect::<Vec<_>>() {
        test.await.expect("a test");
    }
    assert_eq!(fresh.rows().await, []);
}

#[tokio::test]
async fn a_template_with_wrong_sql_says_what_is_wrong() {
    static WRONG: Template = Template::new("create table");
    let error = WRONG.fixture().await.expect_err("wrong").to_string();
    assert!(error.contains("incomplete input"), "{error}");
}
