//! Hazard: the PostgreSQL database that was asked for cannot be used.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use sqlx::{Connection, PgConnection};
use unstale::{Error, PgOpenError, PgOptions};
use unstale_wire::server::Server;
use unstale_wire::trials::Trial;

use crate::bed::{Fresh, policy, put};
use crate::tests;

pub(crate) fn trials() -> Vec<Trial> {
    tests![
        server_whose_strings_cannot_be_read_is_refused,
        every_mistake_is_one_clear_error_without_the_password,
        nobody_there_is_told_at_once,
        server_without_a_place_is_waited_for,
        sessions_without_a_place_wait_and_say_so_in_the_end,
        socket_and_tcp_are_the_same,
    ]
}

async fn refused(options: PgOptions) -> PgOpenError {
    options.open(policy()).await.err().expect("refused")
}

async fn every_mistake_is_one_clear_error_without_the_password() {
    let server = Server::shared().expect("a server");
    let wrong = "a-wrong-password";
    let error = refused(PgOptions::new(server.tcp().password(wrong))).await;
    assert!(matches!(&error, PgOpenError::Refused { user, .. } if user == "unstale"), "{error}");
    assert!(!format!("{error} {error:?}").contains(wrong));
    let error = refused(PgOptions::new(server.tcp().username("nobody-at-all").password(wrong))).await;
    assert!(matches!(error, PgOpenError::Refused { .. }), "{error}");
    let error = refused(PgOptions::new(server.tcp().database("nowhere"))).await;
    assert!(error.to_string().contains("there is no database `nowhere`"), "{error}");
    let error = PgOptions::from_url("mysql://me:secret@localhost/db").expect_err("another database");
    assert!(error.to_string().contains("`mysql:` is no PostgreSQL URL"), "{error}");
    let mut policy = policy();
    policy.sessions_max = 0;
    let error = PgOptions::new(server.tcp()).open(policy).await.err().expect("refused");
    assert!(matches!(error, PgOpenError::Policy(_)), "{error}");
}

async fn nobody_there_is_told_at_once() {
    let server = Server::shared().expect("a server");
    let free = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("its number").port();
    let began = Instant::now();
    let error = refused(PgOptions::new(server.tcp().port(free))).await;
    assert!(matches!(error, PgOpenError::Unreachable { .. }), "{error}");
    assert!(error.to_string().contains(&format!("127.0.0.1:{free} cannot be reached")), "{error}");
    let error = refused(PgOptions::new(server.socket().socket("/nowhere"))).await;
    assert!(matches!(error, PgOpenError::Unreachable { .. }), "{error}");
    assert!(began.elapsed() < Duration::from_secs(10));
}

/// A server with few places.
async fn narrow() -> (Server, Fresh) {
    let server = Server::start_with(&[("max_connections", "10")]).expect("a server");
    let fresh = Fresh::on(&server, policy()).await;
    (server, fresh)
}

async fn server_without_a_place_is_waited_for() {
    let (server, fresh) = narrow().await;
    drop(fresh);
    let taken = take_all(&server).await;
    let opening = tokio::spawn(PgOptions::new(server.tcp()).open(policy()));
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(!opening.is_finished(), "it waits");
    drop(taken);
    opening.await.expect("no panic").expect("a place");
}

async fn sessions_without_a_place_wait_and_say_so_in_the_end() {
    let (server, fresh) = narrow().await;
    let taken = take_all(&server).await;
    // The idle connection is used, the second finds no place.
    let first = fresh.sessions.scope("first");
    first.begin().await.expect("begin");
    let sessions = fresh.sessions.clone();
    let waiting = tokio::spawn(async move { put(&sessions.scope("second"), 1, 1).await });
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(!waiting.is_finished(), "it waits");
    drop(taken);
    waiting.await.expect("no panic").expect("put");

    let mut policy = policy();
    policy.acquire_timeout = Duration::from_secs(2);
    let sessions = PgOptions::new(fresh.options.clone()).open(policy).await.expect("sessions");
    let held = sessions.scope("held");
    held.begin().await.expect("begin");
    let _taken = take_all(&server).await;
    let error = put(&sessions.scope("last"), 2, 2).await.expect_err("no place");
    let Some(Error::Unavailable { source, .. }) = Error::of(&error) else { panic!("{error}") };
    assert!(source.to_string().contains("too many clients"), "{source}");
}

/// Every place there is.
async fn take_all(server: &Server) -> Vec<PgConnection> {
    let mut all = Vec::new();
    while let Ok(connection) = PgConnection::connect_with(&server.tcp()).await {
        all.push(connection);
    }
    assert!(!all.is_empty());
    all
}

async fn socket_and_tcp_are_the_same() {
    let server = Server::shared().expect("a server");
    let sessions = PgOptions::new(server.socket()).open(policy()).await.expect("sessions");
    let one: i32 = sqlx::query_scalar("select 1").fetch_one(&sessions.scope("request")).await.expect("an answer");
    assert_eq!(one, 1);
}

async fn server_whose_strings_cannot_be_read_is_refused() {
    let fresh = Fresh::new().await;
    let off = fresh.options.clone().options([("standard_conforming_strings", "off")]);
    let error = PgOptions::new(off).open(policy()).await.map(drop).expect_err("they mean something else");
    let shown = format!("{error} {error:?}");
    assert!(shown.contains("standard_conforming_strings is off"), "{shown}");
}
