//! The rain: faults that fall on the server and the network while the actors work.
//!
//! Owns which fault falls when, its healing, and the record of what landed. The faults are those of plans
//! ([`Fault::postgres`], [`Fault::server_wide`]); each is bound to a moment, which the proxy waits for, but to nobody's
//! operation: it strikes whoever comes to that moment next, or everybody. One falls at a time, and every second one is
//! server-wide. It blocks its thread, which must not drive a runtime.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};

use super::history::Landing;
use super::{Clock, Storm};
use unstale_harness::plan::{Fault, Moment, NetworkFault, ServerFault};
use unstale_wire::inject::{Target, leave, strike};
use unstale_wire::proxy::{Arming, Landed, Proxy, Scope, Seen, Watch};
use unstale_wire::server::Signal;

/// How long a moment is waited for. Somebody comes to most of them within milliseconds.
const MOMENT_MAX: Duration = Duration::from_millis(500);

/// How long what is done to the server may take, longer than it ever does.
const STRIKE_MAX: Duration = Duration::from_secs(90);

/// How long what lasts goes on, in milliseconds: short of, and far beyond, the 100 ms that a probe may take.
const LASTS_MS: std::ops::Range<u64> = 20..400;

/// Between two faults, in milliseconds: some actors have recovered by then, and some have not.
const PAUSE_MS: std::ops::Range<u64> = 20..300;

/// Between two looks.
const LOOK: Duration = Duration::from_millis(1);

/// What falls on one server and the network in front of it.
pub(super) struct Rain {
    target: Target,
    proxy: Proxy,
    clock: Clock,
    witness: Arc<Witness>,
    record: Arc<Mutex<Record>>,
    random: StdRng,
}

/// What has fallen.
#[derive(Default)]
pub(super) struct Record {
    pub(super) landings: Vec<Landing>,
    pub(super) missed: BTreeMap<String, u64>,
    pub(super) harness: Vec<String>,
    stopped: Vec<i32>,
}

/// How far a strike has come that the proxy does when its moment is there.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Progress {
    Waiting,
    Striking,
    Over,
}

/// Hears from the proxy what took effect.
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

impl Rain {
    /// Nothing falls yet; the proxy is there.
    ///
    /// # Errors
    /// There is no proxy to be had.
    pub(super) fn over(target: Target, clock: Clock, seed: u64) -> std::io::Result<Self> {
        let witness: Arc<Witness> = Arc::default();
        let proxy = Proxy::start(target.server.address(), Arc::clone(&witness) as _)?;
        Ok(Self { target, proxy, clock, witness, record: Arc::default(), random: StdRng::seed_from_u64(seed) })
    }

    /// Where clients connect.
    pub(super) fn port(&self) -> u16 {
        self.proxy.address().port()
    }

    /// Lets faults fall until the storm is over or somebody stops it, and heals everything.
    pub(super) fn fall(&mut self, storm: &Storm, stop: &AtomicBool, told: &mut dyn FnMut(usize, u32)) {
        let (mut wide, mut narrow) = (Deck::new(Fault::server_wide()), Deck::new(Fault::postgres()));
        while !stop.load(Ordering::Relaxed) && self.clock.now() < storm.time && self.restarts() < storm.restarts {
            for deck in [&mut wide, &mut narrow] {
                let fault = deck.draw(&mut self.random);
                self.shower(fault);
                let fallen = self.record().landings.len();
                told(fallen, self.restarts());
                let pause = self.random.random_range(PAUSE_MS);
                std::thread::sleep(Duration::from_millis(pause));
            }
        }
        self.heal();
    }

    /// What has fallen, and the proxy's end.
    pub(super) fn into_record(self) -> Record {
        std::mem::take(&mut *self.record())
    }

    fn restarts(&self) -> u32 {
        let restarts = self.record().landings.iter().filter(|it| it.is_restart()).count();
        u32::try_from(restarts).unwrap_or(u32::MAX)
    }

    /// One fault, from its beginning to its healing.
    fn shower(&mut self, fault: Fault) {
        let landed = match fault {
            Fault::Network(trouble, at) => self.network(fault, trouble, at),
            Fault::Server(ServerFault::IdleTimeOut, _) => self.time_out(fault),
            Fault::Server(harm, Moment::Connect) => self.full(fault, harm),
            Fault::Server(harm, Moment::Idle) => self.idle(fault, harm),
            Fault::Server(harm, at) => self.at_its_moment(fault, harm, at),
            _ => false,
        };
        if !landed {
            *self.record().missed.entry(fault.to_string()).or_default() += 1;
        }
        self.heal();
    }

