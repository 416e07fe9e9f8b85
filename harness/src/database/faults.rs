//! The faults of one plan on PostgreSQL and on the network in front of it, and the evidence that they took effect.
//!
//! Owns a fault from its start to its healing. Each is bound to a moment of the next request of its command: the proxy
//! reports that moment, and holds the bytes back meanwhile. Everything here is synchronous, and may block the plan's
//! thread for as long as a server takes to restart; the heartbeat shows that something moves.
//!
//! Landing is proved, not guessed: [`inject`] waits until a server fault has taken effect, and the proxy reports each
//! network fault.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::observer::Observer;
use crate::plan::{Fault, Moment, ServerFault};
use unstale_wire::Agent;
use unstale_wire::fleet::ServerLease;
use unstale_wire::inject::{Injected, ReadOnly, Target, UP_MAX, Undo, inject};
use unstale_wire::proxy::{Connection, Proxy, Scope};

/// Between two looks.
const LOOK: Duration = Duration::from_millis(2);

/// The faults of one plan.
pub(super) struct Faults {
    proxy: Proxy,
    injector: Arc<Injector>,
}

/// What does something to the server, on whatever thread the moment comes.
struct Injector {
    target: Target,
    observer: Arc<Observer>,
    /// What has to be undone.
    undo: Mutex<Undo>,
    /// What stays as it is until the plan is over.
    read_only: Mutex<Vec<ReadOnly>>,
}

impl Faults {
    pub(super) fn new(target: Target, proxy: Proxy, observer: Arc<Observer>) -> Self {
        Self { proxy, injector: Arc::new(Injector::new(target, observer)) }
    }

    pub(super) fn proxy(&self) -> &Proxy {
        &self.proxy
    }

    pub(super) fn owns_server(&self) -> bool {
        matches!(*self.injector.target.server, ServerLease::Own(_))
    }

    /// Injects the fault at once, or arms it for its moment. An impossible injection has not landed, and is reported as
    /// such.
    pub(super) fn start(&self, fault: Fault) {
        self.injector.observer.arm(fault);
        match fault {
            Fault::Network(fault, at) => {
                let scope = if fault.is_for_all_at(at) { Scope::All } else { Scope::Next };
                // An error means that the proxy does not answer: nothing landed.
                let _ = self.proxy.arm(fault, at, scope);
            }
            Fault::Server(fault, _) if fault.row().agent == Agent::Proxy => self.apart(|| {
                if self.proxy.time_out_idle().is_ok_and(|ended| ended > 0) {
                    self.injector.observer.landed_now();
                }
            }),
            Fault::Server(ServerFault::ReadOnly, Moment::Idle) => {
                let open = self.open_backends(|_| true);
                self.injector.inject(ServerFault::ReadOnly, &open);
            }
            // Whoever comes to the moment, everybody is told.
            Fault::Server(ServerFault::ReadOnly, at) => {
                let (injector, open) = (Arc::clone(&self.injector), self.open_backends(|_| true));
                let _ = self.proxy.arm_call(at, Scope::Next, move |pid| {
                    let mut open = open.clone();
                    open.push(pid);
                    injector.inject(ServerFault::ReadOnly, &open);
                    injector.observer.injected();
                });
            }
            Fault::Server(fault, Moment::Connect | Moment::Idle) => {
                let idle = self.open_backends(|it| it.answered == it.requests);
                let injector = Arc::clone(&self.injector);
                self.apart(move || injector.inject(fault, &idle));
            }
            Fault::Server(fault, at) => {
                let injector = Arc::clone(&self.injector);
                let _ = self.proxy.arm_call(at, Scope::Next, move |pid| {
                    injector.inject(fault, &[pid]);
                    injector.observer.injected();
                });
            }
            _ => {}
        }
    }

    /// Heals what it broke. What is being done to the server is waited for: its outage is part of this command, also if the
    /// command did not wait for that, and is not to reach into those who come later.
    pub(super) fn end(&self, _: Fault) {
        // No client can use a proxy that does not answer, so the next commands show the failure.
        let _ = self.proxy.heal_network();
        let until = Instant::now() + UP_MAX;
        while self.injector.observer.is_injecting() && Instant::now() < until {
            self.injector.observer.moved();
            std::thread::sleep(LOOK);
        }
        self.injector.observer.disarm();
        let undo = std::mem::take(&mut *self.injector.undo.lock().unwrap_or_else(PoisonError::into_inner));
        if !undo.is_empty() {
            self.apart(|| undo.heal(&self.injector.target));
        }
    }

    /// The backends of the open connections of this kind.
    fn open_backends(&self, which: impl Fn(&Connection) -> bool) -> Vec<u32> {
        let all = self.proxy.connections();
        all.iter().filter(|connection| connection.open && which(connection)).filter_map(|it| it.pid).collect()
    }

    /// Blocks this thread while another one works, and lets it be seen that something moves. A runtime may be running here,
    /// and the work needs one of its own.
    fn apart(&self, work: impl FnOnce() + Send) {
        std::thread::scope(|scope| {
            let working = scope.spawn(work);
            while !working.is_finished() {
                self.injector.observer.moved();
                std::thread::sleep(LOOK);
            }
        });
    }
}

impl Injector {
    fn new(target: Target, observer: Arc<Observer>) -> Self {
        Self { target, observer, undo: Mutex::default(), read_only: Mutex::default() }
    }

    /// Injects this fault into these backends, or into their server.
    fn inject(&self, fault: ServerFault, pids: &[u32]) {
        if self.target.server.private().is_none() && !fault.is_discreet() {
            return self.observer.refuse(&format!("{fault} is not injected into a server that is not ours"));
        }
        let Injected { landed, undo, read_only } = inject(&self.target, fault, pids);
        if read_only.is_some() {
            self.observer.turned_read_only();
            self.read_only.lock().unwrap_or_else(PoisonError::into_inner).extend(read_only);
        }
        self.observer.stopped(undo.stopped());
        self.undo.lock().unwrap_or_else(PoisonError::into_inner).extend(undo);
        // A statement that was to be cancelled may have ended before: the observer sees whether it was refused.
        if landed && fault != ServerFault::CancelQuery {
            self.observer.landed_now();
        }
    }
}
