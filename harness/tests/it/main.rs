//! The harness by itself: what needs no system that comes along, and no server.

mod blindness;
mod blocked_thread;
mod check;
mod evidence;
mod innocence;
mod own_system;
mod plan;
mod report;
mod script;
mod unknown_ends;
