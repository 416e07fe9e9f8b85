//! The counters, and what a finished run adds to them.
//!
//! Owns what counts as done. A capability is exercised by a command that succeeded, a cancel or a fault by evidence that it
//! landed; a cancel before anything was sent shows nothing of what a system does with a cancelled call, and exercises nothing.

use std::collections::BTreeMap;

use super::disturbance::Disturbance;
use super::situations;
use crate::capability::{Capabilities, Capability};
use crate::generate::Kind;
use crate::history::{By, FailureClass, Outcome, Reply, Span, What};
use crate::model::{Operation, depth_after};
use crate::oracle::{Judged, Judgement};
use crate::plan::{Backend, Command, Phase, Plan, Step};
use crate::verdict::{Invariant, Verdict};

/// The coverage of many runs.
#[derive(Clone, Debug, Default)]
pub struct Coverage {
    /// The number of plans.
    pub plans: u64,
    /// The number of commands that their actors ran.
    pub commands: u64,
    /// The number of inconclusive plans.
    pub inconclusive: u64,
    /// Why the first of them was inconclusive.
    pub first_inconclusive: Option<String>,
    /// How often each kind of command was asked for, and how often it succeeded.
    pub alphabet: BTreeMap<Kind, Tally>,
    /// How often each invariant was evaluated.
    pub evaluated: BTreeMap<Invariant, u64>,
    /// In how many plans each situation arose.
    pub sometimes: BTreeMap<&'static str, u64>,
    /// How often each cancel or fault was drawn, and how often it landed.
    pub disturbances: BTreeMap<Disturbance, Tally>,
    /// How often each cancel or fault landed in each kind of operation.
    pub landed: BTreeMap<(Disturbance, Operation), u64>,
    /// How often the capabilities were exercised that no command is for.
    pub(super) without_command: BTreeMap<Capability, u64>,
}

/// How often something was tried, and how often it came about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// How often a command was asked for, or a disturbance was drawn.
    pub tried: u64,
    /// How often it succeeded, or landed.
    pub succeeded: u64,
}

impl Tally {
    fn count(&mut self, succeeded: bool) {
        self.tried += 1;
        self.succeeded += u64::from(succeeded);
    }
}

impl std::iter::Sum for Tally {
    fn sum<I: Iterator<Item = Self>>(tallies: I) -> Self {
        tallies.fold(Self::default(), |sum, it| Self {
            tried: sum.tried + it.tried,
            succeeded: sum.succeeded + it.succeeded,
        })
    }
}

impl Coverage {
    /// Counts one run.
    pub fn add(&mut self, plan: &Plan, judged: &Judged<'_>) {
        let Judgement { verdict, evaluated } = &judged.judgement;
        self.plans += 1;
        if let Verdict::Inconclusive(why) = verdict {
            self.inconclusive += 1;
            self.first_inconclusive.get_or_insert_with(|| why.clone());
        }
        for (invariant, count) in evaluated {
            *self.evaluated.entry(*invariant).or_default() += u64::from(*count);
        }
        let mut met: Vec<&'static str> = Vec::new();
        let operations = self.add_commands(judged, &mut met);
        self.add_disturbances(plan, judged, &operations, &mut met);
        self.add_surroundings(plan, judged);
        situations::of_events(plan, judged, &mut met);
        met.sort_unstable();
        met.dedup();
        for situation in met {
            *self.sometimes.entry(situation).or_default() += 1;
        }
    }

    /// Adds the counts of another worker.
    pub fn merge(&mut self, other: Self) {
        self.plans += other.plans;
        self.commands += other.commands;
        self.inconclusive += other.inconclusive;
        self.first_inconclusive = self.first_inconclusive.take().or(other.first_inconclusive);
        add_tallies(&mut self.alphabet, other.alphabet);
        add_all(&mut self.evaluated, other.evaluated);
        add_all(&mut self.sometimes, other.sometimes);
        add_tallies(&mut self.disturbances, other.disturbances);
        add_all(&mut self.landed, other.landed);
        add_all(&mut self.without_command, other.without_command);
    }

    /// How often a capability was exercised.
    pub fn exercised(&self, capability: Capability) -> u64 {
        let commands = self.alphabet.iter().filter(|(kind, _)| kind.needed() == Some(capability));
        let succeeded: u64 = commands.map(|(_, tally)| tally.succeeded).sum();
        succeeded + self.without_command.get(&capability).copied().unwrap_or(0)
    }

