//! Shrinking: from a plan that breaks an invariant to a minimal one that breaks the same.
//!
//! Owns the search and its budget; `moves` makes the smaller plans, and `size` decides which of two plans is smaller.
//! One shrinker for generated, replayed and hand-written plans. A candidate counts only if it breaks the invariant with
//! the same id; message texts are never compared. Candidates that the model rejects are not run.
//!
//! Moves repeat until none helps; a move may also make a part of the plan larger, as long as the whole gets smaller. Then
//! two moves at a time are tried, since a minimum for one is not always one for two. The [`Certificate`] says what every
//! single removal, and every pair, led to.

mod certificate;
mod moves;
mod removing;
mod search;
mod shape;
mod size;

pub use certificate::{Attempt, Certificate, Removal};
pub use search::{Budget, Counterexample, Shrinking, shrink};
pub use shape::{embeds, fingerprint};
