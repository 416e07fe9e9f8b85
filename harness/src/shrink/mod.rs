//! Shrinking: from a plan that breaks an invariant to a minimal one that breaks the same, about as often.
//!
//! | file | owns |
//! | --- | --- |
//! | `budget`, `counterexample`, `certificate` | what it may cost, and what it comes to |
//! | `moves`, `removing` | the smaller plans that there are |
//! | `size`, `shape` | which of two plans is smaller, and which are the same finding |
//! | `rate` | how often a plan breaks, and whether another breaks as often |
//! | `search` | which plans are tried, and which one is kept |
//!
//! One shrinker for generated, replayed and hand-written plans. A candidate counts only if it breaks the invariant with
//! the same id; message texts are never compared. Candidates that the model rejects are not run.
//!
//! Moves repeat until none helps; a move may also make a part of the plan larger, as long as the whole gets smaller. Then
//! two moves at a time are tried, since a minimum for one is not always one for two. The [`Certificate`] says what every
//! single removal, and every pair, led to.
//!
//! A plan that breaks every time costs one run for each candidate, and one more for each that is accepted. A plan that breaks
//! now and then sets a standard: how often it breaks is measured once, and a candidate is accepted only if a sequential
//! test (Wald 1945; see `rate`) shows that it breaks about as often. The errors of the test are 5 % each way, and a rate that
//! is smaller by a factor of 1.5 is tolerated. All candidates are held to the rate of the plan that was given, not to that of
//! the one before them, so that losses do not add up. At the end the minimal plan is measured by runs that decided nothing;
//! if it breaks too rarely after all, the search returns to the accepted plan before it. The plan that was given is the last
//! of these: a violation that was confirmed is never lost.

mod budget;
mod certificate;
mod counterexample;
mod moves;
mod rate;
mod removing;
mod search;
mod shape;
mod size;

pub use budget::{Budget, Shrinking};
pub use certificate::{Attempt, Certificate, Removal};
pub use counterexample::{Counterexample, NotAgain};
pub use rate::{ALPHA, BETA, Rate, TOLERATED};
pub use search::shrink;
pub use shape::{embeds, fingerprint};
