//! Hazard: a test that is not isolated, or whose commits are faked.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::sync::Notify;
use unstale::registry::{Dep, Registry};
use unstale::testing::{Fixture, FixtureError};
use unstale::{Error, Repository, Sessions};

use super::bed::{Bed, SOON, cancel_after, only_one, own, policy, under_way, within};

pub(crate) async fn what_was_committed_survives_a_later_rollback_and_is_gone_after_the_test<B: Bed>() {
    let bed = B::new().await;
    let test = Fixture::begin(bed.sessions()).await.expect("a test");
    let scope = test.sessions().scope("request");
    scope.begin().await.expect("begin");
    B::put(&scope, 1, 1).await.expect("put");
    scope.commit().await.expect("commit");
    scope.begin().await.expect("begin");
    B::put(&scope, 2, 2).await.expect("put");
    scope.rollback().await.expect("rollback");
    B::put(&scope, 4, 4).await.expect("in autocommit");
    scope.end().await.expect("end");
    let look = test.sessions().scope("look");
    assert_eq!(B::keys(&look).await, [1, 4]);
    look.end().await.expect("end");
    assert_eq!(bed.rows().await, [], "seen from outside");
    test.end().await.expect("isolated");
    assert_eq!(bed.rows().await, []);
    assert_eq!((bed.sessions().health().usage.in_use, bed.sessions().health().usage.size), (0, 1));
}

pub(crate) async fn savepoints_of_the_application_nest_inside_its_joined_transaction<B: Bed>() {
    let bed = B::new().await;
    let test = Fixture::begin(bed.sessions()).await.expect("a test");
    let scope = test.sessions().scope("request");
    scope.begin().await.expect("begin");
    B::put(&scope, 1, 1).await.expect("put");
    scope.begin().await.expect("savepoint");
    B::put(&scope, 2, 2).await.expect("put");
    scope.rollback().await.expect("rollback to");
    scope.commit().await.expect("commit");
    assert_eq!(B::keys(&scope).await, [1]);
    drop(scope);
    test.end().await.expect("isolated");
}

/// 1. One call has the test's connection, calls of another scope wait for their turn, and the test ends.
/// 2. The first call ends, so the turn is the next one's.
/// 3. Those that wait are dropped before they run on, while services keep their handles.
pub(crate) async fn call_that_outlives_its_test_keeps_no_connection<B: Bed>() {
    for waiting in 0..3 {
        let bed = B::with(only_one()).await;
        let test = Fixture::begin(bed.sessions()).await.expect("a test");
        let (scope, other) = (test.sessions().scope("request"), test.sessions().scope("other"));
        let (kept, others) = (scope.handle("service"), other.handle("service"));
        let first = under_way((1..).map(|k| B::put_by(&kept, k, 1)));
        let mut later: Vec<_> = (0..waiting).map(|k| Box::pin(B::put_by(&others, -k, 1))).collect();
        for call in &mut later {
            assert!(call.now_or_never().is_none(), "it waits for its turn");
        }
        assert!(matches!(test.end().await, Err(FixtureError::IsolationLost { .. })));
        drop((scope, other));
        drop(first.await);
        drop(later);
        let next = bed.sessions().scope("next");
        B::put(&next, 7, 7).await.expect("in autocommit");
        assert_eq!(bed.rows().await, [(7, 7)]);
        drop((kept, others));
    }
}

pub(crate) async fn open_scopes_take_turns<B: Bed>() {
    let bed = B::new().await;
    let test = Fixture::begin(bed.sessions()).await.expect("a test");
    let sessions = test.sessions();
    let (one, two) = (sessions.scope("one"), sessions.scope("two"));
    B::put(&one, 1, 1).await.expect("put");
    B::put(&two, 2, 2).await.expect("put");
    one.begin().await.expect("begin");
    B::put(&one, 3, 3).await.expect("put");
    let waits = async {
        two.begin().await.expect("its turn");
        B::put(&two, 4, 4).await.expect("put");
        two.rollback().await.expect("rollback");
    };
    let ends = async {
        tokio::task::yield_now().await;
        one.commit().await.expect("commit");
    };
    tokio::join!(waits, ends);
    assert_eq!(B::keys(&one).await, [1, 2, 3]);
    drop((one, two));
    test.end().await.expect("isolated");
}

