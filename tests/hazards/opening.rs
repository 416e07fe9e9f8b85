//! Hazard: a policy that cannot be used, sessions that are used up or closed.

use std::time::Duration;

use unstale::{Error, Policy};

use super::bed::{Bed, only_one};

pub(crate) async fn policy_that_contradicts_itself_is_refused<B: Bed>() {
    let mut policy = Policy::default();
    policy.sessions_max = 0;
    let error = B::refusal(policy).await;
    assert!(error.to_string().contains("sessions_max is 0"), "{error}");
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
