//! The result of shrinking: a minimal plan with its run and its rate, or that nothing broke again.
//!
//! Owns the values; the search fills them in, and reports print them.

use super::certificate::Certificate;
use super::rate::Rate;
use crate::chain::Run;
use crate::plan::Plan;
use crate::verdict::Violation;

/// A minimal plan, its run, and how sure it is.
#[derive(Clone, Debug)]
pub struct Counterexample {
    /// The minimal plan.
    pub plan: Plan,
    /// A run of it that broke the invariant.
    pub run: Run,
    /// The violation of that run.
    pub violation: Violation,
    /// How often the minimal plan broke the invariant, measured by runs that decided nothing else.
    pub reproduced: Rate,
    /// How often the plan broke it that was to be shrunk.
    pub given: Rate,
    /// What was tried to make it smaller.
    pub certificate: Certificate,
}

/// A violation that did not show again: its first run is the only evidence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it broke once and not again in {runs} runs")]
pub struct NotAgain {
    /// How often the plan was run again.
    pub runs: u32,
}

impl Counterexample {
    /// How often it breaks, in words. What breaks every time is short; what does not comes with the interval that its
    /// probability is in, and with the rate of the plan that it was shrunk from.
    pub fn rates(&self) -> String {
        let Self { reproduced, given, .. } = self;
        if reproduced.is_steady() && given.is_steady() {
            return format!("replays {reproduced}");
        }
        let (from, to) = reproduced.interval();
        let (from, to) = (from * 100.0, to * 100.0);
        format!("replays {reproduced} ({from:.0} to {to:.0} %), shrunk from a plan that broke in {given} runs")
    }
}
