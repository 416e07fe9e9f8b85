//! Coverage: what an exploration has done, which decides whether a pass can be believed.
//!
//! Counted is what was *done*: a command that succeeded, a cancel or a fault that landed. What was merely asked for is counted
//! beside it. It reads finished runs and judges none.
//!
//! | file | owns |
//! | --- | --- |
//! | `disturbance` | the cancels and faults, and the kinds of operations that they can land in |
//! | `situations` | what an exploration should meet now and then |
//! | `counts` | the counters, and what a run adds to them |
//! | `gaps` | what was declared or applies, and never happened |
//! | `requirement` | counters by name, and the numbers that they must reach |

mod counts;
mod disturbance;
mod gaps;
mod requirement;
mod situations;

pub use counts::{Coverage, Tally};
pub use disturbance::{Disturbance, disturbances};
pub use requirement::{Requirement, UnknownCounter};
