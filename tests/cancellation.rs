//! Hazard: a call's future is dropped before it is done.

mod support;

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures_util::StreamExt;
use support::{Fresh, memory, own, put};
use unstale::Error;

/// Polls the future this often, waits a little before each poll, and drops it.
async fn cut_off<F: Future>(future: F, polls: usize) -> Option<F::Output> {
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
async fn cancelled_begin_leaves_no_transaction() {
    for polls in 0..4 {
        let fresh = Fresh::new().await;
        let scope = fresh.sessions.scope("request");
        if let Some(done) = cut_off(scope.begin(), polls).await {
            done.expect("begin");
            continue;
        }
        put(&scope, 1, 1).await.expect("put");
        assert!(matches!(scope.commit().await, Err(Error::NoTransaction { .. })));
        assert_eq!(fresh.rows().await, [(1, 1)], "cut off after {polls} polls");
    }
}

#[tokio::test]
async fn cancelled_commit_is_decided_or_unknown_and_never_called_rolled_back_when_it_was_not() {
    for polls in 0..4 {
        let fresh = Fresh::new().await;
        let scope = fresh.sessions.scope("request");
        scope.begin().await.expect("begin");
        put(&scope, 1, 1).await.expect("put");
        if cut_off(scope.commit(), polls).await.is_some() {
            continue;
        }
        let rollback = scope.rollback().await;
        let rows = fresh.rows().await;
        match rollback {
            Ok(()) => assert_eq!(rows, [], "cut off after {polls} polls"),
            Err(Error::CommitUnknown { .. }) => {}
            Err(other) => panic!("{other}"),
        }
        put(&scope, 2, 2).await.expect("the session is good again");
    }
}

#[tokio::test]
async fn cancelled_statement_leaves_its_transaction_atomic() {
    for polls in 0..3 {
        let fresh = Fresh::new().await;
        let scope = fresh.sessions.scope("request");
        scope.begin().await.expect("begin");
        put(&scope, 1, 1).await.expect("put");
        drop(cut_off(put(&scope, 2, 2), polls).await);
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
        drop(cut_off(sqlx::query("insert or rollback into kv values (1, 5)").execute(&scope), polls).await);
        drop(cut_off(put(&scope, 7, 7), again).await);
        let refused = put(&scope, 3, 3).await;
        assert!(refused.is_err(), "the transaction is over; cut off after {polls} and {again} polls");
        assert!(own(refused).contains("lost"));
        scope.rollback().await.expect("rollback");
        assert_eq!(fresh.rows().await, [(1, 1)]);
    }
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

#[tokio::test]
async fn call_that_waits_for_its_own_tasks_stream_is_refused_at_once() {
    let fresh = Fresh::new().await;
    let scope = fresh.sessions.scope("request");
    put(&scope, 1, 1).await.expect("put");
    put(&scope, 2, 2).await.expect("put");
    let mut rows = sqlx::query("select k from kv").fetch(&scope);
    assert!(rows.next().await.expect("a row").is_ok());
    let error = own(put(&scope, 3, 3).await);
    assert!(error.contains("busy with `fetch` of the same task"), "{error}");
    drop(rows);
    put(&scope, 3, 3).await.expect("put");
}

#[tokio::test]
async fn cancelled_call_of_a_dropped_scope_gives_its_connection_up() {
    let fresh = Fresh::new().await;
    for round in 0..10 {
        let scope = fresh.sessions.scope("request");
        scope.begin().await.expect("begin");
        drop(cut_off(put(&scope, round, 1), 1).await);
    }
    let scope = fresh.sessions.scope("next");
    let done = fresh.sessions.run("next", async |scope| put(scope, 99, 1).await.map_err(|_| Failed)).await;
    assert!(done.is_ok());
    assert_eq!(fresh.rows().await, [(99, 1)]);
    drop(scope);
    fresh.sessions.drain(Duration::from_secs(1)).await.expect("nothing is left");
}

struct Failed;

impl From<Error> for Failed {
    fn from(_: Error) -> Self {
        Self
    }
}
