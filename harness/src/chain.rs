//! The chain: plan → history → verdict, composed in one place.
//!
//! Properties, scenarios, replay, the command, the shrinker and the benches all go through [`Chain::run`]. The thread and
//! the runtime that a plan runs on are [`crate::worker`]'s.

use std::marker::PhantomData;

use crate::capability::Capabilities;
use crate::erased::Starter;
use crate::extension::Extension;
use crate::history::{History, Outcome, What};
use crate::limits::Limits;
use crate::model::{Inadmissible, admissible};
use crate::oracle::{Invariant, Judged, Judgement, Oracle, Verdict, Violation};
use crate::plan::{Backend, Plan};
use crate::system::System;
use crate::table_check;
use crate::worker::watched;

/// A system, with its type forgotten.
pub trait Subject: Send + Sync {
    /// The name that `--system` takes.
    fn name(&self) -> &'static str;

    /// What it can do.
    fn capabilities(&self) -> Capabilities;

    /// What it runs on.
    fn backend(&self) -> Backend {
        self.capabilities().backend()
    }

    /// Its further commands.
    fn extension(&self) -> Option<&'static dyn Extension>;

    /// Runs a plan to its end, or until its thread has to be abandoned.
    fn execute(&self, plan: &Plan, limits: &Limits) -> History;

    /// What is wrong with the core workload's table as the system has made it, if anything: then nothing can be said of the
    /// system. It is found out by running a plan, once.
    fn table_fault(&self, limits: &Limits) -> Option<String> {
        let _ = limits;
        None
    }
}

/// The subject of a system's type.
pub struct Of<S>(PhantomData<fn() -> S>);

impl<S> Of<S> {
    /// Returns the subject of this type.
    pub const fn new() -> Self {
        Self(PhantomData)
    }
}

impl<S> Default for Of<S> {
    fn default() -> Self {
        Self::new()
    }
}

impl<S: System> Subject for Of<S> {
    fn name(&self) -> &'static str {
        S::NAME
    }

    fn capabilities(&self) -> Capabilities {
        S::capabilities()
    }

    fn extension(&self) -> Option<&'static dyn Extension> {
        S::extension()
    }

    fn execute(&self, plan: &Plan, limits: &Limits) -> History {
        watched(Starter::of::<S>(), plan, limits)
    }

    fn table_fault(&self, limits: &Limits) -> Option<String> {
        let run = || self.execute(&table_check::plan(self.backend()), limits);
        table_check::fault_of(std::any::type_name::<S>(), run)
    }
}

/// A subject, an oracle and the bounds of every wait.
pub struct Chain<'a> {
    /// The system under test.
    pub subject: &'a dyn Subject,
    /// The judge.
    pub oracle: Oracle,
    /// The bounds of every wait.
    pub limits: Limits,
}

/// The result of one plan.
#[derive(Clone, Debug)]
pub struct Run {
    /// What happened.
    pub history: History,
    /// The verdict on it.
    pub judgement: Judgement,
}

impl Run {
    /// The violation, if there is one.
    pub fn violation(&self) -> Option<&Violation> {
        match &self.judgement.verdict {
            Verdict::Violation(violation) => Some(violation),
            _ => None,
        }
    }
}

impl<'a> Chain<'a> {
    /// Creates a chain with the whole oracle and the default limits.
    pub fn new(subject: &'a dyn Subject) -> Self {
        Self { subject, oracle: Oracle::default(), limits: Limits::default() }
    }

    /// Whether the plan makes sense for the subject.
    ///
    /// # Errors
    /// The first command that does not.
    pub fn admits(&self, plan: &Plan) -> Result<(), Inadmissible> {
        admissible(plan, self.subject.capabilities())?;
        let Some(extension) = self.subject.extension() else {
            return Ok(());
        };
        for (actor, at, step) in plan.steps() {
            if let crate::plan::Command::Extra(words) = &step.command {
                let wrong = |why| Inadmissible { actor, step: at, text: step.to_string(), why };
                extension.parse(words).map_err(wrong)?;
            }
        }
        Ok(())
    }

    /// Runs a plan and judges what happened.
    pub fn run(&self, plan: &Plan) -> Run {
        self.run_with(plan, |_| ())
    }

    /// The same; `look` is given what was drawn up for the judgement, so that nobody has to draw it up again.
    pub fn run_with(&self, plan: &Plan, look: impl FnOnce(&Judged<'_>)) -> Run {
        let history = self.subject.execute(plan, &self.limits);
        let judged = self.judge(&history);
        look(&judged);
        let Judged { judgement, .. } = judged;
        Run { history, judgement }
    }

    fn judge<'h>(&self, history: &'h History) -> Judged<'h> {
        let mut judged = self.oracle.examine(history);
        let judgement = &mut judged.judgement;
        if let Some(extension) = self.subject.extension() {
            let judged = extension.judge(history);
            judgement.evaluated.insert(Invariant::Extension, judged.evaluated);
            let earlier = |new: &Violation| match &judgement.verdict {
                Verdict::Pass => true,
                Verdict::Violation(old) => new.precedence() < old.precedence(),
                Verdict::Inconclusive(_) => false,
            };
            if let Some(new) = judged.violation.filter(earlier) {
                judgement.verdict = Verdict::Violation(new);
            }
        }
        // A pass needs no second thoughts.
        let is_pass = judgement.verdict == Verdict::Pass;
        if let Some(why) = (!is_pass).then(|| self.subject.table_fault(&self.limits)).flatten() {
            judgement.verdict = Verdict::Inconclusive(why);
        }
        judged
    }
}

/// Returns the cancels and faults of a plan that did not land, each as `a 3: commit cancel@sent`.
///
/// A pinned plan with one of these proves nothing; a generated one merely counts it.
pub fn not_landed(plan: &Plan, history: &History) -> Vec<String> {
    let spans = history.commands();
    plan.steps()
        .filter(|(actor, at, step)| {
            let by = crate::history::By { actor: *actor, step: *at };
            let cancelled = matches!(spans.get(by).and_then(|it| it.outcome), Some(Outcome::Cancelled(_)));
            let faulted =
                |fault| history.events.iter().any(|it| it.by == Some(by) && it.what == What::FaultLanded(fault));
            step.cancel.is_some() && !cancelled || step.fault.is_some_and(|it| !faulted(it))
        })
        .map(|(actor, at, step)| format!("{actor} {}: {step}", at + 1))
        .collect()
}
