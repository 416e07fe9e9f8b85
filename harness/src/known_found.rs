//! Known causes as a run meets them: which broken plans are theirs, and how many there were.
//!
//! Owns when a plan is taken for one of a known cause without being shrunk. `explore` and `check!` ask it.
//!
//! Not checked: whether such a plan breaks by something else as well. One in some is shrunk all the same, so that a defect which a
//! known one mostly hides comes out in the end.

use std::fmt;

use crate::cause::{Cause, parts_at};
use crate::history::History;
use crate::invariant::Invariant;
use crate::known::KnownCause;
use crate::plan::Plan;
use crate::shrink::embeds;
use crate::verdict::Violation;

/// One in so many plans that contain a smallest plan of a known cause is shrunk.
const SECOND_LOOK: u64 = 50;

/// One in so many plans whose accounts part by a known cause is shrunk.
const SECOND_LOOK_AT_PARTING: u64 = 8;

/// Counts the plan for a known cause, if it contains a plan that has it, or breaks after the accounts have parted by it; returns
/// false if it is to be shrunk. Other causes can be told of a small plan alone.
pub(crate) fn is_taken(known: &mut [KnownFound], plan: &Plan, history: &History, violation: &Violation) -> bool {
    if let Some(found) = known.iter_mut().find(|found| found.explains(plan, violation.invariant)) {
        return found.takes_all_but_one_in(SECOND_LOOK);
    }
    if known.is_empty() {
        return false;
    }
    let parted = parts_at(history).filter(|(at, _)| *at <= violation.at).map(|(_, cause)| cause);
    let found = known.iter_mut().find(|found| Some(&found.known.cause) == parted.as_ref());
    found.is_some_and(|found| found.takes_all_but_one_in(SECOND_LOOK_AT_PARTING))
}

/// Counts a plan for its cause if that is known; `smallest` is the plan after shrinking.
pub(crate) fn is_recognized(known: &mut [KnownFound], cause: &Cause, smallest: &Plan, invariant: Invariant) -> bool {
    let found = known.iter_mut().find(|found| found.known.cause == *cause);
    found.map(|found| found.recognize(smallest, invariant)).is_some()
}

/// A cause that was known before, as an exploration has met it.
#[derive(Clone, Debug)]
pub struct KnownFound {
    /// What is known of it.
    pub known: KnownCause,
    /// How many plans broke by it.
    pub plans: u64,
    /// The smallest plans by which it was recognized, and what each breaks.
    shapes: Vec<(Invariant, Plan)>,
    /// How many plans were taken for it without being shrunk, or were shrunk to see whether that is right.
    taken: u64,
}

impl KnownFound {
    /// A cause that nothing has met yet.
    pub(crate) fn new(known: KnownCause) -> Self {
        Self { known, plans: 0, shapes: Vec::new(), taken: 0 }
    }

    /// Whether a plan that breaks this contains one by which the cause was recognized.
    fn explains(&self, plan: &Plan, invariant: Invariant) -> bool {
        self.shapes.iter().any(|(broken, smallest)| *broken == invariant && embeds(smallest, plan))
    }

    /// Counts a plan whose smallest version is this.
    fn recognize(&mut self, smallest: &Plan, invariant: Invariant) {
        self.plans += 1;
        if !self.explains(smallest, invariant) {
            self.shapes.push((invariant, smallest.clone()));
        }
    }

    /// Counts a plan of this cause, or leaves one of so many to be shrunk.
    fn takes_all_but_one_in(&mut self, many: u64) -> bool {
        self.taken += 1;
        let is_taken = !self.taken.is_multiple_of(many);
        self.plans += u64::from(is_taken);
        is_taken
    }
}

impl fmt::Display for KnownFound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let KnownCause { cause, reported, fixed, .. } = &self.known;
        let plural = if self.plans == 1 { "" } else { "s" };
        write!(f, "{cause}; known: {reported}, {} plan{plural}", self.plans)?;
        fixed.as_ref().map_or(Ok(()), |version| write!(f, ", fixed since {version}"))
    }
}
