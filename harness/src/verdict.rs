//! The verdict on a history, and a violation.
//!
//! Owns the values; who judges is the oracle.

use crate::history::By;
pub use crate::invariant::Invariant;

/// The verdict on a history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Every invariant held.
    Pass,
    /// One did not.
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
    /// What had to be.
    pub expected: String,
    /// What was.
    pub observed: String,
}
