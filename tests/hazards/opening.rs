//! Hazard: a policy that cannot be used, sessions that are used up or closed.

use std::time::Duration;

use unstale::{Error, Policy};

use super::bed::{Bed, SOON, only_one, policy, within};

pub(crate) async fn policy_that_contradicts_itself_is_refused<B: Bed>() {
    let mut policy = Policy::default();
    policy.sessions_max = 0;
    let error = B::refusal(policy).await;
    assert!(error.to_string().contains("sessions_max is 0"), "{error}");
}

/// No limit is a limit of its own, and nothing is computed from it that could not be.
pub(crate) async fn limits_without_an_end_are_kept<B: Bed>() {
    let mut policy = Policy::default();
    for limit in [
        &mut policy.acquire_timeout,
        &mut policy.connect_timeout,
        &mut policy.probe_timeout,
        &mut policy.probe_idle_after,
        &mut policy.probe_writes_after,
        &mut policy.settle_timeout,
        &mut policy.begin_timeout,
        &mut policy.end_timeout,
        &mut policy.resolve_timeout,
        &mut policy.statement_timeout,
        &mut policy.release_timeout,
        &mut policy.queue_timeout,
        &mut policy.backoff_max,
        &mut policy.retry_for,
        &mut policy.lifetime_max,
        &mut policy.idle_max,
        &mut policy.leak_after,
        &mut policy.listener_limit,
        &mut policy.stop_after,
        &mut policy.stop_timeout,
    ] {
        *limit = Duration::MAX;
    }
    policy.lifetime_jitter = 0.0;
    let bed = B::with(policy).await;
    for key in [1, 2] {
        let scope = bed.sessions().open("request").await.expect("a connection");
        scope.begin().await.expect("begin");
        B::put(&scope, key, key).await.expect("put");
        scope.commit().await.expect("commit");
        scope.end().await.expect("it goes back, and is lent again");
    }
    assert_eq!(bed.rows().await, [(1, 1), (2, 2)]);
}

pub(crate) async fn idle_connections_are_closed_although_nobody_borrows_one<B: Bed>() {
    for [idle, life] in [[10, 1000], [1000, 10]] {
        let mut policy = policy();
        policy.idle_max = Duration::from_secs(idle);
        policy.lifetime_max = Duration::from_secs(life);
        policy.lifetime_jitter = 0.0;
        let bed = B::with(policy).await;
        let first = bed.sessions().open("first").await.expect("a connection");
        let second = bed.sessions().open("second").await.expect("a connection");
        second.end().await.expect("end");
        bring_forward(Duration::from_secs(5)).await;
        assert_eq!(bed.sessions().health().usage.size, 2, "not yet");
        bring_forward(Duration::from_secs(40)).await;
        within(SOON, "the idle one to be closed", async || bed.sessions().health().usage.size == 1).await;
        B::put(&first, 1, 1).await.expect("the one that is lent is not closed");
        first.end().await.expect("end");
        B::put(&bed.sessions().scope("third"), 2, 2).await.expect("another is opened");
    }
}

/// Brings the runtime's clock forward, by strides that let one timer begin after another has fired.
async fn bring_forward(time: Duration) {
    tokio::time::pause();
    for _ in 0..time.as_secs() {
        tokio::time::advance(Duration::from_secs(1)).await;
    }
    tokio::time::resume();
}

pub(crate) async fn exhausted_says_how_many_are_lent<B: Bed>() {
    let mut policy = only_one();
    policy.acquire_timeout = Duration::from_millis(500);
    policy.probe_timeout = Duration::from_millis(500);
    let bed = B::with(policy).await;
    let holder = bed.sessions().open("holder").await.expect("the only one");
    let error = bed.sessions().open("next").await.expect_err("none left");
    assert!(error.to_string().contains("1 of 1 are lent"), "{error}");
    drop(holder);
    drop(bed.sessions().open("next").await.expect("it is back"));
}

pub(crate) async fn drain_waits_for_scopes_and_names_who_stays<B: Bed>() {
    let bed = B::new().await;
    let scope = bed.sessions().scope("who stays");
    B::put(&scope, 1, 1).await.expect("put");
    let error = bed.sessions().drain(Duration::from_millis(5)).await.expect_err("one is open");
    assert!(error.to_string().contains("`who stays`") && error.to_string().contains(concat!(file!(), ":")), "{error}");
    B::put(&scope, 2, 2).await.expect("what is lent stays usable");
    let (drained, ended) = tokio::join!(bed.sessions().drain(Duration::from_secs(5)), scope.end());
    drained.expect("drained");
    ended.expect("ended");
    assert!(matches!(bed.sessions().open("late").await, Err(Error::Closed)));
}
