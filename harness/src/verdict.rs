//! The verdict on a history, and a violation.
//!
//! Owns the values; the oracle judges.

use crate::history::By;
pub use crate::invariant::Invariant;

/// The verdict on a history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Every invariant held.
    Pass,
    /// An invariant broke.
    Violation(Violation),
    /// The run proves nothing, and why.
    Inconclusive(String),
}

/// An invariant that broke.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which one.
    pub invariant: Invariant,
    /// The event at which it was broken.
    pub at: usize,
    /// The command that the event belongs to.
    pub by: Option<By>,
    /// The expected observation.
    pub expected: String,
    /// The actual observation.
    pub observed: String,
}

impl Violation {
    /// What of several violations counts: the least. The earliest does, those that [yield](Invariant::yields) come last, and
    /// ties go by the order of [`Invariant::ALL`].
    pub fn precedence(&self) -> (bool, usize, Invariant) {
        (self.invariant.yields(), self.at, self.invariant)
    }
}
