//! A TCP proxy between any PostgreSQL client and a server: witness, gate and trouble in one place.
//!
//! It reads the protocol and tells what happens on each connection, from below the system ([`Watch`]); it holds replies while
//! an actor is polled ([`Proxy::hold`]); and it disturbs the network at a named moment, with evidence that it did
//! ([`Proxy::arm`]). One per plan, on a thread of its own, so that it goes on while the plan's thread is busy or blocked.
//!
//! Owns what others see of it. It changes no byte that passes, speaks no TLS, and judges nothing. It says one thing of its
//! own, and only when told to: that a session which idles is to end ([`Proxy::time_out_idle`]).
//!
//! | file | owns |
//! | --- | --- |
//! | `frames`, `requests`, `replies` | reading the protocol; pure |
//! | `arming` | what is armed for whom; what can happen when is a word of the plan (`plan::trouble`) |
//! | `hold` | replies that stand still |
//! | `time_out` | what it says itself, and what answers that; pure |
//! | `opening`, `pipe` | one connection: its first message, and the rest |
//! | `line` | what the tasks share, and what happens at a moment |
//! | `serve` | the thread, the listening socket, the ends of sockets |
//! | `ledger` | what is known at any time |

mod arming;
mod frames;
mod hold;
mod ledger;
mod line;
mod opening;
mod pipe;
mod replies;
mod requests;
mod serve;
mod time_out;

use std::io;
use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

pub use crate::network_fault::{FaultError, Moment, NetworkFault};
pub use arming::{Arming, Scope};
pub use hold::Held;
pub use ledger::{Connection, Counters};

use arming::{Act, Armings};
use hold::Hold;
use ledger::Ledger;
use serve::{Healing, Order};

/// The longest that the proxy's thread may take to do what it is told.
const ANSWER_MAX: Duration = Duration::from_secs(5);

/// Hears what happens, on the proxy's thread and in the order in which it happened.
///
/// While it is called nothing passes. So it is brief, and calls nothing of the proxy that waits: [`Proxy::arm`] and
/// [`Proxy::heal`] would wait for the thread that they are called on.
pub trait Watch: Send + Sync + 'static {
    /// Something happened on this connection; they are counted from 1.
    fn seen(&self, connection: u32, what: Seen<'_>);

    /// Something that was armed takes effect, and nothing of the effect can be seen yet.
    fn landed(&self, _landed: Landed) {}

    /// The proxy's thread has been to all its sockets; about every millisecond.
    fn turned(&self) {}
}

/// What was seen on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen<'a> {
    /// A client has sent its startup message.
    Opened,
    /// It is authenticated, and this process serves it.
    Backend {
        /// The process.
        pid: u32,
    },
    /// A client has begun to send a request, of which nothing has been passed on. It may be kept back from here on.
    Begun,
    /// A request has been passed on to the server, to its last byte.
    Request {
        /// The first text that it executes, also if that was sent earlier under a name; else the first that it prepares.
        /// Empty for what has none. Of long texts the first 8 KiB.
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
        /// Who ended it.
        by: Side,
    },
}

/// Who ends a connection.
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
    /// What happens; none for a call ([`Proxy::arm_call`]).
    pub trouble: Option<NetworkFault>,
    /// When.
    pub moment: Moment,
}

/// A proxy in front of one server. Dropped, it closes everything.
pub struct Proxy {
    shared: Arc<Shared>,
    address: SocketAddr,
    /// None while it is being dropped.
    orders: Option<UnboundedSender<Order>>,
    thread: Option<JoinHandle<()>>,
    /// Disconnected when the thread is about to end. Behind a lock only so that a proxy can be shared.
    ended: Mutex<Receiver<()>>,
}

/// What the proxy's thread and others use.
struct Shared {
    server: SocketAddr,
    watch: Arc<dyn Watch>,
    armings: Armings,
    hold: Hold,
    ledger: Ledger,
}

