//! Hazard: the database takes too long to answer a statement.

use std::time::Duration;

use futures_util::StreamExt;
use sqlx::{Connection, Executor, Row, SqliteConnection};
use unstale::{Error, ErrorClass, Policy, Sessions, SqliteOptions, SqliteSource};

use crate::bed::{Fresh, policy, put};

/// Long enough for what is answered at all, also on a machine that has much else to do.
const LIMIT: Duration = Duration::from_millis(250);

fn impatient() -> Policy {
    let mut policy = policy();
    policy.statement_timeout = LIMIT;
    policy.probe_timeout = LIMIT;
    policy
}

/// A database whose lock somebody else holds, and sessions whose statements wait for it without an end.
struct Locked {
    fresh: Fresh,
    holder: SqliteConnection,
    sessions: Sessions<SqliteSource>,
}

impl Locked {
    async fn new() -> Self {
        let fresh = Fresh::without_wal(policy()).await;
        let url = fresh.url();
        let patient = SqliteOptions::from_url(&url).expect("a URL").on_open(|connection| {
            Box::pin(async move { connection.execute("pragma busy_timeout = 20000").await.map(drop) })
        });
        let sessions = patient.open(impatient()).await.expect("sessions");
        let mut holder = SqliteConnection::connect(&url).await.expect("a second connection");
        holder.execute("begin exclusive").await.expect("the lock");
        Self { fresh, holder, sessions }
    }
}

fn own(error: &sqlx::Error) -> &Error {
    Error::of(error).unwrap_or_else(|| panic!("not ours: {error}"))
}

#[tokio::test]
async fn statement_without_an_answer_is_unknown_and_its_scope_goes_on() {
    let mut locked = Locked::new().await;
    let scope = locked.sessions.scope("request");
    let error = put(&scope, 1, 1).await.expect_err("somebody else has the lock");
    let own = own(&error);
    assert!(
        matches!(own, Error::NoAnswer { operation: "execute", .. }) && own.class() == ErrorClass::OutcomeUnknown,
        "{error}"
    );
    assert!(own.to_string().contains("no answer within 250ms (`statement_timeout`)"), "{own}");
    locked.holder.execute("rollback").await.expect("unlocked");
    put(&scope, 2, 2).await.expect("on the same session or a fresh one");
    assert!(locked.fresh.rows().await.contains(&(2, 2)), "the first is there or not, the second is");
}

#[tokio::test]
async fn every_kind_of_fetch_has_the_limit() {
    let locked = Locked::new().await;
    let scope = locked.sessions.scope("request");
    let read = "select k from kv";
    let all = sqlx::query(read).fetch_all(&scope).await.map(drop);
    let one = sqlx::query(read).fetch_optional(&scope).await.map(drop);
    let first = sqlx::query(read).fetch(&scope).next().await.expect("an item").map(drop);
    for result in [all, one, first] {
        assert!(matches!(own(&result.expect_err("too long")), Error::NoAnswer { operation: "fetch", .. }));
    }
}

#[tokio::test]
async fn transaction_of_a_statement_without_an_answer_is_lost() {
    let mut locked = Locked::new().await;
    let scope = locked.sessions.scope("request");
    scope.begin().await.expect("begin");
    put(&scope, 1, 1).await.expect_err("somebody else has the lock");
    let error = put(&scope, 2, 2).await.expect_err("the transaction is over");
    assert!(matches!(own(&error), Error::TransactionLost { .. }), "{error}");
    locked.holder.execute("rollback").await.expect("unlocked");
    scope.rollback().await.expect("it is acknowledged");
    assert_eq!(locked.fresh.rows().await, []);
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
        tokio::time::sleep(LIMIT + LIMIT / 4).await;
    }
    assert_eq!(seen, [1, 2, 3]);
}

#[tokio::test]
async fn no_limit_can_be_asked_for() {
    let mut policy = policy();
    policy.statement_timeout = Duration::MAX;
    let fresh = Fresh::with(policy).await;
    let scope = fresh.sessions.scope("request");
    put(&scope, 1, 1).await.expect("it is waited for");
}
