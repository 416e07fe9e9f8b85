//! Exploration: many plans, each distinct violation shrunk and reported once.
//!
//! Owns the workers, and when a violating plan is shrunk. It goes on after a violation. A violating plan that contains a known
//! minimal one counts for that finding, and a sample of such plans is shrunk as a check. The list of findings is
//! `explored`'s, their files are `finding_file`'s.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::cause::Cause;
use crate::chain::{Chain, Run, Subject};
use crate::coverage::Coverage;
pub use crate::explored::{CauseFound, Explored, Finding, Unsure};
pub use crate::finding_file::write_atomically;
use crate::finding_file::{FindingFile, Stage};
use crate::generate::{Profile, generate, random_for};
use crate::invariant::Invariant;
use crate::known::KnownCause;
pub use crate::known_found::KnownFound;
use crate::known_found::{is_recognized, is_taken};
use crate::plan::{Plan, PlanFile};
use crate::shrink::{Budget, NotAgain, Shrinking, fingerprint, shrink};
use crate::verdict::{Verdict, Violation};
use crate::worker::threads_given_up;

/// What to explore, and how much.
#[derive(Clone, Debug)]
pub struct Exploration {
    /// What plans are drawn from.
    pub profile: Profile,
    /// The seed of all plans.
    pub seed: u64,
    /// The most plans.
    pub plans: u64,
    /// The most time; a shrinking that is under way then is finished.
    pub time: Duration,
    /// Which part of the plans to run (from 0), and of how many parts.
    pub shard: (u64, u64),
    /// How many threads.
    pub jobs: usize,
    /// Where counterexamples are written, if anywhere.
    pub folder: Option<PathBuf>,
    /// The most plans that each shrinking may run.
    pub shrink_runs: u32,
    /// The most time that each shrinking may take; as much again is for measuring how often its minimal plan breaks.
    pub shrink_time: Duration,
    /// What ends it before its budgets are used up.
    pub stop_at: StopAt,
    /// The causes that are reported already: what breaks by them is counted, and is no finding.
    pub known: Vec<KnownCause>,
}

impl Default for Exploration {
    fn default() -> Self {
        Self {
            profile: Profile::default(),
            seed: 0,
            plans: 1000,
            time: Duration::from_secs(30),
            shard: (0, 1),
            // A plan waits far more than it computes, for the database's threads and for replies that never come.
            jobs: 4 * std::thread::available_parallelism().map_or(1, usize::from),
            folder: None,
            shrink_runs: 3000,
            shrink_time: Duration::from_secs(10),
            stop_at: StopAt::Budget,
            known: Vec::new(),
        }
    }
}

/// What ends an exploration before its budgets are used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopAt {
    /// Nothing: it goes on after a violation.
    Budget,
    /// The first finding.
    First,
    /// The first finding that breaks this invariant. What breaks another one is passed over: shrinking it would take the time.
    Found(Invariant),
}

/// How far an exploration has got.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// What is being shrunk, if anything; of several, the one that ran last.
    pub shrinking: Option<Shrinking>,
    /// Plans run.
    pub plans: u64,
    /// Distinct findings so far.
    pub findings: usize,
    /// Time since the start.
    pub elapsed: Duration,
}

/// Explores until a budget is used up or `stop` is set; `progress` is called now and then from this thread.
pub fn explore(
    subject: &dyn Subject,
    exploration: &Exploration,
    stop: &AtomicBool,
    mut progress: impl FnMut(Progress),
) -> Explored {
    let shared = Shared {
        subject,
        exploration,
        stop,
        started: Instant::now(),
        given_up_before: threads_given_up(),
        next: AtomicU64::new(0),
        done: AtomicU64::new(0),
        is_futile: AtomicBool::new(false),
        shrinking: Mutex::default(),
        found: Mutex::new(Explored {
            known: exploration.known.iter().cloned().map(KnownFound::new).collect(),
            ..Explored::default()
        }),
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..exploration.jobs.max(1)).map(|_| scope.spawn(|| shared.work())).collect();
        while workers.iter().any(|it| !it.is_finished()) {
            std::thread::sleep(Duration::from_millis(20));
            progress(shared.progress());
        }
    });
    let mut explored = shared.found.into_inner().unwrap_or_else(PoisonError::into_inner);
    explored.took = shared.started.elapsed();
    explored.threads_given_up = threads_given_up() - shared.given_up_before;
    explored.interrupted = stop.load(Ordering::Relaxed);
    explored
}

struct Shared<'a> {
    subject: &'a dyn Subject,
    exploration: &'a Exploration,
    stop: &'a AtomicBool,
    started: Instant,
    given_up_before: u64,
    next: AtomicU64,
    done: AtomicU64,
    /// Whether nothing can be said of the system, whatever is run.
    is_futile: AtomicBool,
    shrinking: Mutex<Option<Shrinking>>,
    found: Mutex<Explored>,
}

/// One violating plan in this many is shrunk although a known finding is embedded in it.
const SECOND_LOOK: u64 = 50;

/// Each abandoned thread keeps its files open; an exploration ends before the process runs out of file descriptors.
pub const THREADS_GIVEN_UP_MAX: u64 = 32;

