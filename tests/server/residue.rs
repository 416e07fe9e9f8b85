//! Hazard: what one borrower leaves on a PostgreSQL connection reaches the next.

use sqlx::Executor;
use unstale::{PgOptions, PgSource, Policy, Reset, Scope};
use unstale_wire::trials::Trial;

use crate::bed::{Bed, Fresh, SOON, pid, policy, put, residue, within};
use crate::tests;

pub(crate) fn trials() -> Vec<Trial> {
    tests![
        setting_that_depends_on_a_value_is_undone,
        rolled_back_begin_does_not_bring_the_residue_back,
        lock_is_gone_soon_though_nobody_comes,
        prepared_statement_costs_the_connection,
        what_a_function_hides_is_undone_by_always_and_left_by_never,
        harmless_statements_owe_nothing,
        function_with_the_name_of_a_built_in_one_is_not_believed,
        what_is_set_on_opening_is_set_again,
        statements_of_sqlx_survive_the_cleaning,
    ]
}

fn one(reset: Reset) -> Policy {
    let mut policy = policy();
    policy.sessions_max = 1;
    policy.reset = reset;
    policy
}

async fn leave(scope: &Scope<PgSource>, sql: &'static str) {
    sqlx::query(sql).execute(scope).await.expect(sql);
}

/// Whether it leaves something is known when it is run.
async fn setting_that_depends_on_a_value_is_undone() {
    let fresh = Fresh::with(one(Reset::IfNeeded)).await;
    let scope = fresh.sessions.scope("first");
    let sql = "select pg_catalog.set_config('my.tenant', '7', $1 is null)";
    sqlx::query(sql).bind(1).execute(&scope).await.expect("set");
    assert_ne!(residue(&scope).await, Fresh::NO_RESIDUE);
    scope.end().await.expect("end");
    assert_eq!(residue(&fresh.sessions.scope("second")).await, Fresh::NO_RESIDUE);
    assert_eq!(fresh.sessions.health().discarded, 0);
}

async fn rolled_back_begin_does_not_bring_the_residue_back() {
    let fresh = Fresh::with(one(Reset::IfNeeded)).await;
    let scope = fresh.sessions.scope("first");
    leave(&scope, "set statement_timeout = 4321").await;
    scope.end().await.expect("end");
    let scope = fresh.sessions.scope("second");
    scope.begin().await.expect("begin");
    scope.rollback().await.expect("rollback");
    assert_eq!(residue(&scope).await, Fresh::NO_RESIDUE);
}

async fn lock_is_gone_soon_though_nobody_comes() {
    let fresh = Fresh::with(one(Reset::IfNeeded)).await;
    let scope = fresh.sessions.scope("first");
    leave(&scope, "select pg_advisory_lock(17)").await;
    scope.end().await.expect("end");
    let mut outside = fresh.outside().await;
    within(SOON, "the lock", async || {
        sqlx::query_scalar("select pg_try_advisory_lock(17)").fetch_one(&mut outside).await.expect("an answer")
    })
    .await;
}

async fn prepared_statement_costs_the_connection() {
    let fresh = Fresh::with(one(Reset::IfNeeded)).await;
    let scope = fresh.sessions.scope("first");
    leave(&scope, "prepare mine as select 1").await;
    let first = pid(&scope).await.expect("a pid");
    scope.end().await.expect("end");
    assert_ne!(pid(&fresh.sessions.scope("second")).await.expect("a pid"), first);
}

