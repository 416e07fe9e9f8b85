//! Shrinking: from a plan that breaks an invariant to a minimal one that breaks the same.
//!
//! Owns the passes, their order and the certificate. One shrinker for generated, replayed and hand-written plans. A
//! candidate counts only if it breaks the invariant with the same id; message texts are never compared. Candidates that
//! the model rejects are not run. Passes repeat until none helps; then every single removal and every pair of
//! removals has been tried, and the [`Certificate`] says so.

use std::collections::HashSet;

use crate::chain::{Chain, Run};
use crate::model::written;
use crate::oracle::{Invariant, Violation};
use crate::plan::{
    Actor, ActorId, BeginMode, Command, Conflict, Gate, Key, Phase, Plan, Residue, Schedule, StaleUse, Step, Storage,
};

/// How much shrinking may cost.
#[derive(Clone, Copy)]
pub struct Budget<'a> {
    /// The most plans to run.
    pub runs: u32,
    /// Whether the time for it is over; the clock is the caller's.
    pub is_over: &'a dyn Fn() -> bool,
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

/// What was tried to make a plan smaller.
#[derive(Clone, Debug, Default)]
pub struct Certificate {
    /// The removals and simplifications of the minimal plan, each with what it came to instead.
    pub tried: Vec<String>,
    /// How many plans were run in all.
    pub runs: u32,
    /// Whether the budget sufficed; if not, a smaller plan may exist.
    pub complete: bool,
}

/// Shrinks a plan that breaks this invariant; `None` if it does not do so again.
pub fn shrink(chain: &Chain<'_>, plan: &Plan, invariant: Invariant, budget: Budget<'_>) -> Option<Counterexample> {
    let mut search = Search {
        chain,
        invariant,
        is_over: budget.is_over,
        runs_left: budget.runs,
        runs: 0,
        seen: HashSet::new(),
        attempts: 1,
    };
    let (best, first) = search.confirm(plan)?;
    let mut best = search.truncate(best, &first);
    loop {
        let before = best.clone();
        best = search.descend(best);
        if best == before || search.is_spent() {
            break;
        }
    }
    let tried = search.certify(&best);
    search.report(best, tried)
}

/// How many times the minimal plan is run to say how surely it reproduces.
const REPLAYS: usize = 10;

struct Search<'a> {
    chain: &'a Chain<'a>,
    invariant: Invariant,
    is_over: &'a dyn Fn() -> bool,
    runs_left: u32,
    runs: u32,
    seen: HashSet<Plan>,
    /// How often a candidate is run before it counts as harmless: more than once if the plan itself is unsure.
    attempts: u32,
}

