//! Hazard: a test that is not isolated, or whose commits are faked.

mod support;

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::FutureExt;
use sqlx::Row;
use support::{Fresh, cut_off, own, policy, put};
use unstale::registry::{Dep, Registry};
use unstale::testing::{Fixture, FixtureError, Template};
use unstale::{Error, Scope, Sessions, SqliteSource};

static TEMPLATE: Template = Template::new("create table kv (k integer primary key, v integer not null)");

async fn rows(scope: &Scope<SqliteSource>) -> Vec<i64> {
    let rows = sqlx::query("select k from kv order by k").fetch_all(scope).await.expect("rows");
    rows.iter().map(|row| row.get(0)).collect()
}

#[tokio::test]
async fn what_was_committed_survives_a_later_rollback_and_is_gone_after_the_test() {
    let fresh = Fresh::new().await;
    let test = Fixture::begin(&fresh.sessions).await.expect("a test");
    let scope = test.sessions().scope("request");
    scope.begin().await.expect("begin");
    put(&scope, 1, 1).await.expect("put");
    scope.commit().await.expect("commit");
    scope.begin().await.expect("begin");
    put(&scope, 2, 2).await.expect("put");
    scope.rollback().await.expect("rollback");
    scope.end().await.expect("end");
    let look = test.sessions().scope("look");
    assert_eq!(rows(&look).await, [1]);
    look.end().await.expect("end");
    assert_eq!(fresh.rows().await, [], "seen from outside");
    test.end().await.expect("isolated");
    assert_eq!(fresh.rows().await, []);
    assert_eq!(fresh.sessions.health().usage.in_use, 0);
}

#[tokio::test]
async fn what_was_committed_survives_a_call_that_is_cut_off_after_it() {
    let test = TEMPLATE.fixture().await.expect("a test");
    let (scope, other) = (test.sessions().scope("request"), test.sessions().scope("other"));
    scope.begin().await.expect("begin");
    put(&scope, 1, 1).await.expect("put");
    scope.commit().await.expect("commit");
    assert!(cut_off(1, put(&other, 2, 2)).await.is_none(), "it has to wait");
    assert!(rows(&scope).await.contains(&1));
    drop((scope, other));
    test.end().await.expect("isolated");
}

#[tokio::test]
async fn operation_that_is_left_lets_others_have_their_turn() {
    let test = TEMPLATE.fixture().await.expect("a test");
    let (scope, other) = (test.sessions().scope("request"), test.sessions().scope("other"));
    let repository = unstale::Repository::new("Rows", scope.handle("Rows"));
    let work = repository.atomic("waits", |db| async move {
        put(&db, 1, 1).await?;
        std::future::pending::<sqlx::Result<()>>().await
    });
    tokio::time::timeout(Duration::from_millis(20), work).await.expect_err("it waits for ever");
    put(&other, 2, 2).await.expect("its turn came");
    repository.atomic("put", |db| async move { put(&db, 3, 3).await }).await.expect("put");
    assert_eq!(rows(&other).await, [2, 3]);
    drop((repository, scope, other));
    test.end().await.expect("isolated");
}

#[tokio::test]
async fn savepoints_of_the_application_nest_inside_its_joined_transaction() {
    let test = TEMPLATE.fixture().await.expect("a test");
    let scope = test.sessions().scope("request");
    scope.begin().await.expect("begin");
    put(&scope, 1, 1).await.expect("put");
    scope.begin().await.expect("savepoint");
    put(&scope, 2, 2).await.expect("put");
    scope.rollback().await.expect("rollback to");
    scope.commit().await.expect("commit");
    assert_eq!(rows(&scope).await, [1]);
    drop(scope);
    test.end().await.expect("isolated");
}

#[tokio::test]
async fn open_scopes_take_turns() {
    let test = TEMPLATE.fixture().await.expect("a test");
    let sessions = test.sessions();
    let (one, two) = (sessions.scope("one"), sessions.scope("two"));
    put(&one, 1, 1).await.expect("put");
    put(&two, 2, 2).await.expect("put");
    one.begin().await.expect("begin");
    put(&one, 3, 3).await.expect("put");
    let waits = async {
        two.begin().await.expect("its turn");
        put(&two, 4, 4).await.expect("put");
        two.rollback().await.expect("rollback");
    };
    let ends = async {
        tokio::task::yield_now().await;
        one.commit().await.expect("commit");
    };
    tokio::join!(waits, ends);
    assert_eq!(rows(&one).await, [1, 2, 3]);
    drop((one, two));
    test.end().await.expect("isolated");
}