async fn what_a_function_hides_is_undone_by_always_and_left_by_never() {
    for (reset, expected) in [(Reset::IfNeeded, "0"), (Reset::Always, "0"), (Reset::Never, "4321ms")] {
        let fresh = Fresh::with(one(reset)).await;
        let scope = fresh.sessions.scope("first");
        let ddl = "create function hidden() returns int language plpgsql as \
                   $$ begin set statement_timeout = 4321; return 1; end $$";
        sqlx::raw_sql(ddl).execute(&scope).await.expect("ddl");
        sqlx::query("select hidden()").execute(&scope).await.expect("it leaves something");
        scope.end().await.expect("end");
        let scope = fresh.sessions.scope("second");
        assert!(residue(&scope).await.starts_with(expected), "{reset:?}");
        assert_eq!(fresh.sessions.health().discarded, 0);
    }
    // Behind a trigger it is not seen.
    for (reset, expected) in [(Reset::IfNeeded, "4321ms"), (Reset::Always, "0")] {
        let fresh = Fresh::with(one(reset)).await;
        let scope = fresh.sessions.scope("first");
        let ddl = "create function hidden() returns trigger language plpgsql as \
                   $$ begin set statement_timeout = 4321; return new; end $$;
                   create trigger hiding before insert on kv for each row execute function hidden()";
        sqlx::raw_sql(ddl).execute(&scope).await.expect("ddl");
        scope.end().await.expect("end");
        let scope = fresh.sessions.scope("second");
        residue(&scope).await;
        scope.end().await.expect("end");
        let scope = fresh.sessions.scope("third");
        put(&scope, 1, 1).await.expect("put");
        scope.end().await.expect("end");
        assert!(residue(&fresh.sessions.scope("fourth")).await.starts_with(expected), "{reset:?}");
    }
}

async fn harmless_statements_owe_nothing() {
    let fresh = Fresh::with(one(Reset::IfNeeded)).await;
    let scope = fresh.sessions.scope("first");
    put(&scope, 1, 1).await.expect("put");
    sqlx::query("select count(*), lower('A') from kv where k in (1, 2)").execute(&scope).await.expect("read");
    scope.begin().await.expect("begin");
    leave(&scope, "set local statement_timeout = 4321").await;
    leave(&scope, "select set_config('statement_timeout', '4321', true)").await;
    scope.commit().await.expect("commit");
    scope.end().await.expect("end");
    // The statement of the next one is all that is sent: what it did last is what is seen from outside.
    let scope = fresh.sessions.scope("second");
    assert_eq!(residue(&scope).await, Fresh::NO_RESIDUE);
}

async fn function_with_the_name_of_a_built_in_one_is_not_believed() {
    let fresh = Fresh::with(one(Reset::IfNeeded)).await;
    let own = "create function cbrt(tenant text) returns text language sql as \
        $$ select set_config('statement_timeout', tenant, false) $$";
    fresh.outside().await.execute(own).await.expect("a function");
    let sessions = PgOptions::new(fresh.options.clone()).open(one(Reset::IfNeeded)).await.expect("sessions");
    let scope = sessions.scope("first");
    let limit = async |scope: &Scope<PgSource>| -> String {
        sqlx::query_scalar("show statement_timeout").fetch_one(scope).await.expect("a limit")
    };
    leave(&scope, "select cbrt('4321'::text)").await;
    assert_eq!(limit(&scope).await, "4321ms");
    scope.end().await.expect("end");
    assert_eq!(limit(&sessions.scope("second")).await, "0");
}

async fn what_is_set_on_opening_is_set_again() {
    let fresh = Fresh::new().await;
    let options = PgOptions::new(fresh.options.clone())
        .on_open(|connection| Box::pin(async move { connection.execute("set lock_timeout = 1234").await.map(drop) }));
    let sessions = options.open(one(Reset::IfNeeded)).await.expect("sessions");
    for begins in [false, true] {
        let scope = sessions.scope("first");
        leave(&scope, "set lock_timeout = 5").await;
        scope.end().await.expect("end");
        let scope = sessions.scope("second");
        if begins {
            scope.begin().await.expect("begin");
        }
        let shown: String = sqlx::query_scalar("show lock_timeout").fetch_one(&scope).await.expect("shown");
        assert_eq!(shown, "1234ms");
    }
    assert_eq!(sessions.health().discarded, 0);
}

async fn statements_of_sqlx_survive_the_cleaning() {
    let fresh = Fresh::with(one(Reset::Always)).await;
    for k in 1..=3 {
        let scope = fresh.sessions.scope("request");
        put(&scope, k, k).await.expect("put");
        scope.begin().await.expect("begin");
        put(&scope, -k, k).await.expect("put");
        scope.commit().await.expect("commit");
    }
    assert_eq!(fresh.rows().await.len(), 6);
}
