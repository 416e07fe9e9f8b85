//! Hazard: a call's future is dropped before it is done. SQLite's driver goes on with it, and its session can be asked how it
//! ended.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures_util::StreamExt;

use crate::bed::{Fresh, memory, own, put};

/// Polls the future this often, waits a little before each poll, and drops it.
async fn cancel_slowly<F: Future>(future: F, polls: usize) -> Option<F::Output> {
    let mut future = pin!(future);
    for _ in 0..polls {
        if let Poll::Ready(done) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return Some(done);
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    None
}

#[tokio::test]
async fn cancelled_statement_leaves_its_transaction_atomic() {
    for polls in 0..3 {
        let fresh = Fresh::new().await;
        let scope = fresh.sessions.scope("request");
        scope.begin().await.expect("begin");
        put(&scope, 1, 1).await.expect("put");
        drop(cancel_slowly(put(&scope, 2, 2), polls).await);
        put(&scope, 3, 3).await.expect("put");
        scope.commit().await.expect("commit");
        let rows = fresh.rows().await;
        assert!(rows.contains(&(1, 1)) && rows.contains(&(3, 3)), "{rows:?}");
    }
}

#[tokio::test]
async fn cancelled_statement_that_ended_its_transaction_is_noticed() {
    // Also where the session itself asks the database whether the transaction is over, and where that is asked again.
    for (polls, again) in (1..6).flat_map(|polls| (0..4).map(move |again| (polls, again))) {
        let fresh = Fresh::new().await;
        let scope = fresh.sessions.scope("request");
        put(&scope, 1, 1).await.expect("put");
        scope.begin().await.expect("begin");
        put(&scope, 2, 2).await.expect("put");
        drop(cancel_slowly(sqlx::query("insert or rollback into kv values (1, 5)").execute(&scope), polls).await);
        drop(cancel_slowly(put(&scope, 7, 7), again).await);
        let refused = put(&scope, 3, 3).await;
        assert!(refused.is_err(), "the transaction is over; cancelled after {polls} and {again} polls");
        assert!(own(refused).contains("lost"));
        scope.rollback().await.expect("rollback");
        assert_eq!(fresh.rows().await, [(1, 1)]);
    }
}

/// The same where it is certain that the statement ran and was not answered.
#[tokio::test]
async fn statement_cancelled_unanswered_that_ended_its_transaction_is_noticed() {
    let fresh = Fresh::new().await;
    let scope = fresh.sessions.scope("request");
    put(&scope, 1, 1).await.expect("put");
    scope.begin().await.expect("begin");
    put(&scope, 2, 2).await.expect("put");
    fresh.rollbacks.close_after(0);
    fresh.rollbacks.cancel(sqlx::query("insert or rollback into kv values (1, 5)").execute(&scope)).await;
    fresh.rollbacks.open();
    assert!(own(put(&scope, 3, 3).await).contains("lost"));
    scope.rollback().await.expect("rollback");
    assert_eq!(fresh.rows().await, [(1, 1)]);
}

/// The same where it is certain that the statement ran, and left its transaction open.
#[tokio::test]
async fn statement_cancelled_unanswered_is_kept_with_its_transaction() {
    let fresh = Fresh::new().await;
    let scope = fresh.sessions.scope("request");
    scope.begin().await.expect("begin");
    put(&scope, 1, 1).await.expect("put");
    fresh.changes.close_after(0);
    fresh.changes.cancel(put(&scope, 2, 2)).await;
    fresh.changes.open();
    put(&scope, 3, 3).await.expect("put");
    scope.commit().await.expect("commit");
    assert_eq!(fresh.rows().await, [(1, 1), (2, 2), (3, 3)]);
}

#[tokio::test]
async fn stream_dropped_midway_leaves_the_session_usable() {
    for sessions in [Fresh::new().await.sessions, memory().await] {
        let scope = sessions.scope("request");
        scope.begin().await.expect("begin");
        for k in 0..100 {
            put(&scope, k, k).await.expect("put");
        }
        {
            let mut rows = sqlx::query("select k from kv").fetch(&scope);
            assert!(rows.next().await.expect("a row").is_ok());
        }
        put(&scope, 200, 1).await.expect("put");
        scope.commit().await.expect("commit");
    }
}
