//! Hazard: the database takes too long to answer a statement.

mod support;

use std::time::Duration;

use futures_util::StreamExt;
use sqlx::Row;
use support::{Fresh, policy, put};
use unstale::{Class, Error, Policy};

/// Longer than every limit of these tests.
const LONG: &str =
    "with recursive n(i) as (select 1 union all select i + 1 from n where i < 3000000) select count(*) from n";

fn impatient() -> Policy {
    let mut policy = policy();
    policy.statement_timeout = Duration::from_millis(30);
    policy.probe_timeout = Duration::from_millis(30);
    policy
}

fn own(error: &sqlx::Error) -> &Error {
    Error::of(error).unwrap_or_else(|| panic!("not ours: {error}"))
}

#[tokio::test]
async fn statement_without_an_answer_is_given_up_and_the_next_runs_on_a_fresh_session() {
    let fresh = Fresh::with(impatient()).await;
    let scope = fresh.sessions.scope("request");
    let error = sqlx::query(LONG).execute(&scope).await.expect_err("too long");
    let own = own(&error);
    assert!(matches!(own, Error::NoAnswer { operation: "execute", .. }) && own.class() == Class::Unknown, "{error}");
    assert!(own.to_string().contains("no answer within 30ms (`statement_timeout`)"), "{own}");
    put(&scope, 1, 1).await.expect("a fresh session");
    assert_eq!(scope.generation(), 2);
    assert_eq!(fresh.rows().await, [(1, 1)]);
}

#[tokio::test]
async fn every_kind_of_fetch_has_the_limit() {
    let fresh = Fresh::with(impatient()).await;
    let scope = fresh.sessions.scope("request");
    let all = sqlx::query(LONG).fetch_all(&scope).await.map(drop);
    let one = sqlx::query(LONG).fetch_optional(&scope).await.map(drop);
    let first = sqlx::query(LONG).fetch(&scope).next().await.expect("an item").map(drop);
    for result in [all, one, first] {
        assert!(matches!(own(&result.expect_err("too long")), Error::NoAnswer { operation: "fetch", .. }));
    }
}

#[tokio::test]
async fn transaction_of_a_statement_without_an_answer_is_lost() {
    let fresh = Fresh::with(impatient()).await;
    let scope = fresh.sessions.scope("request");
    scope.begin().await.expect("begin");
    put(&scope, 1, 1).await.expect("put");
    sqlx::query(LONG).execute(&scope).await.expect_err("too long");
    let error = put(&scope, 2, 2).await.expect_err("the transaction is over");
    assert!(matches!(own(&error), Error::TransactionLost { .. }), "{error}");
    scope.rollback().await.expect("it is acknowledged");
    assert_eq!(fresh.rows().await, []);
}

#[tokio::test]
async fn time_that_the_reader_of_a_stream_takes_is_not_the_databases() {
    let fresh = Fresh::with(impatient()).await;
    let scope = fresh.sessions.scope("request");
    for k in 1..=3 {
        put(&scope, k, k).await.expect("put");
    }
    let mut rows = sqlx::query("select k from kv order by k").fetch(&scope);
    let mut seen = Vec::new();
    while let Some(row) = rows.next().await {
        seen.push(row.expect("a row").get::<i64, _>(0));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(seen, [1, 2, 3]);
}

#[tokio::test]
async fn no_limit_can_be_asked_for() {
    let mut policy = policy();
    policy.statement_timeout = Duration::MAX;
    let fresh = Fresh::with(policy).await;
    let scope = fresh.sessions.scope("request");
    sqlx::query(LONG).execute(&scope).await.expect("it is waited for");
}
