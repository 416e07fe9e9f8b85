//! Hazard: a real error of the real server that is misread. One test for each row of the table of classes.

use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, Connection, Executor};
use unstale::source::{AcquireError, Source, SqlxConnection};
use unstale::{Begin, Error, ErrorClass, Isolation, PgOptions, PgSource, Repository, Scope};
use unstale_wire::server::{Server, Shutdown, Signal};
use unstale_wire::trials::Trial;

use crate::bed::{Fresh, SOON, pid, policy, put, within};
use crate::tests;

pub(crate) fn trials() -> Vec<Trial> {
    tests![
        terminated_backend_is_dead,
        idle_connection_that_was_terminated_is_unseen,
        idle_timeouts_are_dead,
        server_that_ends_is_dead,
        killed_neighbour_is_dead,
        nobody_there_is_not_up_yet,
        server_in_recovery_is_not_up_yet,
        server_without_a_place_is_not_up_yet,
        refused_login_is_an_outage_and_a_missing_database_a_mistake,
        serialization_failure_and_deadlock_lose_the_transaction,
        statement_after_a_refused_one_finds_the_transaction_lost,
        statement_outdated_by_ddl_is_unseen_or_loses_the_transaction,
        lock_that_is_not_to_be_had_and_cancelled_statement_lose_the_statement,
        what_is_wrong_with_the_statement_is_a_mistake,
        statement_with_too_many_values_costs_nothing,
        operation_that_commits_in_its_middle_is_not_tried_again,
    ]
}

/// Both ways to a server: what happens there must mean the same on each.
fn ways(server: &Server) -> [PgConnectOptions; 2] {
    [server.tcp(), server.socket()]
}

async fn both() -> [Fresh; 2] {
    let [tcp, socket] = ways(Server::shared().expect("a server"));
    [Fresh::by(tcp, policy()).await, Fresh::by(socket, policy()).await]
}

/// The class of an error that came as it was, and its code.
#[track_caller]
fn class<T: std::fmt::Debug>(result: sqlx::Result<T>) -> (ErrorClass, String) {
    let error = result.expect_err("an error");
    let own = Error::of(&error);
    assert!(own.is_none(), "{own:?}");
    let code = error.as_database_error().and_then(|it| it.code()).map(|it| it.into_owned());
    // Which of the kinds of a broken connection it is depends on the way, and on time.
    (PgConnection::class(&error), code.unwrap_or_else(|| "broken".into()))
}

/// Dead, for this reason or for none: a client that writes to a connection that was closed is not shown the reason.
#[track_caller]
fn assert_dead((class, code): (ErrorClass, String), reason: &str) {
    assert_eq!(class, ErrorClass::Disconnected, "{code}");
    assert!(code == reason || code == "broken", "{code}");
}

async fn run(scope: &Scope<PgSource>, sql: &str) -> sqlx::Result<()> {
    sqlx::query(AssertSqlSafe(sql)).execute(scope).await.map(drop)
}

/// What an attempt to open a connection comes to.
async fn connect(options: PgConnectOptions) -> (ErrorClass, String) {
    let source = PgSource::new(PgOptions::new(options), &policy());
    match source.acquire().await {
        Err(AcquireError::Connect(failure)) => (failure.class, failure.to_string()),
        Err(AcquireError::Closed) => panic!("nobody closed it"),
        Ok(_) => panic!("a connection"),
    }
}

async fn terminated_backend_is_dead() {
    for fresh in both().await {
        let scope = fresh.sessions.scope("request");
        put(&scope, 1, 1).await.expect("put");
        fresh.terminate_all().await;
        assert_dead(class(put(&scope, 2, 2).await), "57P01");
        put(&scope, 3, 3).await.expect("on another session");
        assert_eq!((scope.generation(), fresh.rows().await), (2, vec![(1, 1), (3, 3)]));
    }
}

async fn idle_connection_that_was_terminated_is_unseen() {
    for fresh in both().await {
        for k in 1..=2 {
            fresh.fill(1).await;
            fresh.terminate_all().await;
            let scope = fresh.sessions.scope("request");
            if k == 1 {
                scope.begin().await.expect("unseen");
            }
            put(&scope, k, k).await.expect("unseen");
            if k == 1 {
                scope.commit().await.expect("commit");
            }
            scope.end().await.expect("end");
        }
        assert_eq!(fresh.rows().await, [(1, 1), (2, 2)]);
    }
}

