//! The search for a minimal plan, and its budget.

use std::collections::HashMap;

use super::certificate::{Attempt, Certificate, Removal};
use super::moves::{self, Move};
use super::removing::{removals, without};
use super::size::Size;
use crate::chain::{Chain, Run};
use crate::plan::Plan;
use crate::verdict::{Invariant, Verdict, Violation};

/// How much shrinking may cost, and what its progress is reported to.
#[derive(Clone, Copy)]
pub struct Budget<'a> {
    /// The most plans to run.
    pub runs: u32,
    /// Whether the time for it is over; the clock is the caller's.
    pub is_over: &'a dyn Fn() -> bool,
    /// Called after each plan that was run.
    pub progress: &'a dyn Fn(Shrinking),
}

/// How far shrinking has got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shrinking {
    /// What the plans break.
    pub invariant: Invariant,
    /// The number of commands of the smallest so far.
    pub commands: usize,
    /// How many plans were run.
    pub runs: u32,
}

/// A minimal plan, its run, and how sure it is.
#[derive(Clone, Debug)]
pub struct Counterexample {
    /// The minimal plan.
    pub plan: Plan,
    /// A run of it that broke the invariant.
    pub run: Run,
    /// The violation of that run.
    pub violation: Violation,
    /// How often the minimal plan broke the invariant, of how many times.
    pub reproduced: (u32, u32),
    /// What was tried to make it smaller.
    pub certificate: Certificate,
}

/// Shrinks a plan that breaks this invariant; `None` if it does not do so again.
pub fn shrink(chain: &Chain<'_>, plan: &Plan, invariant: Invariant, budget: Budget<'_>) -> Option<Counterexample> {
    let mut search = Search {
        chain,
        invariant,
        budget,
        runs_left: budget.runs,
        runs: 0,
        commands: plan.commands(),
        came_to: HashMap::new(),
        attempts: 1,
    };
    let first = search.confirm(plan, 3)?;
    let mut best = search.truncate(plan, &first);
    loop {
        while let Some(smaller) = search.descend(&best) {
            best = smaller;
        }
        if !search.turns_out_unsure(&best) {
            return search.report(best);
        }
    }
}

/// How many times the minimal plan is run to say how surely it reproduces.
const REPLAYS: usize = 10;

/// The most runs to see how surely a plan breaks; one that breaks more rarely than once in so many is not shrunk.
const CONFIRMATIONS_MAX: usize = 24;

/// Above this many commands two moves at a time are too many to try.
const COMBINED_MAX: usize = 8;

struct Search<'a> {
    chain: &'a Chain<'a>,
    invariant: Invariant,
    budget: Budget<'a>,
    runs_left: u32,
    runs: u32,
    commands: usize,
    /// The result for each candidate; none is tried twice.
    came_to: HashMap<Plan, Attempt>,
    /// How often a candidate is run before it counts as harmless: more than once if the plan itself is unsure.
    attempts: usize,
}

