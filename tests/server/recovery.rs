//! Hazard: connections to PostgreSQL die while nobody uses them, or in the middle of something.

use std::time::{Duration, Instant};

use sqlx::Executor;
use unstale::{Begin, Error, PgOpenError, PgOptions, PgSource, Scope};
use unstale_wire::server::{Server, Signal};
use unstale_wire::trials::Trial;

use crate::bed::{Fresh, SOON, own, pid, policy, put, within};
use crate::tests;

pub(crate) fn trials() -> Vec<Trial> {
    tests![
        statement_on_a_connection_that_was_terminated_while_idle_is_run_on_another,
        write_on_a_connection_that_was_terminated_while_idle_happens_once,
        begin_on_terminated_connections_succeeds_unseen,
        prepared_statement_of_a_terminated_connection_is_prepared_again,
        stream_on_a_terminated_connection_begins_on_another,
        what_may_not_be_repeated_is_preceded_by_a_probe,
        what_may_not_be_repeated_shows_the_error_without_a_probe,
        transaction_terminated_inside_is_lost_and_never_goes_on_in_autocommit,
        session_terminated_between_statements_is_recovered_or_reported,
        ten_terminated_connections_and_ten_callers_show_no_error on 2 threads,
        killed_backend_takes_all_along_and_reads_and_begins_see_nothing,
        statement_outdated_by_ddl_is_prepared_anew,
        connections_that_turned_read_only_are_replaced,
        transaction_on_a_connection_that_turned_read_only_is_lost,
        transaction_begun_read_only_keeps_its_connection,
        server_that_was_read_only_from_the_start_is_no_reason_to_replace_connections,
        code_that_a_function_raises_is_no_reason_to_replace_connections,
        refused_login_is_tried_again_until_it_is_let_in,
    ]
}

async fn statement_on_a_connection_that_was_terminated_while_idle_is_run_on_another() {
    let fresh = Fresh::new().await;
    fresh.fill(1).await;
    fresh.terminate_all().await;
    let scope = fresh.sessions.scope("request");
    let handle = scope.handle("service").pinned();
    let one: i32 = sqlx::query_scalar("select $1::int4").bind(1).fetch_one(&handle).await.expect("unseen");
    assert_eq!((one, scope.generation()), (1, 1), "as if the dead one had never been lent");
    let health = fresh.sessions.health();
    assert_eq!((health.lost, health.recovered, health.discarded), (0, 0, 1));
}

async fn write_on_a_connection_that_was_terminated_while_idle_happens_once() {
    let fresh = Fresh::new().await;
    fresh.fill(3).await;
    fresh.terminate_all().await;
    let scope = fresh.sessions.scope("request");
    put(&scope, 1, 1).await.expect("unseen");
    scope.end().await.expect("end");
    assert_eq!(fresh.rows().await, [(1, 1)]);
    assert!(fresh.sessions.health().discarded >= 3, "the others were found out by their probes");
}

async fn begin_on_terminated_connections_succeeds_unseen() {
    let mut policy = policy();
    // Idle connections that are dead are no attempts.
    policy.attempts_max = 1;
    let fresh = Fresh::with(policy).await;
    fresh.fill(3).await;
    fresh.terminate_all().await;
    let scope = fresh.sessions.scope("request");
    scope.begin().await.expect("unseen");
    put(&scope, 1, 1).await.expect("put");
    scope.commit().await.expect("commit");
    assert_eq!(scope.generation(), 1);
    assert_eq!(fresh.rows().await, [(1, 1)]);
    assert_eq!(fresh.sessions.health().lost, 0);
}

async fn prepared_statement_of_a_terminated_connection_is_prepared_again() {
    let fresh = Fresh::new().await;
    for k in 1..=3 {
        let scope = fresh.sessions.scope("request");
        put(&scope, k, k).await.expect("put");
        scope.end().await.expect("end");
        fresh.terminate_all().await;
    }
    assert_eq!(fresh.rows().await, [(1, 1), (2, 2), (3, 3)]);
}