impl Search<'_> {
    fn is_spent(&self) -> bool {
        self.runs_left == 0 || (self.is_over)()
    }

    fn run(&mut self, plan: &Plan) -> Run {
        self.runs += 1;
        self.runs_left = self.runs_left.saturating_sub(1);
        self.chain.run(plan)
    }

    fn breaks(&self, run: &Run) -> bool {
        run.violation().is_some_and(|it| it.invariant == self.invariant)
    }

    /// Runs the plan three times and sets how often candidates are tried.
    fn confirm(&mut self, plan: &Plan) -> Option<(Plan, Run)> {
        let runs = self.run_again(plan, 3);
        let every = runs.iter().all(|it| self.breaks(it));
        self.attempts = if every { 1 } else { 4 };
        let run = runs.into_iter().find(|it| self.breaks(it))?;
        Some((plan.clone(), run))
    }

    /// Runs the plan so many times; fewer if the time is over and it has broken already, since a run that hangs is long.
    fn run_again(&mut self, plan: &Plan, times: usize) -> Vec<Run> {
        let mut runs = Vec::new();
        while runs.len() < times && !((self.is_over)() && runs.iter().any(|it| self.breaks(it))) {
            runs.push(self.run(plan));
        }
        runs
    }

    /// Whether the candidate breaks the same invariant; each candidate is tried once.
    fn accepts(&mut self, candidate: &Plan) -> bool {
        if self.is_spent()
            || self.chain.admits(candidate).is_err()
            || !self.seen.insert(candidate.clone())
            || candidate.commands() == 0
        {
            return false;
        }
        (0..self.attempts).any(|_| {
            let run = self.run(candidate);
            self.breaks(&run)
        })
    }

    /// Takes the first candidate that still breaks.
    fn first(&mut self, candidates: impl IntoIterator<Item = Plan>) -> Option<Plan> {
        candidates.into_iter().find(|it| self.accepts(it))
    }

    /// Drops what was invoked only after the violation.
    fn truncate(&mut self, plan: Plan, run: &Run) -> Plan {
        let Some(violation) = run.violation() else {
            return plan;
        };
        let mut invoked = vec![0; plan.actors.len()];
        for (by, span) in run.history.commands() {
            if span.invoked <= violation.at && by.actor.index() < invoked.len() {
                invoked[by.actor.index()] = by.step + 1;
            }
        }
        let late =
            plan.steps().filter(|(actor, at, _)| *at >= invoked[actor.index()]).map(|(actor, at, _)| (actor, at));
        let shorter = without(&plan, &late.collect::<Vec<_>>());
        if self.accepts(&shorter) { shorter } else { plan }
    }

    /// One round of all passes, each repeated while it helps.
    fn descend(&mut self, mut plan: Plan) -> Plan {
        let passes: [fn(&Plan) -> Vec<Plan>; 9] = [
            // First of all, since `:memory:` makes everybody wait for a transaction that nobody ends.
            simpler_surroundings,
            fewer_actors,
            chunks,
            singles,
            pairs,
            undisturbed,
            merged_actors,
            simpler_schedules,
            simpler_commands,
        ];
        for pass in passes {
            while let Some(smaller) = self.first(pass(&plan)) {
                plan = smaller;
            }
        }
        plan
    }

    /// Tries everything once more on the final plan, and says what each attempt came to.
    fn certify(&mut self, plan: &Plan) -> Vec<String> {
        let steps: Vec<(ActorId, usize, String)> =
            plan.steps().map(|(actor, at, step)| (actor, at, step.to_string())).collect();
        let mut tried = Vec::new();
        for (actor, at, text) in &steps {
            if self.is_spent() {
                break;
            }
            let candidate = without(plan, &[(*actor, *at)]);
            let outcome = match self.chain.admits(&candidate) {
                Err(why) => format!("makes no sense: {why}"),
                Ok(()) => match self.run(&candidate).violation() {
                    Some(other) => format!("breaks {} instead", other.invariant),
                    None => "breaks nothing".to_owned(),
                },
            };
            tried.push(format!("without {actor} {}: {text} → {outcome}", at + 1));
        }
        if steps.len() <= PAIRS_MAX && !self.is_spent() {
            tried.push(format!("without any two of its {} commands: breaks no {}", steps.len(), self.invariant));
        }
        tried
    }

    fn report(&mut self, plan: Plan, tried: Vec<String>) -> Option<Counterexample> {
        let complete = !self.is_spent();
        let runs = self.run_again(&plan, REPLAYS);
        let count = |runs: usize| u32::try_from(runs).unwrap_or(u32::MAX);
        let hits = runs.iter().filter(|it| self.breaks(it)).count();
        let reproduced = (count(hits), count(runs.len()));
        let run = runs.into_iter().find(|it| self.breaks(it))?;
        let violation = run.violation()?.clone();
        let certificate = Certificate { tried, runs: self.runs, complete };
        Some(Counterexample { plan, run, violation, reproduced, certificate })
    }
}

/// The plan without these commands, its schedule without their turns.
fn without(plan: &Plan, gone: &[(ActorId, usize)]) -> Plan {
    let mut next = vec![0_usize; plan.actors.len()];
    let turns = plan.schedule.0.iter().filter(|turn| {
        let at = next[turn.actor.index()];
        next[turn.actor.index()] += usize::from(turn.until == Gate::Boundary);
        !gone.contains(&(turn.actor, at))
    });
    let schedule = Schedule(turns.copied().collect());
    let actors = plan.actors.iter().enumerate().map(|(actor, it)| {
        let kept = it.steps.iter().enumerate().filter(|(at, _)| !gone.contains(&(ActorId::new(actor), *at)));
        Actor { steps: kept.map(|(_, step)| step.clone()).collect() }
    });
    compact(Plan { actors: actors.collect(), schedule, ..plan.clone() })
}

/// Removes actors without commands and gives the others their letters.
fn compact(plan: Plan) -> Plan {
    let mut letters = Vec::new();
    let mut kept = 0;
    for actor in &plan.actors {
        letters.push(ActorId::new(kept));
        kept += usize::from(!actor.steps.is_empty());
    }
    if kept == 0 || kept == plan.actors.len() {
        return plan;
    }
    let mut schedule = plan.schedule;
    schedule.0.retain(|turn| !plan.actors[turn.actor.index()].steps.is_empty());
    for turn in &mut schedule.0 {
        turn.actor = letters[turn.actor.index()];
    }
    let actors = plan.actors.into_iter().filter(|it| !it.steps.is_empty()).collect();
    Plan { actors, schedule, ..plan }
}

fn places(plan: &Plan) -> Vec<(ActorId, usize)> {
    plan.steps().map(|(actor, at, _)| (actor, at)).collect()
}

fn fewer_actors(plan: &Plan) -> Vec<Plan> {
    if plan.actors.len() < 2 {
        return Vec::new();
    }
    let all = places(plan);
    let of = |actor: usize| all.iter().copied().filter(|it| it.0.index() == actor).collect::<Vec<_>>();
    (0..plan.actors.len()).map(|actor| without(plan, &of(actor))).collect()
}

