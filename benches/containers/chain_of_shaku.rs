//! The chain in `shaku`.

#![expect(dead_code, reason = "a service holds the one before it, and does nothing with it")]

use std::hint::black_box;
use std::sync::Arc;

use criterion::Criterion;
use shaku::{Component, HasComponent, Interface, module};

/// A chain of components, each behind an interface of its own, as `shaku` wants it.
macro_rules! chain {
    ($($interface:ident is $node:ident after $before:ident),*) => {
        $(
            trait $interface: Interface {}

            #[derive(Component)]
            #[shaku(interface = $interface)]
            struct $node {
                #[shaku(inject)]
                before: Arc<dyn $before>,
            }

            impl $interface for $node {}
        )*
    };
}

trait I1: Interface {}

#[derive(Component)]
#[shaku(interface = I1)]
struct N1;

impl I1 for N1 {}

chain!(
    I2 is N2 after I1, I3 is N3 after I2, I4 is N4 after I3, I5 is N5 after I4, I6 is N6 after I5,
    I7 is N7 after I6, I8 is N8 after I7, I9 is N9 after I8, I10 is N10 after I9, I11 is N11 after I10,
    I12 is N12 after I11, I13 is N13 after I12, I14 is N14 after I13, I15 is N15 after I14, I16 is N16 after I15,
    I17 is N17 after I16, I18 is N18 after I17, I19 is N19 after I18, I20 is N20 after I19, I21 is N21 after I20,
    I22 is N22 after I21, I23 is N23 after I22, I24 is N24 after I23, I25 is N25 after I24, I26 is N26 after I25,
    I27 is N27 after I26, I28 is N28 after I27, I29 is N29 after I28, I30 is N30 after I29, I31 is N31 after I30,
    I32 is N32 after I31, I33 is N33 after I32, I34 is N34 after I33, I35 is N35 after I34, I36 is N36 after I35,
    I37 is N37 after I36, I38 is N38 after I37, I39 is N39 after I38, I40 is N40 after I39
);

module! {
    Chain {
        components = [
            N1, N2, N3, N4, N5, N6, N7, N8, N9, N10, N11, N12, N13, N14, N15, N16, N17, N18, N19, N20, N21, N22,
            N23, N24, N25, N26, N27, N28, N29, N30, N31, N32, N33, N34, N35, N36, N37, N38, N39, N40
        ],
        providers = []
    }
}

pub(crate) fn lookups(criterion: &mut Criterion) {
    let chain = Chain::builder().build();
    let mut group = criterion.benchmark_group("shaku");
    group.bench_function("cached singleton", |it| {
        it.iter(|| {
            let node: Arc<dyn I40> = black_box(&chain).resolve();
            black_box(node)
        });
    });
    group.bench_function("graph of 40, first time", |it| {
        it.iter(|| black_box(Chain::builder().build()));
    });
    group.finish();
}
