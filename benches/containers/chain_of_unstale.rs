//! The chain in `unstale`.

#![expect(dead_code, reason = "a service holds the one before it, and does nothing with it")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::Criterion;
use tokio::runtime::Builder;
use unstale::registry::{Dep, Registry};
use unstale::{Policy, SqliteOptions, SqliteSource};

struct Settings;

struct N1;

/// A chain of services, one for each scope.
macro_rules! chain {
    ($($node:ident after $before:ident),*) => {
        $(
            struct $node {
                before: Dep<$before>,
            }
        )*

        fn registry() -> Registry<SqliteSource> {
            let mut services = Registry::builder();
            services.singleton(|| Settings);
            services.scoped(|| N1);
            $(services.scoped(|before: Dep<$before>| $node { before });)*
            services.build().expect("they fit together")
        }
    };
}

chain!(
    N2 after N1, N3 after N2, N4 after N3, N5 after N4, N6 after N5, N7 after N6, N8 after N7, N9 after N8,
    N10 after N9, N11 after N10, N12 after N11, N13 after N12, N14 after N13, N15 after N14, N16 after N15,
    N17 after N16, N18 after N17, N19 after N18, N20 after N19, N21 after N20, N22 after N21, N23 after N22,
    N24 after N23, N25 after N24, N26 after N25, N27 after N26, N28 after N27, N29 after N28, N30 after N29,
    N31 after N30, N32 after N31, N33 after N32, N34 after N33, N35 after N34, N36 after N35, N37 after N36,
    N38 after N37, N39 after N38, N40 after N39
);

pub(crate) fn lookups(criterion: &mut Criterion) {
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    let options = SqliteOptions::from_url("sqlite::memory:").expect("a URL");
    let sessions = runtime.block_on(options.open(Policy::default())).expect("a database");
    let registry = registry();
    let scope = sessions.scope("bench");
    let services = registry.enter(&scope);
    runtime.block_on(services.resolve::<N40>()).expect("a node");
    let mut group = criterion.benchmark_group("unstale");
    group.bench_function("cached singleton", |it| {
        it.iter_custom(|rounds| {
            runtime.block_on(timed(rounds, async || drop(black_box(services.resolve::<Settings>().await))))
        });
    });
    group.bench_function("cached scoped service", |it| {
        it.iter_custom(|rounds| {
            runtime.block_on(timed(rounds, async || drop(black_box(services.resolve::<N40>().await))))
        });
    });
    group.bench_function("graph of 40, first time", |it| {
        it.iter_custom(|rounds| {
            runtime.block_on(async {
                let mut took = Duration::ZERO;
                for _ in 0..rounds {
                    let scope = sessions.scope("fresh");
                    let services = registry.enter(&scope);
                    let began = Instant::now();
                    black_box(services.resolve::<N40>().await.expect("a node"));
                    took += began.elapsed();
                }
                took
            })
        });
    });
    group.finish();
}

async fn timed(rounds: u64, work: impl AsyncFn()) -> Duration {
    let began = Instant::now();
    for _ in 0..rounds {
        work().await;
    }
    began.elapsed()
}
