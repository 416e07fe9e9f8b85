//! The plan: one complete test case, as a plain value.
//!
//! Owns the alphabet ([`Command`]), what is done to a command ([`Phase`] of a cancel, [`Fault`]) and the [`Schedule`].
//! Running, shrinking and reporting take a plan and nothing else: it has no handles, clocks or generator state. How a
//! plan is written down is in [`mod@file`] (TOML outside) and [`text`] (one-line steps inside); which plans make sense
//! is [`crate::model::admissible`]. The services that commands ask a registry for are in [`service`].

mod command;
mod fault;
pub mod file;
mod print;
mod schedule;
pub mod service;
mod step;
mod storage;
mod test_case;
pub mod text;

pub use command::{BeginMode, Command, Conflict, Key, Pause, Residue, Spelling, Usage, Value};
pub use fault::{Fault, FaultRow, Meets};
pub use file::{Expectation, PlanError, PlanFile, VERSION};
pub use schedule::{Gate, Schedule, Tasks, Turn};
pub use service::{Build, Service, Wanted};
pub use step::{Actor, ActorId, Phase, Step};
pub use storage::{Backend, IsolationModel, Storage};
pub use test_case::{ACTORS_MAX, CONNECTIONS_MAX, Plan};
pub use unstale_wire::{Moment, NetworkFault, ServerFault};
