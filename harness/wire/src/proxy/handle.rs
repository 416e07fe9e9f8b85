//! The handle of a proxy: starts it, arms faults, holds replies, heals, and reads its figures.
//!
//! Owns the life of the proxy's thread: dropping the handle closes everything.

use std::io;
use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

use super::arming::{Act, Arming, Armings, Scope};
use super::hold::{Held, Hold};
use super::ledger::{Connection, Counters, Ledger};
use super::order::{Healing, Order};
use super::serve;
use super::shared::Shared;
use super::watch::Watch;
use crate::fault::{Moment, NetworkFault};

/// The longest that the proxy's thread may take to do what it is told.
const ANSWER_MAX: Duration = Duration::from_secs(5);

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
        // From here on it counts on its turns, whether or not the thread has been let run.
        shared.watch.turned(false);
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

    /// Injects a fault at a moment: now if that is [`Moment::Idle`], or if nobody is to be listening any more; otherwise when
    /// the moment comes. It lands once per connection in its scope, and [`Watch::landed`] is told each time.
    ///
    /// A reply that is lost although the server did what was asked is `reset` at `before-reply`.
    ///
    /// # Errors
    /// They do not go together; or the proxy's thread did not do it.
    pub fn arm(&self, fault: NetworkFault, moment: Moment, scope: Scope) -> io::Result<Arming> {
        fault.check(moment).map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        let refuses = fault.row().for_everybody;
        let senseless = match (moment, scope) {
            (_, Scope::Next | Scope::One(_)) if refuses => "a refused client cannot be identified; apply it to all",
            (Moment::Connect, Scope::One(_)) => {
                "a connection has no number when it is made; apply it to the next, or to all"
            }
            (Moment::Idle, Scope::Next) => "idle connections do nothing next; apply it to one, or to all",
            _ => "",
        };
        if !senseless.is_empty() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("{fault}@{moment}: {senseless}")));
        }
        let arming = self.shared.armings.arm(Act::Fault(fault), moment, scope);
        match moment {
            _ if refuses => self.order(Order::Refuse)?,
            Moment::Idle => self.order(Order::Idle)?,
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
