//! Coverage: what an exploration has exercised, which decides whether a pass can be believed.
//!
//! Owns the counters of commands, capabilities, `sometimes` situations, evaluated invariants and the fault × phase
//! table. It reads finished runs and judges none; [`Coverage::gaps`] decides whether an exploration was vacuous.

use std::collections::BTreeMap;

use crate::capability::{Capabilities, Capability, needed};
use crate::history::{By, ByCommand, FailureClass, History, Outcome, Reply, Span, What};
use crate::model::wiring::Wiring;
use crate::oracle::{Judged, Judgement};
use crate::plan::{Backend, BeginMode, Command, Conflict, Fault, Phase, Plan};
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
    /// How often each capability was exercised.
    pub capabilities: BTreeMap<Capability, u64>,
    /// How often each invariant was evaluated.
    pub evaluated: BTreeMap<Invariant, u64>,
    /// In how many plans each situation arose.
    pub sometimes: BTreeMap<&'static str, u64>,
    /// How often each cancel or fault landed in each kind of operation.
    pub landed: BTreeMap<(String, &'static str), u64>,
}

/// The situations that an exploration should meet now and then.
const SOMETIMES: [&str; 16] = [
    "cancel landed",
    "cancel during commit landed",
    "fault landed",
    "nested transaction",
    "two sessions at once",
    "a command waited for another actor",
    "statement failed because it was busy",
    "statement failed inside a transaction",
    "connection served two sessions in turn",
    "commands of two actors overlapped",
    "transaction was dropped without an end",
    "stale handle was used",
    "service resolved while an override was active",
    "service resolved while the registry changed",
    "service resolved from a registry of its own",
    "everything happened inside a fixture",
];

/// The rows of the fault × phase table on this backend, in their order.
pub fn disturbances(backend: Backend) -> Vec<String> {
    let mut rows: Vec<String> = Phase::ALL.iter().map(|it| format!("cancel@{it}")).collect();
    if backend == Backend::Sim {
        rows.push(AT_A_POLL.to_owned());
    }
    let is_for = |fault: &Fault| backend.storages().any(|storage| storage.allows(*fault));
    rows.extend(Fault::every().filter(is_for).map(|fault| fault.to_string()));
    rows
}

/// The row of cancels at polls, whatever their number.
const AT_A_POLL: &str = "cancel@poll";

