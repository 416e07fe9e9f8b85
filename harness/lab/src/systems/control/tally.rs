//! An application's own request: one number, to which requests add.
//!
//! Owns the words of the extension, its check, and the request itself: begin, read the number with its lock, a few questions
//! more, write it, commit. The actor calls it. With [`Flaw::LosesUpdates`] the number is read without its lock, which at READ
//! COMMITTED loses what another request adds meanwhile. It runs where statements are given as text.

use super::connection::{Connection, Source};
use super::lease::Lease;
use super::{Flaw, Spec};
use unstale_harness::history::{By, Failure, History, Outcome, Reply, What};
use unstale_harness::oracle::{Invariant, Violation};
use unstale_harness::plan::{ActorId, Command};
use unstale_harness::system::{Extension, Judged};

/// The number's table, with the number.
pub(super) const TABLE: [&str; 2] = ["create table tally (n bigint not null)", "insert into tally values (0)"];

/// The round trips of a request that nothing is wrong with.
const TRIPS: u8 = 5;

/// The fewest: begin, read, write, commit.
const TRIPS_MIN: u8 = 4;

impl<S: Source> Lease<S> {
    /// Serves a command of the extension.
    pub(super) async fn tally(&mut self, words: &str) -> Result<Reply, Failure> {
        if words == "total" {
            return Ok(Reply::Extra(self.ask("select n from tally").await?.unwrap_or_default().to_string()));
        }
        self.whole(Self::add_one).await?;
        Ok(Reply::Done)
    }

    async fn add_one(&mut self) -> Result<(), Failure> {
        let (read, trips) = match self.pool.flaw() {
            Some(Flaw::LosesUpdates(trips)) => ("select n from tally", trips),
            _ => ("select n from tally for update", TRIPS),
        };
        let before = self.ask(read).await?.unwrap_or_default();
        for _ in TRIPS_MIN..trips {
            self.ask("select 1::bigint").await?;
        }
        self.ask(&format!("update tally set n = {}", before + 1)).await?;
        Ok(())
    }

    async fn ask(&mut self, sql: &str) -> Result<Option<i64>, Failure> {
        self.refuse().await?;
        let connection = self.kept();
        let result = self.call(S::CALL_MAX, async { connection.lock().await.number(sql).await }).await;
        self.aborted |= self.is_open() && result.is_err();
        result
    }
}

/// The extension of a control that has the request: `extra add`, `extra total`, and the sum must be right.
///
/// An `add` inside a transaction of the plan may be undone with it; it is asked for, and not counted as done.
#[derive(Debug)]
pub struct Tally;

impl Extension for Tally {
    fn generate(&self, random: &mut dyn FnMut(u32) -> u32) -> String {
        if random(3) == 0 { "total".into() } else { "add".into() }
    }

    fn parse(&self, words: &str) -> Result<(), String> {
        if ["add", "total"].contains(&words) { Ok(()) } else { Err("expected add or total".into()) }
    }

    fn judge(&self, history: &History) -> Judged {
        let mut judged = Judged::default();
        let mut sums = Sums::default();
        for (at, event) in history.events.iter().enumerate() {
            let Some(by) = event.by else { continue };
            match &event.what {
                What::Invoked(step) => sums.invoked(by, &step.command),
                What::Returned(outcome) => {
                    let Some((expected, observed)) = sums.returned(by, outcome, &mut judged.evaluated) else {
                        continue;
                    };
                    let invariant = Invariant::Extension;
                    judged.violation.get_or_insert(Violation { invariant, at, by: event.by, expected, observed });
                }
                _ => {}
            }
        }
        judged
    }
}

/// The control on PostgreSQL with the request, which takes the lock: nothing is wrong.
pub struct WithRequest;

impl Spec for WithRequest {
    const NAME: Option<&'static str> = Some("control-request-pg");

    fn extension() -> Option<&'static dyn Extension> {
        Some(&Tally)
    }
}

/// What the number may be, as the history goes on.
#[derive(Default)]
struct Sums {
    /// The number is at least this: so many were done.
    done: i64,
    /// It is at most this: so many were asked for.
    asked: i64,
    /// The command of each actor that is under way.
    under_way: Vec<UnderWay>,
    /// The transactions of the plan, one of an actor's at most.
    transactions: Vec<Transaction>,
}

struct UnderWay {
    by: By,
    command: Command,
    /// How many were done when it began.
    done_before: i64,
}

/// A transaction of the plan: what it reads may be as old as its beginning.
struct Transaction {
    actor: ActorId,
    depth: u32,
    done_before: i64,
}

impl Sums {
    fn invoked(&mut self, by: By, command: &Command) {
        self.asked += i64::from(is(command, "add"));
        self.under_way.retain(|other| other.by.actor != by.actor);
        self.under_way.push(UnderWay { by, command: command.clone(), done_before: self.done });
    }

