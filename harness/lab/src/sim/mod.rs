//! The simulation: the real library over a simulated database, in virtual time, one scheduler deciding every step.
//!
//! There is no runtime, no thread, no clock and no randomness in here: the same plan gives the same
//! history, byte for byte.
//! From below: `database` holds rows, transactions and locks; `link` the requests of one connection; `server` the order in
//! which requests are done across connections, and the faults; `world` the clock, the timers and the gates of a call; `source`
//! stands where deadpool stands for a real database; `execute` is the scheduler; [`every`] directs it through all schedules of
//! a small plan; `system` puts a system on top.
//!
//! Not simulated: SQL, prepared statements, a reply in several pieces, a server that restarts and stays away, serializable
//! isolation, and clocks that disagree.

pub mod control;
mod database;
pub mod every;
mod execute;
mod link;
mod request;
mod server;
mod source;
pub mod system;
mod world;

pub use request::Statement;
pub use source::{Network, Order, Ordered, SimConnection, SimLease, SimSource};
pub use system::{Simulated, SimulatedSystem};
pub use world::World;
