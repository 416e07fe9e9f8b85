//! The history: what happened while a plan ran, with evidence. Append-only.
//!
//! Owns the event types; the [`Log`] through which they are appended has a file of its own. It judges nothing and
//! excuses nothing: an error is an event like any other, and what it means is the oracle's business.

mod build_recorder;
mod by_command;
mod event;
mod events;
mod log;

pub use build_recorder::BuildRecorder;
pub use by_command::ByCommand;
pub use event::{By, ConnectionId, Event, Failure, FailureClass, Leftovers, Outcome, Reply, Report, What};
pub use events::{History, Span};
pub use log::Log;
