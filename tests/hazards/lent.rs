//! Hazard: a function had the connection itself, and nobody saw what it did.

use std::error::Error as StdError;

use tokio::task::yield_now;
use unstale::testing::Fixture;
use unstale::{Error, Scope};

use super::bed::{Bed, ConnectionOf, cancel_after, only_one};

type Failure = Box<dyn StdError + Send + Sync>;

async fn run_all<B: Bed>(connection: &mut ConnectionOf<B>, statements: &[&'static str]) -> Result<(), Failure> {
    for sql in statements {
        B::run_on(connection, sql).await?;
    }
    Ok(())
}

/// Has a function run these statements on the scope's connection.
async fn lend<B: Bed>(
    scope: &Scope<B::Source>,
    operation: &'static str,
    statements: &[&'static str],
) -> Result<(), Failure> {
    scope.with_connection(operation, async |connection| run_all::<B>(connection, statements).await).await
}

fn own(failure: &Failure) -> &Error {
    failure.downcast_ref().expect("the library's own")
}

pub(crate) async fn function_with_the_connection_works_in_the_scopes_transaction<B: Bed>() {
    let bed = B::new().await;
    let scope = bed.sessions().scope("request");
    lend::<B>(&scope, "put", &["insert into kv values (1, 1)"]).await.expect("in autocommit");
    scope.begin().await.expect("begin");
    lend::<B>(&scope, "put", &["insert into kv values (2, 2)"]).await.expect("in the transaction");
    assert_eq!(bed.rows().await, [(1, 1)]);
    scope.commit().await.expect("commit");
    assert_eq!(bed.rows().await, [(1, 1), (2, 2)]);
}

pub(crate) async fn transaction_that_a_function_leaves_open_is_rolled_back_and_told<B: Bed>() {
    let bed = B::with(only_one()).await;
    let scope = bed.sessions().scope("request");
    let error = lend::<B>(&scope, "leave", &["begin", "insert into kv values (1, 1)"])
        .await
        .expect_err("it left a transaction");
    assert!(matches!(own(&error), Error::TransactionLeftOpen { operation: "leave" }), "{error}");
    B::put(&scope, 2, 2).await.expect("in autocommit");
    drop(scope);
    assert_eq!(bed.rows().await, [(2, 2)]);
}

pub(crate) async fn function_that_fails_in_a_transaction_is_undone_alone<B: Bed>() {
    let bed = B::new().await;
    let scope = bed.sessions().scope("request");
    scope.begin().await.expect("begin");
    B::put(&scope, 1, 1).await.expect("put");
    let twice = ["insert into kv values (2, 2)", "insert into kv values (2, 2)"];
    let error = lend::<B>(&scope, "fail", &twice).await.expect_err("a duplicate key");
    assert!(error.downcast_ref::<sqlx::Error>().is_some(), "the function's own: {error}");
    B::put(&scope, 3, 3).await.expect("the transaction goes on");
    scope.commit().await.expect("commit");
    assert_eq!(bed.rows().await, [(1, 1), (3, 3)]);
}

/// It has committed what the scope may want to roll back, and begun another transaction that looks just like it.
pub(crate) async fn function_that_ends_the_scopes_transaction_leaves_its_outcome_unknown<B: Bed>() {
    for statements in [&["commit"][..], &["rollback"], &["commit", "begin"]] {
        let bed = B::with(only_one()).await;
        let scope = bed.sessions().scope("request");
        scope.begin().await.expect("begin");
        B::put(&scope, 1, 1).await.expect("put");
        let error = lend::<B>(&scope, "end", statements).await.expect_err("it has ended the transaction");
        assert!(matches!(own(&error), Error::CommitUnknown { .. }), "{statements:?}: {error}");
        B::put(&scope, 2, 2).await.expect_err("not in autocommit");
        assert!(matches!(scope.rollback().await, Err(Error::CommitUnknown { .. })), "{statements:?}");
        B::put(&scope, 3, 3).await.expect("it goes on");
        drop(scope);
        let committed = if statements[0] == "commit" { vec![(1, 1), (3, 3)] } else { vec![(3, 3)] };
        assert_eq!(bed.rows().await, committed, "{statements:?}");
    }
}

pub(crate) async fn what_a_function_leaves_reaches_no_other_borrower<B: Bed>() {
    let bed = B::with(only_one()).await;
    for residue in B::RESIDUE {
        let scope = bed.sessions().scope("first");
        lend::<B>(&scope, "leave", &[residue]).await.expect(residue);
        assert_ne!(B::residue(&scope).await, B::NO_RESIDUE, "{residue}");
        scope.end().await.expect("end");
        let scope = bed.sessions().scope("second");
        assert_eq!(B::residue(&scope).await, B::NO_RESIDUE, "{residue}");
    }
}

pub(crate) async fn function_that_is_cancelled_leaves_nothing_open<B: Bed>() {
    let bed = B::with(only_one()).await;
    let scope = bed.sessions().scope("request");
    let work = scope.with_connection("stay", async |connection| {
        run_all::<B>(connection, &["begin", "insert into kv values (1, 1)"]).await?;
        loop {
            yield_now().await;
        }
        #[expect(unreachable_code, reason = "it says what the function answers")]
        Ok::<(), Failure>(())
    });
    assert!(cancel_after(2000, work).await.is_none(), "it stays");
    // What the function had left on a connection that is lost is lost with it.
    scope.renew().await.expect("the loss is accepted");
    B::put(&scope, 2, 2).await.expect("it goes on");
    drop(scope);
    assert_eq!(bed.rows().await, [(2, 2)]);
}

pub(crate) async fn function_with_the_connection_works_in_a_test<B: Bed>() {
    let bed = B::new().await;
    let test = Fixture::begin(bed.sessions()).await.expect("a test");
    let scope = test.sessions().scope("request");
    lend::<B>(&scope, "put", &["insert into kv values (1, 1)"]).await.expect("in autocommit");
    let error = lend::<B>(&scope, "put", &["insert into kv values (1, 1)"]).await.expect_err("a duplicate key");
    assert!(error.downcast_ref::<sqlx::Error>().is_some(), "the function's own: {error}");
    scope.begin().await.expect("begin");
    lend::<B>(&scope, "put", &["insert into kv values (2, 2)"]).await.expect("in the transaction");
    scope.commit().await.expect("commit");
    drop(scope);
    let look = test.sessions().scope("look");
    assert_eq!(B::keys(&look).await, [1, 2]);
    drop(look);
    test.end().await.expect("isolated");
    assert_eq!(bed.rows().await, []);
    let test = Fixture::begin(bed.sessions()).await.expect("a test");
    let error =
        lend::<B>(&test.sessions().scope("request"), "end", &["commit"]).await.expect_err("it ended the test's");
    assert!(matches!(own(&error), Error::IsolationLost { .. }), "{error}");
    test.end().await.expect_err("it was not isolated");
}

pub(crate) async fn call_with_the_connection_can_be_spawned<B: Bed>() {
    let bed = B::new().await;
    let sessions = bed.sessions().clone();
    let task = tokio::spawn(async move {
        let scope = sessions.scope("work");
        lend::<B>(&scope, "put", &["insert into kv values (1, 1)"]).await
    });
    task.await.expect("no panic").expect("it is done");
    assert_eq!(bed.rows().await, [(1, 1)]);
}

/// A call that was made earlier is done earlier, and its own part is not the transaction's.
pub(crate) async fn begin_that_waits_behind_a_function_comes_after_it<B: Bed>() {
    let bed = B::new().await;
    let scope = bed.sessions().scope("request");
    let lent = scope.with_connection("lent", async |connection| {
        run_all::<B>(connection, &["insert into kv values (7, 7)"]).await?;
        run_all::<B>(connection, &["insert into kv values (7, 7)"])
            .await
            .expect_err("a clash, of which nobody is told");
        Ok::<_, Failure>(())
    });
    let (first, lent, begun) = tokio::join!(B::put(&scope, 1, 1), lent, scope.begin());
    first.expect("put");
    lent.expect("lent");
    begun.expect("begin");
    assert_eq!(bed.rows().await, [(1, 1), (7, 7)], "outside of the transaction");
    scope.commit().await.expect("commit");
}
