//! Generation: draws plans from a profile.
//!
//! Model-guided: an actor is given only commands that may apply in its [state](crate::model::ActorState). Swarm: each plan draws
//! which kinds of commands it knows at all, how large it is and how often it cancels, so that some plans are made of
//! little else than what others lack (Groce et al., *Swarm testing*, ISSTA 2012).
//!
//! | file | owns |
//! | --- | --- |
//! | `profile` | what plans are drawn from |
//! | `draw` | drawing from a generator, the same on every platform |
//! | `kinds`, `table` | the kinds of commands with their weights, and those that one plan knows |
//! | `schedule` | the order in which actors pass their gates |
//! | `drawing`, `one` | the commands of one plan, and its shape |
//! | `strategy` | plans for proptest |

mod draw;
mod drawing;
mod kinds;
mod one;
mod profile;
mod schedule;
mod strategy;
mod table;

pub use draw::random_for;
pub use kinds::Kind;
pub use one::generate;
pub use profile::{Profile, StorageName};
pub use schedule::Order;
pub use strategy::{Drawn, Plans, plans};