async fn idle_timeouts_are_dead() {
    for fresh in both().await {
        let mut connection = fresh.outside().await;
        let backend = pid(&mut connection).await.expect("a pid");
        connection.execute("set idle_in_transaction_session_timeout = 10; begin").await.expect("begin");
        gone(&fresh, backend).await;
        assert_dead(class(connection.execute("select 1").await), "25P03");
        if connection.server_version_num() < Some(140_000) {
            continue;
        }
        let mut connection = fresh.outside().await;
        let backend = pid(&mut connection).await.expect("a pid");
        connection.execute("set idle_session_timeout = 10").await.expect("set");
        gone(&fresh, backend).await;
        assert_dead(class(connection.execute("select 1").await), "57P05");
    }
}

/// Waits until the server has ended this backend.
async fn gone(fresh: &Fresh, pid: i32) {
    let mut outside = fresh.outside().await;
    within(SOON, "a backend to go", async || {
        let left = "select count(*) from pg_stat_activity where pid = $1";
        sqlx::query_scalar::<_, i64>(left).bind(pid).fetch_one(&mut outside).await.expect("a count") == 0
    })
    .await;
}

async fn server_that_ends_is_dead() {
    let server = Server::start().expect("a server");
    for how in [Shutdown::Fast, Shutdown::Immediate, Shutdown::Kill] {
        for way in ways(&server) {
            let fresh = Fresh::by(way, policy()).await;
            let scope = fresh.sessions.scope("request");
            put(&scope, 1, 1).await.expect("put");
            server.restart(how).expect("restarted");
            // An immediate end is told by a warning alone, and a killed server says nothing.
            let reason = if how == Shutdown::Fast { "57P01" } else { "broken" };
            assert_dead(class(put(&scope, 2, 2).await), reason);
            put(&scope, 3, 3).await.expect("on another session");
            assert_eq!(fresh.rows().await, [(1, 1), (3, 3)], "{how:?}");
        }
    }
}

async fn killed_neighbour_is_dead() {
    let server = Server::start().expect("a server");
    for way in ways(&server) {
        let fresh = Fresh::by(way, policy()).await;
        let (scope, other) = (fresh.sessions.scope("request"), fresh.sessions.scope("neighbour"));
        put(&scope, 1, 1).await.expect("put");
        let neighbour = pid(&other).await.expect("a pid");
        server.signal_backend(neighbour, Signal::Kill).expect("killed");
        assert_dead(class(run(&other, "select pg_sleep(5)").await), "57P02");
        assert_dead(class(run(&scope, "select pg_sleep(5)").await), "57P02");
        put(&scope, 2, 2).await.expect("after the recovery");
    }
}

async fn nobody_there_is_not_up_yet() {
    let server = Server::start().expect("a server");
    // The socket's file is gone after the first, and there after the second.
    for how in [Shutdown::Fast, Shutdown::Kill] {
        server.stop(how).expect("stopped");
        for way in ways(&server) {
            let (class, text) = connect(way).await;
            assert_eq!(class, ErrorClass::Unavailable, "{text}");
        }
        server.start_again().expect("started");
    }
}

async fn server_in_recovery_is_not_up_yet() {
    let server = Server::start().expect("a server");
    for way in ways(&server) {
        let fresh = Fresh::by(way.clone(), policy()).await;
        let (frozen, killed) = (fresh.outside().await, fresh.outside().await);
        let pids = [frozen, killed].map(async |mut it| (pid(&mut it).await.expect("a pid"), it));
        let [frozen, killed] = futures_util::future::join_all(pids).await.try_into().expect("two");
        // The server waits for all its processes before it recovers, some seconds for this one.
        server.signal_backend(frozen.0, Signal::Stop).expect("frozen");
        server.signal_backend(killed.0, Signal::Kill).expect("killed");
        within(Duration::from_secs(2), "the recovery", async || {
            PgConnection::connect_with(&way).await.is_err_and(|it| it.as_database_error().is_some())
        })
        .await;
        let (class, text) = connect(way).await;
        assert_eq!(class, ErrorClass::Unavailable, "{text}");
        assert!(text.contains("recovery mode") || text.contains("starting up"), "57P03: {text}");
        server.signal_backend(frozen.0, Signal::Continue).expect("woken");
        let scope = fresh.sessions.scope("request");
        scope.begin().await.expect("it waited for the server");
    }
}