pub(crate) async fn a_wait_that_takes_too_long_names_the_holder<B: Bed>() {
    let mut policy = policy();
    policy.acquire_timeout = Duration::from_millis(500);
    policy.probe_timeout = Duration::from_millis(500);
    let bed = B::with(policy).await;
    let test = Fixture::begin(bed.sessions()).await.expect("a test");
    let request = test.sessions().scope("request 17");
    request.begin().await.expect("begin");
    let look = test.sessions().scope("look");
    let message = own(B::put(&look, 1, 1).await);
    for part in ["scope `look`", "`request 17`", file!(), "since its `begin`", "same task", "end that transaction"] {
        assert!(message.contains(part), "`{part}` in: {message}");
    }
    request.rollback().await.expect("rollback");
    B::put(&look, 1, 1).await.expect("its turn");
    drop((look, request));
    test.end().await.expect("isolated");
}

pub(crate) async fn a_scope_dropped_in_a_transaction_is_undone_before_the_next_turn<B: Bed>() {
    let bed = B::new().await;
    for refused in [false, true] {
        let test = Fixture::begin(bed.sessions()).await.expect("a test");
        let scope = test.sessions().scope("forgets");
        scope.begin().await.expect("begin");
        B::put(&scope, 1, 1).await.expect("put");
        if refused {
            B::put(&scope, 1, 1).await.expect_err("a clash");
        }
        drop(scope);
        let look = test.sessions().scope("look");
        assert_eq!(B::keys(&look).await, [] as [i64; 0]);
        drop(look);
        test.end().await.expect("isolated");
    }
}

pub(crate) async fn refused_statement_outside_of_a_transaction_spoils_nothing<B: Bed>() {
    let bed = B::new().await;
    let test = Fixture::begin(bed.sessions()).await.expect("a test");
    let scope = test.sessions().scope("request");
    B::put(&scope, 1, 1).await.expect("put");
    B::put(&scope, 1, 2).await.expect_err("a clash");
    B::run(&scope, "select nonsense").await.expect_err("nonsense");
    B::put(&scope, 2, 2).await.expect("put");
    assert_eq!(B::keys(&scope).await, [1, 2]);
    drop(scope);
    test.end().await.expect("isolated");
}

pub(crate) async fn call_cancelled_at_any_poll_leaves_the_test_isolated_and_usable<B: Bed>() {
    let bed = B::new().await;
    for polls in 0..6 {
        for call in 0..5 {
            let test = Fixture::begin(bed.sessions()).await.expect("a test");
            let (scope, other) = (test.sessions().scope("request"), test.sessions().scope("other"));
            B::put(&other, 1, 1).await.expect("put");
            if call > 1 {
                scope.begin().await.expect("begin");
            }
            match call {
                0 => drop(cancel_after(polls, scope.begin()).await),
                1 | 2 => drop(cancel_after(polls, B::put(&scope, 5, 5)).await),
                3 => drop(cancel_after(polls, scope.commit()).await),
                _ => drop(cancel_after(polls, scope.rollback()).await),
            }
            // Whatever it was, a rollback is right, and after it the connection is anybody's.
            match scope.rollback().await {
                Ok(()) | Err(Error::NoTransaction { .. } | Error::CommitUnknown { .. }) => {}
                Err(error) => panic!("call {call} after {polls} polls: {error}"),
            }
            B::put(&other, 2, 2).await.expect("the other's turn");
            other.begin().await.expect("begin");
            other.rollback().await.expect("rollback");
            let found = B::keys(&other).await;
            assert!(found == [1, 2] || call == 1 && found == [1, 2, 5], "call {call} after {polls} polls: {found:?}");
            tokio::time::timeout(Duration::from_secs(10), scope.end()).await.expect("in time").expect("end");
            drop(other);
            test.end().await.unwrap_or_else(|error| panic!("call {call} after {polls} polls: {error}"));
        }
    }
    assert_eq!(bed.rows().await, []);
}

pub(crate) async fn operation_that_is_left_lets_others_have_their_turn<B: Bed>() {
    let bed = B::new().await;
    let test = Fixture::begin(bed.sessions()).await.expect("a test");
    let (scope, other) = (test.sessions().scope("request"), test.sessions().scope("other"));
    let repository = Repository::new("Rows", scope.handle("Rows"));
    let inside = Notify::new();
    let inside = &inside;
    let work = repository.atomic("waits", |db| async move {
        B::put_by(&db, 1, 1).await?;
        inside.notify_one();
        std::future::pending::<sqlx::Result<()>>().await
    });
    tokio::select! {
        _ = work => panic!("it waits for ever"),
        () = inside.notified() => {}
    }
    B::put(&other, 2, 2).await.expect("its turn came");
    repository.atomic("put", |db| async move { B::put_by(&db, 3, 3).await }).await.expect("put");
    assert_eq!(B::keys(&other).await, [2, 3]);
    drop((repository, scope, other));
    test.end().await.expect("isolated");
}

