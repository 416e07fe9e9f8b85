//! What shrinking may cost, and how far it has got.
//!
//! Owns the two ends of its time: that of the search, and that of the measurement at its end. The clock is the caller's.

use crate::verdict::Invariant;

/// How much shrinking may cost, and what its progress is reported to.
#[derive(Clone, Copy)]
pub struct Budget<'a> {
    /// The most plans to run in search of smaller ones.
    pub runs: u32,
    /// Whether the time for the search is over; the clock is the caller's.
    pub is_over: &'a dyn Fn() -> bool,
    /// Whether even the last measurement has to end, which says how often the minimal plan breaks.
    pub is_stopped: &'a dyn Fn() -> bool,
    /// Called after each plan that was run.
    pub progress: &'a dyn Fn(Shrinking),
}

/// How far shrinking has got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shrinking {
    /// What the plans break.
    pub invariant: Invariant,
    /// The number of commands of the smallest so far.
    pub commands: usize,
    /// How many plans were run.
    pub runs: u32,
}
