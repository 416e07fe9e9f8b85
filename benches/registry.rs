//! What it costs to ask the registry for a service that is there, to build a graph of forty, and to call a query through a
//! repository.

use std::hint::black_box;
use std::sync::Arc;

use criterion::{Criterion, criterion_group, criterion_main};
use tokio::runtime::Builder;
use unstale::registry::{Dep, Registry};
use unstale::{Policy, Repository, Sessions, SqliteOptions, SqliteSource};

/// A service among forty.
struct Node<const N: usize>;

struct Settings(u64);

/// Registers the services in a chain, each taking the one before it.
macro_rules! chain {
    ($services:ident: $($n:literal after $before:literal),*) => {
        $($services.scoped(|_: Dep<Node<$before>>| Node::<$n>);)*
    };
}

fn registry() -> Registry<SqliteSource> {
    let mut services = Registry::builder();
    services.singleton(|| Settings(7));
    services.scoped(|| Node::<1>);
    chain!(services: 2 after 1, 3 after 2, 4 after 3, 5 after 4, 6 after 5, 7 after 6, 8 after 7, 9 after 8, 10 after 9,
        11 after 10, 12 after 11, 13 after 12, 14 after 13, 15 after 14, 16 after 15, 17 after 16, 18 after 17, 19 after 18,
        20 after 19, 21 after 20, 22 after 21, 23 after 22, 24 after 23, 25 after 24, 26 after 25, 27 after 26, 28 after 27,
        29 after 28, 30 after 29, 31 after 30, 32 after 31, 33 after 32, 34 after 33, 35 after 34, 36 after 35, 37 after 36,
        38 after 37, 39 after 38, 40 after 39);
    services.build().expect("they fit together")
}

async fn sessions() -> Sessions<SqliteSource> {
    SqliteOptions::from_url("sqlite::memory:").expect("a URL").open(Policy::default()).await.expect("a database")
}

fn resolve(criterion: &mut Criterion) {
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    let registry = registry();
    let sessions = runtime.block_on(sessions());
    let scope = sessions.scope("bench");
    let services = registry.enter(&scope);
    let mut group = criterion.benchmark_group("registry");
    let shared = Arc::new(Settings(7));
    group.bench_function("an Arc is cloned", |it| it.iter(|| black_box(Arc::clone(black_box(&shared))).0));
    group.bench_function("cached singleton", |it| {
        it.iter_custom(|rounds| {
            runtime.block_on(async {
                let began = std::time::Instant::now();
                for _ in 0..rounds {
                    black_box(services.resolve::<Settings>().await.expect("settings").0);
                }
                began.elapsed()
            })
        });
    });
    group.bench_function("cached scoped service", |it| {
        it.iter_custom(|rounds| {
            runtime.block_on(async {
                let began = std::time::Instant::now();
                for _ in 0..rounds {
                    black_box(services.resolve::<Node<40>>().await.expect("a node"));
                }
                began.elapsed()
            })
        });
    });
    group.bench_function("graph of 40, first time", |it| {
        it.iter_custom(|rounds| {
            runtime.block_on(async {
                let mut took = std::time::Duration::ZERO;
                for _ in 0..rounds {
                    let scope = sessions.scope("fresh");
                    let began = std::time::Instant::now();
                    black_box(registry.enter(&scope).resolve::<Node<40>>().await.expect("a node"));
                    took += began.elapsed();
                }
                took
            })
        });
    });
    group.finish();
}

/// The same query on the same scope, with and without the operation's name.
fn repository(criterion: &mut Criterion) {
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    let sessions = runtime.block_on(sessions());
    let scope = sessions.scope("bench");
    let handle = scope.handle("bench");
    let rows = Repository::new("Rows", scope.handle("Rows"));
    let mut group = criterion.benchmark_group("query");
    group.bench_function("through a handle", |it| {
        it.iter(|| runtime.block_on(async { sqlx::query("select 1").execute(&handle).await.expect("done") }));
    });
    group.bench_function("through a repository", |it| {
        it.iter(|| {
            let call = rows.call("one", |db| sqlx::query("select 1").execute(db));
            runtime.block_on(async { call.await.expect("done") })
        });
    });
    group.finish();
}

criterion_group!(benches, resolve, repository);
criterion_main!(benches);