impl Search<'_> {
    fn is_spent(&self) -> bool {
        self.runs_left == 0 || (self.budget.is_over)()
    }

    fn run(&mut self, plan: &Plan) -> Run {
        let run = self.chain.run(plan);
        self.runs += 1;
        self.runs_left = self.runs_left.saturating_sub(1);
        let (invariant, commands, runs) = (self.invariant, self.commands, self.runs);
        (self.budget.progress)(Shrinking { invariant, commands, runs });
        run
    }

    fn breaks(&self, run: &Run) -> bool {
        run.violation().is_some_and(|it| it.invariant == self.invariant)
    }

    /// Runs the plan until it has broken so often, and sets how often candidates are tried: once if it broke every
    /// time, otherwise three times as often as it took on the average to break.
    fn confirm(&mut self, plan: &Plan, breaks: usize) -> Option<Run> {
        let mut first = None;
        let (mut broke, mut runs) = (0, 0);
        while broke < breaks && runs < CONFIRMATIONS_MAX && !(first.is_some() && (self.budget.is_over)()) {
            let run = self.run(plan);
            runs += 1;
            if self.breaks(&run) {
                broke += 1;
                first.get_or_insert(run);
            }
        }
        let rarely = (3 * runs).div_ceil(broke.max(1)).min(CONFIRMATIONS_MAX);
        self.attempts = if broke == runs { 1 } else { rarely };
        first
    }

    /// Whether a plan that broke every time so far does not always: then what was judged by one run is judged again.
    fn turns_out_unsure(&mut self, plan: &Plan) -> bool {
        if self.attempts > 1 || self.is_spent() {
            return false;
        }
        self.confirm(plan, 5);
        if self.attempts > 1 {
            self.came_to.clear();
        }
        self.attempts > 1
    }

    /// Runs the plan so many times; fewer if the time is over and it has broken already, since a run that hangs is long.
    fn run_again(&mut self, plan: &Plan, times: usize) -> Vec<Run> {
        let mut runs = Vec::new();
        while runs.len() < times && !((self.budget.is_over)() && runs.iter().any(|it| self.breaks(it))) {
            runs.push(self.run(plan));
        }
        runs
    }

    /// Whether the candidate breaks the same invariant.
    fn accepts(&mut self, candidate: &Plan) -> bool {
        if candidate.commands() == 0 || self.came_to.contains_key(candidate) || self.is_spent() {
            return false;
        }
        let came_to = match self.chain.admits(candidate) {
            Err(why) => Attempt::Inadmissible(why),
            Ok(()) => self.attempt(candidate),
        };
        let accepted = came_to == Attempt::Breaks(self.invariant);
        self.came_to.insert(candidate.clone(), came_to);
        if accepted {
            self.commands = candidate.commands();
        }
        accepted
    }

    fn attempt(&mut self, candidate: &Plan) -> Attempt {
        let mut last = Attempt::Passes;
        for _ in 0..self.attempts {
            let run = self.run(candidate);
            last = match &run.judgement.verdict {
                Verdict::Pass => Attempt::Passes,
                Verdict::Violation(it) => Attempt::Breaks(it.invariant),
                Verdict::Inconclusive(_) => Attempt::Inconclusive,
            };
            if self.breaks(&run) {
                // One that breaks now and then is no step forward from one that breaks every time.
                let surely = self.attempts > 1 || { self.run_again(candidate, 1).iter().any(|it| self.breaks(it)) };
                return if surely { last } else { Attempt::Unsure };
            }
        }
        last
    }

    /// Drops what was invoked only after the violation.
    fn truncate(&mut self, plan: &Plan, run: &Run) -> Plan {
        let mut invoked = vec![0; plan.actors.len()];
        let violated_at = run.violation().map_or(usize::MAX, |it| it.at);
        for (by, span) in run.history.commands().iter() {
            if span.invoked <= violated_at && by.actor.index() < invoked.len() {
                invoked[by.actor.index()] = by.step + 1;
            }
        }
        let late = plan.places().into_iter().filter(|(actor, at)| *at >= invoked[actor.index()]);
        let shorter = without(plan, &late.collect::<Vec<_>>());
        if shorter != *plan && self.accepts(&shorter) { shorter } else { plan.clone() }
    }

    /// One round of all moves, each repeated while it helps; none if none does.
    fn descend(&mut self, plan: &Plan) -> Option<Plan> {
        let mut best = plan.clone();
        for pass in moves::ALL {
            while let Some(smaller) = self.first(&best, pass(&best, self.chain.subject.extension())) {
                best = smaller;
            }
        }
        if best != *plan {
            return Some(best);
        }
        self.combine(plan)
    }

    /// The first smaller candidate that still breaks.
    fn first(&mut self, plan: &Plan, candidates: Vec<Plan>) -> Option<Plan> {
        let size = Size::of(plan);
        candidates.into_iter().find(|it| Size::of(it) < size && self.accepts(it))
    }

    /// A removal together with any other move: what is in the way of the one may be what the other takes away.
    fn combine(&mut self, plan: &Plan) -> Option<Plan> {
        if plan.commands() > COMBINED_MAX {
            return None;
        }
        let extension = self.chain.subject.extension();
        let second: [Move; 7] = [
            moves::roomier,
            moves::undisturbed,
            moves::apart,
            moves::moved,
            moves::merged,
            moves::schedules,
            moves::plainer,
        ];
        for few in moves::few(plan) {
            if let Some(smaller) = self.first(plan, moves::roomier(&few, extension)) {
                return Some(smaller);
            }
        }
        for gone in removals(plan, 1) {
            let fewer = without(plan, &gone);
            for pass in second {
                if let Some(smaller) = self.first(plan, pass(&fewer, extension)) {
                    return Some(smaller);
                }
            }
        }
        None
    }

    fn report(&mut self, plan: Plan) -> Option<Counterexample> {
        let complete = !self.is_spent();
        let tried = |size| -> Vec<Removal> {
            let came_to = |gone: &Vec<_>| self.came_to.get(&without(&plan, gone)).cloned();
            let attempt = |gone: &Vec<_>| match came_to(gone) {
                Some(attempt) => attempt,
                None => Attempt::NotTried,
            };
            removals(&plan, size).into_iter().map(|gone| Removal::of(&plan, &gone, attempt(&gone))).collect()
        };
        let (singles, pairs) = (tried(1), tried(2));
        let runs = self.run_again(&plan, REPLAYS);
        let count = |runs: usize| u32::try_from(runs).unwrap_or(u32::MAX);
        let hits = runs.iter().filter(|it| self.breaks(it)).count();
        let reproduced = (count(hits), count(runs.len()));
        let run = runs.into_iter().find(|it| self.breaks(it))?;
        let violation = run.violation()?.clone();
        let certificate = Certificate { singles, pairs, runs: self.runs, complete };
        Some(Counterexample { plan, run, violation, reproduced, certificate })
    }
}
