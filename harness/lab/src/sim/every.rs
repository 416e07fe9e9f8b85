//! Every schedule of a small plan: not a sample of them, all within a bound.
//!
//! Owns the enumeration. A plan is run with each choice of faults and of one cancel, and each of these along every schedule
//! with so many preemptions: stateless search, depth first, that runs the plan anew for each schedule (Godefroid, *Model
//! Checking for Programming Languages using VeriSoft*, 1997), with the bound on preemptions of Musuvathi and Qadeer
//! (*Iterative Context Bounding*, 2007). A switch at the end of a command is free; one at a gate within a command is a
//! preemption.
//!
//! Not enumerated: the order of background tasks (each is polled once after each turn), and when late
//! requests arrive (one turn after they were abandoned).

use super::execute::execute;
use super::system::{Simulated, Starter, starter};
use unstale_harness::history::{History, Outcome, What};
use unstale_harness::oracle::{Oracle, Verdict};
use unstale_harness::plan::{ActorId, Gate, Phase, Plan, Schedule, Turn};
use unstale_harness::stage::ActorState;

/// The result of running every schedule.
#[derive(Clone, Debug, Default)]
pub struct Everything {
    /// How many schedules were run, of all choices of faults and cancels together.
    pub schedules: u64,
    /// In how many of them the cancel landed.
    pub cancelled: u64,
    /// In how many of them a fault landed.
    pub faulted: u64,
    /// The first plan that did not pass, with the schedule along which it did not, and why.
    pub broken: Option<(Plan, Verdict)>,
}

/// Runs the plan along every schedule, with at most so many preemptions and faults together, without a cancel and with one
/// at every poll of every command. Ends early only if something does not pass.
pub fn everything<S: Simulated>(plan: &Plan, disturbances: usize) -> Everything {
    everything_of(starter::<S>(), plan, disturbances)
}

fn everything_of(starter: Starter, plan: &Plan, disturbances: usize) -> Everything {
    let mut all = Everything::default();
    for (faults, plan) in with_faults(plan, disturbances) {
        let preemptions = disturbances - faults;
        run_all(starter, &plan, preemptions, &mut all);
        for (actor, at) in plan.places() {
            for phase in std::iter::once(Phase::BeforeSend).chain((1..=u8::MAX).map(Phase::Poll)) {
                let mut plan = plan.clone();
                plan.actors[actor.index()].steps[at].cancel = Some(phase);
                let before = all.cancelled;
                run_all(starter, &plan, preemptions, &mut all);
                if all.broken.is_some() {
                    return all;
                }
                if all.cancelled == before {
                    break;
                }
            }
        }
    }
    all
}

/// The plan with every choice of at most so many faults, at most one for a command.
fn with_faults(plan: &Plan, most: usize) -> Vec<(usize, Plan)> {
    let mut all = vec![(0, plan.clone())];
    for (actor, at) in plan.places() {
        let mut more = Vec::new();
        for (count, plan) in all.iter().filter(|it| it.0 < most) {
            for fault in plan.storage.faults() {
                let mut plan = plan.clone();
                plan.actors[actor.index()].steps[at].fault = Some(*fault);
                more.push((count + 1, plan));
            }
        }
        all.extend(more);
    }
    all
}

/// Runs the plan along every schedule with at most so many preemptions.
fn run_all(starter: Starter, plan: &Plan, preemptions: usize, all: &mut Everything) {
    let oracle = Oracle::default();
    let mut path = Path::default();
    while all.broken.is_none() {
        let (history, schedule) = path.follow(starter, plan, preemptions);
        all.schedules += 1;
        let landed = |what: &dyn Fn(&What) -> bool| u64::from(history.events.iter().any(|it| what(&it.what)));
        all.cancelled += landed(&|it| matches!(it, What::Returned(Outcome::Cancelled(_))));
        all.faulted += landed(&|it| matches!(it, What::FaultLanded(_)));
        let verdict = oracle.judge(&history).verdict;
        if verdict != Verdict::Pass {
            all.broken = Some((Plan { schedule, ..plan.clone() }, verdict));
        }
        if !path.advance() {
            break;
        }
    }
}

/// A way through the tree of choices.
#[derive(Default)]
struct Path {
    /// Each choice, and of how many.
    choices: Vec<(usize, usize)>,
}

impl Path {
    /// Runs the plan along this path, and beyond its end always with the first choice.
    fn follow(&mut self, starter: Starter, plan: &Plan, preemptions: usize) -> (History, Schedule) {
        let mut turns: Vec<Turn> = Vec::new();
        let mut left = preemptions;
        let history = execute(starter, plan, &mut |states| {
            let states: Vec<ActorState> = states.collect();
            let running = turns.last().map(|it| it.actor.index());
            let within = running.filter(|it| states[*it] == ActorState::Within);
            let others = (0..states.len()).filter(|it| Some(*it) != within && states[*it] != ActorState::Out);
            let others = others.filter(|_| within.is_none() || left > 0);
            let options: Vec<usize> = within.into_iter().chain(others).collect();
            if options.is_empty() {
                return None;
            }
            let at = turns.len();
            if at == self.choices.len() {
                self.choices.push((0, options.len()));
            }
            let chosen = options[self.choices[at].0];
            left -= usize::from(within.is_some_and(|it| it != chosen));
            let turn = Turn { actor: ActorId::new(chosen), until: Gate::Reply };
            turns.push(turn);
            Some(turn)
        });
        (history, Schedule(turns))
    }

    /// Goes to the next path; false if this was the last.
    fn advance(&mut self) -> bool {
        while let Some((chosen, of)) = self.choices.pop() {
            if chosen + 1 < of {
                self.choices.push((chosen + 1, of));
                return true;
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::sim::system::Unstale;
    use unstale_harness::plan::PlanFile;

    /// The orders in which the commands of two actors, who never wait for each other, were run to their ends.
    fn schedules(preemptions: usize) -> (usize, BTreeSet<String>) {
        let text = "version = 1\nstorage = \"sim\"\nconnections = 2\n[actors]\n\
                    a = [\"open\", \"get k1\"]\nb = [\"open\", \"get k1\"]";
        let plan = PlanFile::parse(text, std::path::Path::new("every")).expect("the plan is well formed").plan;
        let (mut path, mut all) = (Path::default(), Vec::new());
        loop {
            let (_, schedule) = path.follow(starter::<Unstale>(), &plan, preemptions);
            all.push(schedule.0.iter().map(|it| it.actor.to_string()).collect::<String>());
            if !path.advance() {
                return (all.len(), all.into_iter().collect());
            }
        }
    }

    #[test]
    fn without_preemptions_there_are_as_many_schedules_as_orders_of_the_commands() {
        // Four commands, two of them a's: 4 over 2.
        let (run, distinct) = schedules(0);
        assert_eq!((run, distinct.len()), (6, 6), "{distinct:?}");
    }

    #[test]
    fn more_preemptions_add_schedules_and_none_is_run_twice() {
        let (none, without) = schedules(0);
        let (one, with_one) = schedules(1);
        let (two, with_two) = schedules(2);
        assert!(none < one && one < two, "{none} {one} {two}");
        assert_eq!((one, two), (with_one.len(), with_two.len()));
        assert!(without.is_subset(&with_one) && with_one.is_subset(&with_two));
    }
}
