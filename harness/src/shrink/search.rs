//! The search for a minimal plan.
//!
//! Owns the plans that were accepted on the way, so that one which turns out to break more rarely is given up for the one
//! before it, and never for nothing. Whether a candidate breaks often enough is decided in [`super::rate`].

use std::collections::HashMap;

use super::budget::{Budget, Shrinking};
use super::certificate::{Attempt, Certificate, Removal};
use super::counterexample::{Counterexample, NotAgain};
use super::moves::{self, Move};
use super::rate::{Answer, REFERENCE_HITS, REFERENCE_RUNS_MAX, Rate, Standard};
use super::removing::{removals, without};
use super::size::Size;
use crate::chain::{Chain, Run};
use crate::plan::Plan;
use crate::verdict::{Invariant, Verdict};

/// Shrinks a plan that breaks this invariant, to one that breaks it about as often.
///
/// # Errors
/// [`NotAgain`] if the plan does not break it again.
pub fn shrink(
    chain: &Chain<'_>,
    plan: &Plan,
    invariant: Invariant,
    budget: Budget<'_>,
) -> Result<Counterexample, NotAgain> {
    let mut search = Search {
        chain,
        invariant,
        budget,
        runs_left: budget.runs,
        runs: 0,
        came_to: HashMap::new(),
        standard: Standard::Always,
        given: Accepted::confirmed(chain, plan, invariant, budget)?,
        smaller: Vec::new(),
    };
    search.runs = search.given.rate.runs;
    search.runs_left = search.runs_left.saturating_sub(search.runs);
    if !search.given.rate.is_steady() {
        search.set_standard();
    }
    search.truncate();
    loop {
        while search.descend() {}
        if search.measures_up() {
            return Ok(search.report());
        }
    }
}

/// A plan counts as steady once it has broken so often in a row.
const CONFIRMATIONS: u32 = 3;

/// A plan that breaks more rarely than once in so many runs is not shrunk.
const CONFIRMATIONS_MAX: u32 = 40;

/// Above this many commands two moves at a time are too many to try.
const COMBINED_MAX: usize = 8;

struct Search<'a> {
    chain: &'a Chain<'a>,
    invariant: Invariant,
    budget: Budget<'a>,
    runs_left: u32,
    runs: u32,
    /// The result for each candidate; none is tried twice.
    came_to: HashMap<Plan, Attempt>,
    /// How often a candidate has to break.
    standard: Standard,
    /// The plan that is to be shrunk.
    given: Accepted,
    /// Those that were accepted in its place, each smaller than the one before.
    smaller: Vec<Accepted>,
}

/// A plan that was seen to break, as often as it must.
struct Accepted {
    plan: Plan,
    /// The first run in which it did.
    run: Run,
    /// The runs that showed it.
    rate: Rate,
    /// How often it broke in runs that decided nothing; none before it is measured.
    measured: Option<Rate>,
}

impl Accepted {
    /// Runs the plan until it has broken some times, or for too long without.
    fn confirmed(chain: &Chain<'_>, plan: &Plan, invariant: Invariant, budget: Budget<'_>) -> Result<Self, NotAgain> {
        let (mut rate, mut first) = (Rate::default(), None);
        let is_enough = |rate: Rate| {
            let is_over = (budget.is_over)() && (rate.hits > 0 || rate.runs >= CONFIRMATIONS);
            rate.hits >= CONFIRMATIONS || rate.runs >= CONFIRMATIONS_MAX || is_over
        };
        while !is_enough(rate) {
            let run = chain.run(plan);
            rate.count(breaks(&run, invariant));
            (budget.progress)(Shrinking { invariant, commands: plan.commands(), runs: rate.runs });
            if breaks(&run, invariant) {
                first.get_or_insert(run);
            }
        }
        let run = first.ok_or(NotAgain { runs: rate.runs })?;
        Ok(Self { plan: plan.clone(), run, rate, measured: None })
    }
}

fn breaks(run: &Run, invariant: Invariant) -> bool {
    run.violation().is_some_and(|it| it.invariant == invariant)
}

