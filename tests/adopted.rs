//! Hazard: a pool that others use too, without the library's care.

mod support;

use sqlx::SqlitePool;
use sqlx::sqlite::SqlitePoolOptions;
use support::{Fresh, policy, put};
use unstale::{AdoptedPool, Sessions};

async fn pool(fresh: &Fresh) -> SqlitePool {
    let url = format!("sqlite://{}", fresh.folder.path().join("db").display());
    SqlitePoolOptions::new().max_connections(1).connect(&url).await.expect("a pool")
}

#[tokio::test]
async fn sessions_run_on_an_existing_pool() {
    let fresh = Fresh::new().await;
    let pool = pool(&fresh).await;
    let sessions = Sessions::new(AdoptedPool::new(pool.clone()), policy()).expect("a policy");
    let scope = sessions.scope("request");
    scope.begin().await.expect("begin");
    put(&scope, 1, 1).await.expect("put");
    drop(scope);
    put(&pool, 2, 2).await.expect("the pool's own users go on");
    assert_eq!(fresh.rows().await, [(2, 2)]);
}

/// sqlx gives a connection with a raw BEGIN on it to the next borrower.
#[tokio::test]
async fn transaction_left_by_another_user_of_the_pool_is_not_entered() {
    let fresh = Fresh::new().await;
    let pool = pool(&fresh).await;
    sqlx::raw_sql("begin").execute(&pool).await.expect("residue");
    let sessions = Sessions::new(AdoptedPool::new(pool), policy()).expect("a policy");
    let scope = sessions.scope("request");
    put(&scope, 1, 1).await.expect("put");
    scope.end().await.expect("end");
    assert_eq!(fresh.rows().await, [(1, 1)], "committed, and not inside somebody's transaction");
}

#[test]
fn scope_dropped_outside_a_runtime_does_not_panic() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let (fresh, scope, own_scope) = runtime.block_on(async {
        let fresh = Fresh::new().await;
        let sessions = Sessions::new(AdoptedPool::new(pool(&fresh).await), policy()).expect("a policy");
        let scope = sessions.scope("request");
        put(&scope, 1, 1).await.expect("put");
        let own_scope = fresh.sessions.scope("own");
        own_scope.begin().await.expect("begin");
        (fresh, scope, own_scope)
    });
    drop(scope);
    drop(own_scope);
    runtime.block_on(async {
        let scope = fresh.sessions.scope("next");
        put(&scope, 2, 2).await.expect("no lock was left");
    });
}
