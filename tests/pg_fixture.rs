//! Hazard: a test on PostgreSQL that is not isolated, or that one refused or abandoned statement spoils.

mod pg_support;

use std::pin::pin;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use pg_support::{Fresh, cut_off, own, policy, put, within};
use sqlx::Row;
use unstale::testing::{Fixture, FixtureError};
use unstale::{Error, PgSource, Scope};
use unstale_wire::trial;
use unstale_wire::trials;

fn main() -> ExitCode {
    trials::run([
        trial!(what_was_committed_survives_a_later_rollback_and_is_gone_after_the_test),
        trial!(refused_statement_outside_of_a_transaction_spoils_nothing),
        trial!(refused_statement_in_a_transaction_spoils_that_alone),
        trial!(call_cut_off_at_any_poll_leaves_the_test_isolated_and_usable),
        trial!(tidying_that_is_cut_off_too_is_done_by_whoever_comes_next),
        trial!(statement_cut_off_is_stopped_and_the_test_goes_on),
        trial!(statement_cut_off_while_it_is_sent_is_stopped_and_the_test_goes_on),
        trial!(statement_cut_off_at_the_end_of_the_test_is_stopped),
        trial!(scope_dropped_in_a_transaction_is_undone_before_the_next_turn),
        trial!(connection_that_dies_ends_the_test),
        trial!(tests_run_in_parallel_on_one_database, threads = 2),
    ])
}

async fn rows(scope: &Scope<PgSource>) -> Vec<i64> {
    let rows = sqlx::query("select k from kv order by k").fetch_all(scope).await.expect("rows");
    rows.iter().map(|row| row.get(0)).collect()
}

/// How long a statement takes that nobody waits for.
const SLOW: &str = "select pg_sleep(20)";

async fn what_was_committed_survives_a_later_rollback_and_is_gone_after_the_test() {
    let fresh = Fresh::new().await;
    let test = Fixture::begin(&fresh.sessions).await.expect("a test");
    let scope = test.sessions().scope("request");
    scope.begin().await.expect("begin");
    put(&scope, 1, 1).await.expect("put");
    scope.begin().await.expect("savepoint");
    put(&scope, 2, 2).await.expect("put");
    scope.rollback().await.expect("to the savepoint");
    scope.commit().await.expect("commit");
    scope.begin().await.expect("begin");
    put(&scope, 3, 3).await.expect("put");
    scope.rollback().await.expect("rollback");
    put(&scope, 4, 4).await.expect("in autocommit");
    scope.end().await.expect("end");
    let look = test.sessions().scope("look");
    assert_eq!(rows(&look).await, [1, 4]);
    look.end().await.expect("end");
    assert_eq!(fresh.rows().await, [], "seen from outside");
    test.end().await.expect("isolated");
    assert_eq!(fresh.rows().await, []);
    assert_eq!((fresh.sessions.health().usage.in_use, fresh.sessions.health().usage.size), (0, 1));
}

async fn refused_statement_outside_of_a_transaction_spoils_nothing() {
    let fresh = Fresh::new().await;
    let test = Fixture::begin(&fresh.sessions).await.expect("a test");
    let scope = test.sessions().scope("request");
    put(&scope, 1, 1).await.expect("put");
    put(&scope, 1, 2).await.expect_err("a clash");
    sqlx::query("select nonsense").execute(&scope).await.expect_err("nonsense");
    put(&scope, 2, 2).await.expect("put");
    assert_eq!(rows(&scope).await, [1, 2]);
    drop(scope);
    test.end().await.expect("isolated");
}

async fn refused_statement_in_a_transaction_spoils_that_alone() {
    let fresh = Fresh::new().await;
    let test = Fixture::begin(&fresh.sessions).await.expect("a test");
    let scope = test.sessions().scope("request");
    put(&scope, 1, 1).await.expect("put");
    for ends in 0..3 {
        scope.begin().await.expect("begin");
        put(&scope, 2, 2).await.expect("put");
        put(&scope, 1, 2).await.expect_err("a clash");
        put(&scope, 3, 3).await.expect_err("the transaction is aborted, as it is outside of a test");
        match ends {
            0 => assert!(matches!(scope.commit().await, Err(Error::RolledBack { .. }))),
            1 => scope.rollback().await.expect("rolled back"),
            _ => continue,
        }
        assert_eq!(rows(&scope).await, [1]);
    }
    drop(scope);
    let look = test.sessions().scope("look");
    assert_eq!(rows(&look).await, [1]);
    drop(look);
    test.end().await.expect("isolated");
}

