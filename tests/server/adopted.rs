//! Hazard: a `PgPool` of the application's whose connections come from sqlx's own release.

use unstale::Error;
use unstale_wire::trials::Trial;

use crate::bed::{Adopted, SOON, pid, policy, put, within};
use crate::tests;

pub(crate) fn trials() -> Vec<Trial> {
    tests![
        what_a_scope_leaves_is_undone_before_the_application_gets_it,
        transaction_that_is_lost_is_told,
        statement_that_is_cancelled_costs_its_connection_and_goes_on_on_the_server,
    ]
}

async fn what_a_scope_leaves_is_undone_before_the_application_gets_it() {
    let Adopted { fresh: _fresh, pool, sessions } = Adopted::over(1, policy()).await;
    let scope = sessions.scope("request");
    sqlx::query("set statement_timeout = 4321").execute(&scope).await.expect("set");
    let before = pid(&scope).await.expect("a pid");
    scope.end().await.expect("end");
    let found: String = sqlx::query_scalar("show statement_timeout").fetch_one(&pool).await.expect("a setting");
    assert_eq!((found.as_str(), pid(&pool).await.expect("a pid")), ("0", before));
    pool.close().await;
}

async fn transaction_that_is_lost_is_told() {
    let Adopted { fresh, pool, sessions } = Adopted::over(2, policy()).await;
    let scope = sessions.scope("request");
    scope.begin().await.expect("begin");
    put(&scope, 1, 1).await.expect("put");
    fresh.terminate_all().await;
    put(&scope, 2, 2).await.expect_err("lost");
    assert!(matches!(scope.commit().await, Err(Error::TransactionLost { .. })));
    put(&scope, 3, 3).await.expect("on another connection");
    assert_eq!(fresh.rows().await, [(3, 3)]);
    drop(scope);
    pool.close().await;
}

async fn statement_that_is_cancelled_costs_its_connection_and_goes_on_on_the_server() {
    let Adopted { fresh, pool, sessions } = Adopted::over(1, policy()).await;
    let scope = sessions.scope("request");
    let before = pid(&scope).await.expect("a pid");
    fresh.cancel_asleep(sqlx::query("select pg_sleep(3)").execute(&scope)).await;
    assert_ne!(pid(&scope).await.expect("at once"), before);
    assert!(fresh.pids().await.contains(&before), "nobody has told the server");
    within(SOON, "it to end by itself", async || !fresh.pids().await.contains(&before)).await;
    drop(scope);
    pool.close().await;
}
