//! The simulation: the real library over a simulated database, in virtual time, one scheduler deciding every step.
//!
//! There is no runtime, no thread, no clock and no chance in here: the same plan gives the same history, byte for byte.
//! `database` holds the rows, the transactions and the locks; `world` the time, the tasks and the faults; `source`
//! stands where deadpool stands for a real database; `execute` is the scheduler; `system` puts a system on top.
//!
//! Not simulated: SQL (so raw SQL and its residue are not in the alphabet here), prepared statements, a reply in
//! several pieces, a server that restarts, and clocks that disagree.

mod database;
mod execute;
mod source;
pub mod system;
mod world;

pub use source::{Network, Order, Ordered, SimConnection, SimSource};
pub use system::{Simulated, SimulatedSystem};