async fn call_cut_off_at_any_poll_leaves_the_test_isolated_and_usable() {
    let fresh = Fresh::new().await;
    for polls in 0..6 {
        for call in 0..5 {
            let test = Fixture::begin(&fresh.sessions).await.expect("a test");
            let (scope, other) = (test.sessions().scope("request"), test.sessions().scope("other"));
            put(&other, 1, 1).await.expect("put");
            if call > 1 {
                scope.begin().await.expect("begin");
            }
            match call {
                0 => drop(cut_off(polls, scope.begin()).await),
                1 | 2 => drop(cut_off(polls, put(&scope, 5, 5)).await),
                3 => drop(cut_off(polls, scope.commit()).await),
                _ => drop(cut_off(polls, scope.rollback()).await),
            }
            // Whatever it was, a rollback is right, and after it the connection is anybody's.
            match scope.rollback().await {
                Ok(()) | Err(Error::NoTransaction { .. } | Error::CommitUnknown { .. }) => {}
                Err(error) => panic!("call {call} after {polls} polls: {error}"),
            }
            put(&other, 2, 2).await.expect("the other's turn");
            other.begin().await.expect("begin");
            other.rollback().await.expect("rollback");
            let found = rows(&other).await;
            assert!(found == [1, 2] || call == 1 && found == [1, 2, 5], "call {call} after {polls} polls: {found:?}");
            tokio::time::timeout(Duration::from_secs(1), scope.end()).await.expect("in time").expect("end");
            drop(other);
            test.end().await.unwrap_or_else(|error| panic!("call {call} after {polls} polls: {error}"));
        }
    }
    assert_eq!(fresh.rows().await, []);
}

async fn tidying_that_is_cut_off_too_is_done_by_whoever_comes_next() {
    let fresh = Fresh::new().await;
    for (polls_of_end, polls) in (1..4).flat_map(|first| (1..16).map(move |second| (first, second))) {
        let test = Fixture::begin(&fresh.sessions).await.expect("a test");
        let (first, second, third) =
            (test.sessions().scope("first"), test.sessions().scope("second"), test.sessions().scope("third"));
        first.begin().await.expect("begin");
        cut_off(polls_of_end, first.rollback()).await;
        drop(first);
        // A poll may come before the answer to what the last one sent.
        let slowly = async {
            let mut begin = pin!(second.begin());
            for _ in 0..polls {
                tokio::time::sleep(Duration::from_millis(1)).await;
                if tokio::time::timeout(Duration::ZERO, begin.as_mut()).await.is_ok() {
                    break;
                }
            }
        };
        slowly.await;
        drop(second);
        let name = format!("cut off after {polls_of_end} and {polls} polls");
        third.begin().await.unwrap_or_else(|error| panic!("{name}: {error}"));
        put(&third, 1, 1).await.unwrap_or_else(|error| panic!("{name}: {error}"));
        third.rollback().await.unwrap_or_else(|error| panic!("{name}: {error}"));
        drop(third);
        test.end().await.unwrap_or_else(|error| panic!("{name}: {error}"));
    }
}

/// Runs a statement until the server is at it, and drops it.
async fn abandon(fresh: &Fresh, scope: &Scope<PgSource>) {
    let at_it = within(Duration::from_secs(5), "a statement that runs", async || {
        fresh.backends().await.iter().any(|(_, it)| it == &format!("active {SLOW}"))
    });
    tokio::select! {
        _ = sqlx::query(SLOW).execute(scope) => panic!("it takes 20 s"),
        () = at_it => {}
    }
}

