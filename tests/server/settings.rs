//! Hazard: what is set for one tenant is in force for another, or for nobody.

use sqlx::{AssertSqlSafe, Executor, PgConnection, Postgres};
use unstale::source::Source;
use unstale::testing::Fixture;
use unstale::{AdoptedPgPool, Error, ErrorClass, Policy, Reset, Sessions};
use unstale_wire::trials::Trial;

use crate::bed::{Fresh, cancel_after, policy, put};
use crate::tests;

pub(crate) fn trials() -> Vec<Trial> {
    tests![
        settings_are_in_force_for_each_statement_of_their_scope,
        settings_reach_no_other_scope,
        settings_of_an_adopted_pool_reach_no_other_scope,
        settings_are_in_force_again_after_a_recovery,
        settings_that_were_changed_are_in_force_again,
        settings_that_are_refused_cost_nothing,
        settings_of_a_cancelled_call_reach_no_other_scope,
        settings_hold_for_their_scopes_turns_in_a_test,
        settings_of_a_cancelled_call_stay_out_of_the_next_turn,
        rows_of_another_tenant_are_never_seen,
    ]
}

fn only_one() -> Policy {
    let mut policy = policy();
    policy.sessions_max = 1;
    policy
}

/// The tenant that is in force.
async fn tenant<'c>(executor: impl Executor<'c, Database = Postgres>) -> String {
    let asked = "select coalesce(current_setting('app.tenant', true), '')";
    sqlx::query_scalar(asked).fetch_one(executor).await.expect("an answer")
}

/// The same sessions for one tenant.
fn of<S: Source<Connection = PgConnection>>(sessions: &Sessions<S>, tenant: &str) -> Sessions<S> {
    sessions.with_settings([("app.tenant", tenant)])
}

async fn settings_are_in_force_for_each_statement_of_their_scope() {
    let fresh = Fresh::with(only_one()).await;
    for begins in [false, true] {
        // What the last borrower has left is undone first.
        sqlx::query("set app.tenant = 'left'").execute(&fresh.sessions.scope("before")).await.expect("set");
        let scope = of(&fresh.sessions, "7").scope("request");
        if begins {
            scope.begin().await.expect("begin");
        }
        assert_eq!(tenant(&scope).await, "7", "{begins}");
        scope.begin().await.expect("begin");
        assert_eq!(tenant(&scope).await, "7");
        scope.rollback().await.expect("rollback");
        assert_eq!(tenant(&scope).await, "7", "a rollback takes nothing of it");
        scope.end().await.expect("end");
    }
    let twice = of(&of(&fresh.sessions, "7"), "8").with_settings([("statement_timeout", "4321")]).scope("both");
    assert_eq!(tenant(&twice).await, "8");
    let limit: String = sqlx::query_scalar("show statement_timeout").fetch_one(&twice).await.expect("a setting");
    assert_eq!(limit, "4321ms");
    let committed = of(&fresh.sessions, "9").run("run", async |scope| {
        put(scope, 1, 1).await.expect("put");
        Ok::<_, Error>(tenant(scope).await)
    });
    drop(twice);
    assert_eq!(committed.await.expect("run"), "9");
}

async fn reaches_no_other_scope<S: Source<Connection = PgConnection>>(sessions: Sessions<S>) {
    for (ends, begins) in [(false, false), (false, true), (true, false), (true, true)] {
        let scope = of(&sessions, "7").scope("request");
        assert_eq!(tenant(&scope).await, "7");
        if begins {
            scope.begin().await.expect("begin");
        }
        if ends {
            scope.end().await.expect("end");
        } else {
            drop(scope);
        }
        let other = sessions.scope("other");
        assert_eq!(tenant(&other).await, "", "{ends} {begins}");
        other.end().await.expect("end");
        let next = of(&sessions, "8").scope("next");
        next.begin().await.expect("begin");
        assert_eq!(tenant(&next).await, "8");
    }
}

async fn settings_reach_no_other_scope() {
    for reset in [Reset::IfNeeded, Reset::Always, Reset::Never] {
        let mut policy = only_one();
        policy.reset = reset;
        let fresh = Fresh::with(policy).await;
        reaches_no_other_scope(fresh.sessions.clone()).await;
    }
}

async fn settings_of_an_adopted_pool_reach_no_other_scope() {
    let fresh = Fresh::with(only_one()).await;
    let pool = sqlx::postgres::PgPoolOptions::new().max_connections(1);
    let pool = pool.connect_with(fresh.options.clone()).await.expect("a pool");
    reaches_no_other_scope(Sessions::new(AdoptedPgPool::new(pool), policy()).expect("sessions")).await;
}

async fn settings_are_in_force_again_after_a_recovery() {
    let fresh = Fresh::with(only_one()).await;
    let sessions = of(&fresh.sessions, "7");
    let scope = sessions.scope("request");
    assert_eq!(tenant(&scope).await, "7");
    fresh.terminate_all().await;
    put(&scope, 1, 1).await.expect_err("it was being used");
    assert_eq!((tenant(&scope).await, scope.generation()), ("7".to_owned(), 2));
    scope.begin().await.expect("begin");
    assert_eq!(tenant(&scope).await, "7");
    fresh.terminate_all().await;
    put(&scope, 2, 2).await.expect_err("its transaction is lost");
    scope.rollback().await.expect("rollback");
    assert_eq!(tenant(&scope).await, "7");
    scope.end().await.expect("end");
    fresh.terminate_all().await;
    assert_eq!(tenant(&sessions.scope("next")).await, "7", "the idle one was dead");
}

