//! The chain's own cost: drawing a plan, judging a history, running plans on SQLite.

use std::hint::black_box;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use unstale_harness::chain::{Chain, Of, Subject};
use unstale_harness::explore::{Exploration, explore};
use unstale_harness::generate::{Profile, StorageName, generate, random_for};
use unstale_harness::oracle::Oracle;
use unstale_lab::systems::control::SqliteControl;

/// 3 actors × 8 commands on a file, without cancels and faults: the size that the figures are given for.
fn profile() -> Profile {
    let storage = vec![StorageName::Wal];
    Profile { full_size: true, steps: 8, cancels: false, faults: false, storage, ..Profile::default() }
}

fn chain(criterion: &mut Criterion) {
    let subject = Of::<SqliteControl>::new();
    let chain = Chain::new(&subject);
    let capabilities = subject.capabilities();
    let profile = profile();

    let mut random = random_for(1, 0);
    criterion.bench_function("generate, 3 × 8", |it| {
        it.iter(|| generate(black_box(&profile), capabilities, None, &mut random));
    });

    let plan = generate(&profile, capabilities, None, &mut random_for(1, 1));
    let history = chain.run(&plan).history;
    let oracle = Oracle::default();
    criterion.bench_function("judge, 3 × 8", |it| it.iter(|| oracle.judge(black_box(&history))));

    let mut group = criterion.benchmark_group("run on SQLite, 3 × 8");
    group.throughput(Throughput::Elements(1)).sample_size(20);
    let mut number = 0;
    group.bench_function("control, one thread", |it| {
        it.iter(|| {
            number += 1;
            chain.run(&generate(&profile, capabilities, None, &mut random_for(2, number)))
        });
    });
    group.throughput(Throughput::Elements(BATCH)).sample_size(10).measurement_time(Duration::from_secs(10));
    let mut seed = 0;
    group.bench_function("control, as explored", |it| {
        it.iter(|| {
            seed += 1;
            let exploration = Exploration { profile: profile.clone(), seed, plans: BATCH, ..Exploration::default() };
            explore(&subject, &exploration, &AtomicBool::new(false), |_| {})
        });
    });
    group.finish();
}

/// The plans of one exploration, enough for the start of its threads not to count.
const BATCH: u64 = 200;

criterion_group!(benches, chain);
criterion_main!(benches);
