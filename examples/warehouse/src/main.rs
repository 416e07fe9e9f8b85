//! `warehouse ARTICLE COUNT`: takes goods in, and prints what is there.

use unstale::{Policy, Record, Sessions, SqliteOptions, SqliteSource};
use warehouse::{Limits, SCHEMA, Stock, Stocks, receive, services};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let arguments: Vec<i64> = std::env::args().skip(1).map(|it| it.parse()).collect::<Result<_, _>>()?;
    let [article, count] = arguments[..] else {
        return Err("usage: warehouse ARTICLE COUNT".into());
    };
    let sessions = SqliteOptions::from_url("sqlite://warehouse.db?mode=rwc")?.open(Policy::default()).await?;
    sqlx::raw_sql(SCHEMA).execute(&sessions.scope("schema")).await?;
    let services = services(sessions, Limits { most: 100 })?;

    println!("{} taken in", receive(&services, article, count).await?);
    let look = services.resolve::<Sessions<SqliteSource>>().await?.scope("look");
    let stocks = services.enter(&look).resolve::<Stocks>().await?;
    for Stock { article, count } in stocks.table().list(Stock::all()).await? {
        println!("article {article}: {count}");
    }
    Ok(())
}
