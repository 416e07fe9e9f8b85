//! Hazard: a pool that others use too, without the library's care.

use std::time::Duration;

use unstale::Error;

use super::bed::AdoptedBed;

pub(crate) async fn scopes_and_the_application_share_the_pool<B: AdoptedBed>() {
    let bed = B::new().await;
    for k in 1..=2 {
        let scope = bed.sessions().scope("request");
        scope.begin().await.expect("begin");
        B::put(&scope, k, k).await.expect("put");
        scope.commit().await.expect("commit");
        scope.end().await.expect("end");
        bed.put_past(k + 10, k).await.expect("the pool's own users go on");
    }
    let scope = bed.sessions().scope("dropped");
    scope.begin().await.expect("begin");
    B::put(&scope, 3, 3).await.expect("put");
    drop(scope);
    bed.put_past(13, 3).await.expect("the pool's own users go on");
    assert_eq!(bed.rows().await, [(1, 1), (2, 2), (11, 1), (12, 2), (13, 3)]);
    assert_eq!(bed.sessions().health().usage.size, 1);
    bed.close().await;
}

/// sqlx gives a connection with a raw BEGIN on it to the next borrower.
pub(crate) async fn transaction_left_by_the_application_is_not_entered<B: AdoptedBed>() {
    for (k, statements) in (1..).zip([
        &[][..],
        &["insert into kv values (9, 9)"],
        &["insert into kv values (9, 9)", "select nothing from nowhere"],
    ]) {
        let bed = B::new().await;
        bed.leave_transaction(statements).await;
        let scope = bed.sessions().scope("request");
        B::put(&scope, k, k).await.expect("put");
        scope.end().await.expect("end");
        assert_eq!(bed.rows().await, [(k, k)], "committed, and not inside somebody's transaction");
        bed.close().await;
    }
}

pub(crate) async fn scope_dropped_outside_of_a_runtime_does_not_panic<B: AdoptedBed>() {
    let bed = B::new().await;
    let scope = bed.sessions().scope("request");
    scope.begin().await.expect("begin");
    B::put(&scope, 1, 1).await.expect("put");
    std::thread::spawn(move || drop(scope)).join().expect("no panic");
    bed.put_past(2, 2).await.expect("no lock was left");
    assert_eq!(bed.rows().await, [(2, 2)]);
}

pub(crate) async fn closed_pool_is_told<B: AdoptedBed>() {
    let bed = B::new().await;
    bed.close().await;
    let begun = bed.sessions().scope("request").begin().await;
    assert!(matches!(begun, Err(Error::Closed)), "{begun:?}");
}

/// The pool is the application's, and what it has borrowed itself is nobody's scope.
pub(crate) async fn closed_sessions_lend_nothing_of_an_open_pool<B: AdoptedBed>() {
    let bed = B::new().await;
    let scope = bed.sessions().scope("request");
    B::put(&scope, 1, 1).await.expect("put");
    let busy = bed.sessions().drain(Duration::from_millis(20)).await.expect_err("a scope is open");
    assert_eq!(busy.holders.len(), 1);
    scope.end().await.expect("end");
    let held = bed.hold().await;
    bed.sessions().drain(Duration::from_secs(5)).await.expect("nothing is lent to a scope");
    drop(held);
    let begun = bed.sessions().scope("late").begin().await;
    assert!(matches!(begun, Err(Error::Closed)), "{begun:?}");
    bed.put_past(2, 2).await.expect("the pool's own users go on");
    assert_eq!(bed.rows().await, [(1, 1), (2, 2)]);
    bed.close().await;
}
