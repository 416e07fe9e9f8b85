//! The zoo: deliberately broken systems, each with one defect met in real software. The harness must catch every one.
//!
//! Each is the [control](crate::systems::control) with one [`Flaw`](crate::systems::control::Flaw), on SQLite, on PostgreSQL or
//! in the simulation. Nothing in the generator or the oracle knows of them; they keep both honest.
//!
//! | file | owns |
//! | --- | --- |
//! | `table` | every exhibit, one entry each |
//! | `ours` | the exhibits that were built to measure the harness, before it could find them |
//! | `exhibit` | what an exhibit is, and how the control with a flaw becomes a subject |
//! | `wirings` | the two wirings of one application |

mod exhibit;
mod ours;
mod table;
mod wirings;

pub use exhibit::{BlindSpot, Exhibit, Measure, Reach};
pub use ours::{LOST_UPDATES, OURS, RACES};
pub use table::EXHIBITS;
pub use wirings::WIRINGS;
