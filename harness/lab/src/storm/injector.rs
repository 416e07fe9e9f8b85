//! The fault injector of a storm: chooses and heals faults, and records which landed.
//!
//! Owns the choice, the healing, and the record. The faults are those of plans ([`Fault::postgres`], [`Fault::server_wide`]);
//! each is bound to a moment, which the proxy waits for, but to nobody's operation: it is met by the next connection that comes
//! to that moment, or by all. One is injected at a time, and every second one is server-wide. It blocks its thread, which must
//! not drive a runtime.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};

use super::clock::Clock;
use super::history::Landing;
use super::settings::Storm;
use unstale_harness::plan::{Fault, Moment, NetworkFault, ServerFault};
use unstale_wire::Agent;
use unstale_wire::inject::{Injected, Target, Undo, inject};
use unstale_wire::proxy::{Arming, Landed, Proxy, Scope, Seen, Watch};

/// How long a moment is waited for. Some connection comes to most of them within milliseconds.
const MOMENT_MAX: Duration = Duration::from_millis(500);

/// How long what is done to the server may take, longer than it ever does.
const INJECTION_MAX: Duration = Duration::from_secs(90);

/// How long what lasts goes on, in milliseconds: short of, and far beyond, the 100 ms that a probe may take.
const LASTS_MS: std::ops::Range<u64> = 20..400;

/// Between two faults, in milliseconds: some actors have recovered by then, and some have not.
const PAUSE_MS: std::ops::Range<u64> = 20..300;

/// Between two looks.
const LOOK: Duration = Duration::from_millis(1);

/// Injects faults into one server and the network in front of it.
pub(super) struct FaultInjector {
    target: Target,
    proxy: Proxy,
    clock: Clock,
    witness: Arc<Witness>,
    record: Arc<Mutex<Record>>,
    random: StdRng,
}

/// What was injected.
#[derive(Default)]
pub(super) struct Record {
    pub(super) landings: Vec<Landing>,
    pub(super) missed: BTreeMap<String, u64>,
    pub(super) harness: Vec<String>,
    undo: Undo,
}

/// How far an injection has come that the proxy lets happen when its moment is there.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Progress {
    Waiting,
    Injecting,
    Over,
}

/// Is told by the proxy what took effect.
#[derive(Default)]
struct Witness {
    landed: Mutex<Vec<Arming>>,
}

impl Watch for Witness {
    fn seen(&self, _: u32, _: Seen<'_>) {}

    fn landed(&self, landed: Landed) {
        self.landed.lock().unwrap_or_else(PoisonError::into_inner).push(landed.arming);
    }
}

impl Witness {
    fn has_landed(&self, arming: Arming) -> bool {
        self.landed.lock().unwrap_or_else(PoisonError::into_inner).contains(&arming)
    }
}

impl FaultInjector {
    /// Starts the proxy; nothing is injected yet.
    ///
    /// # Errors
    /// The proxy cannot be started.
    pub(super) fn start(target: Target, clock: Clock, seed: u64) -> std::io::Result<Self> {
        let witness: Arc<Witness> = Arc::default();
        let proxy = Proxy::start(target.server.address(), Arc::clone(&witness) as _)?;
        Ok(Self { target, proxy, clock, witness, record: Arc::default(), random: StdRng::seed_from_u64(seed) })
    }

    /// Where clients connect.
    pub(super) fn port(&self) -> u16 {
        self.proxy.address().port()
    }