impl Proxy {
    /// Starts a proxy on a free port of the loopback.
    ///
    /// # Errors
    /// There is no port, no thread or no memory for it.
    pub fn start(server: SocketAddr, watch: Arc<dyn Watch>) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            server,
            watch,
            armings: Armings::default(),
            hold: Hold::default(),
            ledger: Ledger::default(),
        });
        let (orders, ordered) = unbounded_channel();
        let (ready, is_ready) = sync_channel(1);
        let (ends, ended) = sync_channel(0);
        let work = {
            let shared = shared.clone();
            move || {
                let _ends: SyncSender<()> = ends;
                serve::run(shared, ordered, &ready);
            }
        };
        let thread = std::thread::Builder::new().name("proxy".into()).spawn(work)?;
        let address = answer(&is_ready)?;
        Ok(Self { shared, address, orders: Some(orders), thread: Some(thread), ended: Mutex::new(ended) })
    }

    /// Where clients connect.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Lets trouble happen at a moment: now if that is [`Moment::Idle`], or if nobody is to be listening any more; else when the
    /// moment comes. It lands once per connection in its scope, and [`Watch::landed`] is told each time.
    ///
    /// A reply that is lost although the server did what was asked is `reset` at `before-reply`.
    ///
    /// # Errors
    /// They do not go together; or the proxy's thread did not do it.
    pub fn arm(&self, trouble: NetworkFault, moment: Moment, scope: Scope) -> io::Result<Arming> {
        trouble.check(moment).map_err(|it| io::Error::new(io::ErrorKind::InvalidInput, it))?;
        let senseless = match (trouble, moment, scope) {
            (NetworkFault::Refuse, _, Scope::Next | Scope::One(_)) => {
                "it is seen of nobody that he was refused; take all"
            }
            (_, Moment::Connect, Scope::One(_)) => "a connection has no number when it is made; take the next, or all",
            (_, Moment::Idle, Scope::Next) => "idle connections do nothing next; take one, or all",
            _ => "",
        };
        if !senseless.is_empty() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("{trouble}@{moment}: {senseless}")));
        }
        let arming = self.shared.armings.arm(Act::NetworkFault(trouble), moment, scope);
        match (trouble, moment) {
            (NetworkFault::Refuse, _) => self.order(Order::Refuse)?,
            (_, Moment::Idle) => {
                self.order(Order::Idle)?;
            }
            _ => {}
        }
        Ok(arming)
    }

    /// Lets the harness do something to the server when the moment comes; it gets the pid of the backend. Meanwhile the bytes
    /// of that connection stand still, at most 30 s. It runs on a thread of its own, and may block and use the proxy.
    ///
    /// While a server is down its clients are reset here, since they have connected to the proxy already. Where they should be
    /// refused, as they would be without it, the call begins with [`NetworkFault::Refuse`] and heals at its end.
    ///
    /// # Errors
    /// Before a request there is nothing to bind it to: the harness can do it itself.
    pub fn arm_call(
        &self,
        moment: Moment,
        scope: Scope,
        call: impl Fn(u32) + Send + Sync + 'static,
    ) -> io::Result<Arming> {
        if moment < Moment::BeforeSend {
            let why = format!("a call at {moment} is bound to no request; do it without the proxy");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
        }
        Ok(self.shared.armings.arm(Act::Call(Arc::new(call)), moment, scope))
    }

    /// Lets the server end the session of each connection that has nothing under way, as it does with one that idles for too
    /// long, and waits until it has, at most 1 s: of how many. What is said and answered for this is in no count and is told to
    /// no watch; the end of the session is.
    ///
    /// # Errors
    /// The proxy's thread did not do it.
    pub fn time_out_idle(&self) -> io::Result<usize> {
        self.order(Order::TimeOut)
    }

    /// Takes one arming back: whether it had landed. What lasts goes on until it is healed.
    pub fn withdraw(&self, arming: Arming) -> bool {
        self.shared.armings.withdraw(arming)
    }

    /// Takes back whatever is armed, and ends whatever lasts: what a black hole kept back is passed on, clients that were never
    /// answered are reset, clients can connect. Done when it returns.
    ///
    /// # Errors
    /// The proxy's thread did not do it.
    pub fn heal(&self) -> io::Result<()> {
        self.shared.armings.clear();
        self.order(|done| Order::Heal(Healing::Everything, done))
    }

    /// As [`Proxy::heal`], and what is half open stays so: the network is back, and a peer that is gone is not.
    ///
    /// # Errors
    /// As [`Proxy::heal`].
    pub fn heal_network(&self) -> io::Result<()> {
        self.shared.armings.clear();
        self.order(|done| Order::Heal(Healing::Network, done))
    }

    /// No byte goes to a client while the guard is alive, for at most 20 ms.
    pub fn hold(&self) -> Held<'_> {
        self.shared.hold.take()
    }

    /// What is known of this connection.
    pub fn connection(&self, id: u32) -> Option<Connection> {
        self.shared.ledger.connection(id)
    }

    /// What is known of every connection, also of those that have ended, in the order of their numbers.
    pub fn connections(&self) -> Vec<Connection> {
        self.shared.ledger.connections()
    }

    /// What it has seen in all.
    pub fn counters(&self) -> Counters {
        self.shared.ledger.counters()
    }

    fn order<T>(&self, order: impl FnOnce(SyncSender<io::Result<T>>) -> Order) -> io::Result<T> {
        let (done, is_done) = sync_channel(1);
        let sent = self.orders.as_ref().is_some_and(|it| it.send(order(done)).is_ok());
        if sent { answer(&is_done) } else { Err(gone()) }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.orders = None;
        // It ends at once, unless a watch does not come back or is itself what drops the proxy; then it is left to itself.
        let ended = self.ended.get_mut().unwrap_or_else(PoisonError::into_inner);
        let ended = ended.recv_timeout(ANSWER_MAX) == Err(RecvTimeoutError::Disconnected);
        if let Some(thread) = self.thread.take().filter(|_| ended) {
            let _ = thread.join();
        }
    }
}

fn answer<T>(answer: &Receiver<io::Result<T>>) -> io::Result<T> {
    answer.recv_timeout(ANSWER_MAX).unwrap_or_else(|_| Err(gone()))
}

fn gone() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "the proxy's thread does not answer; is its watch blocked?")
}
