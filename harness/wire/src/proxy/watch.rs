//! The events that a proxy reports about its connections.
//!
//! Owns the values, and the trait of a listener, which interprets them.

use super::arming::Arming;
use crate::fault::{Moment, NetworkFault};

/// Receives the events, on the proxy's thread and in their order.
///
/// While it is called nothing passes. So it is brief, and calls nothing of the proxy that waits:
/// [`Proxy::arm`](super::Proxy::arm) and [`Proxy::heal`](super::Proxy::heal) would wait for the thread that they are called on.
pub trait Watch: Send + Sync + 'static {
    /// Something happened on this connection; they are counted from 1.
    fn seen(&self, connection: u32, what: Seen<'_>);

    /// Something that was armed takes effect, and nothing of the effect can be seen yet.
    fn landed(&self, _landed: Landed) {}

    /// The proxy's thread has been to all its sockets; about every millisecond, and once before it starts: whoever waits counts
    /// on it from then on. `is_late` if it delays something, which goes on by itself.
    fn turned(&self, _is_late: bool) {}
}

/// What was seen on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen<'a> {
    /// A client has sent its startup message.
    Opened,
    /// The server has asked it for a proof of who it is, and waits for its answer.
    Challenged,
    /// It has sent something while it logs in, an answer say: the server's turn.
    Responded,
    /// It is authenticated, and this process serves it.
    Backend {
        /// The process.
        pid: u32,
    },
    /// A client has begun to send a request, of which nothing has been passed on. It may be kept back from here on.
    Begun,
    /// A request has been passed on to the server, to its last byte.
    Request {
        /// The first text that it executes, also if that was sent earlier under a name; otherwise the first that it
        /// prepares. Empty for what has none. Of long texts the first 8 KiB.
        sql: &'a str,
        /// Whether it executes anything. Drivers prepare a new statement in a request of its own.
        executes: bool,
    },
    /// The server has done a statement.
    Completed {
        /// For example `INSERT 0 1`.
        tag: &'a str,
    },
    /// The server has refused something, or is about to end the connection.
    Refused {
        /// `ERROR`, `FATAL` or `PANIC`.
        severity: &'a str,
        /// The SQLSTATE.
        code: &'a str,
        /// In words.
        message: &'a str,
    },
    /// The server has answered everything up to here. Nothing of this message has been passed on yet.
    Ready {
        /// Its transaction: `I` for none, `T` for an open one, `E` for one that failed.
        status: u8,
    },
    /// The reply was passed on to the client, to its last byte; so the client may have acted on it already.
    Delivered,
    /// A request to cancel what this backend does was passed on. It came over a connection of its own; this one is the one
    /// that it is about.
    Cancelled {
        /// The backend.
        pid: u32,
    },
    /// It has ended. Nothing more is seen of it.
    Closed {
        /// The side that ended it.
        by: Side,
    },
}

/// The side that ends a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Side {
    /// The client.
    Client,
    /// The server, or the machine it runs on.
    Server,
    /// What was armed.
    Fault,
}

/// Something that was armed has taken effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Landed {
    /// What was armed.
    pub arming: Arming,
    /// On which connection; none where there is none yet.
    pub connection: Option<u32>,
    /// What happens; none for a call ([`Proxy::arm_call`](super::Proxy::arm_call)).
    pub fault: Option<NetworkFault>,
    /// When.
    pub moment: Moment,
}
