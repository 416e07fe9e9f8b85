//! Hazard: a call on PostgreSQL is cut off, and what it asked for goes on at the server.

mod pg_support;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use pg_support::{Fresh, cut_off, own, pid, policy, put, within};
use unstale::{Error, PgSource, Policy, Scope};
use unstale_wire::trial;
use unstale_wire::trials;

const SOON: Duration = Duration::from_secs(5);

fn main() -> ExitCode {
    trials::run([
        trial!(next_use_does_not_wait_for_a_statement_that_was_cut_off),
        trial!(statement_that_was_cut_off_is_stopped_with_its_scope_still_open),
        trial!(several_that_are_cut_off_are_stopped_together),
        trial!(nothing_is_stopped_where_that_is_switched_off),
        trial!(cancelled_statement_in_a_transaction_loses_it),
        trial!(begin_cut_off_at_any_poll_leaves_nothing_open),
        trial!(commit_cut_off_at_any_poll_is_done_or_not_and_never_half),
        trial!(rollback_cut_off_at_any_poll_keeps_nothing),
        trial!(statement_cut_off_at_any_poll_in_a_transaction_is_never_kept_without_it),
        trial!(row_stream_that_is_dropped_gives_its_connection_up),
    ])
}

fn one() -> Policy {
    let mut policy = policy();
    policy.sessions_max = 1;
    policy
}

async fn sleep(scope: &Scope<PgSource>, limit: Duration) {
    let asleep = sqlx::query("select pg_sleep(20)").execute(scope);
    tokio::time::timeout(limit, asleep).await.expect_err("it sleeps for longer");
}

async fn next_use_does_not_wait_for_a_statement_that_was_cut_off() {
    let fresh = Fresh::with(one()).await;
    let scope = fresh.sessions.scope("cut off");
    sleep(&scope, Duration::from_millis(20)).await;
    drop(scope);
    let began = Instant::now();
    let scope = fresh.sessions.scope("next");
    pid(&scope).await.expect("an answer");
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    scope.end().await.expect("end");
    within(SOON, "the sleeper to go", async || !fresh.backends().await.iter().any(|it| it.1.contains("pg_sleep")))
        .await;
    let usage = fresh.sessions.health().usage;
    assert_eq!((usage.size, usage.in_use), (1, 0));
}

async fn statement_that_was_cut_off_is_stopped_with_its_scope_still_open() {
    let fresh = Fresh::with(one()).await;
    let scope = fresh.sessions.scope("cut off");
    sleep(&scope, Duration::from_millis(20)).await;
    within(SOON, "the sleeper to go", async || fresh.pids().await.is_empty()).await;
    put(&scope, 1, 1).await.expect("on a fresh session");
    assert_eq!(scope.generation(), 2);
}

async fn several_that_are_cut_off_are_stopped_together() {
    let fresh = Fresh::new().await;
    let healthy = fresh.sessions.scope("healthy");
    let kept = pid(&healthy).await.expect("a pid");
    let scopes = [fresh.sessions.scope("one"), fresh.sessions.scope("two")];
    tokio::join!(sleep(&scopes[0], Duration::from_millis(20)), sleep(&scopes[1], Duration::from_millis(20)));
    within(SOON, "both to go", async || fresh.pids().await == [kept]).await;
    assert_eq!(pid(&healthy).await.expect("nobody else is stopped"), kept);
}

async fn nothing_is_stopped_where_that_is_switched_off() {
    let mut policy = one();
    policy.stop_timeout = Duration::ZERO;
    let fresh = Fresh::with(policy).await;
    let scope = fresh.sessions.scope("cut off");
    sleep(&scope, Duration::from_millis(20)).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(fresh.backends().await.iter().any(|it| it.1.contains("pg_sleep")));
    fresh.terminate_all().await;
}

async fn cancelled_statement_in_a_transaction_loses_it() {
    let fresh = Fresh::with(one()).await;
    let scope = fresh.sessions.scope("request");
    scope.begin().await.expect("begin");
    put(&scope, 1, 1).await.expect("put");
    sleep(&scope, Duration::from_millis(20)).await;
    assert!(own(put(&scope, 2, 2).await).contains("was lost"));
    scope.rollback().await.expect("acknowledged");
    put(&scope, 3, 3).await.expect("put");
    assert_eq!(fresh.rows().await, [(3, 3)]);
}

/// The most polls that a call is let go on for; it is done in two or three.
const POLLS: u32 = 8;

async fn begin_cut_off_at_any_poll_leaves_nothing_open() {
    let fresh = Fresh::with(one()).await;
    for polls in 0..POLLS {
        let scope = fresh.sessions.scope("cut off");
        let done = cut_off(polls, scope.begin()).await;
        if done.is_none() {
            put(&scope, i64::from(polls), 1).await.expect("in autocommit");
            assert!(fresh.rows().await.contains(&(i64::from(polls), 1)), "{polls}");
        }
        drop(scope);
        let next = fresh.sessions.scope("next");
        put(&next, 100 + i64::from(polls), 1).await.expect("in autocommit");
        assert!(fresh.rows().await.contains(&(100 + i64::from(polls), 1)), "{polls}");
    }
}

async fn commit_cut_off_at_any_poll_is_done_or_not_and_never_half() {
    let fresh = Fresh::with(one()).await;
    for polls in 0..POLLS {
        let k = i64::from(polls) * 10;
        let scope = fresh.sessions.scope("cut off");
        scope.begin().await.expect("begin");
        put(&scope, k, 1).await.expect("put");
        put(&scope, k + 1, 1).await.expect("put");
        let done = cut_off(polls, scope.commit()).await;
        if done.is_none() {
            match scope.rollback().await {
                Ok(()) if polls == 0 => {}
                Err(Error::CommitUnknown { .. }) if polls > 0 => {}
                other => panic!("after {polls} polls {other:?}"),
            }
        }
        drop(scope);
        // What was sent may still be on its way.
        tokio::time::sleep(Duration::from_millis(20)).await;
        let kept = fresh.rows().await.iter().filter(|it| it.0 / 10 == k / 10).count();
        assert!(kept == 0 || kept == 2, "{polls}: {kept}");
        assert!(done.is_none() || kept == 2);
        put(&fresh.sessions.scope("next"), k + 2, 1).await.expect("in autocommit");
        assert!(fresh.rows().await.contains(&(k + 2, 1)));
    }
}

async fn rollback_cut_off_at_any_poll_keeps_nothing() {
    let fresh = Fresh::with(one()).await;
    for polls in 0..POLLS {
        let scope = fresh.sessions.scope("cut off");
        scope.begin().await.expect("begin");
        put(&scope, 1, 1).await.expect("put");
        let done = cut_off(polls, scope.rollback()).await;
        if done.is_none() && polls > 0 {
            assert!(own(put(&scope, 2, 2).await).contains("was lost"), "until it was answered, it is there");
        }
        if done.is_none() {
            scope.rollback().await.expect("rollback");
        }
        assert_eq!(fresh.rows().await, [], "{polls}");
    }
}

async fn statement_cut_off_at_any_poll_in_a_transaction_is_never_kept_without_it() {
    let fresh = Fresh::with(one()).await;
    for polls in 0..POLLS {
        let k = i64::from(polls) * 10;
        let scope = fresh.sessions.scope("cut off");
        scope.begin().await.expect("begin");
        put(&scope, k, 1).await.expect("put");
        let done = cut_off(polls, put(&scope, k + 1, 1)).await;
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
    assert!(began.elapsed() < Duration::from_secs(1));
    assert_eq!(scope.generation(), 2);
}