    /// What was expected and what was seen instead, if a total is wrong.
    fn returned(&mut self, by: By, outcome: &Outcome, evaluated: &mut u32) -> Option<(String, String)> {
        let at = self.under_way.iter().position(|other| other.by == by)?;
        let UnderWay { command, done_before, .. } = self.under_way.remove(at);
        let around = self.transactions.iter_mut().find(|transaction| transaction.actor == by.actor);
        if let Outcome::Done(Reply::Extra(total)) = outcome {
            *evaluated += 1;
            let (least, most) = (around.map_or(done_before, |transaction| transaction.done_before), self.asked);
            let is_right = total.parse::<i64>().is_ok_and(|total| (least..=most).contains(&total));
            let range = if least == most { format!("{least}") } else { format!("{least} to {most}") };
            return (!is_right).then(|| (format!("a total of {range}"), format!("a total of {total}")));
        }
        match (&command, around) {
            (Command::Begin(_), around) if matches!(outcome, Outcome::Done(_)) => match around {
                Some(transaction) => transaction.depth += 1,
                None => self.transactions.push(Transaction { actor: by.actor, depth: 1, done_before }),
            },
            (Command::Commit | Command::Rollback | Command::Drop, Some(transaction)) => transaction.depth -= 1,
            (Command::Open | Command::Close, Some(transaction)) => transaction.depth = 0,
            (command, None) if is(command, "add") && matches!(outcome, Outcome::Done(_)) => self.done += 1,
            _ => {}
        }
        self.transactions.retain(|transaction| transaction.depth > 0);
        None
    }
}

fn is(command: &Command, wanted: &str) -> bool {
    matches!(command, Command::Extra(words) if **words == *wanted)
}

#[cfg(test)]
mod tests {
    use unstale_harness::history::Event;
    use unstale_harness::plan::BeginMode;

    use super::*;

    /// A history of commands, each with its actor and its reply; they are invoked in this order, and answered in the order of
    /// the numbers.
    fn judge(commands: &[(usize, Command, Reply, usize)]) -> Judged {
        let by = |at: usize| By { actor: ActorId::new(commands[at].0), step: at };
        let invoked = (0..commands.len()).map(|at| (at * 10, at, What::Invoked(commands[at].1.clone().into())));
        let returned = (0..commands.len()).map(|at| {
            let (_, _, reply, when) = &commands[at];
            (when * 10 + 5, at, What::Returned(Outcome::Done(reply.clone())))
        });
        let mut events: Vec<_> = invoked.chain(returned).collect();
        events.sort_by_key(|(when, _, _)| *when);
        let events = events.into_iter().map(|(_, at, what)| Event { by: Some(by(at)), what }).collect();
        Tally.judge(&History { events, ..History::default() })
    }

    fn add() -> Command {
        Command::Extra("add".into())
    }

    fn total(is: u8) -> (Command, Reply) {
        (Command::Extra("total".into()), Reply::Extra(is.to_string()))
    }

    #[test]
    fn two_requests_side_by_side_that_add_one_alone_are_wrong() {
        let (asked, one) = total(1);
        let judged = judge(&[(0, add(), Reply::Done, 1), (1, add(), Reply::Done, 1), (0, asked.clone(), one, 2)]);
        let violation = judged.violation.expect("one of two is lost");
        assert_eq!((&*violation.expected, &*violation.observed), ("a total of 2", "a total of 1"));
        let two = total(2).1;
        let judged = judge(&[(0, add(), Reply::Done, 1), (1, add(), Reply::Done, 1), (0, asked, two, 2)]);
        assert_eq!((judged.violation, judged.evaluated), (None, 1));
    }

    #[test]
    fn what_is_under_way_may_be_counted_or_not() {
        for seen in 0..=1 {
            let (asked, reply) = total(seen);
            assert_eq!(judge(&[(0, add(), Reply::Done, 5), (1, asked, reply, 1)]).violation, None, "{seen}");
        }
        let (asked, reply) = total(2);
        assert!(judge(&[(0, add(), Reply::Done, 5), (1, asked, reply, 1)]).violation.is_some());
    }

    #[test]
    fn what_a_transaction_of_the_plan_may_undo_is_not_counted_as_done() {
        let (asked, none) = total(0);
        let begin = Command::Begin(BeginMode::Plain);
        let undone = [
            (0, begin, Reply::Done, 0),
            (0, add(), Reply::Done, 1),
            (0, Command::Rollback, Reply::Done, 2),
            (0, asked, none, 3),
        ];
        assert_eq!(judge(&undone).violation, None);
    }
}