    /// Injects one fault after the other until the storm is over or is stopped, and heals everything.
    pub(super) fn inject_all(&mut self, storm: &Storm, stop: &AtomicBool, progress: &mut dyn FnMut(usize, u32)) {
        // What no client is asked about proves nothing here, and read-only connections would stay so until the storm's end.
        let is_met_at_once = |fault: &Fault| !matches!(fault, Fault::Server(ServerFault::ReadOnly, _));
        let narrow = Fault::postgres().iter().copied().filter(is_met_at_once).collect();
        let (mut wide, mut narrow) = (Deck::new(Fault::server_wide().to_vec()), Deck::new(narrow));
        while !stop.load(Ordering::Relaxed) && self.clock.now() < storm.time && self.restarts() < storm.restarts {
            for deck in [&mut wide, &mut narrow] {
                let fault = deck.draw(&mut self.random);
                self.inject(fault);
                let landed = self.record().landings.len();
                progress(landed, self.restarts());
                let pause = self.random.random_range(PAUSE_MS);
                std::thread::sleep(Duration::from_millis(pause));
            }
        }
        self.heal();
    }

    /// Ends the proxy, and returns what was injected.
    pub(super) fn into_record(self) -> Record {
        std::mem::take(&mut *self.record())
    }

    fn restarts(&self) -> u32 {
        let restarts = self.record().landings.iter().filter(|it| it.is_restart()).count();
        u32::try_from(restarts).unwrap_or(u32::MAX)
    }

    /// One fault, from its injection to its healing.
    fn inject(&mut self, fault: Fault) {
        let landed = match fault {
            Fault::Network(network, at) => self.network(fault, network, at),
            Fault::Server(server, _) if server.row().agent == Agent::Proxy => self.time_out(fault),
            Fault::Server(server, Moment::Connect) => self.while_connecting(fault, server),
            Fault::Server(server, Moment::Idle) => self.idle(fault, server),
            Fault::Server(server, at) => self.at_its_moment(fault, server, at),
            _ => false,
        };
        if !landed {
            *self.record().missed.entry(fault.to_string()).or_default() += 1;
        }
        self.heal();
    }

    fn network(&mut self, fault: Fault, network: NetworkFault, at: Moment) -> bool {
        let everybody = self.random.random_ratio(1, 3);
        let scope = if everybody || network.is_for_all_at(at) { Scope::All } else { Scope::Next };
        let Ok(arming) = self.proxy.arm(network, at, scope) else { return false };
        if at == Moment::Connect {
            // No client connects as long as all connections are good.
            let _ = self.proxy.arm(NetworkFault::Reset, Moment::BeforeSend, Scope::All);
        }
        if !self.await_so(MOMENT_MAX, |it| it.witness.has_landed(arming)) {
            return false;
        }
        let began = self.clock.now();
        if network.lasts() {
            self.last();
            self.heal();
        }
        let ended = self.clock.now();
        self.record().landings.push(Landing { fault, began, ended });
        true
    }

    fn time_out(&self, fault: Fault) -> bool {
        let began = self.clock.now();
        let landed = self.proxy.time_out_idle().is_ok_and(|ended| ended > 0);
        let ended = self.clock.now();
        if landed {
            self.record().landings.push(Landing { fault, began, ended });
        }
        landed
    }

    /// It is about clients that connect: for a while every connection has to be opened again.
    fn while_connecting(&mut self, fault: Fault, server: ServerFault) -> bool {
        let began = self.clock.now();
        let Injected { landed, undo, .. } = inject(&self.target, server, &[]);
        self.record().undo.extend(undo);
        if landed {
            let _ = self.proxy.arm(NetworkFault::Reset, Moment::BeforeSend, Scope::All);
            self.last();
        }
        self.heal();
        let ended = self.clock.now();
        if landed {
            self.record().landings.push(Landing { fault, began, ended });
        } else {
            self.record().not_done(fault);
        }
        landed
    }

