//! Hazard: a call on PostgreSQL is cancelled, and what it asked for goes on at the server.

use std::time::{Duration, Instant};

use unstale::{Error, Policy};
use unstale_wire::trials::Trial;

use crate::bed::{Fresh, SOON, cancel_after, own, pid, policy, put, within};
use crate::tests;

/// How long a statement takes that nobody waits for.
const SLEEP: &str = "select pg_sleep(30)";

/// Less than it sleeps by far, and more than anything takes on a busy machine.
const AT_ONCE: Duration = Duration::from_secs(5);

pub(crate) fn trials() -> Vec<Trial> {
    tests![
        next_use_does_not_wait_for_a_statement_that_was_cancelled,
        statement_that_was_cancelled_is_stopped_with_its_scope_still_open,
        several_that_are_cancelled_are_stopped_together,
        statement_of_a_runtime_that_has_ended_is_stopped_from_the_next,
        nothing_is_stopped_where_that_is_switched_off,
        cancelled_statement_in_a_transaction_loses_it,
        rollback_cancelled_at_any_poll_keeps_nothing,
        statement_cancelled_at_any_poll_in_a_transaction_is_never_kept_without_it,
        row_stream_that_is_dropped_gives_its_connection_up,
    ]
}

fn one() -> Policy {
    let mut policy = policy();
    policy.sessions_max = 1;
    policy
}

async fn next_use_does_not_wait_for_a_statement_that_was_cancelled() {
    let fresh = Fresh::with(one()).await;
    let scope = fresh.sessions.scope("cancelled");
    fresh.cancel_asleep(sqlx::query(SLEEP).execute(&scope)).await;
    drop(scope);
    let began = Instant::now();
    let scope = fresh.sessions.scope("next");
    pid(&scope).await.expect("an answer");
    assert!(began.elapsed() < AT_ONCE, "{:?}", began.elapsed());
    scope.end().await.expect("end");
    within(SOON, "the sleeper to go", async || !fresh.backends().await.iter().any(|it| it.1.contains("pg_sleep")))
        .await;
    let usage = fresh.sessions.health().usage;
    assert_eq!((usage.size, usage.in_use), (1, 0));
}

async fn statement_that_was_cancelled_is_stopped_with_its_scope_still_open() {
    let fresh = Fresh::with(one()).await;
    let scope = fresh.sessions.scope("cancelled");
    fresh.cancel_asleep(sqlx::query(SLEEP).execute(&scope)).await;
    within(SOON, "the sleeper to go", async || fresh.pids().await.is_empty()).await;
    put(&scope, 1, 1).await.expect("on a fresh session");
    assert_eq!(scope.generation(), 2);
}

async fn several_that_are_cancelled_are_stopped_together() {
    let fresh = Fresh::new().await;
    let healthy = fresh.sessions.scope("healthy");
    let kept = pid(&healthy).await.expect("a pid");
    let scopes = [fresh.sessions.scope("one"), fresh.sessions.scope("two")];
    let sleep = |scope| sqlx::query(SLEEP).execute(scope);
    tokio::select! {
        _ = sleep(&scopes[0]) => panic!("it sleeps for longer"),
        _ = sleep(&scopes[1]) => panic!("it sleeps for longer"),
        () = fresh.asleep(2) => {}
    }
    within(SOON, "both to go", async || fresh.pids().await == [kept]).await;
    assert_eq!(pid(&healthy).await.expect("nobody else is stopped"), kept);
}