async fn statement_cut_off_is_stopped_and_the_test_goes_on() {
    let fresh = Fresh::new().await;
    let test = Fixture::begin(&fresh.sessions).await.expect("a test");
    let (scope, other) = (test.sessions().scope("request"), test.sessions().scope("other"));
    put(&scope, 1, 1).await.expect("put");
    let began = Instant::now();
    abandon(&fresh, &scope).await;
    put(&other, 2, 2).await.expect("another's turn");

    scope.begin().await.expect("begin");
    put(&scope, 3, 3).await.expect("put");
    abandon(&fresh, &scope).await;
    assert!(own(put(&scope, 4, 4).await).contains("was lost"), "as outside of a test");
    scope.rollback().await.expect("acknowledged");
    put(&scope, 5, 5).await.expect("put");

    scope.begin().await.expect("begin");
    abandon(&fresh, &scope).await;
    drop(scope);
    assert_eq!(rows(&other).await, [1, 2, 5]);
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    drop(other);
    test.end().await.expect("isolated");
    assert_eq!(fresh.rows().await, []);
}

async fn statement_cut_off_while_it_is_sent_is_stopped_and_the_test_goes_on() {
    let fresh = Fresh::new().await;
    let test = Fixture::begin(&fresh.sessions).await.expect("a test");
    let (scope, other) = (test.sessions().scope("request"), test.sessions().scope("other"));
    let long = "x".repeat(8_000_000);
    let statement = "select pg_sleep(case when length($1) > 5 then 20 else 0 end)";
    sqlx::query(statement).bind("x").execute(&scope).await.expect("prepared");
    for polls in 1..8 {
        let slow = sqlx::query(statement).bind(&long).execute(&scope);
        // In the middle of sending it, or while it sleeps.
        let cut = tokio::time::timeout(Duration::from_millis(100), cut_off(polls, slow)).await;
        assert!(!matches!(cut, Ok(Some(_))), "it takes 20 s");
        put(&other, polls.into(), 2).await.expect("another's turn");
    }
    drop((scope, other));
    test.end().await.expect("isolated");
}

async fn statement_cut_off_at_the_end_of_the_test_is_stopped() {
    let fresh = Fresh::new().await;
    let test = Fixture::begin(&fresh.sessions).await.expect("a test");
    let scope = test.sessions().scope("request");
    abandon(&fresh, &scope).await;
    drop(scope);
    let began = Instant::now();
    test.end().await.expect("isolated");
    assert!(began.elapsed() < Duration::from_secs(5));
}

async fn scope_dropped_in_a_transaction_is_undone_before_the_next_turn() {
    let fresh = Fresh::new().await;
    let test = Fixture::begin(&fresh.sessions).await.expect("a test");
    let scope = test.sessions().scope("forgets");
    scope.begin().await.expect("begin");
    put(&scope, 1, 1).await.expect("put");
    put(&scope, 1, 1).await.expect_err("a clash");
    drop(scope);
    let look = test.sessions().scope("look");
    assert_eq!(rows(&look).await, [] as [i64; 0]);
    drop(look);
    test.end().await.expect("isolated");
}

async fn connection_that_dies_ends_the_test() {
    let fresh = Fresh::new().await;
    let test = Fixture::begin(&fresh.sessions).await.expect("a test");
    let scope = test.sessions().scope("request");
    put(&scope, 1, 1).await.expect("put");
    fresh.terminate_all().await;
    put(&scope, 2, 2).await.expect_err("terminated");
    assert!(own(put(&scope, 3, 3).await).contains("isolation"));
    drop(scope);
    assert!(matches!(test.end().await, Err(FixtureError::IsolationLost { .. })));
    assert_eq!(fresh.rows().await, []);
}

async fn tests_run_in_parallel_on_one_database() {
    let mut policy = policy();
    policy.sessions_max = 8;
    let fresh = Fresh::with(policy).await;
    let tests = (0..24).map(|k| {
        let sessions = fresh.sessions.clone();
        tokio::spawn(async move {
            let test = Fixture::begin(&sessions).await.expect("a test");
            let scope = test.sessions().scope("request");
            put(&scope, k, 0).await.expect("put");
            scope.begin().await.expect("begin");
            put(&scope, k + 100, 0).await.expect("put");
            scope.commit().await.expect("commit");
            assert_eq!(rows(&scope).await, [k, k + 100]);
            drop(scope);
            test.end().await.expect("isolated");
        })
    });
    for test in tests.collect::<Vec<_>>() {
        test.await.expect("a test");
    }
    assert_eq!(fresh.rows().await, []);
    assert_eq!(fresh.sessions.health().usage.in_use, 0);
}
