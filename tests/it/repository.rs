//! Hazard: an operation fails, and its caller has to know what of it was done and what can be done about it.

use std::error::Error as _;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use futures_util::StreamExt;
use sqlx::{Connection, Executor, SqliteConnection};
use unstale::{Error, ErrorClass, Handle, Repository, RepositoryError, SqliteSource};

use crate::bed::{Fresh, policy, put, within};
use crate::hazards::bed::SOON;

struct Rows(Repository<SqliteSource>);

impl Rows {
    fn new(db: Handle<SqliteSource>) -> Self {
        Self(Repository::new("Rows", db))
    }

    async fn put(&self, k: i64) -> Result<(), RepositoryError> {
        self.0.call("put", |db| put(db, k, k)).await
    }
}

/// A lock that somebody else holds.
async fn locked(fresh: &Fresh) -> SqliteConnection {
    let mut holder = SqliteConnection::connect(&fresh.url()).await.expect("a second connection");
    holder.execute("begin immediate").await.expect("a lock");
    holder
}

#[tokio::test]
async fn what_was_not_done_is_tried_again_until_the_way_is_free() {
    let fresh = Fresh::new().await;
    let scope = fresh.sessions.scope("request");
    let rows = Repository::new("Rows", scope.handle("Rows"));
    let mut holder = locked(&fresh).await;
    let tries = &AtomicU32::new(0);
    let put = rows.call("put", |db| {
        tries.fetch_add(1, Ordering::SeqCst);
        put(db, 1, 1)
    });
    let (done, ()) = tokio::join!(put, async {
        within(SOON, "a second attempt", async || tries.load(Ordering::SeqCst) > 1).await;
        holder.execute("rollback").await.expect("unlocked");
    });
    done.expect("it is done once the lock is free");
    assert_eq!(fresh.rows().await, [(1, 1)]);
}

#[tokio::test]
async fn error_names_operation_scope_session_and_what_can_be_done() {
    let mut policy = policy();
    policy.retry_for = Duration::from_millis(500);
    let fresh = Fresh::with(policy).await;
    let scope = fresh.sessions.scope("request 17");
    let rows = Rows::new(scope.handle("Rows"));
    let _holder = locked(&fresh).await;
    let error = rows.put(1).await.expect_err("somebody else has the lock");
    assert_eq!((error.class, error.generation), (ErrorClass::RetryStatement, 1));
    assert!(error.attempts > 1);
    let text = error.to_string();
    for part in [
        "Rows: `put` failed in scope `request 17` (session 1, 1 of 3 connections lent",
        "database is locked",
        "try again later",
    ] {
        assert!(text.contains(part), "no {part} in {text}");
    }
    assert!(error.source().is_some_and(|it| it.is::<sqlx::Error>()));
}

#[tokio::test]
async fn operation_of_which_something_was_done_is_not_tried_again() {
    let fresh = Fresh::new().await;
    let scope = fresh.sessions.scope("request");
    let rows = Repository::new("Rows", scope.handle("Rows"));
    let tries = AtomicU32::new(0);
    let mut holder = locked(&fresh).await;
    holder.execute("rollback").await.expect("not yet");
    let (holder, counted) = (&tokio::sync::Mutex::new(holder), &tries);
    let result = rows.call("put two", |db| async move {
        counted.fetch_add(1, Ordering::SeqCst);
        put(db, 1, 1).await?;
        holder.lock().await.execute("begin immediate").await?;
        put(db, 2, 2).await
    });
    let error = result.await.expect_err("the second is refused");
    assert_eq!((error.class, error.attempts, tries.load(Ordering::SeqCst)), (ErrorClass::RetryStatement, 1, 1));
}

/// Its first statement is done when the second one meets a lock.
#[tokio::test]
async fn operation_of_several_statements_in_one_text_is_not_tried_again() {
    let fresh = Fresh::new().await;
    let other = Fresh::new().await;
    let mut holder = SqliteConnection::connect(&other.url()).await.expect("a second database");
    holder.execute("create table log (k int); begin immediate").await.expect("a lock");
    let path = other.url().trim_start_matches("sqlite://").to_owned();
    let scope = fresh.sessions.scope("request");
    scope.execute(sqlx::AssertSqlSafe(format!("attach '{path}' as other"))).await.expect("attached");
    let rows = Repository::new("Rows", scope.handle("Rows"));
    let tries = &AtomicU32::new(0);
    let both = rows.call("both", |db| async move {
        tries.fetch_add(1, Ordering::SeqCst);
        let text = "insert into kv (k, v) select count(*), 1 from kv; insert into other.log values (1)";
        sqlx::raw_sql(text).execute(db).await
    });
    let error = both.await.expect_err("somebody else has the lock");
    assert_eq!((error.class, tries.load(Ordering::SeqCst)), (ErrorClass::RetryStatement, 1), "{error}");
    assert!(error.to_string().contains("a part of it may be done"), "{error}");
    assert_eq!(fresh.rows().await, [(0, 1)]);
}

#[tokio::test]
async fn mistake_is_not_tried_again() {
    let fresh = Fresh::new().await;
    let scope = fresh.sessions.scope("request");
    let rows = Rows::new(scope.handle("Rows"));
    rows.put(1).await.expect("put");
    let error = rows.put(1).await.expect_err("the key is there");
    assert_eq!((error.class, error.attempts), (ErrorClass::Rejected, 1));
    assert!(error.hint().contains("would not help"));
}

#[tokio::test]
async fn stale_repository_says_whom_to_ask() {
    let fresh = Fresh::new().await;
    let scope = fresh.sessions.scope("request");
    let rows = Rows::new(scope.handle("Rows"));
    scope.end().await.expect("end");
    let error = rows.put(1).await.expect_err("stale");
    assert!(matches!(Error::of(&error.source), Some(Error::Stale(_))));
    assert!(error.to_string().ends_with("ask the current scope for this repository"), "{error}");
}

#[tokio::test]
async fn call_beside_an_open_stream_of_its_own_task_is_refused_at_once() {
    let fresh = Fresh::new().await;
    let scope = fresh.sessions.scope("request");
    let rows = Rows::new(scope.handle("Rows"));
    rows.put(1).await.expect("put");
    let mut stream = sqlx::query("select k from kv").fetch(&scope);
    stream.next().await.expect("an item").expect("a row");
    let error = rows.put(2).await.expect_err("it would wait for itself");
    assert_eq!(error.attempts, 1);
    assert!(error.hint().contains("read the open row stream to its end"), "{error}");
}

#[tokio::test]
async fn transaction_that_is_lost_is_named_and_rolled_back_by_its_owner() {
    let fresh = Fresh::new().await;
    let scope = fresh.sessions.scope("request");
    let rows = Repository::new("Rows", scope.handle("Rows"));
    put(&scope, 1, 1).await.expect("put");
    scope.begin().await.expect("begin");
    let insert = rows.call("insert", |db| sqlx::query("insert or rollback into kv values (1, 2)").execute(db));
    let error = insert.await.expect_err("it ends the transaction by itself");
    assert_eq!(error.class, ErrorClass::RetryTransaction);
    assert!(error.hint().contains("roll back, and run the whole transaction again"), "{error}");
    scope.rollback().await.expect("acknowledged");
}

#[tokio::test]
async fn call_can_be_spawned() {
    let fresh = Fresh::new().await;
    let scope = fresh.sessions.scope("request");
    let rows = Rows::new(scope.handle("Rows"));
    tokio::spawn(async move { rows.put(1).await }).await.expect("no panic").expect("put");
    scope.end().await.expect("end");
    assert_eq!(fresh.rows().await, [(1, 1)]);
}
