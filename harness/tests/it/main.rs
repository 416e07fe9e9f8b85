//! The harness by itself: what needs no system that comes along, and no server.

mod blindness;
mod blocked_thread;
mod cause;
mod check;
mod done;
mod evidence;
mod generate;
mod innocence;
mod known;
mod own_system;
mod own_tables;
mod plan;
mod rates;
mod read_only;
mod report;
mod script;
mod second_session;
mod unknown_ends;
