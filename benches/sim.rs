//! Plans a second in the simulation, beside a bare scheduler that polls as many gates and does nothing else.

use std::future::poll_fn;
use std::hint::black_box;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use unstale_harness::chain::{Chain, Subject};
use unstale_harness::generate::{Profile, generate, random_for};
use unstale_harness::oracle::Oracle;
use unstale_lab::sim::SimulatedSystem;
use unstale_lab::sim::control::SimControl;
use unstale_lab::sim::system::Unstale;

/// 3 actors × 8 commands without cancels and faults: the size that the figures are given for.
fn calm() -> Profile {
    Profile { full_size: true, steps: 8, cancels: false, faults: false, ..Profile::default() }
}

/// The same with cancels and faults, whose unknown outcomes are judged both ways.
fn rough() -> Profile {
    Profile { full_size: true, steps: 8, ..Profile::default() }
}

/// The gates of a call: before it is sent, sent, before its reply, and the boundary after it.
const GATES: usize = 4;

async fn gate() {
    let mut passed = false;
    poll_fn(|_| if std::mem::replace(&mut passed, true) { Poll::Ready(()) } else { Poll::Pending }).await;
}

async fn bare_actor() {
    for _ in 0..8 * GATES {
        gate().await;
    }
}

/// 3 actors × 8 commands, one poll each in turn.
fn bare() -> usize {
    let mut actors: Vec<Pin<Box<dyn Future<Output = ()>>>> = (0..3).map(|_| Box::pin(bare_actor()) as _).collect();
    let mut context = Context::from_waker(Waker::noop());
    let mut polls = 0;
    while !actors.is_empty() {
        actors.retain_mut(|actor| {
            polls += 1;
            black_box(actor).as_mut().poll(&mut context).is_pending()
        });
    }
    polls
}

fn sim(criterion: &mut Criterion) {
    static UNSTALE: SimulatedSystem<Unstale> = SimulatedSystem::new();
    static CONTROL: SimulatedSystem<SimControl> = SimulatedSystem::new();
    let mut group = criterion.benchmark_group("sim, 3 × 8");
    group.throughput(Throughput::Elements(1));
    group.bench_function("bare scheduler", |it| it.iter(bare));
    for (name, subject, profile) in [
        ("unstale", &UNSTALE as &dyn Subject, calm()),
        ("unstale, cancels and faults", &UNSTALE, rough()),
        ("control-sim", &CONTROL, calm()),
    ] {
        let chain = Chain::new(subject);
        let mut number = 0;
        group.bench_function(name, |it| {
            it.iter(|| {
                number += 1;
                chain.run(&generate(&profile, subject.capabilities(), None, &mut random_for(2, number)))
            });
        });
    }
    let chain = Chain::new(&UNSTALE);
    let plans: Vec<_> =
        (0..256).map(|it| generate(&calm(), UNSTALE.capabilities(), None, &mut random_for(1, it))).collect();
    let mut number = 0;
    group.bench_function("unstale, execution alone", |it| {
        it.iter(|| {
            number += 1;
            UNSTALE.execute(black_box(&plans[number % plans.len()]), &chain.limits)
        });
    });
    let histories: Vec<_> = plans.iter().map(|it| chain.run(it).history).collect();
    let oracle = Oracle::default();
    group.bench_function("judging alone", |it| {
        it.iter(|| {
            number += 1;
            oracle.judge(black_box(&histories[number % histories.len()]))
        });
    });
    group.finish();
}

criterion_group!(benches, sim);
criterion_main!(benches);
