//! What is done to PostgreSQL and to the network in front of it, and what shows that it took effect.
//!
//! Owns a fault from its start to its healing. Each is bound to a moment of the next request of the command that it belongs
//! to: the proxy says when that has come, and keeps the bytes back meanwhile. Everything here is synchronous, and may block
//! the plan's thread for as long as a server takes to restart; the recorder is told that something moves.
//!
//! What a fault took effect on is no guess: what is done to the server is waited for (`postgres/strike`), and the proxy
//! reports what it did.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use sqlx::PgConnection;

use super::observer::Observer;
use crate::plan::{Fault, Moment, NetworkFault, ServerFault};
use unstale_wire::fleet::ServerLease;
use unstale_wire::inject::{Struck, Target, UP_MAX, leave, strike};
use unstale_wire::proxy::{Proxy, Scope};
use unstale_wire::server::Signal;

/// Between two looks.
const LOOK: Duration = Duration::from_millis(2);

/// The faults of one plan.
pub(super) struct Faults {
    proxy: Proxy,
    doer: Arc<Doer>,
}

/// What does something to the server, on whatever thread the moment comes.
struct Doer {
    target: Target,
    observer: Arc<Observer>,
    /// What has to be undone.
    undo: Mutex<Undo>,
}

#[derive(Default)]
struct Undo {
    /// The backends that are stopped.
    stopped: Vec<i32>,
    /// Those who take the server's places.
    crowd: Vec<PgConnection>,
}

impl Faults {
    pub(super) fn new(target: Target, proxy: Proxy, observer: Arc<Observer>) -> Self {
        Self { proxy, doer: Arc::new(Doer { target, observer, undo: Mutex::default() }) }
    }

    pub(super) fn proxy(&self) -> &Proxy {
        &self.proxy
    }

    pub(super) fn owns_server(&self) -> bool {
        matches!(*self.doer.target.server, ServerLease::Own(_))
    }

    /// Does it, or lets it happen when its moment comes. What cannot be done has not landed, and the plan says so.
    pub(super) fn start(&self, fault: Fault) {
        self.doer.observer.arm(fault);
        match fault {
            Fault::Network(trouble, at) => {
                let scope = match (trouble, at) {
                    (NetworkFault::Refuse, _) | (_, Moment::Idle) => Scope::All,
                    _ => Scope::Next,
                };
                // An error is a proxy that does not answer: nothing landed.
                let _ = self.proxy.arm(trouble, at, scope);
            }
            Fault::Server(ServerFault::IdleTimeOut, _) => self.apart(|| {
                if self.proxy.time_out_idle().is_ok_and(|ended| ended > 0) {
                    self.doer.observer.landed_now();
                }
            }),
            Fault::Server(harm, Moment::Connect | Moment::Idle) => {
                let open = self.proxy.connections();
                let idle: Vec<u32> =
                    open.iter().filter(|it| it.open && it.answered == it.requests).filter_map(|it| it.pid).collect();
                let doer = Arc::clone(&self.doer);
                self.apart(move || doer.strike(harm, &idle));
            }
            Fault::Server(harm, at) => {
                let doer = Arc::clone(&self.doer);
                let _ = self.proxy.arm_call(at, Scope::Next, move |pid| {
                    doer.strike(harm, &[pid]);
                    doer.observer.struck();
                });
            }
            _ => {}
        }
    }

    /// Heals what it broke. What is being done to the server is waited for: its outage is part of this command, also if the
    /// command did not wait for that, and is not to reach into those who come later.
    pub(super) fn end(&self, _: Fault) {
        // A proxy that does not answer is none that a client could use: what follows shows it.
        let _ = self.proxy.heal_network();
        let until = Instant::now() + UP_MAX;
        while self.doer.observer.is_striking() && Instant::now() < until {
            self.doer.observer.moved();
            std::thread::sleep(LOOK);
        }
        self.doer.observer.disarm();
        let Undo { stopped, crowd } =
            std::mem::take(&mut *self.doer.undo.lock().unwrap_or_else(PoisonError::into_inner));
        for pid in stopped {
            // One that has ended meanwhile needs no waking.
            let _ = self.doer.target.server.private().map(|it| it.signal_backend(pid, Signal::Continue));
        }
        if !crowd.is_empty() {
            self.apart(|| leave(&self.doer.target, crowd));
        }
    }

    /// Blocks this thread while another one works, and lets it be seen that something moves. A runtime may be running here,
    /// and the work needs one of its own.
    fn apart(&self, work: impl FnOnce() + Send) {
        std::thread::scope(|scope| {
            let working = scope.spawn(work);
            while !working.is_finished() {
                self.doer.observer.moved();
                std::thread::sleep(LOOK);
            }
        });
    }
}

impl Doer {
    /// Does this to these backends, or to their server.
    fn strike(&self, harm: ServerFault, pids: &[u32]) {
        if self.target.server.private().is_none() && !harm.is_discreet() {
            return self.observer.refuse(&format!("{harm} would harm a server that is not ours"));
        }
        let Struck { landed, stopped, crowd } = strike(&self.target, harm, pids);
        let mut undo = self.undo.lock().unwrap_or_else(PoisonError::into_inner);
        undo.stopped.extend(stopped);
        undo.crowd.extend(crowd);
        drop(undo);
        if landed {
            self.observer.landed_now();
        }
    }
}