/// The columns of the fault × phase table.
pub const OPERATIONS: [&str; 9] =
    ["open", "begin", "nested begin", "statement", "in transaction", "commit", "rollback", "close", "registry"];

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
        self.add_history(plan, judged);
    }

    /// Adds the counts of another worker.
    pub fn merge(&mut self, other: Self) {
        self.plans += other.plans;
        self.commands += other.commands;
        self.inconclusive += other.inconclusive;
        self.first_inconclusive = self.first_inconclusive.take().or(other.first_inconclusive);
        add_all(&mut self.capabilities, other.capabilities);
        add_all(&mut self.evaluated, other.evaluated);
        add_all(&mut self.sometimes, other.sometimes);
        add_all(&mut self.landed, other.landed);
    }

    /// Returns what was declared or applies and was never exercised: each makes the exploration inconclusive.
    pub fn gaps(&self, capabilities: Capabilities) -> Vec<String> {
        let unused = capabilities.iter().filter(|it| self.capabilities.get(it).is_none_or(|count| *count == 0));
        let mut gaps: Vec<String> =
            unused.map(|it| format!("the capability `{it}` is declared and was never exercised")).collect();
        let blind = Invariant::ALL.into_iter().filter(|it| applies(*it, capabilities));
        let blind = blind.filter(|it| self.evaluated.get(it).is_none_or(|count| *count == 0));
        gaps.extend(blind.map(|it| format!("the invariant `{it}` was never evaluated")));
        gaps
    }

    /// The situations with their counts, those never met included.
    pub fn sometimes(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        SOMETIMES.into_iter().map(|it| (it, self.sometimes.get(it).copied().unwrap_or(0)))
    }

    fn add_history(&mut self, plan: &Plan, judged: &Judged<'_>) {
        let facts = &judged.facts;
        let (history, commands) = (facts.history, &facts.spans);
        let mut met: Vec<&'static str> = Vec::new();
        if plan.fixture {
            *self.capabilities.entry(Capability::Fixture).or_default() += 1;
            met.push("everything happened inside a fixture");
        }
        match plan.storage.backend() {
            Backend::Sqlite => {}
            Backend::Postgres => *self.capabilities.entry(Capability::Postgres).or_default() += 1,
            Backend::Sim => *self.capabilities.entry(Capability::Simulation).or_default() += 1,
        }
        let mut depth_of = BTreeMap::new();
        for (by, span) in commands.iter() {
            if history.is_observer(by.actor) {
                continue;
            }
            self.commands += 1;
            let depth: &mut u32 = depth_of.entry(by.actor).or_default();
            let command = &span.step.command;
            for capability in exercised(command, *depth).into_iter().flatten() {
                *self.capabilities.entry(capability).or_default() += 1;
            }
            let operation = operation(command, *depth);
            match span.outcome {
                Some(Outcome::Cancelled(phase)) => {
                    *self.capabilities.entry(Capability::Cancellation).or_default() += 1;
                    if matches!(phase, Phase::Poll(_)) {
                        *self.capabilities.entry(Capability::Polls).or_default() += 1;
                    }
                    let row = match phase {
                        Phase::Poll(_) => AT_A_POLL.to_owned(),
                        phase => format!("cancel@{phase}"),
                    };
                    *self.landed.entry((row, operation)).or_default() += 1;
                    met.push("cancel landed");
                    if *command == Command::Commit && *phase != Phase::BeforeSend {
                        met.push("cancel during commit landed");
                    }
                }
                Some(Outcome::Failed(failure)) => {
                    if failure.class == FailureClass::Busy {
                        met.push("statement failed because it was busy");
                    }
                    if *depth > 0 {
                        met.push("statement failed inside a transaction");
                    }
                }
                Some(Outcome::Done(_)) if matches!(command, Command::Begin(_)) => *depth += 1,
                Some(Outcome::Done(Reply::Done)) if matches!(command, Command::Drop) => {
                    met.push("transaction was dropped without an end");
                }
                _ => {}
            }
            if *depth > 1 {
                met.push("nested transaction");
            }
            match command {
                Command::Commit | Command::Rollback | Command::Drop => *depth = depth.saturating_sub(1),
                Command::Close | Command::Open | Command::Replace | Command::Crash => *depth = 0,
                Command::Stale(_) if span.outcome.is_some() => met.push("stale handle was used"),
                _ => {}
            }
        }
        self.add_events(history, commands, &mut met);
        add_wiring(&facts.wiring, &mut met);
        let sessions = &judged.claims.sessions;
        let overlap = |at: usize| {
            let one = &sessions[at];
            sessions[at + 1..].iter().any(|it| it.opened < one.ended && it.actor.index() < plan.actors.len())
        };
        if (0..sessions.len()).any(overlap) {
            met.push("two sessions at once");
        }
        met.sort_unstable();
        met.dedup();
        for situation in met {
            *self.sometimes.entry(situation).or_default() += 1;
        }
    }

    fn add_events(&mut self, history: &History, commands: &ByCommand<Span<'_>>, met: &mut Vec<&'static str>) {
        let mut running: Option<By> = None;
        let mut users = BTreeMap::new();
        for event in &history.events {
            match (&event.what, event.by) {
                (What::FaultLanded(fault), Some(by)) => {
                    met.push("fault landed");
                    *self.capabilities.entry(Capability::Faults).or_default() += 1;
                    if fault.costs_connection() {
                        *self.capabilities.entry(Capability::ConnectionLoss).or_default() += 1;
                    }
                    let row = fault.to_string();
                    let command = commands.get(by).map(|it| operation(&it.step.command, 0));
                    *self.landed.entry((row, command.unwrap_or("statement"))).or_default() += 1;
                }
                (What::Reported(_), _) => *self.capabilities.entry(Capability::Reports).or_default() += 1,
                (What::Blocked, _) => met.push("a command waited for another actor"),
                (What::Served(connection), Some(by)) => {
                    *self.capabilities.entry(Capability::Identity).or_default() += 1;
                    if users.insert(*connection, by.actor).is_some_and(|it| it != by.actor) {
                        met.push("connection served two sessions in turn");
                    }
                }
                (What::Invoked(_), Some(by)) => {
                    if running.is_some_and(|it| it.actor != by.actor) {
                        met.push("commands of two actors overlapped");
                    }
                    running = Some(by);
                }
                (What::Returned(_) | What::Skipped, Some(by)) if running == Some(by) => running = None,
                _ => {}
            }
        }
    }
}

