//! The chain in `dill`.

#![expect(dead_code, reason = "a service holds the one before it, and does nothing with it")]

use std::hint::black_box;
use std::sync::Arc;

use criterion::{BatchSize, Criterion};
use dill::scopes::{Transaction, TransactionCache};
use dill::{Catalog, CatalogBuilder};

#[dill::component]
#[dill::scope(dill::scopes::Singleton)]
struct Settings;

#[dill::component]
#[dill::scope(Transaction)]
struct N1;

/// A chain of services, one for each scope.
macro_rules! chain {
    ($($node:ident after $before:ident),*) => {
        $(
            #[dill::component]
            #[dill::scope(Transaction)]
            struct $node {
                before: Arc<$before>,
            }
        )*

        fn add_all(catalog: &mut CatalogBuilder) {
            catalog.add::<Settings>();
            catalog.add::<N1>();
            $(catalog.add::<$node>();)*
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

fn scope(base: &Catalog) -> Catalog {
    base.builder_chained().add_value(TransactionCache::new()).build()
}

pub(crate) fn lookups(criterion: &mut Criterion) {
    let mut builder = Catalog::builder();
    add_all(&mut builder);
    let base = builder.build();
    let entered = scope(&base);
    entered.get_one::<N40>().expect("a node");
    let mut group = criterion.benchmark_group("dill");
    group.bench_function("cached singleton", |it| {
        it.iter(|| black_box(entered.get_one::<Settings>().expect("settings")));
    });
    group.bench_function("cached scoped service", |it| {
        it.iter(|| black_box(entered.get_one::<N40>().expect("a node")));
    });
    group.bench_function("graph of 40, first time", |it| {
        it.iter_batched(|| scope(&base), |fresh| fresh.get_one::<N40>().expect("a node"), BatchSize::SmallInput);
    });
    group.finish();
}
