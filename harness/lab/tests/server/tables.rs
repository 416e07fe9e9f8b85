//! Tables of a system's own on PostgreSQL: a mistake in them is said once, and not blamed on the system.

use std::sync::atomic::AtomicBool;

use unstale_harness::chain::Of;
use unstale_harness::database::Database;
use unstale_harness::explore::{Exploration, explore};
use unstale_harness::history::Failure;
use unstale_harness::system::{Capabilities, Port, System};
use unstale_lab::systems::sqlx_pool::SqlxPgPool;
use unstale_wire::trial;
use unstale_wire::trials::Trial;

pub(crate) fn trials() -> Vec<Trial> {
    vec![trial!(columns_that_are_too_small_are_named_once)]
}

/// sqlx's pool over a table whose columns are as large as the word `integer` makes them.
struct Integers(SqlxPgPool);

impl System for Integers {
    const NAME: &'static str = "integers";

    fn capabilities() -> Capabilities {
        Capabilities::postgres()
    }

    async fn start(database: &Database) -> Result<Self, Failure> {
        database.prepare(&["drop table kv; create table kv (k integer primary key, v integer not null)"]).await?;
        SqlxPgPool::start(database).await.map(Self)
    }

    async fn actor(&self, port: Port) {
        self.0.actor(port).await;
    }

    async fn stop(&self) {
        self.0.stop().await;
    }
}

async fn columns_that_are_too_small_are_named_once() {
    let exploration = Exploration { plans: 100, jobs: 1, ..Exploration::default() };
    let explored = explore(&Of::<Integers>::new(), &exploration, &AtomicBool::new(false), |_| {});
    assert!(explored.findings.is_empty() && explored.unsure.is_empty(), "{:?}", explored.findings);
    let why = explored.coverage.first_inconclusive.expect("it is said");
    assert!(why.starts_with("the table or view `kv` cannot be read: ") && why.contains("`INT4`"), "{why}");
    assert_eq!(explored.coverage.inconclusive, 1, "the rest is spared");
    assert!(explored.coverage.plans < 20, "{} plans", explored.coverage.plans);
}
