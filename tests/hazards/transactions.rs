//! Hazard: the caller's idea of its transaction differs from the database's.

use unstale::source::{Connection, Source};
use unstale::{Begin, Error, Locking};

use super::bed::{Bed, Failed, only_one, own, policy};

pub(crate) async fn commit_keeps_and_rollback_undoes<B: Bed>() {
    let bed = B::new().await;
    let scope = bed.sessions().scope("request");
    scope.begin().await.expect("begin");
    B::put(&scope, 1, 1).await.expect("put");
    scope.commit().await.expect("commit");
    scope.begin().await.expect("begin");
    B::put(&scope, 2, 2).await.expect("put");
    scope.rollback().await.expect("rollback");
    B::put(&scope, 3, 3).await.expect("autocommit");
    scope.end().await.expect("end");
    assert_eq!(bed.rows().await, [(1, 1), (3, 3)]);
}

pub(crate) async fn savepoint_is_undone_alone<B: Bed>() {
    let bed = B::new().await;
    let scope = bed.sessions().scope("request");
    scope.begin().await.expect("begin");
    B::put(&scope, 1, 1).await.expect("put");
    scope.begin().await.expect("savepoint");
    B::put(&scope, 2, 2).await.expect("put");
    B::put(&scope, 1, 2).await.expect_err("a duplicate key");
    scope.rollback().await.expect("rolled back to it");
    scope.begin().await.expect("savepoint");
    B::put(&scope, 3, 3).await.expect("put");
    scope.commit().await.expect("release");
    scope.commit().await.expect("commit");
    assert_eq!(bed.rows().await, [(1, 1), (3, 3)]);
}

/// In sqlx this loses the outer transaction's atomicity: the failed inner begin rolls the outer one back, and what
/// follows autocommits.
pub(crate) async fn failed_inner_begin_leaves_the_outer_transaction_whole<B: Bed>() {
    let mut policy = policy();
    policy.savepoints_max = 1;
    let bed = B::with(policy).await;
    let scope = bed.sessions().scope("request");
    scope.begin().await.expect("begin");
    B::put(&scope, 1, 1).await.expect("put");
    scope.begin().await.expect("savepoint");
    assert!(matches!(scope.begin().await, Err(Error::NestingTooDeep { max: 1 })));
    B::put(&scope, 2, 2).await.expect("put");
    scope.rollback().await.expect("rollback of the savepoint");
    scope.rollback().await.expect("rollback");
    assert_eq!(bed.rows().await, []);
}

pub(crate) async fn refused_statement_spoils_its_transaction_where_the_database_says_so<B: Bed>() {
    let spoils = <B::Source as Source>::Connection::ABORTS;
    let bed = B::new().await;
    let scope = bed.sessions().scope("request");
    scope.begin().await.expect("begin");
    B::put(&scope, 1, 1).await.expect("put");
    let error = B::put(&scope, 1, 2).await.expect_err("a duplicate key");
    assert!(error.as_database_error().is_some_and(sqlx::error::DatabaseError::is_unique_violation), "{error}");
    assert_eq!(B::put(&scope, 2, 2).await.is_err(), spoils);
    let committed = scope.commit().await;
    assert!(if spoils { matches!(committed, Err(Error::RolledBack { .. })) } else { committed.is_ok() });
    B::put(&scope, 3, 3).await.expect("in autocommit, on the same session");
    let expected = if spoils { vec![(3, 3)] } else { vec![(1, 1), (2, 2), (3, 3)] };
    assert_eq!((bed.rows().await, scope.generation()), (expected, 1));
}

pub(crate) async fn commit_that_the_database_refuses_is_rolled_back_and_says_so<B: Bed>() {
    let bed = B::new().await;
    let scope = bed.sessions().scope("request");
    B::run(&scope, "create table child (k bigint references kv (k) deferrable initially deferred)").await.expect("ddl");
    scope.begin().await.expect("begin");
    B::put(&scope, 1, 1).await.expect("put");
    B::run(&scope, "insert into child values (7)").await.expect("no parent yet");
    let error = scope.commit().await.expect_err("a dangling reference");
    assert!(matches!(error, Error::RolledBack { .. }), "{error}");
    assert!(error.to_string().to_lowercase().contains("foreign key"), "{error}");
    B::put(&scope, 2, 2).await.expect("autocommit again");
    assert_eq!(bed.rows().await, [(2, 2)]);
}

pub(crate) async fn statements_that_go_behind_the_scope_are_not_run<B: Bed>() {
    let bed = B::new().await;
    let scope = bed.sessions().scope("request");
    let everywhere =
        ["begin", "insert into kv values (1, 1); begin", "/* x */ COMMIT", "/* a */ rollback", "savepoint a"];
    for sql in everywhere.iter().chain(B::CONTROL) {
        let error = own(B::run_raw(&scope, sql).await);
        assert!(error.contains("was not run: use begin()"), "{sql}: {error}");
    }
    assert_eq!(bed.rows().await, []);
}

pub(crate) async fn read_only_transaction_refuses_writes_and_leaves_no_trace<B: Bed>() {
    let bed = B::new().await;
    let read_only = Begin { read_only: true, ..Begin::default() };
    let scope = bed.sessions().scope("request");
    scope.begin_with(read_only).await.expect("begin");
    assert!(B::put(&scope, 1, 1).await.is_err());
    let spoilt = <B::Source as Source>::Connection::ABORTS;
    assert_eq!(scope.commit().await.is_err(), spoilt, "by the write that was refused");
    B::put(&scope, 2, 2).await.expect("writes again");
    scope.begin_with(read_only).await.expect("begin");
    drop(scope);
    let scope = bed.sessions().scope("next");
    B::put(&scope, 3, 3).await.expect("writes on a fresh scope");
    assert_eq!(bed.rows().await, [(2, 2), (3, 3)]);
}

pub(crate) async fn dropped_scope_rolls_back_and_its_locks_are_free<B: Bed>() {
    let bed = B::with(only_one()).await;
    let scope = bed.sessions().scope("dropped");
    scope.begin_with(Begin { locking: Locking::Exclusive, ..Begin::default() }).await.expect("begin");
    B::put(&scope, 1, 1).await.expect("put");
    drop(scope);
    let next = bed.sessions().scope("next");
    B::put(&next, 1, 2).await.expect("the key is free");
    assert_eq!((bed.rows().await, bed.sessions().health().discarded), (vec![(1, 2)], 0));
}

/// An optional part of the work is given up in the middle, and the work goes on without it.
pub(crate) async fn run_keeps_what_was_done_outside_of_a_level_that_was_left_open<B: Bed>() {
    for levels in 1..4 {
        let bed = B::new().await;
        let answer = bed.sessions().run("work", async |scope| {
            B::put(scope, 1, 1).await?;
            for level in 0..levels {
                scope.begin().await?;
                B::put(scope, 10 + level, 1).await?;
            }
            Ok::<_, Failed>(7)
        });
        assert_eq!(answer.await.expect("committed"), 7);
        assert_eq!(bed.rows().await, [(1, 1)], "{levels} levels were left open");
    }
}

pub(crate) async fn run_can_be_spawned<B: Bed>() {
    let bed = B::new().await;
    let sessions = bed.sessions().clone();
    let task = tokio::spawn(async move {
        sessions.run("work", async |scope| B::put(scope, 1, 1).await.map_err(Failed::from)).await
    });
    task.await.expect("no panic").expect("committed");
    assert_eq!(bed.rows().await, [(1, 1)]);
}