async fn settings_that_were_changed_are_in_force_again() {
    let fresh = Fresh::with(only_one()).await;
    let scope = of(&fresh.sessions, "7").scope("request");
    for change in ["reset all", "set app.tenant = '8'", "select set_config('app.tenant', '8', false)"] {
        scope.execute(change).await.expect("changed");
        assert_eq!(tenant(&scope).await, "7", "{change}");
        scope.begin().await.expect("begin");
        scope.execute(change).await.expect("changed");
        scope.commit().await.expect("commit");
        assert_eq!(tenant(&scope).await, "7", "{change} in a transaction");
    }
    scope.end().await.expect("end");
    assert_eq!(fresh.sessions.health().lost, 0);
}

async fn settings_that_are_refused_cost_nothing() {
    let fresh = Fresh::with(only_one()).await;
    fresh.fill(1).await;
    let before = fresh.pids().await;
    for refused in [("no_such_setting", "1"), ("statement_timeout", "soon"), ("role", "nobody of that name"), ("", "")]
    {
        let scope = fresh.sessions.with_settings([("app.tenant", "7"), refused]).scope("refused");
        let error = scope.begin().await.expect_err("refused");
        assert!(error.class() == ErrorClass::Rejected && error.to_string().contains(refused.0), "{error}");
        put(&scope, 1, 1).await.expect_err("refused");
        drop(scope);
        assert_eq!(tenant(&fresh.sessions.scope("next")).await, "", "none of them is set");
    }
    assert_eq!(fresh.pids().await, before);
    assert_eq!(fresh.sessions.health().discarded, 0);
}

async fn settings_of_a_cancelled_call_reach_no_other_scope() {
    let fresh = Fresh::with(only_one()).await;
    for polls in 1..12 {
        let scope = of(&fresh.sessions, "7").scope("cancelled");
        cancel_after(polls, scope.begin()).await;
        drop(scope);
        assert_eq!(tenant(&fresh.sessions.scope("next")).await, "", "{polls}");
        let scope = of(&fresh.sessions, "8").scope("goes on");
        cancel_after(polls, put(&scope, 1, 1)).await;
        assert_eq!(tenant(&scope).await, "8", "{polls}");
    }
}

async fn settings_hold_for_their_scopes_turns_in_a_test() {
    let fresh = Fresh::new().await;
    let test = Fixture::begin(&fresh.sessions).await.expect("a test");
    let (seven, eight) = (of(test.sessions(), "7").scope("seven"), of(test.sessions(), "8").scope("eight"));
    let plain = test.sessions().scope("plain");
    for _ in 0..2 {
        assert_eq!(tenant(&seven).await, "7");
        assert_eq!(tenant(&eight).await, "8");
        assert_eq!(tenant(&plain).await, "");
        seven.begin().await.expect("begin");
        put(&seven, 1, 1).await.expect("put");
        seven.rollback().await.expect("rollback");
        assert_eq!(tenant(&seven).await, "7");
    }
    let refused = test.sessions().with_settings([("no_such_setting", "1")]).scope("refused");
    let error = refused.begin().await.expect_err("refused");
    assert_eq!(error.class(), ErrorClass::Rejected, "{error}");
    put(&plain, 1, 1).await.expect("the test goes on");
    drop((seven, eight, plain, refused));
    test.end().await.expect("isolated");
    assert_eq!(tenant(&fresh.sessions.scope("after")).await, "");
    assert_eq!(fresh.rows().await, []);
}

async fn settings_of_a_cancelled_call_stay_out_of_the_next_turn() {
    let fresh = Fresh::new().await;
    let test = Fixture::begin(&fresh.sessions).await.expect("a test");
    let plain = test.sessions().scope("plain");
    for polls in 1..12 {
        let scope = of(test.sessions(), "7").scope("cancelled");
        cancel_after(polls, tenant(&scope)).await;
        assert_eq!(tenant(&plain).await, "", "{polls}");
        assert_eq!(tenant(&scope).await, "7", "{polls}");
    }
    drop(plain);
    test.end().await.expect("isolated");
}

async fn rows_of_another_tenant_are_never_seen() {
    let mut policy = policy();
    policy.sessions_max = 2;
    let fresh = Fresh::with(policy).await;
    let role = fresh.name.replace(' ', "_");
    let ddl = format!(
        "create role {role}; grant select, insert on kv to {role}; alter table kv enable row level security;
         do $$ begin execute format('grant usage on schema %I to {role}', current_schema()); end $$;
         create policy by_tenant on kv to {role} using (v = nullif(current_setting('app.tenant', true), '')::bigint)"
    );
    let mut outside = fresh.outside().await;
    sqlx::raw_sql(AssertSqlSafe(ddl)).execute(&mut outside).await.expect("ddl");
    let work = async |at: i64| {
        let v = at % 3;
        for round in 0..8 {
            let sessions = of(&fresh.sessions, &v.to_string()).with_settings([("role", role.clone())]);
            let scope = sessions.scope("request");
            if round % 2 == 0 {
                scope.begin().await.expect("begin");
            }
            put(&scope, at * 100 + round, v).await.expect("its own row");
            put(&scope, -1, v + 1).await.expect_err("another's row");
            if round % 2 == 0 {
                scope.rollback().await.expect("rollback");
            }
            let seen: Vec<i64> = sqlx::query_scalar("select v from kv").fetch_all(&scope).await.expect("rows");
            assert!(seen.iter().all(|other| *other == v), "{seen:?} for {v}");
        }
    };
    futures_util::future::join_all((0..6).map(work)).await;
    let unbounded = fresh.sessions.with_settings([("role", role.clone())]);
    let seen: Vec<i64> =
        sqlx::query_scalar("select v from kv").fetch_all(&unbounded.scope("no tenant")).await.expect("rows");
    assert_eq!(seen, [] as [i64; 0], "without a tenant nothing is seen");
    assert_eq!(fresh.rows().await.len(), 24);
}