#[tokio::test]
async fn a_wait_that_takes_too_long_names_the_holder() {
    let sessions = TEMPLATE.database(policy()).await.expect("a database");
    let test = Fixture::begin(&sessions).await.expect("a test");
    let request = test.sessions().scope("request 17");
    request.begin().await.expect("begin");
    let look = test.sessions().scope("look");
    let message = own(put(&look, 1, 1).await);
    for part in
        ["scope `look`", "`request 17`", "tests/fixture.rs", "since its `begin`", "same task", "end that transaction"]
    {
        assert!(message.contains(part), "`{part}` in: {message}");
    }
    request.rollback().await.expect("rollback");
    put(&look, 1, 1).await.expect("its turn");
    drop((look, request));
    test.end().await.expect("isolated");
}

#[tokio::test]
async fn a_scope_dropped_in_a_transaction_is_undone_before_the_next_turn() {
    let test = TEMPLATE.fixture().await.expect("a test");
    let scope = test.sessions().scope("forgets");
    scope.begin().await.expect("begin");
    put(&scope, 1, 1).await.expect("put");
    drop(scope);
    let look = test.sessions().scope("look");
    assert_eq!(rows(&look).await, [] as [i64; 0]);
    drop(look);
    test.end().await.expect("isolated");
}

#[tokio::test]
async fn a_statement_that_ends_the_tests_transaction_is_told_at_once_and_at_the_end() {
    let fresh = Fresh::new().await;
    let test = Fixture::begin(&fresh.sessions).await.expect("a test");
    let scope = test.sessions().scope("request");
    scope.begin().await.expect("begin");
    put(&scope, 1, 1).await.expect("put");
    let clash = sqlx::query("insert or rollback into kv values (1, 2)").execute(&scope).await;
    assert!(own(clash).contains("was lost"));
    scope.rollback().await.expect("acknowledged");
    let message = own(put(&scope, 2, 2).await);
    assert!(message.contains("isolation") && message.contains("`request`"), "{message}");
    drop(scope);
    let error = test.end().await.expect_err("not isolated").to_string();
    assert!(error.contains("tests/fixture.rs") && error.contains("ended the test's own transaction"), "{error}");
    assert_eq!(fresh.rows().await, []);
}

#[tokio::test]
async fn after_an_autocommit_statement_ended_the_tests_transaction_nothing_is_really_committed() {
    let fresh = Fresh::new().await;
    let test = Fixture::begin(&fresh.sessions).await.expect("a test");
    let (scope, other) = (test.sessions().scope("request"), test.sessions().scope("other"));
    put(&scope, 1, 1).await.expect("put");
    sqlx::query("insert or rollback into kv values (1, 2)").execute(&scope).await.expect_err("a clash");
    assert!(matches!(other.begin().await, Err(Error::IsolationLost { .. })));
    drop((scope, other));
    assert!(matches!(test.end().await, Err(FixtureError::IsolationLost { .. })));
    assert_eq!(fresh.rows().await, []);
}

#[tokio::test]
async fn after_a_cut_off_statement_ended_the_tests_transaction_nothing_is_really_committed() {
    let fresh = Fresh::new().await;
    let test = Fixture::begin(&fresh.sessions).await.expect("a test");
    let (scope, other) = (test.sessions().scope("request"), test.sessions().scope("other"));
    put(&scope, 1, 1).await.expect("put");
    let clash = sqlx::query("insert or rollback into kv values (1, 2)").execute(&scope);
    assert!(cut_off(1, clash).await.is_none(), "it has to wait");
    assert!(matches!(other.begin().await, Err(Error::IsolationLost { .. })));
    drop((scope, other));
    assert!(matches!(test.end().await, Err(FixtureError::IsolationLost { .. })));
    assert_eq!(fresh.rows().await, []);
}

#[tokio::test]
async fn a_fixture_dropped_after_its_isolation_was_lost_panics() {
    let test = TEMPLATE.fixture().await.expect("a test");
    let scope = test.sessions().scope("request");
    scope.begin().await.expect("begin");
    put(&scope, 1, 1).await.expect("put");
    sqlx::query("insert or rollback into kv values (1, 2)").execute(&scope).await.expect_err("a clash");
    drop(scope);
    let panic = std::panic::catch_unwind(AssertUnwindSafe(|| drop(test))).expect_err("a panic");
    assert!(panic.downcast_ref::<String>().is_some_and(|it| it.contains("was not isolated")));
}

#[tokio::test]
async fn a_scope_that_is_open_at_the_end_is_named() {
    let test = TEMPLATE.fixture().await.expect("a test");
    let scope = test.sessions().scope("never ended");
    put(&scope, 1, 1).await.expect("put");
    let error = test.end().await.expect_err("still open").to_string();
    assert!(error.contains("`never ended`") && error.contains("tests/fixture.rs"), "{error}");
    assert!(own(put(&scope, 2, 2).await).contains("it has ended"));
    let begun = scope.begin().await;
    assert!(matches!(begun, Err(Error::IsolationLost { .. })), "{begun:?}");
}

