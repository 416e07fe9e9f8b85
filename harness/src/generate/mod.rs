//! Generation: draws plans from a profile.
//!
//! Model-guided: an actor is given only commands that may apply in its [state](crate::model::ActorState). Swarm: each plan draws
//! which kinds of commands it knows at all, how large it is and how often it cancels, so that some plans are made of
//! little else than what others lack (Groce et al., *Swarm testing*, ISSTA 2012).
//!
//! | file | owns |
//! | --- | --- |
//! | `profile`, `order` | what plans are drawn from |
//! | `draw` | drawing from a generator, the same on every platform |
//! | `kinds`, `table` | the kinds of commands with their weights, and those that one plan knows |
//! | `focus` | plans that know only a few of a system's capabilities |
//! | `meeting` | whom a schedule brings together, and for what |
//! | `schedule` | the order in which actors pass their gates, and when tasks run |
//! | `drawing`, `unit` | the commands of one plan: one by one, or in whole units of work |
//! | `disturbance` | what is cancelled and faulted, and where |
//! | `one` | the shape of one plan |
//! | `strategy` | plans for proptest |

mod disturbance;
mod draw;
mod drawing;
mod focus;
mod kinds;
mod meeting;
mod one;
mod order;
mod profile;
mod schedule;
mod strategy;
mod table;
mod unit;

pub use draw::random_for;
pub use kinds::Kind;
pub use one::generate;
pub use order::Order;
pub use profile::{Profile, StorageName};
pub use strategy::{Drawn, Plans, plans};
