//! Storms on a real server: the library comes through one, and a system that retries a commit blindly is caught.

use std::sync::atomic::AtomicBool;
use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use unstale_harness::oracle::Invariant;
use unstale_lab::storm::history::History;
use unstale_lab::storm::judge::{Judgement, judge};
use unstale_lab::storm::summary::Summary;
use unstale_lab::storm::system::StormSystem;
use unstale_lab::storm::systems::Library;
use unstale_lab::storm::work::{Answer, Begun, Task};
use unstale_lab::storm::{Storm, pass};
use unstale_wire::trial;
use unstale_wire::trials::Trial;

pub(crate) fn trials() -> Vec<Trial> {
    vec![trial!(library_comes_through_a_storm), trial!(commit_that_is_repeated_blindly_is_caught)]
}

/// A storm blocks its thread, and a test runs on one that drives a runtime.
async fn storm<S: StormSystem>(restarts: u32, seed: u64) -> (History, Judgement, Summary) {
    let history = tokio::task::spawn_blocking(move || {
        let storm = Storm { actors: 20, connections: 6, seed, time: Duration::from_secs(120), restarts };
        pass::<S>(&storm, &AtomicBool::new(false), &mut |_, _| {}).expect("a storm")
    });
    let history = history.await.expect("no panic");
    let (judgement, summary) = (judge(&history), Summary::of(&history));
    println!("{}: {summary}", S::NAME);
    for finding in &judgement.findings {
        println!("{finding}");
    }
    (history, judgement, summary)
}

/// What a short storm meets is chance: it may have to be more than one.
const STORMS: u64 = 4;

async fn library_comes_through_a_storm() {
    let mut gaps = Vec::new();
    for seed in 1..=STORMS {
        let (history, judgement, summary) = storm::<Library>(12, seed).await;
        assert_eq!(judgement.findings, []);
        assert_eq!(history.harness, Vec::<String>::new());
        assert!(history.landings.iter().filter(|it| it.is_restart()).count() >= 12);
        gaps = summary.gaps(&judgement);
        if gaps.is_empty() {
            return;
        }
    }
    panic!("{STORMS} storms, and none met everything; the last one: {gaps:?}");
}

/// The library, used by somebody who takes an unknown commit for a failed one.
struct Repeating(Library);

impl StormSystem for Repeating {
    const NAME: &'static str = "repeating";

    async fn start(options: PgConnectOptions, connections: u32) -> Result<Self, String> {
        Library::start(options, connections).await.map(Self)
    }

    async fn work(&self, task: &Task, begun: &Begun) -> Answer {
        match self.0.work(task, begun).await {
            Answer::Unknown(_) => self.0.work(task, begun).await,
            answer => answer,
        }
    }

    fn lent(&self) -> u32 {
        self.0.lent()
    }

    async fn stop(&self) {
        self.0.stop().await;
    }
}

async fn commit_that_is_repeated_blindly_is_caught() {
    for seed in 1..=STORMS {
        let (_, judgement, _) = storm::<Repeating>(20, seed).await;
        if judgement.findings.iter().any(|it| it.invariant == Invariant::NoDuplicateEffect) {
            return;
        }
    }
    panic!("it got away with {STORMS} storms");
}
