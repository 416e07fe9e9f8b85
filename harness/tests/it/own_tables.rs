//! What a system's own tables do wrong is said once, and not blamed on the system.

use sqlx::{Sqlite, SqlitePool};
use unstale_harness::chain::{Of, Subject};
use unstale_harness::database::Database;
use unstale_harness::explore::{Exploration, Explored, explore};
use unstale_harness::history::{Failure, Reply};
use unstale_harness::plan::Command;
use unstale_harness::system::{Capabilities, Capability, Port, System};
use unstale_harness::workload;

/// What is wrong with the table `kv` of a system that is correct otherwise.
trait Mistake: 'static {
    const NAME: &'static str;
    /// What the system prepares.
    const TABLES: &'static [&'static str];
    /// Where its `put` writes.
    const PUT: &'static str;
}

/// A pool that runs each statement on a connection of its own.
struct Plain<M>(SqlitePool, std::marker::PhantomData<M>);

impl<M: Mistake> System for Plain<M> {
    const NAME: &'static str = M::NAME;

    fn capabilities() -> Capabilities {
        Capabilities::of([Capability::Identity])
    }

    async fn start(database: &Database) -> Result<Self, Failure> {
        database.prepare(M::TABLES).await?;
        let pool = database.pool_options().connect_with(database.connect_options()).await?;
        Ok(Self(pool, std::marker::PhantomData))
    }

    async fn actor(&self, mut port: Port) {
        while let Some(command) = port.next().await {
            match command {
                Command::Put(key, value) => {
                    let put = sqlx::query::<Sqlite>(M::PUT).bind(i64::from(key.0)).bind(i64::from(value));
                    port.ask(put.execute(&self.0), |done| Reply::Changed(done.rows_affected() > 0)).await;
                }
                Command::Open | Command::Close => {
                    port.run(std::future::ready(Ok::<_, Failure>(()))).await;
                }
                command => workload::statement(&self.0, &command, &mut port).await,
            }
        }
    }

    async fn stop(&self) {
        self.0.close().await;
    }
}

const WRITE_KV: &str = "insert into kv (k, v) values (?, ?) on conflict (k) do update set v = excluded.v";

fn explored<M: Mistake>() -> Explored {
    let exploration = Exploration { plans: 200, jobs: 1, ..Exploration::default() };
    explore(&Of::<Plain<M>>::new(), &exploration, &std::sync::atomic::AtomicBool::new(false), |_| {})
}

/// Nothing is found, one sentence says what is wrong, and the rest of the plans is spared.
fn is_said_once<M: Mistake>(sentence: &str) {
    let explored = explored::<M>();
    assert!(explored.findings.is_empty() && explored.unsure.is_empty(), "{:?}", explored.findings);
    let why = explored.coverage.first_inconclusive.expect("it is said");
    assert!(why.contains(sentence), "{why}");
    assert_eq!(explored.coverage.inconclusive, 1);
    assert!(explored.coverage.plans < 20, "{} plans", explored.coverage.plans);
}

struct Texts;

impl Mistake for Texts {
    const NAME: &'static str = "texts";
    const TABLES: &'static [&'static str] = &["drop table kv", "create table kv (k text primary key, v text not null)"];
    const PUT: &'static str = WRITE_KV;
}

#[test]
fn column_of_another_type_is_named() {
    is_said_once::<Texts>(
        "the table or view `kv` cannot be read: error occurred while decoding column 0: mismatched types",
    );
}

struct Elsewhere;

impl Mistake for Elsewhere {
    const NAME: &'static str = "elsewhere";
    const TABLES: &'static [&'static str] = &["create table mine (id integer primary key, number integer)"];
    const PUT: &'static str =
        "insert into mine (id, number) values (?, ?) on conflict (id) do update set number = excluded.number";
}

#[test]
fn table_that_does_not_show_what_is_written_is_named() {
    is_said_once::<Elsewhere>(
        "the table or view `kv` does not show what `put` writes: `put k1 1` was committed, and `kv` has no row of k1",
    );
}

struct Swapped;

impl Mistake for Swapped {
    const NAME: &'static str = "swapped";
    const TABLES: &'static [&'static str] = &[
        "drop table kv",
        "create table mine (id integer primary key, number integer)",
        "create view kv as select id as k, number + 1 as v from mine",
    ];
    const PUT: &'static str = Elsewhere::PUT;
}

#[test]
fn view_that_shows_something_else_is_named() {
    is_said_once::<Swapped>("`put k1 1` was committed, and `kv` has k1 = 2");
}

struct Viewed;

impl Mistake for Viewed {
    const NAME: &'static str = "viewed";
    const TABLES: &'static [&'static str] = &[
        "drop table kv",
        "create table mine (id integer primary key, number integer)",
        "create view kv as select id as k, number as v from mine",
    ];
    const PUT: &'static str = Elsewhere::PUT;
}

/// It deletes nothing, which a view does not allow, and is blamed for nothing else.
#[test]
fn view_that_shows_what_is_written_is_no_mistake() {
    let of = Of::<Plain<Viewed>>::new();
    assert_eq!(of.table_fault(&unstale_harness::limits::Limits::default()), None);
    assert!(explored::<Viewed>().coverage.first_inconclusive.is_none());
}

struct Forgetful;

impl Mistake for Forgetful {
    const NAME: &'static str = "forgetful";
    const TABLES: &'static [&'static str] = &[];
    const PUT: &'static str = "select ?, ?";
}

#[test]
fn system_that_claims_to_have_written_is_blamed_as_ever() {
    assert!(!explored::<Forgetful>().findings.is_empty());
}
