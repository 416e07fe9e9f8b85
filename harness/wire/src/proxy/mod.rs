//! A TCP proxy between any PostgreSQL client and a server: it sees, holds and disturbs what passes.
//!
//! It reads the protocol and reports what happens on each connection, from below the system ([`Watch`]); it holds
//! replies while an actor is polled ([`Proxy::hold`]); and it injects network faults at a named moment, with evidence
//! that it did ([`Proxy::arm`]). One per plan, on a thread of its own, so that it goes on while the plan's thread is
//! busy or blocked.
//!
//! It changes no byte that passes, speaks no TLS, and judges nothing. It sends two messages of its own, and only on
//! request: a time limit for idle sessions ([`Proxy::time_out_idle`]), and the refusal of a login.
//!
//! | file | owns |
//! | --- | --- |
//! | `frames`, `requests`, `replies` | reading the protocol; pure |
//! | `arming` | the armed faults of each connection |
//! | `disturb` | what each network fault does to a client, a connection and its sockets; pure |
//! | `hold` | replies that stand still |
//! | `time_out` | its own message, and the answer to it; pure |
//! | `watch` | the events that it reports |
//! | `ledger`, `shared` | the records, and the state that all threads use |
//! | `order` | the orders to its thread |
//! | `opening`, `pipe` | one connection: its first message, and the rest |
//! | `line` | the state of the tasks, and the effects at a moment |
//! | `serve` | the thread, the listening socket, the ends of sockets |
//! | `handle` | the handle for other threads |

mod arming;
mod disturb;
mod frames;
mod handle;
mod hold;
mod ledger;
mod line;
mod opening;
mod order;
mod pipe;
mod replies;
mod requests;
mod serve;
mod shared;
mod time_out;
mod watch;

pub use crate::fault::{FaultError, Moment, NetworkFault};
pub use arming::{Arming, Scope};
pub use handle::Proxy;
pub use hold::Held;
pub use ledger::{Connection, Counters};
pub use watch::{Landed, Seen, Side, Watch};
