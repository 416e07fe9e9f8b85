//! Shrinking: each move finds what the others cannot, and the certificate says what was tried.

use std::cell::Cell;
use std::path::Path;

use unstale_harness::chain::{Chain, Of, Subject};
use unstale_harness::database::Database;
use unstale_harness::history::{Failure, History, Outcome, Reply, What};
use unstale_harness::oracle::{Invariant, Violation};
use unstale_harness::plan::{Command, Plan, PlanFile};
use unstale_harness::shrink::{Attempt, Budget, Certificate, Counterexample, Rate, Removal, shrink};
use unstale_harness::system::{Capabilities, Capability, Extension, Judged, Port, System};
use unstale_lab::zoo::EXHIBITS;

fn plan(text: &str) -> Plan {
    PlanFile::parse(&format!("version = 1\n{text}"), Path::new("p.toml")).unwrap_or_else(|it| panic!("{it}")).plan
}

fn exhibit(name: &str) -> &'static dyn Subject {
    EXHIBITS.iter().find(|it| it.subject.name() == name).expect("the zoo has it").subject
}

fn shrunk(subject: &dyn Subject, text: &str, invariant: Invariant) -> Counterexample {
    let budget = Budget { runs: 3000, is_over: &|| false, is_stopped: &|| false, progress: &|_| {} };
    shrink(&Chain::new(subject), &plan(text), invariant, budget).expect("the plan breaks the invariant")
}

/// The commands, actor by actor.
fn commands(found: &Counterexample) -> Vec<String> {
    let actor =
        |it: &unstale_harness::plan::Actor| it.steps.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
    found.plan.actors.iter().map(actor).collect()
}

#[test]
fn later_session_gets_an_actor_of_its_own_and_nobody_closes() {
    let text = r#"
        connections = 1
        [actors]
        a = ["open", "begin", "close", "open", "begin"]"#;
    let found = shrunk(exhibit("zoo-no-rollback-on-drop"), text, Invariant::NoResidue);
    assert_eq!(commands(&found), ["open; begin", "open; begin"]);
}

#[test]
fn session_goes_with_the_uses_of_its_handle() {
    let text = r#"
        connections = 2
        schedule = "a b a b a b a b a b a b"
        [actors]
        a = ["open", "retain", "close", "stale get k1", "open", "close"]
        b = ["open", "retain", "close", "stale put k3 5", "open", "scan"]"#;
    let found = shrunk(exhibit("zoo-released-connection"), text, Invariant::NoStaleUse);
    assert_eq!(commands(&found), ["open; retain; close; stale get k1"]);
}

#[test]
fn one_connection_more_makes_commands_superfluous() {
    let text = r#"
        connections = 1
        [actors]
        a = ["open", "get k1"]
        b = ["open", "get k1"]"#;
    let found = shrunk(exhibit("zoo-static-session"), text, Invariant::NoCrossScope);
    assert_eq!(commands(&found), ["open"]);
    assert_eq!(found.plan.connections, 2);
}

#[test]
fn noise_of_three_actors_goes() {
    let text = r#"
        storage = "memory"
        connections = 3
        schedule = "a b c a b c a b c a b c a b c a b c a"
        [actors]
        a = ["open", "begin", "scan", "put k3 9", "commit", "close", "open"]
        b = ["open", "get k1", "begin", "rollback", "close", "open"]
        c = ["open", "delete k2", "get k3", "fail", "slow", "close"]"#;
    let found = shrunk(exhibit("zoo-lying-commit"), text, Invariant::CommittedDurable);
    assert_eq!(commands(&found), ["open; begin; put k1 1; commit"]);
    assert_eq!(found.plan.connections, 1);
    assert_eq!(found.reproduced, Rate { hits: 10, runs: 10 });
}

#[test]
fn every_removal_stands_in_the_certificate_with_what_it_came_to() {
    let text = r#"
        connections = 1
        [actors]
        a = ["open", "begin", "put k1 1", "commit"]"#;
    let found = shrunk(exhibit("zoo-lying-commit"), text, Invariant::CommittedDurable);
    let certificate = &found.certificate;
    assert!(certificate.complete);
    assert_eq!((certificate.singles.len(), certificate.pairs.len()), (4, 6));
    let untried = |it: &&Removal| matches!(it.came_to, Attempt::NotTried | Attempt::Rarer(_));
    assert_eq!(certificate.singles.iter().chain(&certificate.pairs).find(untried), None);
    assert_eq!(certificate.singles[1].gone, ["a 2: begin"]);
    assert!(matches!(certificate.singles[1].came_to, Attempt::Inadmissible(_)), "{:?}", certificate.singles[1]);
    assert_eq!(certificate.singles[2].came_to, Attempt::Breaks(Invariant::ReconnectsBounded));
    assert_eq!(certificate.singles[3].came_to, Attempt::Passes);
}