    fn network(&mut self, fault: Fault, trouble: NetworkFault, at: Moment) -> bool {
        let everybody = self.random.random_ratio(1, 3);
        let scope = match (trouble, at) {
            (NetworkFault::Refuse, _) | (_, Moment::Idle) => Scope::All,
            _ if everybody => Scope::All,
            _ => Scope::Next,
        };
        let Ok(arming) = self.proxy.arm(trouble, at, scope) else { return false };
        if at == Moment::Connect {
            // Nobody connects as long as all connections are good.
            let _ = self.proxy.arm(NetworkFault::Reset, Moment::BeforeSend, Scope::All);
        }
        if !self.await_so(MOMENT_MAX, |it| it.witness.has_landed(arming)) {
            return false;
        }
        let began = self.clock.now();
        if trouble.lasts() {
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

    /// Nobody new has a place for a while, and everybody needs one.
    fn full(&mut self, fault: Fault, harm: ServerFault) -> bool {
        let began = self.clock.now();
        let struck = strike(&self.target, harm, &[]);
        if struck.landed {
            let _ = self.proxy.arm(NetworkFault::Reset, Moment::BeforeSend, Scope::All);
            self.last();
        }
        self.heal();
        leave(&self.target, struck.crowd);
        let ended = self.clock.now();
        if struck.landed {
            self.record().landings.push(Landing { fault, began, ended });
        } else {
            self.record().harness.push(format!("{fault} could not be done"));
        }
        struck.landed
    }

    fn idle(&mut self, fault: Fault, harm: ServerFault) -> bool {
        let open = self.proxy.connections();
        let pids: Vec<u32> = open.iter().filter(|it| it.open && !it.is_outstanding()).filter_map(|it| it.pid).collect();
        // Behind a proxy that accepts clients are reset while the server is down; without it they are refused.
        if harm.is_server_wide() && self.random.random() {
            let _ = self.proxy.arm(NetworkFault::Refuse, Moment::Connect, Scope::All);
        }
        let began = self.clock.now();
        let struck = strike(&self.target, harm, &pids);
        let mut record = self.record();
        record.stopped.extend(&struck.stopped);
        if harm.is_server_wide() && !struck.landed && !pids.is_empty() {
            record.harness.push(format!("{fault} could not be done"));
        }
        drop(record);
        if !struck.stopped.is_empty() {
            self.last();
        }
        // With the proxy's door open again, and not before, the outage is over.
        self.heal();
        let ended = self.clock.now();
        if struck.landed {
            self.record().landings.push(Landing { fault, began, ended });
        }
        struck.landed
    }

    fn at_its_moment(&mut self, fault: Fault, harm: ServerFault, at: Moment) -> bool {
        let progress = Arc::new(Mutex::new(Progress::Waiting));
        let (target, record, clock) = (self.target.clone(), Arc::clone(&self.record), self.clock);
        let shown = Arc::clone(&progress);
        let armed = self.proxy.arm_call(at, Scope::Next, move |pid| {
            *lock(&shown) = Progress::Striking;
            let began = clock.now();
            let struck = strike(&target, harm, &[pid]);
            let ended = clock.now();
            let mut record = lock(&record);
            record.stopped.extend(&struck.stopped);
            if struck.landed {
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
        if !self.await_so(STRIKE_MAX, |_| *lock(&progress) == Progress::Over) {
            self.record().harness.push(format!("{fault} did not come to its end within {STRIKE_MAX:?}"));
            return false;
        }
        if !self.record().stopped.is_empty() {
            self.last();
        }
        let landed = self.record().landings.iter().skip(landed_before.saturating_sub(1)).any(|it| it.fault == fault);
        if harm.is_server_wide() && !landed {
            self.record().harness.push(format!("{fault} could not be done"));
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
        let stopped = std::mem::take(&mut self.record().stopped);
        for pid in stopped {
            // One that has ended meanwhile needs no waking.
            let _ = self.target.server.private().map(|it| it.signal_backend(pid, Signal::Continue));
        }
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

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A list that is appended to, or one word; both are whole at every point.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Faults in any order, each once before any comes again.
struct Deck {
    all: &'static [Fault],
    left: Vec<Fault>,
}

impl Deck {
    fn new(all: &'static [Fault]) -> Self {
        Self { all, left: Vec::new() }
    }

    fn draw(&mut self, random: &mut StdRng) -> Fault {
        if self.left.is_empty() {
            self.left = self.all.to_vec();
            self.left.shuffle(random);
        }
        self.left.pop().expect("there is at least one fault of either kind")
    }
}
