//! What the test fixture costs: a test on a copy of a template, beside opening the same database and no more.

use criterion::{Criterion, criterion_group, criterion_main};
use sqlx::{Connection, SqliteConnection};
use unstale::testing::{Fixture, Template};
use unstale::{Policy, SqliteSource};

const SCHEMA: &str = "create table kv (k integer primary key, v integer not null); insert into kv values (1, 1)";

static TEMPLATE: Template = Template::new(SCHEMA);

fn fixture(criterion: &mut Criterion) {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
    let mut group = criterion.benchmark_group("fixture");
    group.bench_function("sqlx: open a database in memory, create the schema, close", |bench| {
        bench.to_async(&runtime).iter(|| async {
            let mut connection = SqliteConnection::connect("sqlite::memory:").await.expect("a connection");
            sqlx::raw_sql(SCHEMA).execute(&mut connection).await.expect("the schema");
            connection.close().await.expect("close");
        });
    });
    group.bench_function("open a copy of the template", |bench| {
        bench.to_async(&runtime).iter(|| async { TEMPLATE.database(Policy::for_tests()).await.expect("a database") });
    });
    group.bench_function("a test on a copy of its own, begun and ended", |bench| {
        bench.to_async(&runtime).iter(|| async {
            let test = TEMPLATE.fixture().await.expect("a test");
            test.end().await.expect("isolated");
        });
    });
    let sessions = runtime.block_on(TEMPLATE.database(Policy::for_tests())).expect("a database");
    group.bench_function("a test on sessions that are open", |bench| {
        bench.to_async(&runtime).iter(|| async {
            let test: Fixture<SqliteSource> = Fixture::begin(&sessions).await.expect("a test");
            test.end().await.expect("isolated");
        });
    });
    group.finish();
}

criterion_group!(benches, fixture);
criterion_main!(benches);