impl Shared<'_> {
    fn progress(&self) -> Progress {
        let findings = self.found().findings.len();
        let shrinking = *self.shrinking();
        Progress { shrinking, plans: self.done.load(Ordering::Relaxed), findings, elapsed: self.started.elapsed() }
    }

    fn shrinking(&self) -> MutexGuard<'_, Option<Shrinking>> {
        self.shrinking.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn found(&self) -> MutexGuard<'_, Explored> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_over(&self) -> bool {
        let wanted = match self.exploration.stop_at {
            StopAt::Budget => false,
            StopAt::First => !self.found().findings.is_empty(),
            StopAt::Found(it) => {
                self.found().findings.iter().any(|found| found.counterexample.violation.invariant == it)
            }
        };
        let is_futile = self.is_futile.load(Ordering::Relaxed);
        wanted || is_futile || self.is_cut_short() || self.started.elapsed() > self.exploration.time
    }

    /// Whether even a shrinking that is under way has to stop.
    fn is_cut_short(&self) -> bool {
        self.stop.load(Ordering::Relaxed) || threads_given_up() - self.given_up_before >= THREADS_GIVEN_UP_MAX
    }

    fn work(&self) {
        let chain = Chain::new(self.subject);
        let mut coverage = Coverage::default();
        let (shard, shards) = self.exploration.shard;
        while !self.is_over() {
            let nth = self.next.fetch_add(1, Ordering::Relaxed);
            if nth >= self.exploration.plans {
                break;
            }
            let number = nth * shards + shard;
            let mut random = random_for(self.exploration.seed, number);
            let capabilities = self.subject.capabilities();
            let plan = generate(&self.exploration.profile, capabilities, self.subject.extension(), &mut random);
            let run = chain.run_with(&plan, |judged| coverage.add(&plan, judged));
            let plans = self.done.fetch_add(1, Ordering::Relaxed) + 1;
            let is_inconclusive = matches!(run.judgement.verdict, Verdict::Inconclusive(_));
            if is_inconclusive && self.subject.table_fault(&chain.limits).is_some() {
                // It would be said of every plan.
                self.is_futile.store(true, Ordering::Relaxed);
            }
            if let Some(violation) = run.violation() {
                let origin = format!("plan {number} of seed {}", self.exploration.seed);
                self.violated(&chain, &plan, &run, violation, &origin, plans);
            }
        }
        self.found().coverage.merge(coverage);
    }

    fn violated(&self, chain: &Chain<'_>, plan: &Plan, run: &Run, violation: &Violation, origin: &str, plans: u64) {
        let (after, invariant) = (self.started.elapsed(), violation.invariant);
        if matches!(self.exploration.stop_at, StopAt::Found(wanted) if wanted != invariant) {
            return;
        }
        if self.is_known(plan, invariant) || is_taken(&mut self.found().known, plan, &run.history, violation) {
            return;
        }
        let raw = self.write(&self.file(plan, invariant, run.history.trace(), origin, Stage::Unshrunk));
        let begun = Instant::now();
        let takes = |times: u32| begun.elapsed() > self.exploration.shrink_time * times;
        let is_over = || self.is_cut_short() || takes(1);
        let is_stopped = || self.is_cut_short() || takes(2);
        let progress = |now| *self.shrinking() = Some(now);
        let runs = self.exploration.shrink_runs;
        let budget = Budget { runs, is_over: &is_over, is_stopped: &is_stopped, progress: &progress };
        let shrunk = shrink(chain, plan, invariant, budget);
        *self.shrinking() = None;
        let counterexample = match shrunk {
            Ok(counterexample) => counterexample,
            Err(NotAgain { runs }) => {
                let kept = raw.unwrap_or_else(|| Err(PlanFile::from(plan.clone()).to_string()));
                self.found().unsure.push(Unsure { invariant, plan: plan.clone(), run: run.clone(), runs, kept });
                return;
            }
        };
        let fingerprint = fingerprint(invariant, &counterexample.plan);
        let cause = Cause::of(&counterexample.run.history, &counterexample.violation);
        if is_recognized(&mut self.found().known, &cause, &counterexample.plan, invariant) {
            if let Some(Ok(raw)) = raw {
                let _ = std::fs::remove_file(raw);
            }
            return;
        }
        let known = {
            let mut found = self.found();
            let known = found.findings.iter_mut().find(|it| it.explains(&counterexample.plan, invariant));
            known.map(|it| it.count += 1).is_some()
        };
        let trace = counterexample.run.history.trace();
        let file = self.file(&counterexample.plan, invariant, trace, origin, Stage::Minimal);
        let minimal = if known { None } else { self.write(&file) };
        if let Some(Ok(raw)) = raw {
            // The minimal plan replaces this one; if the minimal plan cannot be written, this one is kept.
            if known || matches!(minimal, Some(Ok(_))) {
                let _ = std::fs::remove_file(raw);
            }
        }
        let path = match minimal {
            Some(Ok(path)) => Some(path),
            Some(Err(unwritten)) => {
                self.found().unwritten.push(unwritten);
                None
            }
            None => None,
        };
        if !known {
            let shrinking = begun.elapsed();
            let finding =
                Finding { counterexample, fingerprint, cause, count: 1, after_plans: plans, after, shrinking, path };
            self.found().add(finding);
        }
    }

    /// Counts the plan for a known finding; returns false if it is to be shrunk.
    fn is_known(&self, plan: &Plan, invariant: Invariant) -> bool {
        let mut found = self.found();
        let known = found.findings.iter_mut().find(|it| it.explains(plan, invariant));
        known.is_some_and(|it| {
            it.count += 1;
            it.count % SECOND_LOOK != 0
        })
    }

    /// The plan's file, to be written.
    fn file(
        &self,
        plan: &Plan,
        invariant: Invariant,
        recorded: Vec<String>,
        origin: &str,
        stage: Stage,
    ) -> FindingFile {
        FindingFile::of(self.subject.name(), plan, invariant, recorded, origin, stage)
    }

    /// Writes the plan if there is a folder for it; if that fails, the error holds the reason and the plan itself.
    fn write(&self, file: &FindingFile) -> Option<Result<PathBuf, String>> {
        Some(file.write(self.exploration.folder.as_ref()?))
    }
}
