//! The oracle: judges a history. Pure; it runs nothing and knows no system.
//!
//! Owns the check of each [`Invariant`], and the branching over unknown outcomes. Each invariant is one function in a
//! file of its family, whose header lists what it does not check: [`values`], [`order`], [`identity`], [`transactions`], [`wiring`],
//! [`ends`], [`limit`], [`reports`], [`innocence`].
//!
//! One defect may break several invariants. The earliest violation in the history counts; on a tie, the first in
//! [`Invariant::ALL`]. That an innocent command fails is reported only if nothing else breaks: see [`Invariant::yields`].

mod checked;
pub mod ends;
pub mod identity;
pub mod innocence;
mod judge;
pub mod limit;
pub mod order;
mod read_only;
pub mod reports;
mod scene;
mod seen;
pub mod transactions;
pub mod values;
mod view;
pub mod wiring;

pub use crate::verdict::{Invariant, Verdict, Violation};
pub use checked::Checked;
pub use judge::{Judged, Judgement, Oracle};
pub use read_only::ReadOnly;
pub use view::{Facts, View};
