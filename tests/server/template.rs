//! Hazard: tests that commit for real and see each other, or leave their databases behind.

use std::panic::AssertUnwindSafe;
use std::time::Instant;

use futures_util::FutureExt;
use sqlx::postgres::PgConnection;
use sqlx::{Connection, Executor};
use unstale::testing::{FixtureError, PgTemplate};
use unstale::{Error, PgOptions};
use unstale_wire::server::Server;
use unstale_wire::trials::Trial;

use crate::bed::{SOON, policy, put, within};
use crate::tests;

pub(crate) fn trials() -> Vec<Trial> {
    tests![
        each_test_has_a_copy_and_real_commits,
        tests_run_in_parallel on 2 threads,
        databases_are_gone_after_the_test_and_after_a_panic,
        what_a_dead_process_left_is_removed_and_what_is_alive_is_not,
        wrong_sql_says_what_is_wrong_and_leaves_nothing,
    ]
}

static TEMPLATE: PgTemplate = PgTemplate::new(
    "create table kv (k bigint primary key, v bigint not null); insert into kv values (0, 0);
     create table child (k bigint references kv (k) deferrable initially deferred)",
);

fn options() -> PgOptions {
    PgOptions::new(Server::shared().expect("a server").tcp())
}

async fn databases() -> Vec<String> {
    databases_of(Server::shared().expect("a server")).await
}

async fn databases_of(server: &Server) -> Vec<String> {
    let mut outside = PgConnection::connect_with(&server.tcp()).await.expect("connected");
    let sql = "select datname::text from pg_database where datname like 'unstale\\_%' order by 1";
    sqlx::query_scalar(sql).fetch_all(&mut outside).await.expect("names")
}

async fn each_test_has_a_copy_and_real_commits() {
    let one = TEMPLATE.database(options(), policy()).await.expect("a database");
    let two = TEMPLATE.database(options(), policy()).await.expect("a database");
    for database in [&one, &two] {
        let (scope, look) = (database.sessions().scope("request"), database.sessions().scope("look"));
        scope.begin().await.expect("begin");
        put(&scope, 1, 1).await.expect("put");
        let count = "select count(*) from kv";
        assert_eq!(sqlx::query_scalar::<_, i64>(count).fetch_one(&look).await.expect("a count"), 1);
        scope.commit().await.expect("commit");
        assert_eq!(sqlx::query_scalar::<_, i64>(count).fetch_one(&look).await.expect("a count"), 2);
        scope.begin().await.expect("begin");
        sqlx::query("insert into child values (9)").execute(&scope).await.expect("not checked yet");
        assert!(matches!(scope.commit().await, Err(Error::RolledBack { .. })), "what a fixture does not show");
    }
    one.end().await.expect("dropped");
    two.end().await.expect("dropped");
}

async fn tests_run_in_parallel() {
    let began = Instant::now();
    let tests = (0..8).map(|_| {
        tokio::spawn(async move {
            let database = TEMPLATE.database(options(), policy()).await.expect("a database");
            put(&database.sessions().scope("request"), 1, 1).await.expect("put");
            database.end().await.expect("dropped");
        })
    });
    for test in tests.collect::<Vec<_>>() {
        test.await.expect("a test");
    }
    println!("8 tests took {:?}", began.elapsed());
}

async fn databases_are_gone_after_the_test_and_after_a_panic() {
    let database = TEMPLATE.database(options(), policy()).await.expect("a database");
    let name = database.name().to_owned();
    assert!(databases().await.contains(&name));
    // Somebody is still connected to it.
    let scope = database.sessions().scope("never ended");
    put(&scope, 1, 1).await.expect("put");
    let panics = AssertUnwindSafe(async move {
        let _database = database;
        panic!("the test fails");
    });
    panics.catch_unwind().await.expect_err("a panic");
    within(SOON, "the database to go", async || !databases().await.contains(&name)).await;

    let template = PgTemplate::new("create table kv (k bigint)");
    let database = template.database(options(), policy()).await.expect("a database");
    let name = database.name().to_owned();
    let own = name.rsplit_once('_').expect("a number at its end").0.to_owned();
    drop(template);
    assert!(databases().await.contains(&own), "the copy is there");
    drop(database);
    let gone = async || !databases().await.iter().any(|it| it.starts_with(&own));
    within(SOON, "the template to go with its last copy", gone).await;
}

async fn what_a_dead_process_left_is_removed_and_what_is_alive_is_not() {
    let mut outside = PgConnection::connect_with(&Server::shared().expect("a server").tcp()).await.expect("connected");
    let dead = ["unstale_1_0123abcd", "unstale_1_0123abcd_7"];
    let others = ["unstale_something", "unstale_1_0123abcd_x"];
    for name in dead.iter().chain(&others) {
        outside.execute(sqlx::AssertSqlSafe(format!("create database {name}"))).await.expect("made");
    }
    let alive = TEMPLATE.database(options(), policy()).await.expect("a database");
    let another = PgTemplate::new("select 1");
    let database = another.database(options(), policy()).await.expect("a database");
    let left = databases().await;
    assert!(dead.iter().all(|it| !left.iter().any(|name| name == it)), "{left:?}");
    assert!(others.iter().all(|it| left.iter().any(|name| name == it)), "{left:?}");
    assert!(left.iter().any(|it| it == alive.name()) && left.iter().any(|it| it == database.name()), "{left:?}");
    put(&alive.sessions().scope("request"), 1, 1).await.expect("put");
    TEMPLATE.database(options(), policy()).await.expect("the template is there").end().await.expect("dropped");
    for name in others {
        outside.execute(sqlx::AssertSqlSafe(format!("drop database {name}"))).await.expect("dropped");
    }
    alive.end().await.expect("dropped");
    database.end().await.expect("dropped");
}

async fn wrong_sql_says_what_is_wrong_and_leaves_nothing() {
    // A server of its own: on the shared one the other tests make databases meanwhile.
    let server = Server::start().expect("a server");
    let wrong = PgTemplate::new("create table");
    let error = wrong.database(PgOptions::new(server.tcp()), policy()).await.expect_err("wrong");
    assert!(matches!(error, FixtureError::Template(_)) && error.to_string().contains("syntax error"), "{error}");
    assert_eq!(databases_of(&server).await, [""; 0]);
}