#[test]
fn certificate_lists_few_pairs_and_counts_many() {
    let removal = |gone: &[&str], came_to| Removal { gone: gone.iter().map(ToString::to_string).collect(), came_to };
    let singles =
        vec![removal(&["a 1: open"], Attempt::Breaks(Invariant::NoLeak)), removal(&["a 2: put k1 1"], Attempt::Passes)];
    let pair = removal(&["a 1: open", "a 2: put k1 1"], Attempt::Passes);
    let few = Certificate { singles, pairs: vec![pair.clone()], runs: 3, complete: true };
    let expected = "\
without a 1: open                    breaks no-leak instead
without a 2: put k1 1                breaks nothing
without a 1: open and a 2: put k1 1  breaks nothing
";
    assert_eq!(few.to_string(), expected);
    let mut pairs = vec![pair; 11];
    pairs.push(removal(&["a 1: open", "a 3: get k1"], Attempt::NotTried));
    let many = Certificate { pairs, ..few };
    let expected = "\
without a 1: open      breaks no-leak instead
without a 2: put k1 1  breaks nothing
without two of them, 12 pairs: 11 × breaks nothing, 1 × not tried
";
    assert_eq!(many.to_string(), expected);
}

#[test]
fn certificate_counts_what_was_not_tried_in_one_line() {
    let removal = |gone: &str, came_to| Removal { gone: vec![gone.to_owned()], came_to };
    let untried = |count: usize| vec![removal("a 1: open", Attempt::NotTried); count];
    let singles = [vec![removal("a 2: get k1", Attempt::Rarer(Rate { hits: 2, runs: 30 }))], untried(16)].concat();
    let spent = Certificate { singles, pairs: untried(9), runs: 3, complete: false };
    let expected = "\
without a 2: get k1  breaks the same, but only in 2 of 30 runs
not tried: 16 without one of them, 9 without two
";
    assert_eq!(spent.to_string(), expected);
}

#[test]
fn spent_budget_keeps_what_was_reached_and_says_so() {
    let text = r#"
        [actors]
        a = ["open", "begin", "get k1", "get k2", "put k1 1", "commit"]"#;
    let runs = Cell::new(0);
    let progress = |now: unstale_harness::shrink::Shrinking| runs.set(now.runs);
    let is_stopped = || runs.get() >= 8;
    let budget = Budget { runs: 6, is_over: &|| runs.get() >= 6, is_stopped: &is_stopped, progress: &progress };
    let found = shrink(&Chain::new(exhibit("zoo-lying-commit")), &plan(text), Invariant::CommittedDurable, budget)
        .expect("it breaks");
    assert!(!found.certificate.complete);
    assert!(found.plan.commands() > 4);
    // Those that confirm, those of the budget, and one that shows what the plan does.
    assert!(runs.get() <= 8, "{}", runs.get());
}

/// Counts, and may not reach three.
struct Counter;

impl System for Counter {
    const NAME: &'static str = "counter";

    fn capabilities() -> Capabilities {
        Capabilities::of([Capability::Extension])
    }

    fn extension() -> Option<&'static dyn Extension> {
        Some(&Counting)
    }

    async fn start(_: &Database) -> Result<Self, Failure> {
        Ok(Self)
    }

    async fn actor(&self, mut port: Port) {
        while let Some(command) = port.next().await {
            if let Command::Extra(words) = command {
                port.ask(std::future::ready(Ok::<_, Failure>(words)), |it| Reply::Extra(it.to_string())).await;
            }
        }
    }

    async fn stop(&self) {}
}

struct Counting;

impl Extension for Counting {
    fn generate(&self, random: &mut dyn FnMut(u32) -> u32) -> String {
        random(10).to_string()
    }

    fn parse(&self, words: &str) -> Result<(), String> {
        words.parse::<u32>().map(drop).map_err(|_| "expected a number".into())
    }

    fn simpler(&self, words: &str) -> Vec<String> {
        let number: u32 = words.parse().unwrap_or(0);
        (0..number).map(|it| it.to_string()).collect()
    }

    fn judge(&self, history: &History) -> Judged {
        let is_three = |what: &What| match what {
            What::Returned(Outcome::Done(Reply::Extra(it))) => it.parse::<u32>().is_ok_and(|it| it >= 3),
            _ => false,
        };
        let at = history.events.iter().position(|it| is_three(&it.what));
        let violation = at.map(|at| {
            let (expected, observed) = ("less".to_owned(), "three".to_owned());
            Violation { invariant: Invariant::Extension, at, by: history.events[at].by, expected, observed }
        });
        Judged { evaluated: 1, violation }
    }
}

#[test]
fn commands_of_an_extension_become_simpler_in_its_own_way() {
    let text = r#"
        [actors]
        a = ["extra 1", "extra 9"]"#;
    let found = shrunk(&Of::<Counter>::new(), text, Invariant::Extension);
    assert_eq!(commands(&found), ["extra 3"]);
}