async fn server_without_a_place_is_not_up_yet() {
    let settings = [("max_connections", "3"), ("superuser_reserved_connections", "0")];
    let server = Server::start_with(&settings).expect("a server");
    for way in ways(&server) {
        let mut taken = Vec::new();
        while let Ok(one) = PgConnection::connect_with(&way).await {
            taken.push(one);
        }
        let (class, text) = connect(way).await;
        assert_eq!(class, ErrorClass::Unavailable, "{text}");
        assert!(text.contains("too many clients"), "53300: {text}");
        for one in taken {
            one.close().await.expect("closed");
        }
    }
}

/// Passwords are changed at the server and at its clients, and never at the same time, so a refused login may be let in later.
async fn refused_login_is_an_outage_and_a_missing_database_a_mistake() {
    for way in ways(Server::shared().expect("a server")) {
        let (class, text) = connect(way.clone().password("wrong")).await;
        assert_eq!(class, ErrorClass::Unavailable, "{text}");
        assert!(text.contains("password authentication failed"), "28P01: {text}");
        let (class, text) = connect(way.database("nowhere")).await;
        assert_eq!(class, ErrorClass::Rejected, "{text}");
        assert!(text.contains("does not exist"), "3D000: {text}");
    }
}

async fn serialization_failure_and_deadlock_lose_the_transaction() {
    for fresh in both().await {
        let (one, two) = (fresh.sessions.scope("one"), fresh.sessions.scope("two"));
        for k in 1..=2 {
            put(&one, k, 0).await.expect("put");
        }
        let begin = Begin { isolation: Some(Isolation::RepeatableRead), ..Begin::default() };
        one.begin_with(begin).await.expect("begin");
        run(&one, "select * from kv").await.expect("a snapshot");
        run(&two, "update kv set v = v + 1").await.expect("updated");
        let lost = class(run(&one, "update kv set v = v + 1").await);
        assert_eq!(lost, (ErrorClass::RetryTransaction, "40001".into()));
        one.rollback().await.expect("rolled back");

        for (scope, k) in [(&one, 1), (&two, 2)] {
            scope.begin().await.expect("begin");
            run(scope, &format!("update kv set v = 9 where k = {k}")).await.expect("updated");
        }
        let crossed =
            tokio::join!(run(&one, "update kv set v = 9 where k = 2"), run(&two, "update kv set v = 9 where k = 1"));
        let victim = if crossed.0.is_err() { crossed.0 } else { crossed.1 };
        assert_eq!(class(victim), (ErrorClass::RetryTransaction, "40P01".into()));
        assert_eq!((one.generation(), two.generation()), (1, 1), "their sessions are good");
        one.rollback().await.expect("rolled back");
        two.rollback().await.expect("rolled back");
    }
}

async fn statement_after_a_refused_one_finds_the_transaction_lost() {
    for fresh in both().await {
        let scope = fresh.sessions.scope("request");
        scope.begin().await.expect("begin");
        run(&scope, "select 1 / 0").await.expect_err("refused");
        assert_eq!(class(put(&scope, 1, 1).await), (ErrorClass::RetryTransaction, "25P02".into()));
        scope.rollback().await.expect("rolled back");
        put(&scope, 2, 2).await.expect("put");
        assert_eq!((scope.generation(), fresh.rows().await), (1, vec![(2, 2)]));
    }
}

async fn statement_outdated_by_ddl_is_unseen_or_loses_the_transaction() {
    for fresh in both().await {
        let scope = fresh.sessions.scope("request");
        run(&scope, "select * from kv").await.expect("prepared");
        fresh.outside().await.execute("alter table kv add column w int").await.expect("ddl");
        run(&scope, "select * from kv").await.expect("prepared anew, on the same session");
        assert_eq!(scope.generation(), 1);
        fresh.outside().await.execute("alter table kv add column x int").await.expect("ddl");
        scope.begin().await.expect("begin");
        let outdated = class(run(&scope, "select * from kv").await);
        assert_eq!(outdated, (ErrorClass::RetryTransaction, "0A000".into()));
        drop(scope);
        let scope = fresh.sessions.scope("another");
        run(&scope, "select * from kv").await.expect("prepared anew");
    }
}