async fn stream_on_a_terminated_connection_begins_on_another() {
    use futures_util::TryStreamExt;
    let fresh = Fresh::new().await;
    fresh.fill(2).await;
    fresh.terminate_all().await;
    let scope = fresh.sessions.scope("request");
    let rows: Vec<_> =
        sqlx::query("select * from generate_series(1, 3)").fetch(&scope).try_collect().await.expect("rows");
    assert_eq!(rows.len(), 3);
}

async fn what_may_not_be_repeated_is_preceded_by_a_probe() {
    let fresh = Fresh::new().await;
    fresh.fill(3).await;
    fresh.terminate_all().await;
    let scope = fresh.sessions.scope("request");
    sqlx::query("do $$ begin end $$").execute(&scope).await.expect("it runs on one that answers");
}

async fn what_may_not_be_repeated_shows_the_error_without_a_probe() {
    let mut policy = policy();
    policy.probe_writes_after = Duration::MAX;
    let fresh = Fresh::with(policy).await;
    fresh.fill(1).await;
    fresh.terminate_all().await;
    let scope = fresh.sessions.scope("request");
    let error = sqlx::query("do $$ begin end $$").execute(&scope).await.expect_err("it commits by itself");
    assert_eq!(error.as_database_error().and_then(|it| it.code()).as_deref(), Some("57P01"));
    put(&scope, 1, 1).await.expect("the next call runs on a fresh one");
}

async fn transaction_terminated_inside_is_lost_and_never_goes_on_in_autocommit() {
    let fresh = Fresh::new().await;
    let scope = fresh.sessions.scope("request");
    scope.begin().await.expect("begin");
    put(&scope, 1, 1).await.expect("put");
    fresh.terminate_all().await;
    assert!(own(put(&scope, 2, 2).await).contains("was lost"));
    assert!(own(put(&scope, 3, 3).await).contains("was lost"));
    assert!(matches!(scope.commit().await, Err(Error::TransactionLost { .. })));
    put(&scope, 4, 4).await.expect("acknowledged");
    assert_eq!((fresh.rows().await, scope.generation()), (vec![(4, 4)], 2));
}

async fn session_terminated_between_statements_is_recovered_or_reported() {
    let fresh = Fresh::new().await;
    let scope = fresh.sessions.scope("request");
    put(&scope, 1, 1).await.expect("put");
    fresh.terminate_all().await;
    assert!(put(&scope, 2, 2).await.is_err(), "something was done on this session");
    put(&scope, 3, 3).await.expect("recovered");
    assert_eq!(scope.generation(), 2);

    sqlx::query("set statement_timeout = 5000").execute(&scope).await.expect("set");
    fresh.terminate_all().await;
    assert!(put(&scope, 4, 4).await.is_err());
    assert!(own(put(&scope, 5, 5).await).contains("`renew()`"), "what was set is gone");
    assert_eq!(fresh.rows().await, [(1, 1), (3, 3)]);
}

async fn ten_terminated_connections_and_ten_callers_show_no_error() {
    let mut policy = policy();
    policy.sessions_max = 10;
    let fresh = Fresh::with(policy).await;
    fresh.fill(10).await;
    fresh.terminate_all().await;
    let callers = (0..10).map(|k| {
        let sessions = fresh.sessions.clone();
        tokio::spawn(async move {
            let scope = sessions.scope("caller");
            if k % 2 == 0 {
                put(&scope, k, k).await.expect("put");
            } else {
                scope.begin().await.expect("begin");
                put(&scope, k, k).await.expect("put");
                scope.commit().await.expect("commit");
            }
        })
    });
    for caller in callers.collect::<Vec<_>>() {
        caller.await.expect("no panic");
    }
    assert_eq!(fresh.rows().await.len(), 10);
    let opened = fresh.pids().await.len();
    assert!(opened <= 10, "{opened}");
    println!("ten callers after ten dead connections opened {opened}");
    assert_eq!(fresh.sessions.health().usage.in_use, 0);
}

