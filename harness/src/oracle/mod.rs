//! The oracle: judges a history. Pure; it runs nothing and knows no system.
//!
//! Owns the check of each [`Invariant`], and the branching over unknown outcomes. Each invariant is one function in a
//! file of its family, whose header lists what it does not check: [`values`], [`identity`], [`wiring`], [`ends`],
//! [`reports`].
//!
//! One defect may break several invariants. The earliest violation in the history counts; on a tie, the first in
//! [`Invariant::ALL`].

mod checked;
pub mod ends;
pub mod identity;
mod judge;
pub mod reports;
mod seen;
pub mod values;
mod view;
pub mod wiring;

pub use crate::verdict::{Invariant, Verdict, Violation};
pub use checked::Checked;
pub use judge::{Judged, Judgement, Oracle};
pub use view::{Facts, View};