/// A service that opens scopes itself, as singletons have to.
struct Jobs {
    sessions: Dep<Sessions<SqliteSource>>,
}

fn registry(sessions: Sessions<SqliteSource>) -> Registry<SqliteSource> {
    let mut services = Registry::builder();
    services.instance(sessions);
    services.singleton(|sessions: Dep<Sessions<SqliteSource>>| Jobs { sessions });
    services.build().expect("services")
}

async fn run_job(registry: &Registry<SqliteSource>, k: i64) {
    let jobs = registry.resolve::<Jobs>().await.expect("jobs");
    let scope = jobs.sessions.scope("job");
    put(&scope, k, 0).await.expect("put");
}

#[tokio::test]
async fn a_registry_that_joined_a_test_has_its_own_sessions_again_after_a_panic() {
    let fresh = Fresh::new().await;
    let registry = registry(fresh.sessions.clone());
    run_job(&registry, 1).await;
    let panics = AssertUnwindSafe(async {
        let test = Fixture::begin(&fresh.sessions).await.expect("a test");
        test.join(&registry).expect("joined");
        run_job(&registry, 2).await;
        panic!("the test fails");
    });
    panics.catch_unwind().await.expect_err("a panic");
    run_job(&registry, 3).await;
    assert_eq!(fresh.rows().await, [(1, 0), (3, 0)]);
}

#[tokio::test]
async fn a_registry_takes_part_in_one_test_at_a_time() {
    let sessions = TEMPLATE.database(policy()).await.expect("a database");
    let registry = registry(sessions);
    let (one, two) = (TEMPLATE.fixture().await.expect("a test"), TEMPLATE.fixture().await.expect("a test"));
    let before = registry.fork();
    one.join(&registry).expect("joined");
    let error = two.join(&registry).expect_err("in use").to_string();
    assert!(error.contains("tests/fixture.rs") && error.contains("fork()"), "{error}");
    two.join(&before).expect("a fork is another one");
    assert!(
        matches!(two.join(&registry.fork()), Err(FixtureError::RegistryInUse { .. })),
        "made inside the first test"
    );
    one.end().await.expect("isolated");
    two.join(&registry).expect("free again");
    two.end().await.expect("isolated");
    let empty = Registry::<SqliteSource>::builder().build().expect("no services");
    let three = TEMPLATE.fixture().await.expect("a test");
    assert!(three.join(&empty).expect_err("no sessions").to_string().contains("instance(sessions)"));
}

#[tokio::test(flavor = "multi_thread")]
async fn many_tests_at_once_do_not_see_each_other() {
    let tests = (0..32).map(|k| {
        tokio::spawn(async move {
            let test = TEMPLATE.fixture().await.expect("a test");
            let scope = test.sessions().scope("request");
            put(&scope, k, 0).await.expect("put");
            assert_eq!(rows(&scope).await, [k]);
            drop(scope);
            test.end().await.expect("isolated");
        })
    });
    for test in tests.collect::<Vec<_>>() {
        test.await.expect("a test");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tests_on_one_file_wait_for_each_other() {
    let fresh = Fresh::new().await;
    let tests = (0..3).map(|_| {
        let sessions = fresh.sessions.clone();
        tokio::spawn(async move {
            let test = Fixture::begin(&sessions).await.expect("a test");
            let scope = test.sessions().scope("request");
            put(&scope, 1, 0).await.expect("put: nobody else's row is there");
            drop(scope);
            test.end().await.expect("isolated");
        })
    });
    for test in tests.collect::<Vec<_>>() {
        test.await.expect("a test");
    }
    assert_eq!(fresh.rows().await, []);
}

#[tokio::test]
async fn a_template_with_wrong_sql_says_what_is_wrong() {
    static WRONG: Template = Template::new("create table");
    let error = WRONG.fixture().await.expect_err("wrong").to_string();
    assert!(error.contains("incomplete input"), "{error}");
}

#[tokio::test]
async fn a_call_cut_off_at_any_poll_leaves_the_test_isolated_and_usable() {
    for polls in 0..6 {
        for call in 0..4 {
            let test = TEMPLATE.fixture().await.expect("a test");
            let (scope, other) = (test.sessions().scope("request"), test.sessions().scope("other"));
            if call > 0 {
                scope.begin().await.expect("begin");
            }
            match call {
                0 => drop(cut_off(polls, scope.begin()).await),
                1 => drop(cut_off(polls, put(&scope, 1, 1)).await),
                2 => drop(cut_off(polls, scope.commit()).await),
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
            assert_eq!(rows(&other).await, [2], "call {call} after {polls} polls");
            tokio::time::timeout(Duration::from_secs(1), scope.end()).await.expect("in time").expect("end");
            drop(other);
            test.end().await.unwrap_or_else(|error| panic!("call {call} after {polls} polls: {error}"));
        }
    }
}
