//! A whole transaction, tried again when the database asks for that, in a program that does nothing else.
//!
//! Run it with `cargo run --example run`.

use unstale::{Policy, Sessions, SqliteOptions, SqliteSource};

/// Moves what is there. The sessions are handed in, as by an application's state.
async fn work(sessions: &Sessions<SqliteSource>) -> Result<i64, sqlx::Error> {
    sessions
        .run("move", async |scope| {
            sqlx::query("create table if not exists kv (k integer primary key, v integer)").execute(scope).await?;
            sqlx::query("insert into kv values (1, 2)").execute(scope).await?;
            sqlx::query_scalar("select sum(v) from kv").fetch_one(scope).await
        })
        .await
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let sessions = SqliteOptions::from_url("sqlite::memory:")?.open(Policy::default()).await?;
    println!("{}", work(&sessions).await?);
    sessions.drain(std::time::Duration::from_secs(1)).await?;
    Ok(())
}
