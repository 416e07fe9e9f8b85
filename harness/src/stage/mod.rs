//! The stage: one scheduler over two clocks, so that the same plan means the same on every backend.
//!
//! - `play`: the parts of a plan in their order, from the first command to the final state.
//! - `director`: the choice of the next turn. `schedule`: turns, resuming, and the ends of actors.
//! - `run`: one actor while it runs. `alarm`: its waker.
//! - `environment`: the difference between real time and virtual time, as one trait.
//!
//! `execute` implements [`Environment`] over a real database, the simulation over its world. A real wait has to yield
//! to a runtime, so the stage is asynchronous; in virtual time nothing waits, every future of the environment is ready
//! at once, and one poll without any runtime plays the whole plan. The stage is generic over its environment, of which
//! there are two, and never over the system.
//!
//! It excuses nothing and judges nothing.

mod alarm;
mod director;
mod environment;
mod play;
mod run;
mod schedule;

pub use alarm::Alarm;
pub use director::{Director, along};
pub use environment::{Environment, Running, Stop};
pub use play::play;
pub use run::{ActorState, panic_text};