async fn statement_of_a_runtime_that_has_ended_is_stopped_from_the_next() {
    let mut policy = one();
    policy.stop_after = Duration::from_millis(200);
    let fresh = Fresh::with(policy).await;
    let sessions = fresh.sessions.clone();
    let (asleep, is_asleep) = tokio::sync::oneshot::channel::<()>();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = runtime.expect("a runtime");
    let task = runtime.spawn(async move {
        let scope = sessions.scope("cancelled");
        tokio::select! {
            _ = sqlx::query(SLEEP).execute(&scope) => panic!("it sleeps for longer"),
            _ = is_asleep => {}
        }
    });
    fresh.asleep(1).await;
    asleep.send(()).expect("it waits");
    task.await.expect("it has cancelled");
    // Before anybody was told.
    runtime.shutdown_background();
    within(SOON, "the sleeper to go", async || {
        pid(&fresh.sessions.scope("next")).await.expect("an answer");
        !fresh.backends().await.iter().any(|it| it.1.contains("pg_sleep"))
    })
    .await;
}

async fn nothing_is_stopped_where_that_is_switched_off() {
    let mut policy = one();
    policy.stop_timeout = Duration::ZERO;
    let fresh = Fresh::with(policy).await;
    let scope = fresh.sessions.scope("cancelled");
    fresh.cancel_asleep(sqlx::query(SLEEP).execute(&scope)).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(fresh.backends().await.iter().any(|it| it.1.contains("pg_sleep")));
    fresh.terminate_all().await;
}

async fn cancelled_statement_in_a_transaction_loses_it() {
    let fresh = Fresh::with(one()).await;
    let scope = fresh.sessions.scope("request");
    scope.begin().await.expect("begin");
    put(&scope, 1, 1).await.expect("put");
    fresh.cancel_asleep(sqlx::query(SLEEP).execute(&scope)).await;
    assert!(own(put(&scope, 2, 2).await).contains("was lost"));
    scope.rollback().await.expect("acknowledged");
    put(&scope, 3, 3).await.expect("put");
    assert_eq!(fresh.rows().await, [(3, 3)]);
}

/// The most polls that a call is let go on for; it is done in two or three.
const POLLS: u32 = 8;

async fn rollback_cancelled_at_any_poll_keeps_nothing() {
    let fresh = Fresh::with(one()).await;
    for polls in 0..POLLS {
        let scope = fresh.sessions.scope("cancelled");
        scope.begin().await.expect("begin");
        put(&scope, 1, 1).await.expect("put");
        let done = cancel_after(polls, scope.rollback()).await;
        if done.is_none() && polls > 0 {
            assert!(own(put(&scope, 2, 2).await).contains("was lost"), "until it was answered, it is there");
        }
        if done.is_none() {
            scope.rollback().await.expect("rollback");
        }
        assert_eq!(fresh.rows().await, [], "{polls}");
    }
}

async fn statement_cancelled_at_any_poll_in_a_transaction_is_never_kept_without_it() {
    let fresh = Fresh::with(one()).await;
    for polls in 0..POLLS {
        let k = i64::from(polls) * 10;
        let scope = fresh.sessions.scope("cancelled");
        scope.begin().await.expect("begin");
        put(&scope, k, 1).await.expect("put");
        let done = cancel_after(polls, put(&scope, k + 1, 1)).await;
        let committed = scope.commit().await;
        let expected = match (&done, &committed) {
            (Some(Ok(())), Ok(())) => 2,
            (None, Ok(())) if polls == 0 => 1,
            (None, Err(Error::TransactionLost { .. })) => 0,
            other => panic!("after {polls} polls {other:?}"),
        };
        let kept = fresh.rows().await.iter().filter(|it| it.0 / 10 == k / 10).count();
        assert_eq!(kept, expected, "{polls}");
    }
}

async fn row_stream_that_is_dropped_gives_its_connection_up() {
    use futures_util::StreamExt;
    let fresh = Fresh::with(one()).await;
    let scope = fresh.sessions.scope("reader");
    {
        let mut rows = sqlx::query("select * from generate_series(1, 1000000)").fetch(&scope);
        rows.next().await.expect("an item").expect("a row");
    }
    let began = Instant::now();
    pid(&scope).await.expect("on a fresh one");
    assert!(began.elapsed() < AT_ONCE);
    assert_eq!(scope.generation(), 2);
}
