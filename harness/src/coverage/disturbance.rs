//! What is done to a command while it runs, by its kind.
//!
//! Owns the rows of the table of what landed; its columns are the kinds of operations. Faults that differ by a number alone
//! are one row.

use std::fmt;

use unstale_wire::Moment;

use crate::plan::{Backend, Fault, Phase};

/// A kind of cancel, or a kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Disturbance {
    /// A cancel in a phase that has a name.
    Cancel(Phase),
    /// A cancel at a poll, whatever its number.
    CancelAtPoll,
    /// A fault of this word, whatever its number, at this moment.
    Fault(&'static str, Option<Moment>),
}

impl Disturbance {
    /// Whether it is a cancel.
    pub fn is_cancel(self) -> bool {
        !matches!(self, Self::Fault(..))
    }
}

impl From<Phase> for Disturbance {
    fn from(phase: Phase) -> Self {
        if matches!(phase, Phase::Poll(_)) { Self::CancelAtPoll } else { Self::Cancel(phase) }
    }
}

impl From<Fault> for Disturbance {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault.row().word, fault.moment())
    }
}

impl fmt::Display for Disturbance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cancel(phase) => f.pad(&format!("cancel@{phase}")),
            Self::CancelAtPoll => f.pad("cancel@poll"),
            Self::Fault(word, None) => f.pad(word),
            Self::Fault(word, Some(at)) => f.pad(&format!("{word}@{at}")),
        }
    }
}

/// The rows of the table on this backend, in their order.
pub fn disturbances(backend: Backend) -> Vec<Disturbance> {
    let mut rows: Vec<_> = Phase::ALL.into_iter().map(Disturbance::Cancel).collect();
    if backend == Backend::Sim {
        rows.push(Disturbance::CancelAtPoll);
    }
    let is_for = |fault: &Fault| backend.storages().any(|storage| storage.allows(*fault));
    for fault in Fault::every().filter(is_for).map(Disturbance::from) {
        // Faults that differ by a number alone are one.
        if !rows.contains(&fault) {
            rows.push(fault);
        }
    }
    rows
}
