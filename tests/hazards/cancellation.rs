//! Hazard: a call's future is dropped before it is done.

use std::time::Duration;

use futures_util::FutureExt;
use unstale::Error;

use super::bed::{Bed, Failed, cancel_after, only_one, own, under_way};

/// The most polls that a call is let go on for; it is done in two or three.
const POLLS: u32 = 8;

pub(crate) async fn cancelled_begin_leaves_no_transaction<B: Bed>() {
    let bed = B::with(only_one()).await;
    for polls in 0..POLLS {
        let k = i64::from(polls);
        let scope = bed.sessions().scope("cancelled");
        match cancel_after(polls, scope.begin()).await {
            Some(done) => done.expect("begin"),
            None => {
                B::put(&scope, k, 1).await.expect("in autocommit");
                assert!(matches!(scope.commit().await, Err(Error::NoTransaction { .. })));
                assert!(bed.rows().await.contains(&(k, 1)), "cancelled after {polls} polls");
            }
        }
        drop(scope);
        let next = bed.sessions().scope("next");
        B::put(&next, 100 + k, 1).await.expect("in autocommit");
        assert!(bed.rows().await.contains(&(100 + k, 1)), "cancelled after {polls} polls");
    }
}

/// 1. One call has the session, the next one waits for it, and the scope is dropped.
/// 2. The first call ends, so the turn is the second one's.
/// 3. The second call is dropped before it runs on, while a service keeps the handle.
pub(crate) async fn call_that_is_dropped_when_its_turn_has_come_keeps_no_connection<B: Bed>() {
    let bed = B::with(only_one()).await;
    let scope = bed.sessions().scope("dropped");
    scope.begin().await.expect("begin");
    let kept = scope.handle("service");
    let first = under_way((1..).map(|k| B::put_by(&kept, k, 1)));
    let mut waiting: Vec<_> = (0..3).map(|k| Box::pin(B::put_by(&kept, -k, 1))).collect();
    for call in &mut waiting {
        assert!(call.now_or_never().is_none(), "it waits for its turn");
    }
    drop(scope);
    first.await.expect("it was under way");
    drop(waiting);
    let next = bed.sessions().scope("next");
    B::put(&next, 7, 7).await.expect("in autocommit");
    assert_eq!(bed.rows().await, [(7, 7)], "the dropped scope's transaction is undone");
    assert!(own(B::put_by(&kept, 8, 8).await).contains("ended"));
}

pub(crate) async fn cancelled_commit_is_done_or_not_and_never_half<B: Bed>() {
    let bed = B::with(only_one()).await;
    for polls in 0..POLLS {
        let k = i64::from(polls) * 10;
        let scope = bed.sessions().scope("cancelled");
        scope.begin().await.expect("begin");
        B::put(&scope, k, 1).await.expect("put");
        B::put(&scope, k + 1, 1).await.expect("put");
        let done = cancel_after(polls, scope.commit()).await;
        let rolled_back = match &done {
            Some(committed) => {
                assert!(committed.is_ok(), "after {polls} polls {committed:?}");
                false
            }
            None => match scope.rollback().await {
                Ok(()) => {
                    assert!(polls == 0 || B::TELLS_HOW_A_CANCELLED_COMMIT_ENDED, "nobody has asked the database");
                    true
                }
                Err(Error::CommitUnknown { .. }) if polls > 0 => false,
                other => panic!("after {polls} polls {other:?}"),
            },
        };
        drop(scope);
        // The only connection is lent again once what was sent on it is over.
        let next = bed.sessions().scope("next");
        B::put(&next, k + 2, 1).await.expect("in autocommit");
        drop(next);
        // What was sent on a connection that was given up may still be on its way.
        tokio::time::sleep(Duration::from_millis(20)).await;
        let rows = bed.rows().await;
        let kept = rows.iter().filter(|row| row.0 == k || row.0 == k + 1).count();
        assert!(kept == 0 || kept == 2, "after {polls} polls {kept} of two rows are kept");
        assert!(!rolled_back || kept == 0, "called rolled back after {polls} polls");
        assert!(done.is_none() || kept == 2, "called committed after {polls} polls");
        assert!(rows.contains(&(k + 2, 1)));
    }
}

pub(crate) async fn cancelled_rollback_keeps_nothing<B: Bed>() {
    let bed = B::with(only_one()).await;
    for polls in 0..POLLS {
        let scope = bed.sessions().scope("cancelled");
        scope.begin().await.expect("begin");
        B::put(&scope, 1, 1).await.expect("put");
        if cancel_after(polls, scope.rollback()).await.is_none() {
            match scope.rollback().await {
                // Where the database can be asked, it was over by then.
                Ok(()) | Err(Error::NoTransaction { .. }) => {}
                Err(error) => panic!("after {polls} polls {error}"),
            }
        }
        assert_eq!(bed.rows().await, [], "after {polls} polls");
    }
}

pub(crate) async fn call_that_waits_for_its_own_tasks_stream_is_refused_at_once<B: Bed>() {
    let bed = B::new().await;
    let scope = bed.sessions().scope("request");
    B::put(&scope, 1, 1).await.expect("put");
    B::put(&scope, 2, 2).await.expect("put");
    let error = own(B::beside_a_stream(&scope, B::put(&scope, 3, 3)).await);
    assert!(error.contains("busy with `fetch` of the same task"), "{error}");
    B::put(&scope, 3, 3).await.expect("put");
}

pub(crate) async fn cancelled_call_of_a_dropped_scope_leaves_nothing_open<B: Bed>() {
    let bed = B::new().await;
    for round in 0..10 {
        let scope = bed.sessions().scope("request");
        scope.begin().await.expect("begin");
        drop(cancel_after(1, B::put(&scope, round, 1)).await);
    }
    let scope = bed.sessions().scope("next");
    bed.sessions()
        .run("next", async |scope| B::put(scope, 99, 1).await.map_err(Failed::from))
        .await
        .expect("no lock is left");
    assert_eq!(bed.rows().await, [(99, 1)]);
    drop(scope);
    bed.sessions().drain(Duration::from_secs(5)).await.expect("nothing is left");
}