    /// The capabilities of a system, each with how often it was exercised.
    pub fn capabilities(&self, declared: Capabilities) -> impl Iterator<Item = (Capability, u64)> + '_ {
        declared.iter().map(|capability| (capability, self.exercised(capability)))
    }

    /// The situations with their counts, those never met included.
    pub fn sometimes(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        situations::ALL.into_iter().map(|it| (it, self.sometimes.get(it).copied().unwrap_or(0)))
    }

    /// The rows of the table on this backend, each with how often it was drawn and landed.
    pub fn disturbances(&self, backend: Backend) -> impl Iterator<Item = (Disturbance, Tally)> + '_ {
        let tally = |it| self.disturbances.get(&it).copied().unwrap_or_default();
        super::disturbances(backend).into_iter().map(move |it| (it, tally(it)))
    }

    /// Counts the commands of the plan's actors, and returns the disturbed ones with the operation that each was.
    fn add_commands(&mut self, judged: &Judged<'_>, met: &mut Vec<&'static str>) -> Vec<(By, Operation)> {
        let facts = &judged.facts;
        let mut depth_of = BTreeMap::new();
        let mut disturbed = Vec::new();
        for (by, span) in facts.spans.iter() {
            if facts.history.is_observer(by.actor) {
                continue;
            }
            self.commands += 1;
            let depth: &mut u32 = depth_of.entry(by.actor).or_default();
            let command = &span.step.command;
            if span.step.cancel.is_some() || span.step.fault.is_some() {
                disturbed.push((by, Operation::of(command, *depth)));
            }
            self.alphabet.entry(Kind::of(command, *depth)).or_default().count(has_succeeded(span));
            match span.outcome {
                Some(Outcome::Failed(failure)) => {
                    if failure.class == FailureClass::Busy {
                        met.push("statement failed because it was busy");
                    }
                    if *depth > 0 {
                        met.push("statement failed inside a transaction");
                    }
                }
                Some(Outcome::Done(Reply::Done)) if matches!(command, Command::Drop) => {
                    met.push("transaction was dropped without an end");
                }
                _ => {}
            }
            if matches!(command, Command::Stale(_)) && span.outcome.is_some() {
                met.push("stale handle was used");
            }
            *depth = depth_after(*depth, span);
            if *depth > 1 {
                met.push("nested transaction");
            }
        }
        disturbed
    }

    /// Counts the cancels and faults of the plan. Those of commands that were never run were drawn as well.
    fn add_disturbances(
        &mut self,
        plan: &Plan,
        judged: &Judged<'_>,
        operations: &[(By, Operation)],
        met: &mut Vec<&'static str>,
    ) {
        let facts = &judged.facts;
        let steps = plan.steps().filter(|(_, _, step)| step.cancel.is_some() || step.fault.is_some());
        for (actor, at, step) in steps {
            let by = By { actor, step: at };
            let span = facts.spans.get(by);
            let operation = operations.iter().find(|it| it.0 == by).map(|it| it.1);
            if let Some(phase) = step.cancel {
                let landed = span.is_some_and(|it| matches!(it.outcome, Some(Outcome::Cancelled(_))));
                self.count(Disturbance::from(phase), operation.filter(|_| landed));
                if landed {
                    self.cancel_landed(step, phase, met);
                }
            }
            if let Some(fault) = step.fault {
                let is_proof = |what: &What| *what == What::FaultLanded(fault);
                let landed = facts.history.events.iter().any(|it| it.by == Some(by) && is_proof(&it.what));
                self.count(Disturbance::from(fault), operation.filter(|_| landed));
                if landed {
                    met.push("fault landed");
                    self.exercise(Capability::Faults);
                    if fault.costs_connection() {
                        self.exercise(Capability::ConnectionLoss);
                    }
                }
            }
        }
    }

    fn cancel_landed(&mut self, step: &Step, phase: Phase, met: &mut Vec<&'static str>) {
        met.push("cancel landed");
        if phase == Phase::BeforeSend {
            return;
        }
        self.exercise(Capability::Cancellation);
        if matches!(phase, Phase::Poll(_)) {
            self.exercise(Capability::Polls);
        }
        if step.command == Command::Commit {
            met.push("cancel during commit landed");
        }
    }

    /// Counts a disturbance that was drawn, and where it landed, if it did.
    fn count(&mut self, disturbance: Disturbance, landed: Option<Operation>) {
        self.disturbances.entry(disturbance).or_default().count(landed.is_some());
        if let Some(operation) = landed {
            *self.landed.entry((disturbance, operation)).or_default() += 1;
        }
    }

    /// Counts what no single command is for: where the plan happened, and what was told from below.
    fn add_surroundings(&mut self, plan: &Plan, judged: &Judged<'_>) {
        let facts = &judged.facts;
        let of_plan = |by: By| !facts.history.is_observer(by.actor);
        if plan.fixture && facts.spans.iter().any(|(by, span)| of_plan(by) && has_succeeded(span)) {
            self.exercise(Capability::Fixture);
        }
        match plan.storage.backend() {
            Backend::Sqlite => {}
            Backend::Postgres => self.exercise(Capability::Postgres),
            Backend::Sim => self.exercise(Capability::Simulation),
        }
        for event in &facts.history.events {
            match event.what {
                What::Reported(_) => self.exercise(Capability::Reports),
                What::Served(_) if event.by.is_some() => self.exercise(Capability::Identity),
                _ => {}
            }
        }
    }

    fn exercise(&mut self, capability: Capability) {
        *self.without_command.entry(capability).or_default() += 1;
    }
}

/// Whether a command came to what it is for: most are to be done; a mistake and a stale handle are to be refused.
fn has_succeeded(span: &Span<'_>) -> bool {
    let refused = |class| matches!(span.outcome, Some(Outcome::Failed(failure)) if failure.class == class);
    match span.step.command {
        Command::Fail => refused(FailureClass::Mistake),
        Command::Stale(_) => refused(FailureClass::Stale),
        Command::Use(_) => span.is_done() || refused(FailureClass::Stale),
        _ => span.is_done(),
    }
}

fn add_all<K: Ord>(into: &mut BTreeMap<K, u64>, from: BTreeMap<K, u64>) {
    for (key, count) in from {
        *into.entry(key).or_default() += count;
    }
}

fn add_tallies<K: Ord>(into: &mut BTreeMap<K, Tally>, from: BTreeMap<K, Tally>) {
    for (key, tally) in from {
        let sum = into.entry(key).or_default();
        sum.tried += tally.tried;
        sum.succeeded += tally.succeeded;
    }
}