    fn idle(&mut self, fault: Fault, server: ServerFault) -> bool {
        let open = self.proxy.connections();
        let pids: Vec<u32> = open.iter().filter(|it| it.open && !it.is_outstanding()).filter_map(|it| it.pid).collect();
        // Behind a proxy that accepts clients are reset while the server is down; without it they are refused.
        if server.is_server_wide() && self.random.random() {
            let _ = self.proxy.arm(NetworkFault::Refuse, Moment::Connect, Scope::All);
        }
        let began = self.clock.now();
        let Injected { landed, undo, .. } = inject(&self.target, server, &pids);
        let lasts = !undo.is_empty();
        self.record().undo.extend(undo);
        if server.is_server_wide() && !landed && !pids.is_empty() {
            self.record().not_done(fault);
        }
        if lasts {
            self.last();
        }
        // The outage is over once the proxy accepts clients again, and not before.
        self.heal();
        let ended = self.clock.now();
        if landed {
            self.record().landings.push(Landing { fault, began, ended });
        }
        landed
    }

    fn at_its_moment(&mut self, fault: Fault, server: ServerFault, at: Moment) -> bool {
        let progress = Arc::new(Mutex::new(Progress::Waiting));
        let (target, record, clock) = (self.target.clone(), Arc::clone(&self.record), self.clock);
        let shown = Arc::clone(&progress);
        let armed = self.proxy.arm_call(at, Scope::Next, move |pid| {
            *lock(&shown) = Progress::Injecting;
            let began = clock.now();
            let Injected { landed, undo, .. } = inject(&target, server, &[pid]);
            let ended = clock.now();
            let mut record = lock(&record);
            record.undo.extend(undo);
            if landed {
                record.landings.push(Landing { fault, began, ended });
            }
            *lock(&shown) = Progress::Over;
        });
        let Ok(arming) = armed else { return false };
        if !self.await_so(MOMENT_MAX, |_| *lock(&progress) != Progress::Waiting) {
            self.proxy.withdraw(arming);
            // It may have come to its moment just now.
            std::thread::sleep(LOOK * 10);
            if *lock(&progress) == Progress::Waiting {
                return false;
            }
        }
        let landed_before = self.record().landings.len();
        if !self.await_so(INJECTION_MAX, |_| *lock(&progress) == Progress::Over) {
            self.record().harness.push(format!("{fault} did not come to its end within {INJECTION_MAX:?}"));
            return false;
        }
        if !self.record().undo.is_empty() {
            self.last();
        }
        let landed = self.record().landings.iter().skip(landed_before.saturating_sub(1)).any(|it| it.fault == fault);
        if server.is_server_wide() && !landed {
            self.record().not_done(fault);
        }
        landed
    }

    /// Something goes on for a while.
    fn last(&mut self) {
        let time = self.random.random_range(LASTS_MS);
        std::thread::sleep(Duration::from_millis(time));
    }

    fn heal(&self) {
        if self.proxy.heal().is_err() {
            self.record().harness.push("the proxy does not answer".into());
        }
        let undo = std::mem::take(&mut self.record().undo);
        undo.heal(&self.target);
    }

    fn await_so(&self, limit: Duration, so: impl Fn(&Self) -> bool) -> bool {
        let until = Instant::now() + limit;
        while !so(self) {
            if Instant::now() >= until {
                return false;
            }
            std::thread::sleep(LOOK);
        }
        true
    }

    fn record(&self) -> MutexGuard<'_, Record> {
        lock(&self.record)
    }
}

impl Record {
    /// A fault of the whole server that is not seen to land is the harness's failure, and not the system's luck.
    fn not_done(&mut self, fault: Fault) {
        self.harness.push(format!("{fault} could not be injected: there is no evidence that {}", fault.row().proof));
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A list that is appended to, or one word; both are whole at every point.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Faults in any order, each once before any comes again.
struct Deck {
    all: Vec<Fault>,
    left: Vec<Fault>,
}

impl Deck {
    fn new(all: Vec<Fault>) -> Self {
        Self { all, left: Vec::new() }
    }

    fn draw(&mut self, random: &mut StdRng) -> Fault {
        if self.left.is_empty() {
            self.left = self.all.clone();
            self.left.shuffle(random);
        }
        self.left.pop().expect("there is at least one fault of either kind")
    }
}
