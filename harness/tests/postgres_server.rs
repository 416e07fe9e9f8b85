//! The private PostgreSQL server: what it can do, what it refuses, and that nothing of it is left behind.

use std::process::ExitCode;

use sqlx::{Connection, PgConnection, Row};
use unstale_harness::postgres::server::Server;
use unstale_harness::postgres::trials;
use unstale_harness::trial;

fn main() -> ExitCode {
    trials::run([trial!(server_answers_over_tcp_and_socket), trial!(dropped_server_leaves_nothing)])
}

async fn server_answers_over_tcp_and_socket() {
    let server = Server::shared().unwrap();
    for options in [server.tcp(), server.socket()] {
        let mut connection = PgConnection::connect_with(&options).await.unwrap();
        let row = sqlx::query("select current_user::text, current_database()::text, current_setting('data_directory')")
            .fetch_one(&mut connection)
            .await
            .unwrap();
        assert_eq!((row.get(0), row.get(1)), ("unstale", "unstale"));
        assert_eq!(row.get::<&str, _>(2), server.data_directory().to_str().unwrap());
        connection.close().await.unwrap();
    }
}

async fn dropped_server_leaves_nothing() {
    let server = Server::start().unwrap();
    let processes = server.processes().unwrap();
    assert!(processes.len() >= 4, "{processes:?}");
    let data = server.data_directory();
    drop(server);
    assert!(!data.exists());
    for pid in processes {
        assert!(!std::path::Path::new(&format!("/proc/{pid}")).exists(), "process {pid} is left");
    }
}
