//! Hazard: the caller's idea of its transaction differs from the database's.

mod support;

use support::{Fresh, deferred_child, memory, own, put};
use unstale::{Begin, Error, Locking, Policy};

#[tokio::test]
async fn commit_keeps_and_rollback_undoes() {
    let fresh = Fresh::new().await;
    let scope = fresh.sessions.scope("request");
    scope.begin().await.expect("begin");
    put(&scope, 1, 1).await.expect("put");
    scope.commit().await.expect("commit");
    scope.begin().await.expect("begin");
    put(&scope, 2, 2).await.expect("put");
    scope.rollback().await.expect("rollback");
    put(&scope, 3, 3).await.expect("autocommit");
    scope.end().await.expect("end");
    assert_eq!(fresh.rows().await, [(1, 1), (3, 3)]);
}

#[tokio::test]
async fn savepoint_is_undone_alone() {
    let fresh = Fresh::new().await;
    let scope = fresh.sessions.scope("request");
    scope.begin().await.expect("begin");
    put(&scope, 1, 1).await.expect("put");
    scope.begin().await.expect("savepoint");
    put(&scope, 2, 2).await.expect("put");
    scope.rollback().await.expect("rollback");
    scope.begin().await.expect("savepoint");
    put(&scope, 3, 3).await.expect("put");
    scope.commit().await.expect("release");
    scope.commit().await.expect("commit");
    assert_eq!(fresh.rows().await, [(1, 1), (3, 3)]);
}

/// In sqlx this loses the outer transaction's atomicity: the failed inner begin rolls the outer one back, and what
/// follows autocommits.
#[tokio::test]
async fn failed_inner_begin_leaves_the_outer_transaction_whole() {
    let fresh = Fresh::with({
        let mut policy = support::policy();
        policy.savepoints_max = 1;
        policy
    })
    .await;
    let scope = fresh.sessions.scope("request");
    scope.begin().await.expect("begin");
    put(&scope, 1, 1).await.expect("put");
    scope.begin().await.expect("savepoint");
    assert!(matches!(scope.begin().await, Err(Error::NestingTooDeep { max: 1 })));
    put(&scope, 2, 2).await.expect("put");
    scope.rollback().await.expect("rollback of the savepoint");
    scope.rollback().await.expect("rollback");
    assert_eq!(fresh.rows().await, []);
}

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

#[tokio::test]
async fn failed_statement_leaves_the_transaction_open() {
    let fresh = Fresh::new().await;
    let scope = fresh.sessions.scope("request");
    scope.begin().await.expect("begin");
    put(&scope, 1, 1).await.expect("put");
    let error = put(&scope, 1, 2).await.expect_err("a duplicate key");
    assert!(error.as_database_error().is_some_and(sqlx::error::DatabaseError::is_unique_violation), "{error}");
    put(&scope, 2, 2).await.expect("put");
    scope.commit().await.expect("commit");
    assert_eq!(fresh.rows().await, [(1, 1), (2, 2)]);
}

#[tokio::test]
async fn commit_that_the_database_refuses_is_rolled_back_and_says_so() {
    let fresh = Fresh::new().await;
    let scope = fresh.sessions.scope("request");
    deferred_child(&scope).await;
    scope.begin().await.expect("begin");
    put(&scope, 1, 1).await.expect("put");
    sqlx::query("insert into child values (7)").execute(&scope).await.expect("deferred");
    let error = scope.commit().await.expect_err("a dangling reference");
    assert!(matches!(error, Error::RolledBack { .. }) && error.to_string().contains("FOREIGN KEY"), "{error}");
    put(&scope, 2, 2).await.expect("autocommit again");
    assert_eq!(fresh.rows().await, [(2, 2)]);
}

#[tokio::test]
async fn statements_that_go_behind_the_scope_are_not_run() {
    let fresh = Fresh::new().await;
    let scope = fresh.sessions.scope("request");
    for sql in ["begin", "insert into kv values (1, 1); begin", "/* x */ COMMIT", "savepoint a"] {
        let error = own(sqlx::raw_sql(sql).execute(&scope).await);
        assert!(error.contains("was not run: use begin()"), "{sql}: {error}");
    }
    assert_eq!(fresh.rows().await, []);
}

#[tokio::test]
async fn read_only_transaction_refuses_writes_and_leaves_no_trace() {
    let fresh = Fresh::new().await;
    let scope = fresh.sessions.scope("request");
    scope.begin_with(Begin { read_only: true, ..Begin::default() }).await.expect("begin");
    assert!(put(&scope, 1, 1).await.is_err());
    scope.commit().await.expect("commit");
    put(&scope, 2, 2).await.expect("writes again");
    scope.begin_with(Begin { read_only: true, ..Begin::default() }).await.expect("begin");
    drop(scope);
    let scope = fresh.sessions.scope("next");
    put(&scope, 3, 3).await.expect("writes on a fresh scope");
    assert_eq!(fresh.rows().await, [(2, 2), (3, 3)]);
}

#[tokio::test]
async fn dropped_scope_rolls_back_and_its_locks_are_free() {
    let fresh = Fresh::new().await;
    let scope = fresh.sessions.scope("first");
    scope.begin_with(Begin { locking: Locking::Exclusive, ..Begin::default() }).await.expect("begin");
    put(&scope, 1, 1).await.expect("put");
    drop(scope);
    let next = fresh.sessions.run("next", async |scope| put(scope, 2, 2).await.map_err(Failed::from)).await;
    next.expect("the lock is free, at the latest for a second attempt");
    assert_eq!(fresh.rows().await, [(2, 2)]);
}

#[derive(Debug)]
struct Failed;

impl From<sqlx::Error> for Failed {
    fn from(_: sqlx::Error) -> Self {
        Self
    }
}

impl From<Error> for Failed {
    fn from(_: Error) -> Self {
        Self
    }
}

#[tokio::test]
async fn run_tries_a_whole_transaction_again_after_a_lock() {
    let fresh = Fresh::new().await;
    let holder = fresh.sessions.scope("holder");
    holder.begin_with(Begin { locking: Locking::Immediate, ..Begin::default() }).await.expect("begin");
    let release = async {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        holder.commit().await.expect("commit");
    };
    let work = fresh.sessions.run("work", async |scope| put(scope, 1, 1).await.map_err(Failed::from));
    let (done, ()) = tokio::join!(work, release);
    done.expect("committed in the end");
    assert_eq!(fresh.rows().await, [(1, 1)]);
    assert!(fresh.sessions.health().transactions_retried > 0);
}

#[tokio::test]
async fn run_can_be_spawned() {
    let fresh = Fresh::new().await;
    let sessions = fresh.sessions.clone();
    let task =
        tokio::spawn(
            async move { sessions.run("work", async |scope| put(scope, 1, 1).await.map_err(Failed::from)).await },
        );
    task.await.expect("no panic").expect("committed");
    assert_eq!(fresh.rows().await, [(1, 1)]);
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
    let _ = Policy::for_tests();
}