async fn lock_that_is_not_to_be_had_and_cancelled_statement_lose_the_statement() {
    for fresh in both().await {
        let scope = fresh.sessions.scope("request");
        put(&scope, 1, 1).await.expect("put");
        let mut outside = fresh.outside().await;
        outside.execute("begin; update kv set v = 2").await.expect("locked");
        let locked = class(run(&scope, "select * from kv for update nowait").await);
        assert_eq!(locked, (ErrorClass::RetryStatement, "55P03".into()));
        run(&scope, "set lock_timeout = 10").await.expect("set");
        let waited = class(run(&scope, "update kv set v = 3").await);
        assert_eq!(waited, (ErrorClass::RetryStatement, "55P03".into()));
        run(&scope, "set statement_timeout = 10").await.expect("set");
        let slow = class(run(&scope, "select pg_sleep(5)").await);
        assert_eq!(slow, (ErrorClass::RetryStatement, "57014".into()));
        run(&scope, "set statement_timeout = 0").await.expect("set");
        let pid = pid(&scope).await.expect("a pid");
        let cancel = async {
            let sql = "select pg_cancel_backend(pid) from pg_stat_activity where pid = $1 and wait_event = 'PgSleep'";
            within(SOON, "a statement to cancel", async || {
                !sqlx::query(sql).bind(pid).fetch_all(&mut outside).await.expect("asked").is_empty()
            })
            .await;
        };
        let (cancelled, ()) = tokio::join!(run(&scope, "select pg_sleep(5)"), cancel);
        assert_eq!(class(cancelled), (ErrorClass::RetryStatement, "57014".into()));
        assert_eq!(scope.generation(), 1, "the session is good");
    }
}

async fn what_is_wrong_with_the_statement_is_a_mistake() {
    for fresh in both().await {
        let scope = fresh.sessions.scope("request");
        put(&scope, 1, 1).await.expect("put");
        let mistakes = [
            ("select 1 / 0", "22012"),
            ("select 'x'::int", "22P02"),
            ("insert into kv values (1, 2)", "23505"),
            ("insert into kv values (2, null)", "23502"),
            ("select * from nowhere", "42P01"),
            ("selec 1", "42601"),
            ("select 1 from kv for update of nowhere", "42P01"),
        ];
        for (sql, code) in mistakes {
            assert_eq!(class(run(&scope, sql).await), (ErrorClass::Rejected, code.into()), "{sql}");
        }
        let found = sqlx::query("select 1 from kv where k = 9").fetch_one(&scope).await;
        assert_eq!(class(found).0, ErrorClass::Rejected);
        let decoded = sqlx::query_scalar::<_, String>("select 1").fetch_one(&scope).await;
        assert_eq!(class(decoded).0, ErrorClass::Rejected);
        assert_eq!((scope.generation(), fresh.rows().await), (1, vec![(1, 1)]));
    }
}

async fn statement_with_too_many_values_costs_nothing() {
    for fresh in both().await {
        let scope = fresh.sessions.scope("request");
        scope.begin().await.expect("begin");
        put(&scope, 1, 1).await.expect("put");
        let mut query = sqlx::query("select 1");
        for value in 0..70_000_i64 {
            query = query.bind(value);
        }
        let refused = query.execute(&scope).await;
        assert!(refused.as_ref().is_err_and(|it| it.to_string().contains("can have 65535")), "{refused:?}");
        assert_eq!(class(refused).0, ErrorClass::Rejected);
        scope.commit().await.expect("the transaction goes on");
        assert_eq!((scope.generation(), fresh.rows().await), (1, vec![(1, 1)]));
    }
}

async fn operation_that_commits_in_its_middle_is_not_tried_again() {
    let fresh = Fresh::new().await;
    let scope = fresh.sessions.scope("request");
    let rows = Repository::new("Rows", scope.handle("Rows"));
    let put = rows.call("put", |db| async move {
        let text = "do $$ begin insert into kv select count(*), 1 from kv; commit; \
            raise exception 'somebody has it' using errcode = '55P03'; end $$";
        sqlx::raw_sql(text).execute(db).await
    });
    let error = put.await.expect_err("it is refused");
    assert_eq!((error.class, error.attempts, error.partly_done), (ErrorClass::RetryStatement, 1, true), "{error}");
    assert!(error.to_string().ends_with("run it with `atomic`, which undoes that and tries again"), "{error}");
    assert_eq!(fresh.rows().await, [(0, 1)]);
}
