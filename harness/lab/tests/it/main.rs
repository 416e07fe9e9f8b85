//! The systems that come along, on SQLite and in the simulation.

mod certificates;
mod execution;
mod findings;
mod flawed;
mod ours;
mod shrink;
mod sim;
mod spelling;
mod trust;
mod zoo;