async fn killed_backend_takes_all_along_and_reads_and_begins_see_nothing() {
    let server = Server::start().expect("a server");
    let fresh = Fresh::on(&server, policy()).await;
    fresh.fill(3).await;
    let old = fresh.pids().await;
    server.signal_backend(old[0], Signal::Kill).expect("killed");
    within(SOON, "all of them to go", async || server.processes().expect("a list").iter().all(|it| !old.contains(it)))
        .await;
    let scope = fresh.sessions.scope("reader");
    let rows: i64 = sqlx::query_scalar("select count(*) from kv").fetch_one(&scope).await.expect("read on a fresh one");
    assert_eq!(rows, 0);
    drop(scope);
    let scope = fresh.sessions.scope("writer");
    scope.begin().await.expect("begin");
    put(&scope, 1, 1).await.expect("put");
    scope.commit().await.expect("commit");
    assert_eq!(fresh.rows().await, [(1, 1)]);
}

/// Lets whatever is connected here be read-only from its next transaction on, as a switchover behind one name does.
async fn turn_read_only(server: &Server, fresh: &Fresh) {
    server.begin_read_only().expect("its settings can be written");
    for pid in fresh.pids().await {
        server.signal_backend(pid, Signal::Reload).expect("told");
    }
}

async fn connections_that_turned_read_only_are_replaced() {
    let server = Server::start().expect("a server");
    let fresh = Fresh::on(&server, policy()).await;
    fresh.fill(3).await;
    let old = fresh.pids().await;
    turn_read_only(&server, &fresh).await;
    let reader = fresh.sessions.scope("reader");
    assert!(old.contains(&pid(&reader).await.expect("a pid")), "nobody knows yet, and reading goes on");
    let writer = fresh.sessions.scope("writer");
    put(&writer, 1, 1).await.expect("it was not done, and is done on a new one");
    writer.end().await.expect("end");
    reader.end().await.expect("end");
    let scopes: Vec<_> = (2..5).map(|_| fresh.sessions.scope("later")).collect();
    for (k, scope) in (2..).zip(&scopes) {
        assert!(
            !old.contains(&pid(scope).await.expect("a pid")),
            "neither an idle one nor one that was lent meanwhile"
        );
        put(scope, k, k).await.expect("put");
    }
    assert_eq!(fresh.rows().await, [(1, 1), (2, 2), (3, 3), (4, 4)]);
}

async fn transaction_on_a_connection_that_turned_read_only_is_lost() {
    let server = Server::start().expect("a server");
    let fresh = Fresh::on(&server, policy()).await;
    fresh.fill(1).await;
    turn_read_only(&server, &fresh).await;
    let scope = fresh.sessions.scope("writer");
    scope.begin().await.expect("begin");
    let lost = put(&scope, 1, 1).await.expect_err("read-only");
    assert!(matches!(Error::of(&lost), Some(Error::TransactionLost { .. })), "{lost:?}");
    scope.rollback().await.expect("rollback");
    scope.begin().await.expect("begin");
    put(&scope, 1, 1).await.expect("the next one is writable");
    scope.commit().await.expect("commit");
    assert_eq!(fresh.rows().await, [(1, 1)]);
}

async fn transaction_begun_read_only_keeps_its_connection() {
    let fresh = Fresh::new().await;
    let scope = fresh.sessions.scope("reader");
    let before = pid(&scope).await.expect("a pid");
    scope.begin_with(Begin { read_only: true, ..Begin::default() }).await.expect("begin");
    let refused = put(&scope, 1, 1).await.expect_err("read-only");
    assert_eq!(refused.as_database_error().and_then(|it| it.code()).as_deref(), Some("25006"));
    scope.rollback().await.expect("rollback");
    assert_eq!(pid(&scope).await.expect("a pid"), before);
    scope.end().await.expect("end");
    let health = fresh.sessions.health();
    assert_eq!((health.lost, health.discarded), (0, 0));
}