fn add_wiring(wiring: &Wiring<'_>, met: &mut Vec<&'static str>) {
    let resolutions = &wiring.resolutions;
    let is_overridden = |build| wiring.closure(build).into_iter().any(|part| wiring.substitute(part).is_some());
    if !wiring.substitutes.is_empty() && resolutions.iter().any(|it| is_overridden(it.build)) {
        met.push("service resolved while an override was active");
    }
    if resolutions.iter().any(|it| wiring.changes.iter().any(|change| change.from < it.at && change.until > it.from)) {
        met.push("service resolved while the registry changed");
    }
    if resolutions.iter().any(|it| it.registry.is_some()) {
        met.push("service resolved from a registry of its own");
    }
}

/// The capabilities that an invoked command exercises.
fn exercised(command: &Command, depth: u32) -> [Option<Capability>; 4] {
    let nests = matches!(command, Command::Begin(_)) && depth > 0;
    let begins = matches!(command, Command::Begin(BeginMode::Plain));
    let rolls_back = matches!(command, Command::Insert(_, _, Conflict::Rollback));
    [
        needed(command),
        nests.then_some(Capability::Nesting),
        begins.then_some(Capability::Transactions),
        rolls_back.then_some(Capability::ConflictClauses),
    ]
}

fn operation(command: &Command, depth: u32) -> &'static str {
    match command {
        Command::Open => "open",
        Command::Begin(_) if depth > 0 => "nested begin",
        Command::Begin(_) => "begin",
        Command::Commit => "commit",
        Command::Rollback | Command::Drop => "rollback",
        Command::Close | Command::ClosePool | Command::Replace | Command::Crash => "close",
        command if needed(command) == Some(Capability::Registry) => "registry",
        _ if depth > 0 => "in transaction",
        _ => "statement",
    }
}

/// Whether an invariant can be evaluated at all on a system that can do this.
fn applies(invariant: Invariant, capabilities: Capabilities) -> bool {
    let has = |it| capabilities.has(it);
    match invariant {
        Invariant::NoStaleUse => has(Capability::Retention),
        // A correct system answers every stale use with an error, so this invariant is evaluated too.
        Invariant::StaleIsNamed => has(Capability::Retention),
        Invariant::NoCrossScope | Invariant::NoDuplicateEffect | Invariant::NoResidue => has(Capability::Identity),
        Invariant::TransactionAgreement => has(Capability::Identity) && has(Capability::Transactions),
        Invariant::RolledBackInvisible => has(Capability::Transactions),
        Invariant::ScopeAtomic => has(Capability::Transactions) && has(Capability::Cancellation),
        Invariant::RegistryFresh => has(Capability::Registry),
        Invariant::CloseEnds => has(Capability::ClosePool),
        Invariant::Extension => has(Capability::Extension),
        Invariant::HealthAgrees | Invariant::ListenersBalanced => has(Capability::Reports),
        Invariant::ReconnectsBounded | Invariant::LimitKept => has(Capability::Identity),
        // A system with a workload of its own need not know any other command.
        Invariant::InnocentSucceeds => !has(Capability::Extension),
        Invariant::CommittedDurable
        | Invariant::NoLeak
        | Invariant::Recovers
        | Invariant::NoPanic
        | Invariant::NoHang => true,
    }
}

fn add_all<K: Ord>(into: &mut BTreeMap<K, u64>, from: BTreeMap<K, u64>) {
    for (key, count) in from {
        *into.entry(key).or_default() += count;
    }
}