/// Runs of an actor's commands, long ones first: so goes a session with everything that depends on it.
fn chunks(plan: &Plan) -> Vec<Plan> {
    let mut candidates = Vec::new();
    let longest = plan.actors.iter().map(|it| it.steps.len()).max().unwrap_or(0);
    for size in (2..=longest).rev() {
        for (actor, it) in plan.actors.iter().enumerate() {
            for start in 0..(it.steps.len() + 1).saturating_sub(size) {
                let gone: Vec<_> = (start..start + size).map(|at| (ActorId::new(actor), at)).collect();
                candidates.push(without(plan, &gone));
            }
        }
    }
    candidates
}

fn singles(plan: &Plan) -> Vec<Plan> {
    places(plan).into_iter().rev().map(|it| without(plan, &[it])).collect()
}

/// Above this many commands pairs are too many to try.
const PAIRS_MAX: usize = 16;

/// Pairs matter: one command at a time cannot remove `begin` and its `commit`.
fn pairs(plan: &Plan) -> Vec<Plan> {
    let all = places(plan);
    if all.len() > PAIRS_MAX {
        return Vec::new();
    }
    let pairs = all.iter().enumerate().flat_map(|(at, one)| all[at + 1..].iter().map(move |other| [*one, *other]));
    pairs.map(|it| without(plan, &it)).collect()
}

/// Fewer and weaker cancels and faults.
fn undisturbed(plan: &Plan) -> Vec<Plan> {
    replaced(plan, |step| {
        let mut simpler = Vec::new();
        if step.cancel.is_some() {
            simpler.push(Step { cancel: None, ..step.clone() });
        }
        if step.fault.is_some() {
            simpler.push(Step { fault: None, ..step.clone() });
        }
        if step.cancel == Some(Phase::BeforeReply) {
            simpler.push(Step { cancel: Some(Phase::Sent), ..step.clone() });
        }
        simpler
    })
}

/// The commands of one actor after those of another: one actor less.
fn merged_actors(plan: &Plan) -> Vec<Plan> {
    let count = plan.actors.len();
    let pairs = (0..count).flat_map(|one| (0..count).filter(move |it| *it != one).map(move |other| (one, other)));
    pairs
        .map(|(one, other)| {
            let mut actors = plan.actors.clone();
            let moved = std::mem::take(&mut actors[other].steps);
            actors[one].steps.extend(moved);
            actors.retain(|it| !it.steps.is_empty());
            let schedule = Schedule::serial(&actors);
            Plan { actors, schedule, ..plan.clone() }
        })
        .collect()
}

/// Serial, then without gates, then with fewer switches.
fn simpler_schedules(plan: &Plan) -> Vec<Plan> {
    let with = |turns| Plan { schedule: Schedule(turns), ..plan.clone() };
    let mut candidates = Vec::new();
    let serial = Schedule::serial(&plan.actors);
    if plan.schedule == serial {
        return candidates;
    }
    candidates.push(Plan { schedule: serial, ..plan.clone() });
    let turns = &plan.schedule.0;
    if turns.iter().any(|it| it.until == Gate::Reply) {
        candidates.push(with(turns.iter().copied().filter(|it| it.until == Gate::Boundary).collect()));
    }
    for at in 0..turns.len() {
        if turns[at].until == Gate::Reply {
            let mut fewer = turns.clone();
            fewer.remove(at);
            candidates.push(with(fewer));
        }
    }
    for from in 0..turns.len() {
        for to in 0..turns.len() {
            let mut moved = turns.clone();
            let turn = moved.remove(from);
            moved.insert(to, turn);
            let moved = with(moved);
            let better = |plan: &Plan| (plan.schedule.switches(), order_of(plan));
            if better(&moved) < better(plan) {
                candidates.push(moved);
            }
        }
    }
    candidates
}

fn order_of(plan: &Plan) -> Vec<ActorId> {
    plan.schedule.0.iter().map(|it| it.actor).collect()
}

/// Each command by a plainer one.
fn simpler_commands(plan: &Plan) -> Vec<Plan> {
    let mut candidates = replaced(plan, |step| {
        plainer(&step.command).into_iter().map(|command| Step { command, ..step.clone() }).collect()
    });
    candidates.push(renumbered(plan));
    candidates.retain(|it| it != plan);
    candidates
}