async fn server_that_was_read_only_from_the_start_is_no_reason_to_replace_connections() {
    let fresh = Fresh::new().await;
    let read_only = fresh.options.clone().options([("default_transaction_read_only", "on")]);
    let sessions = PgOptions::new(read_only).open(policy()).await.expect("sessions");
    let scopes: Vec<_> = (0..3).map(|_| sessions.scope("reader")).collect();
    let mut old = Vec::new();
    for scope in &scopes {
        old.push(pid(scope).await.expect("a pid"));
    }
    for scope in scopes {
        scope.end().await.expect("end");
    }
    let scope = sessions.scope("writer");
    let refused = put(&scope, 1, 1).await.expect_err("read-only");
    assert_eq!(refused.as_database_error().and_then(|it| it.code()).as_deref(), Some("25006"));
    scope.end().await.expect("end");
    let scopes: Vec<_> = (0..3).map(|_| sessions.scope("reader")).collect();
    let mut kept = 0;
    for scope in &scopes {
        kept += usize::from(old.contains(&pid(scope).await.expect("a pid")));
    }
    assert_eq!(kept, 2, "the one that was refused is gone");
}

async fn code_that_a_function_raises_is_no_reason_to_replace_connections() {
    let fresh = Fresh::new().await;
    let raises = "create function refuse() returns int language plpgsql as \
        $$ begin raise 'closed for today' using errcode = '25006'; end $$";
    fresh.outside().await.execute(raises).await.expect("a function");
    fresh.fill(3).await;
    let scope = fresh.sessions.scope("request");
    sqlx::query("select refuse()").execute(&scope).await.expect_err("it refuses");
    scope.end().await.expect("end");
    let health = fresh.sessions.health();
    assert_eq!((health.lost, health.discarded, health.usage.size), (0, 0, 3));
}

async fn refused_login_is_tried_again_until_it_is_let_in() {
    let server = Server::start().expect("a server");
    let fresh = Fresh::on(&server, policy()).await;
    let mut outside = fresh.outside().await;
    outside.execute("create role app login password 'old'").await.expect("a role");
    let options = server.tcp().username("app").password("old");
    let sessions = PgOptions::new(options.clone()).open(policy()).await.expect("sessions");
    outside.execute("alter role app password 'new'").await.expect("a new password");
    let began = Instant::now();
    let refused = PgOptions::new(options).open(policy()).await.map(drop).expect_err("the first look");
    assert!(matches!(refused, PgOpenError::Refused { .. }), "{refused}");
    assert!(began.elapsed() < SOON, "it is no outage where nobody was ever let in");
    let scopes: Vec<_> = (0..2).map(|_| sessions.scope("request")).collect();
    pid(&scopes[0]).await.expect("who is connected stays so");
    let (opened, ()) = tokio::join!(pid(&scopes[1]), async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        outside.execute("alter role app password 'old'").await.expect("the old password");
    });
    opened.expect("it was tried again");
}

async fn statement_outdated_by_ddl_is_prepared_anew() {
    let mut policy = policy();
    policy.sessions_max = 1;
    let fresh = Fresh::with(policy).await;
    let read = async |scope: &Scope<PgSource>| sqlx::query("select * from kv").execute(scope).await.map(drop);
    let scope = fresh.sessions.scope("first");
    read(&scope).await.expect("prepared");
    scope.end().await.expect("end");
    let mut outside = fresh.outside().await;
    sqlx::raw_sql("alter table kv add column a int").execute(&mut outside).await.expect("ddl");
    let (scope, before) = (fresh.sessions.scope("second"), fresh.pids().await);
    read(&scope).await.expect("unseen");
    assert_eq!(fresh.pids().await, before, "on the same connection");

    sqlx::raw_sql("alter table kv add column b int").execute(&mut outside).await.expect("ddl");
    scope.begin().await.expect("begin");
    assert!(read(&scope).await.is_err(), "it cannot be run again alone");
    scope.rollback().await.expect("rollback");
    scope.end().await.expect("end");
    read(&fresh.sessions.scope("third")).await.expect("the outdated statement went with its connection");
}
