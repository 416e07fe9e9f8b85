//! What execution promises: evidence comes when it is due, and a wait counts as a hang only if nothing can end it.

use std::path::Path;
use std::time::Duration;

use unstale_harness::chain::{Chain, Of, Subject};
use unstale_harness::database::Database;
use unstale_harness::history::{Failure, History, What};
use unstale_harness::oracle::Invariant;
use unstale_harness::plan::{Command, PlanFile};
use unstale_harness::system::{Capabilities, Port, System};
use unstale_lab::systems::control::SqliteControl;
use unstale_lab::systems::sqlx_pool::SqlxPool;

/// Opens nothing, and answers every command after a while.
struct Sleeper;

impl System for Sleeper {
    const NAME: &'static str = "sleeper";

    fn capabilities() -> Capabilities {
        Capabilities::NONE
    }

    async fn start(_: &Database) -> Result<Self, Failure> {
        Ok(Self)
    }

    async fn actor(&self, mut port: Port) {
        while let Some(command) = port.next().await {
            let pause = match command {
                Command::Get(_) => Duration::from_millis(400),
                Command::Scan => Duration::from_secs(3600),
                _ => Duration::ZERO,
            };
            let sleep = async {
                tokio::time::sleep(pause).await;
                Ok::<_, Failure>(())
            };
            port.run(sleep).await;
        }
    }

    async fn stop(&self) {}
}

/// Answers every command in the poll that asks for it.
struct Prompt;

impl System for Prompt {
    const NAME: &'static str = "prompt";

    fn capabilities() -> Capabilities {
        Capabilities::NONE
    }

    async fn start(_: &Database) -> Result<Self, Failure> {
        Ok(Self)
    }

    async fn actor(&self, mut port: Port) {
        while port.next().await.is_some() {
            port.run(std::future::ready(Ok::<_, Failure>(()))).await;
        }
    }

    async fn stop(&self) {}
}

fn history(subject: &dyn Subject, plan: &str) -> (History, Option<Invariant>) {
    let plan = PlanFile::parse(plan, Path::new("test")).expect("the plan is written by hand").plan;
    let run = Chain::new(subject).run(&plan);
    let invariant = run.violation().map(|it| it.invariant);
    (run.history, invariant)
}

fn position(history: &History, wanted: impl Fn(&What) -> bool) -> Option<usize> {
    history.events.iter().position(|it| wanted(&it.what))
}

#[test]
fn disconnection_is_recorded_when_the_connection_closes() {
    let plan = "version = 1\nconnections = 1\n[actors]\na = [\"open\", \"put k1 1\", \"close\"]\n";
    let (history, _) = history(&Of::<SqliteControl>::new(), plan);
    let served = position(&history, |it| matches!(it, What::Served(_)));
    let disconnected = position(&history, |it| matches!(it, What::Disconnected(_)));
    let stopped = position(&history, |it| *it == What::Stopped);
    assert!(served < disconnected && disconnected < stopped, "{history:#?}");
}

#[test]
fn wait_for_a_timer_within_the_limit_is_no_hang() {
    let plan = "version = 1\nconnections = 1\n[actors]\na = [\"open\", \"get k1\"]\n";
    let (history, _) = history(&Of::<Sleeper>::new(), plan);
    assert!(position(&history, |it| *it == What::Hung).is_none(), "{history:#?}");
}

#[test]
fn wait_for_a_timer_beyond_the_limit_is_a_hang() {
    let plan = "version = 1\nconnections = 1\n[actors]\na = [\"open\", \"scan\"]\n";
    assert_eq!(history(&Of::<Sleeper>::new(), plan).1, Some(Invariant::NoHang));
}

#[test]
fn hang_ends_the_plan() {
    let plan = "version = 1\nstorage = \"memory\"\nconnections = 2\nschedule = \"a a a b b\"\n[actors]\n\
        a = [\"open\", \"raw begin\", \"put k1 1\"]\nb = [\"open\", \"scan\"]\n";
    let (history, invariant) = history(&Of::<SqlxPool>::new(), plan);
    assert_eq!(invariant, Some(Invariant::NoHang));
    let hung = position(&history, |it| *it == What::Hung);
    assert!(!history.events[hung.unwrap_or(0)..].iter().any(|it| matches!(it.what, What::Invoked(_))), "{history:#?}");
}

/// Whether its check is answered in the poll that sends it decides whether two openers meet; left to the threads, it is one
/// thing now and another then.
#[test]
fn statement_is_never_answered_in_the_poll_that_sends_it() {
    let shared = unstale_lab::zoo::EXHIBITS.iter().find(|it| it.subject.name() == "zoo-check-then-use");
    let subject = shared.expect("the zoo has it").subject;
    let plan = "version = 1\nconnections = 2\n[actors]\na = [\"open\"]\n";
    let broken = (0..20).filter(|_| history(subject, plan).1 == Some(Invariant::NoCrossScope));
    assert_eq!(broken.count(), 20);
}

#[test]
fn rest_of_a_command_that_ended_in_its_first_half_is_an_empty_turn() {
    let plan = "version = 1\nconnections = 1\nschedule = \"a/ a b a\"\n[actors]\na = [\"open\", \"get k1\"]\n\
        b = [\"open\"]\n";
    let (history, _) = history(&Of::<Prompt>::new(), plan);
    let invoked = history.events.iter().filter(|it| matches!(it.what, What::Invoked(_))).filter_map(|it| it.by);
    let order: Vec<_> = invoked.take(3).map(|it| format!("{}{}", it.actor, it.step + 1)).collect();
    assert_eq!(order, ["a1", "b1", "a2"]);
}