impl Search<'_> {
    fn is_spent(&self) -> bool {
        self.runs_left == 0 || (self.budget.is_over)()
    }

    fn best(&self) -> &Accepted {
        self.smaller.last().unwrap_or(&self.given)
    }

    fn run(&mut self, plan: &Plan) -> Run {
        let run = self.chain.run(plan);
        self.runs += 1;
        self.runs_left = self.runs_left.saturating_sub(1);
        let (invariant, commands, runs) = (self.invariant, self.best().plan.commands(), self.runs);
        (self.budget.progress)(Shrinking { invariant, commands, runs });
        run
    }

    /// Measures how often the given plan breaks, which it does not every time; candidates are held to that.
    fn set_standard(&mut self) {
        let plan = self.given.plan.clone();
        let mut rate = self.given.rate;
        while rate.hits < REFERENCE_HITS && rate.runs < REFERENCE_RUNS_MAX && !self.is_spent() {
            let run = self.run(&plan);
            rate.count(breaks(&run, self.invariant));
        }
        self.given.rate = rate;
        self.given.measured = Some(rate);
        self.standard = Standard::set_by(rate);
    }

    /// Whether the smallest plan breaks as often as it must, in runs of its own. If it does not, it is given up for the one
    /// before it, and the search goes on from there.
    fn measures_up(&mut self) -> bool {
        let mut is_final = true;
        while self.best().measured.is_none() {
            let plan = self.best().plan.clone();
            let mut rate = self.measure(&plan, Rate::default());
            if self.standard == Standard::Always && rate.hits < rate.runs {
                // What was judged by one run is judged again.
                self.set_standard();
                self.came_to.clear();
                is_final = false;
                rate = self.measure(&plan, rate);
            }
            let is_rarer = rate.runs > 0 && self.standard.judge(rate) == Answer::Rarer;
            match self.smaller.last_mut() {
                Some(_) if is_rarer => {
                    self.smaller.pop();
                    self.came_to.insert(plan, Attempt::Rarer(rate));
                    is_final = false;
                }
                Some(best) => best.measured = Some(if rate.runs > 0 { rate } else { best.rate }),
                None => {
                    let given = &mut self.given;
                    given.measured.get_or_insert(if rate.runs > 0 { rate } else { given.rate });
                }
            }
        }
        is_final || self.is_spent()
    }

    /// Runs the plan until it is known how often it breaks, on top of what is known already.
    fn measure(&mut self, plan: &Plan, mut rate: Rate) -> Rate {
        while !self.standard.is_measured_by(rate) && !(self.budget.is_stopped)() {
            let run = self.run(plan);
            rate.count(breaks(&run, self.invariant));
        }
        rate
    }

    /// Whether the candidate breaks the same invariant as often as it must; it is the best one from then on.
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
        accepted
    }

    fn attempt(&mut self, candidate: &Plan) -> Attempt {
        let (mut rate, mut first) = (Rate::default(), None);
        loop {
            let run = self.run(candidate);
            let came_to = match &run.judgement.verdict {
                Verdict::Pass => Attempt::Passes,
                Verdict::Violation(it) => Attempt::Breaks(it.invariant),
                Verdict::Inconclusive(_) => Attempt::Inconclusive,
            };
            rate.count(breaks(&run, self.invariant));
            if breaks(&run, self.invariant) {
                first.get_or_insert(run);
            }
            match (self.standard.judge(rate), first) {
                (Answer::AsOften, Some(run)) => {
                    self.smaller.push(Accepted { plan: candidate.clone(), run, rate, measured: None });
                    return Attempt::Breaks(self.invariant);
                }
                (Answer::Rarer, None) => return came_to,
                (Answer::Rarer, Some(_)) => return Attempt::Rarer(rate),
                (_, seen) if self.standard.gives_up(rate) => {
                    return if seen.is_some() { Attempt::Rarer(rate) } else { came_to };
                }
                (_, _) if self.is_spent() => return Attempt::NotTried,
                (_, seen) => first = seen,
            }
        }
    }

    /// Drops what was invoked only after the violation.
    fn truncate(&mut self) {
        let Accepted { plan, run, .. } = &self.given;
        let mut invoked = vec![0; plan.actors.len()];
        let violated_at = run.violation().map_or(usize::MAX, |it| it.at);
        for (by, span) in run.history.commands().iter() {
            if span.invoked <= violated_at && by.actor.index() < invoked.len() {
                invoked[by.actor.index()] = by.step + 1;
            }
        }
        let late = plan.places().into_iter().filter(|(actor, at)| *at >= invoked[actor.index()]);
        let shorter = without(plan, &late.collect::<Vec<_>>());
        if shorter != *plan {
            self.accepts(&shorter);
        }
    }

    /// One round of all moves, each repeated while it helps; false if none does.
    fn descend(&mut self) -> bool {
        let extension = self.chain.subject.extension();
        let mut helped = false;
        for pass in moves::ALL {
            while self.first(pass(&self.best().plan, extension)) {
                helped = true;
            }
        }
        helped || self.combine()
    }

    /// Whether one of the candidates is smaller and still breaks; it is the best one from then on.
    fn first(&mut self, candidates: Vec<Plan>) -> bool {
        let size = Size::of(&self.best().plan);
        candidates.into_iter().any(|it| Size::of(&it) < size && self.accepts(&it))
    }

    /// A removal together with any other move: what is in the way of the one may be what the other takes away.
    fn combine(&mut self) -> bool {
        let plan = self.best().plan.clone();
        if plan.commands() > COMBINED_MAX {
            return false;
        }
        let extension = self.chain.subject.extension();
        let second: [Move; 8] = [
            moves::roomier,
            moves::undisturbed,
            moves::other_faults,
            moves::apart,
            moves::moved,
            moves::merged,
            moves::schedules,
            moves::plainer,
        ];
        if moves::few(&plan).into_iter().any(|few| self.first(moves::roomier(&few, extension))) {
            return true;
        }
        let mut handed_on = moves::handed_on(&plan, extension).into_iter();
        if handed_on.any(|it| self.first(moves::other_faults(&it, extension))) {
            return true;
        }
        removals(&plan, 1).into_iter().any(|gone| {
            let fewer = without(&plan, &gone);
            second.into_iter().any(|pass| self.first(pass(&fewer, extension)))
        })
    }

    fn report(mut self) -> Counterexample {
        let complete = !self.is_spent();
        let Accepted { plan, run, rate, measured } = self.smaller.pop().unwrap_or(Accepted {
            plan: self.given.plan.clone(),
            run: self.given.run.clone(),
            rate: self.given.rate,
            measured: self.given.measured,
        });
        let tried = |size| -> Vec<Removal> {
            let came_to = |gone: &Vec<_>| self.came_to.get(&without(&plan, gone)).cloned();
            let attempt = |gone: &Vec<_>| match came_to(gone) {
                Some(attempt) => attempt,
                None => Attempt::NotTried,
            };
            removals(&plan, size).into_iter().map(|gone| Removal::of(&plan, &gone, attempt(&gone))).collect()
        };
        let (singles, pairs) = (tried(1), tried(2));
        let violation = run.violation().expect("a plan is accepted with a run that breaks").clone();
        let certificate = Certificate { singles, pairs, runs: self.runs, complete };
        Counterexample {
            plan,
            run,
            violation,
            reproduced: measured.unwrap_or(rate),
            given: self.given.rate,
            certificate,
        }
    }
}
