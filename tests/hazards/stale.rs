//! Hazard: a handle that outlives its scope or its session.

use unstale::Error;

use super::bed::{Bed, only_one, own};

pub(crate) async fn handle_used_after_its_scope_is_refused_by_name<B: Bed>() {
    let bed = B::new().await;
    let scope = bed.sessions().scope("request 1");
    let handle = scope.handle("CampaignRepository");
    B::put_by(&handle, 1, 1).await.expect("put");
    scope.end().await.expect("end");

    let error = own(B::put_by(&handle, 2, 2).await);
    for expected in ["the handle of `CampaignRepository`", concat!(file!(), ":"), "request 1", "stale", "execute"] {
        assert!(error.contains(expected), "{expected} in: {error}");
    }
    assert!(handle.is_stale());
    assert_eq!(bed.rows().await, [(1, 1)]);
    assert_eq!(bed.sessions().health().stale_refused, 1);
}

pub(crate) async fn handle_of_a_dropped_scope_never_reaches_the_next_borrower_of_its_connection<B: Bed>() {
    let bed = B::with(only_one()).await;
    let first = bed.sessions().scope("first");
    let handle = first.handle("service");
    first.begin().await.expect("begin");
    B::put_by(&handle, 1, 1).await.expect("put");
    drop(first);

    let second = bed.sessions().scope("second");
    second.begin().await.expect("begin");
    assert!(own(B::put_by(&handle, 2, 2).await).contains("stale"));
    B::put(&second, 3, 3).await.expect("put");
    second.commit().await.expect("commit");
    assert_eq!(bed.rows().await, [(3, 3)]);
}

/// Takes long enough for a call to come behind it.
const SLOW: &str = "with recursive c (x) as (values (1) union all select x + 1 from c where x < 200000) \
                    select count(*) from c";

pub(crate) async fn end_waits_for_a_call_in_flight_and_a_call_behind_it_is_stale<B: Bed>() {
    let bed = B::new().await;
    let scope = bed.sessions().scope("request");
    let handle = scope.handle("service");
    let running = {
        let handle = handle.clone();
        tokio::spawn(async move { B::run_by(&handle, SLOW).await })
    };
    tokio::task::yield_now().await;
    let (ended, behind) = tokio::join!(scope.end(), async {
        tokio::task::yield_now().await;
        B::put_by(&handle, 1, 1).await
    });
    ended.expect("end");
    running.await.expect("no panic").expect("it was in flight before the end");
    assert!(own(behind).contains("stale"));
    assert_eq!(bed.rows().await, []);
}

pub(crate) async fn pinned_handle_does_not_follow_the_scope_to_another_session<B: Bed>() {
    let bed = B::new().await;
    let scope = bed.sessions().scope("request");
    B::put(&scope, 1, 1).await.expect("put");
    let pinned = scope.handle("service").pinned();
    B::put_by(&pinned, 2, 2).await.expect("put");
    assert_eq!(scope.generation(), 1);
    let error = scope.commit().await.expect_err("nothing begun");
    assert!(matches!(error, Error::NoTransaction { .. }), "{error}");
    assert!(!pinned.is_stale());
}