fn plainer(command: &Command) -> Vec<Command> {
    let keys = |key: Key| (1..key.0).map(Key);
    match *command {
        Command::Begin(BeginMode::Exclusive) => {
            vec![Command::Begin(BeginMode::Plain), Command::Begin(BeginMode::Immediate)]
        }
        Command::Begin(BeginMode::Immediate) => vec![Command::Begin(BeginMode::Plain)],
        Command::Drop | Command::Close => vec![Command::Rollback],
        Command::Put(key, value) => keys(key).map(|it| Command::Put(it, value)).collect(),
        Command::Insert(key, value, conflict) => {
            let mut plainer = vec![Command::Put(key, value)];
            if conflict != Conflict::Abort {
                plainer.push(Command::Insert(key, value, Conflict::Abort));
            }
            plainer.extend(keys(key).map(|it| Command::Insert(it, value, conflict)));
            plainer
        }
        Command::Get(key) => keys(key).map(Command::Get).collect(),
        Command::Delete(key) => {
            let mut plainer = vec![Command::Get(key)];
            plainer.extend(keys(key).map(Command::Delete));
            plainer
        }
        Command::Scan => vec![Command::Get(Key(1)), Command::Get(Key(2))],
        Command::Stream(rows) => {
            let mut plainer = vec![Command::Get(Key(1)), Command::Scan];
            plainer.extend((0..rows).map(Command::Stream));
            plainer
        }
        Command::Slow => vec![Command::Get(Key(1))],
        Command::Fail => vec![Command::Get(Key(1))],
        Command::Raw(Residue::TempTable) => vec![Command::Raw(Residue::Setting)],
        Command::Stale(StaleUse::Put(key, _)) => vec![Command::Stale(StaleUse::Get(key))],
        Command::Stale(StaleUse::Get(key)) => keys(key).map(|it| Command::Stale(StaleUse::Get(it))).collect(),
        _ => Vec::new(),
    }
}

/// The same plan with its values counted from 1.
fn renumbered(plan: &Plan) -> Plan {
    let mut plan = plan.clone();
    let mut next = 1;
    for step in plan.actors.iter_mut().flat_map(|it| &mut it.steps) {
        if written(&step.command).is_some() {
            match &mut step.command {
                Command::Put(_, value) | Command::Insert(_, value, _) | Command::Stale(StaleUse::Put(_, value)) => {
                    *value = next;
                }
                _ => {}
            }
            next += 1;
        }
    }
    plan
}

/// Fewer connections, a plainer storage.
fn simpler_surroundings(plan: &Plan) -> Vec<Plan> {
    let mut candidates: Vec<Plan> =
        (1..plan.connections).map(|connections| Plan { connections, ..plan.clone() }).collect();
    let plainest = if Storage::SIMULATED.contains(&plan.storage) { Storage::Sim } else { Storage::Wal };
    if plan.storage != plainest {
        candidates.push(Plan { storage: plainest, ..plan.clone() });
    }
    candidates
}

/// The plans in which one step is replaced by one of its simpler forms.
fn replaced(plan: &Plan, simpler: impl Fn(&Step) -> Vec<Step>) -> Vec<Plan> {
    let mut candidates = Vec::new();
    for (actor, at, step) in plan.steps() {
        for new in simpler(step) {
            let mut candidate = plan.clone();
            candidate.actors[actor.index()].steps[at] = new;
            candidates.push(candidate);
        }
    }
    candidates
}

/// What makes two minimal plans the same finding: the invariant, and the commands with their keys and values left out.
pub fn fingerprint(invariant: Invariant, plan: &Plan) -> String {
    let mut actors: Vec<String> = plan.actors.iter().map(|it| shapes(it).join("; ")).collect();
    actors.sort();
    format!("{invariant}: {}", actors.join(" | "))
}

/// Whether the plan contains the commands of a known minimal one, actor by actor, in their order.
pub fn embeds(known: &Plan, plan: &Plan) -> bool {
    fn place(known: &[Vec<String>], plan: &[Vec<String>], used: &mut Vec<bool>) -> bool {
        let Some((first, rest)) = known.split_first() else {
            return true;
        };
        for (at, actor) in plan.iter().enumerate() {
            if !used[at] && is_subsequence(first, actor) {
                used[at] = true;
                if place(rest, plan, used) {
                    return true;
                }
                used[at] = false;
            }
        }
        false
    }
    let known: Vec<_> = known.actors.iter().map(shapes).collect();
    let plan: Vec<_> = plan.actors.iter().map(shapes).collect();
    place(&known, &plan, &mut vec![false; plan.len()])
}

fn is_subsequence(short: &[String], long: &[String]) -> bool {
    let mut long = long.iter();
    short.iter().all(|it| long.any(|other| it == other))
}

fn shapes(actor: &Actor) -> Vec<String> {
    let shape = |step: &Step| {
        let text = step.to_string();
        let is_argument = |word: &&str| {
            let digits = word.strip_prefix('k').unwrap_or(word);
            !digits.is_empty() && digits.bytes().all(|it| it.is_ascii_digit())
        };
        text.split(' ').filter(|word| !is_argument(word)).collect::<Vec<_>>().join(" ")
    };
    actor.steps.iter().map(shape).collect()
}
