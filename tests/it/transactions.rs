//! Hazard: SQLite ends a transaction by itself, locks the whole database, and may be nowhere but in memory.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use unstale::{Begin, Error, Locking, Scope, SqliteOptions, SqliteSource};

use crate::bed::{Fresh, memory, own, put, within};
use crate::hazards::bed::{Failed, SOON};

/// After which a caller gives up.
const SHORT: Duration = Duration::from_millis(20);

#[tokio::test]
async fn transaction_that_ended_by_itself_refuses_everything_until_rolled_back() {
    let fresh = Fresh::new().await;
    let scope = fresh.sessions.scope("request");
    put(&scope, 1, 1).await.expect("put");
    scope.begin().await.expect("begin");
    put(&scope, 2, 2).await.expect("put");
    let conflict = sqlx::query("insert or rollback into kv values (1, 5)").execute(&scope).await;
    let error = own(conflict);
    assert!(error.contains("lost") && error.contains("UNIQUE constraint failed"), "{error}");
    assert!(own(put(&scope, 3, 3).await).contains("roll back"));
    assert!(matches!(scope.begin().await, Err(Error::TransactionLost { .. })));
    scope.rollback().await.expect("rollback");
    put(&scope, 4, 4).await.expect("put");
    assert_eq!(fresh.rows().await, [(1, 1), (4, 4)]);
}

#[tokio::test]
async fn transaction_that_ended_by_itself_is_not_committed() {
    let fresh = Fresh::new().await;
    let scope = fresh.sessions.scope("request");
    scope.begin().await.expect("begin");
    put(&scope, 1, 1).await.expect("put");
    scope.begin().await.expect("savepoint");
    let _ = sqlx::query("insert or rollback into kv values (1, 5)").execute(&scope).await;
    assert!(matches!(scope.commit().await, Err(Error::TransactionLost { .. })));
    assert!(matches!(scope.commit().await, Err(Error::TransactionLost { .. })));
    assert!(matches!(scope.commit().await, Err(Error::NoTransaction { .. })));
    assert_eq!(fresh.rows().await, []);
}

/// The second scope may have another connection, whose first attempt can meet the lock before it is gone.
#[tokio::test]
async fn lock_of_a_dropped_scope_is_free_for_other_connections() {
    let fresh = Fresh::new().await;
    let scope = fresh.sessions.scope("first");
    scope.begin_with(Begin { locking: Locking::Exclusive, ..Begin::default() }).await.expect("begin");
    put(&scope, 1, 1).await.expect("put");
    drop(scope);
    let next = fresh.sessions.run("next", async |scope| put(scope, 2, 2).await.map_err(Failed::from)).await;
    next.expect("the lock is free, at the latest for a second attempt");
    assert_eq!(fresh.rows().await, [(2, 2)]);
}

#[tokio::test]
async fn run_tries_a_whole_transaction_again_after_a_lock() {
    let fresh = Fresh::new().await;
    let holder = fresh.sessions.scope("holder");
    holder.begin_with(Begin { locking: Locking::Immediate, ..Begin::default() }).await.expect("begin");
    let release = async {
        let retried = async || fresh.sessions.health().transactions_retried > 0;
        within(SOON, "a second attempt", retried).await;
        holder.commit().await.expect("commit");
    };
    let work = fresh.sessions.run("work", async |scope| put(scope, 1, 1).await.map_err(Failed::from));
    let (done, ()) = tokio::join!(work, release);
    done.expect("committed in the end");
    assert_eq!(fresh.rows().await, [(1, 1)]);
    assert!(fresh.sessions.health().transactions_retried > 0);
}

/// What the application has decided.
#[derive(Debug)]
struct Decided;

impl From<Error> for Decided {
    fn from(_: Error) -> Self {
        Self
    }
}

/// A statement that was refused earlier says nothing of an error that comes later.
#[tokio::test]
async fn run_does_not_try_again_what_the_application_has_decided() {
    let fresh = Fresh::new().await;
    let holder = fresh.sessions.scope("holder");
    holder.begin_with(Begin { locking: Locking::Immediate, ..Begin::default() }).await.expect("begin");
    for gives_up in [false, true] {
        let runs = AtomicU32::new(0);
        let work = async |scope: &Scope<SqliteSource>| {
            runs.fetch_add(1, Ordering::SeqCst);
            put(scope, 1, 1).await.expect_err("somebody else has the lock");
            if gives_up {
                let endless = "with recursive n (i) as (select 1 union all select i + 1 from n) select count(*) from n";
                let given_up = tokio::time::timeout(SHORT, sqlx::query(endless).execute(scope)).await;
                given_up.expect_err("it does not end");
            } else {
                sqlx::query("select 1").execute(scope).await.expect("reading is not locked");
            }
            Err::<(), _>(Decided)
        };
        fresh.sessions.run("work", work).await.expect_err("decided");
        assert_eq!(runs.load(Ordering::SeqCst), 1, "gives up: {gives_up}");
    }
}

#[tokio::test]
async fn in_memory_database_survives_its_scopes() {
    let sessions = memory().await;
    let scope = sessions.scope("first");
    scope.begin().await.expect("begin");
    put(&scope, 1, 1).await.expect("put");
    drop(scope);
    let scope = sessions.scope("second");
    put(&scope, 2, 2).await.expect("put");
    assert!(own(sqlx::raw_sql("create temp table x (y)").execute(&scope).await).contains("all scopes use"));
    let count: i64 = sqlx::query_scalar("select count(*) from kv").fetch_one(&scope).await.expect("count");
    assert_eq!(count, 1);
}

/// The commit of an autocommit statement is refused behind its last row.
#[tokio::test]
async fn row_of_a_statement_that_is_not_kept_is_an_error() {
    let fresh = Fresh::new().await;
    let scope = fresh.sessions.scope("request");
    let ddl = "create table child (k integer references kv deferrable initially deferred)";
    sqlx::query(ddl).execute(&scope).await.expect("ddl");
    let insert = || sqlx::query_scalar::<_, i64>("insert into child values (99) returning k");
    insert().fetch_one(&scope).await.expect_err("its parent is not there");
    insert().fetch_optional(&scope).await.expect_err("its parent is not there");
    put(&scope, 99, 1).await.expect("put");
    assert_eq!(insert().fetch_one(&scope).await.expect("kept"), 99);
    let kept: Vec<i64> = sqlx::query_scalar("select k from child").fetch_all(&scope).await.expect("rows");
    assert_eq!(kept, [99]);
}

#[tokio::test]
async fn opening_that_leaves_a_transaction_is_refused() {
    let fresh = Fresh::new().await;
    let options = SqliteOptions::from_url(&fresh.url())
        .expect("a URL")
        .on_open(|connection| Box::pin(async move { sqlx::Executor::execute(connection, "begin").await.map(drop) }));
    let error = options.open(crate::bed::policy()).await.err().expect("refused").to_string();
    assert!(error.contains("on_open"), "{error}");
}
