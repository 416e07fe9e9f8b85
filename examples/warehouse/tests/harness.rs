//! The application under the harness: what can be asked of it, in the harness' words.

use unstale::registry::{Dep, Registry};
use unstale::{Policy, RepositoryError, Scope, Sessions, SqliteSource};
use unstale_harness::library::transaction;
use unstale_harness::plan::{Command, Usage};
use unstale_harness::system::{Capabilities, Capability::*, Port, System};
use unstale_harness::{check, database::Database, history::Failure, history::Reply};
use warehouse::{Limits, SCHEMA, Stocks, services};

struct Warehouse(Sessions<SqliteSource>, Registry<SqliteSource>);

impl System for Warehouse {
    const NAME: &'static str = "warehouse";

    fn capabilities() -> Capabilities {
        Capabilities::of([Transactions, Nesting, Cancellation, Faults, Retention, Identity])
    }

    async fn start(database: &Database) -> Result<Self, Failure> {
        // The harness looks at `kv`: here a view of the application's own table.
        database
            .prepare(&[SCHEMA, "drop table kv", "create view kv (k, v) as select article, count from stock"])
            .await?;
        let mut policy = Policy::default();
        policy.sessions_max = database.connections().into();
        let sessions = database.sqlite_options().open(policy).await?;
        Ok(Self(sessions.clone(), services(sessions, Limits { most: 100 })?))
    }

    async fn actor(&self, mut port: Port) {
        let (mut scope, mut kept): (Option<Scope<_>>, Option<Dep<Stocks>>) = (None, None);
        while let Some(command) = port.next().await {
            match (&command, &scope, &kept) {
                (Command::Open, None, _) => scope = port.run(self.0.open("request")).await,
                (Command::Close, Some(_), _) => drop(port.run(scope.take().expect("open").end()).await),
                (Command::Retain, Some(scope), _) => {
                    // Who is cancelled keeps what he had.
                    kept = port.run(self.1.enter(scope).resolve()).await.or(kept.take());
                }
                (Command::Stale(usage), _, Some(kept)) => drop(port.ask(serve(kept, *usage), Reply::clone).await),
                (Command::Put(..) | Command::Get(_), Some(scope), _) => {
                    let stocks = self.1.enter(scope).resolve().await.expect("the scope is open");
                    let usage = command.usage().expect("a row is used");
                    port.ask(serve(&stocks, usage), Reply::clone).await;
                }
                (command, Some(scope), _) => transaction(scope, command, &mut port).await,
                _ => {}
            }
        }
    }

    async fn stop(&self) {
        self.0.close();
    }
}

async fn serve(stocks: &Stocks, usage: Usage) -> Result<Reply, RepositoryError> {
    Ok(match usage {
        Usage::Put(key, value) => stocks.set(key.0.into(), value.into()).await.map(|()| Reply::Changed(true))?,
        Usage::Get(key) => Reply::Value(stocks.count(key.0.into()).await?),
    })
}

#[test]
fn no_stale_session_is_used() {
    check!(Warehouse);
}
