//! Hazard: a handle that outlives its scope or its session.

mod support;

use support::{Fresh, own, policy, put};
use unstale::Error;

#[tokio::test]
async fn handle_used_after_its_scope_is_refused_by_name() {
    let fresh = Fresh::new().await;
    let scope = fresh.sessions.scope("request 1");
    let handle = scope.handle("CampaignRepository");
    put(&handle, 1, 1).await.expect("put");
    scope.end().await.expect("end");

    let error = own(put(&handle, 2, 2).await);
    for expected in ["CampaignRepository", "tests/stale.rs:", "request 1", "stale", "execute"] {
        assert!(error.contains(expected), "{expected} in: {error}");
    }
    assert!(handle.is_stale());
    assert_eq!(fresh.rows().await, [(1, 1)]);
    assert_eq!(fresh.sessions.health().stale_refused, 1);
}

#[tokio::test]
async fn handle_of_a_dropped_scope_never_reaches_the_next_borrower_of_its_connection() {
    let mut only_one = policy();
    only_one.sessions_max = 1;
    let fresh = Fresh::with(only_one).await;
    let first = fresh.sessions.scope("first");
    let handle = first.handle("service");
    first.begin().await.expect("begin");
    put(&handle, 1, 1).await.expect("put");
    drop(first);

    let second = fresh.sessions.scope("second");
    second.begin().await.expect("begin");
    assert!(own(put(&handle, 2, 2).await).contains("stale"));
    put(&second, 3, 3).await.expect("put");
    second.commit().await.expect("commit");
    assert_eq!(fresh.rows().await, [(3, 3)]);
}

#[tokio::test]
async fn end_waits_for_a_call_in_flight_and_a_call_behind_it_is_stale() {
    let fresh = Fresh::new().await;
    let scope = fresh.sessions.scope("request");
    let handle = scope.handle("service");
    let slow =
        "with recursive c (x) as (values (1) union all select x + 1 from c where x < 200000) select count(*) from c";
    let running = {
        let handle = handle.clone();
        tokio::spawn(async move { sqlx::query(slow).fetch_one(&handle).await.map(drop) })
    };
    tokio::task::yield_now().await;
    let (ended, behind) = tokio::join!(scope.end(), async {
        tokio::task::yield_now().await;
        put(&handle, 1, 1).await
    });
    ended.expect("end");
    running.await.expect("no panic").expect("it was in flight before the end");
    assert!(own(behind).contains("stale"));
    assert_eq!(fresh.rows().await, []);
}

#[tokio::test]
async fn pinned_handle_does_not_follow_the_scope_to_another_session() {
    let fresh = Fresh::new().await;
    let scope = fresh.sessions.scope("request");
    put(&scope, 1, 1).await.expect("put");
    let pinned = scope.handle("service").pinned();
    put(&pinned, 2, 2).await.expect("put");
    assert_eq!(scope.generation(), 1);
    let error = scope.commit().await.expect_err("nothing begun");
    assert!(matches!(error, Error::NoTransaction { .. }), "{error}");
    assert!(!pinned.is_stale());
}