pub(crate) async fn a_scope_that_is_open_at_the_end_is_named<B: Bed>() {
    let bed = B::new().await;
    let test = Fixture::begin(bed.sessions()).await.expect("a test");
    let scope = test.sessions().scope("never ended");
    B::put(&scope, 1, 1).await.expect("put");
    let error = test.end().await.expect_err("still open").to_string();
    assert!(error.contains("`never ended`") && error.contains(file!()), "{error}");
    assert!(own(B::put(&scope, 2, 2).await).contains("it has ended"));
    let begun = scope.begin().await;
    assert!(matches!(begun, Err(Error::IsolationLost { .. })), "{begun:?}");
}

/// A service that opens scopes itself, as singletons have to.
struct Jobs<B: Bed> {
    sessions: Dep<Sessions<B::Source>>,
}

fn registry<B: Bed>(sessions: Sessions<B::Source>) -> Registry<B::Source> {
    let mut services = Registry::builder();
    services.instance(sessions);
    services.singleton(|sessions: Dep<Sessions<B::Source>>| Jobs::<B> { sessions });
    services.build().expect("services")
}

async fn run_job<B: Bed>(registry: &Registry<B::Source>, k: i64) -> sqlx::Result<()> {
    let jobs = registry.resolve::<Jobs<B>>().await.expect("jobs");
    let scope = jobs.sessions.scope("job");
    B::put(&scope, k, 0).await
}

pub(crate) async fn a_registry_that_joined_a_test_has_its_own_sessions_again_after_a_panic<B: Bed>() {
    let bed = B::new().await;
    let registry = registry::<B>(bed.sessions().clone());
    run_job::<B>(&registry, 1).await.expect("put");
    let panics = AssertUnwindSafe(async {
        let test = Fixture::begin(bed.sessions()).await.expect("a test");
        test.join(&registry).expect("joined");
        run_job::<B>(&registry, 2).await.expect("put");
        panic!("the test fails");
    });
    panics.catch_unwind().await.expect_err("a panic");
    // The connection of a test that panics is closed without being waited for, and its lock is there until then.
    within(SOON, "the test's lock to be free", async || run_job::<B>(&registry, 3).await.is_ok()).await;
    assert_eq!(bed.rows().await, [(1, 0), (3, 0)]);
}

pub(crate) async fn a_registry_takes_part_in_one_test_at_a_time<B: Bed>() {
    // A bed for each test: where a database has one writer, a second test on the same one would wait.
    let beds = [B::new().await, B::new().await, B::new().await];
    let registry = registry::<B>(beds[0].sessions().clone());
    let [one, two, three] = &beds;
    let one = Fixture::begin(one.sessions()).await.expect("a test");
    let two = Fixture::begin(two.sessions()).await.expect("a test");
    let before = registry.fork();
    one.join(&registry).expect("joined");
    let error = two.join(&registry).expect_err("in use").to_string();
    assert!(error.contains(file!()) && error.contains("fork()"), "{error}");
    two.join(&before).expect("a fork is another one");
    assert!(
        matches!(two.join(&registry.fork()), Err(FixtureError::RegistryInUse { .. })),
        "made inside the first test"
    );
    one.end().await.expect("isolated");
    two.join(&registry).expect("free again");
    two.end().await.expect("isolated");
    let empty = Registry::<B::Source>::builder().build().expect("no services");
    let three = Fixture::begin(three.sessions()).await.expect("a test");
    assert!(three.join(&empty).expect_err("no sessions").to_string().contains("instance(sessions)"));
}

pub(crate) async fn a_test_inside_another_one_is_refused_at_once<B: Bed>() {
    let bed = B::new().await;
    let outer = Fixture::begin(bed.sessions()).await.expect("a test");
    let error = Fixture::begin(outer.sessions()).await.map(drop).expect_err("there is one connection");
    assert!(matches!(error, FixtureError::Inside { .. }), "{error}");
    outer.end().await.expect("isolated");
}
