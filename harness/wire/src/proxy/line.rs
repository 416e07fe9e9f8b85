//! The state that the tasks of one proxy share on its thread.
//!
//! Owns which connections stand still, which are late, and what has been ordered for each. Written by the pipes, when a
//! moment comes, and by [`super::serve`], when something is to happen now or is healed. Nothing here touches a socket.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::arming::{Act, Call, Claim};
use super::disturb::{OnLine, on_line};
use super::order::Healing;
use super::shared::Shared;
use super::time_out::TimeOut;
use super::watch::{Landed, Seen, Side};
use crate::fault::{Moment, NetworkFault};

/// The longest that the bytes of a connection wait for what the harness does to the server meanwhile.
const CALL_MAX: Duration = Duration::from_secs(30);

/// The longest that the server may take to end sessions that idle for a millisecond, on a machine that is busy.
const TIME_OUT_MAX: Duration = Duration::from_secs(10);

/// How a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// One side closed it, in order or not.
    Left { by: Side, reset: bool },
    /// A fault ended it.
    Disturbed(NetworkFault),
}

/// All connections of a proxy.
pub(super) struct Lines {
    pub(super) shared: Arc<Shared>,
    /// Something in here, or in a line, is not as it was.
    changed: Notify,
    /// How often the network was healed, and how often everything.
    heals: Cell<u64>,
    heals_of_everything: Cell<u64>,
    /// How many requests, replies and clients wait for a latency.
    late: Cell<usize>,
    open: RefCell<BTreeMap<u32, Rc<Line>>>,
}

/// One that waits for a latency, until it is dropped.
struct Late<'a>(&'a Cell<usize>);

impl Drop for Late<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

/// One connection.
pub(super) struct Line {
    pub(super) id: u32,
    stands: Cell<bool>,
    called: Cell<bool>,
    latency: Cell<Option<Duration>>,
    ordered: Cell<Option<End>>,
    /// Whether the server has said that it is ready, and a request has come in part since.
    pub(super) greeted: Cell<bool>,
    pub(super) begun: Cell<bool>,
    /// Whether the client has taken its leave: from then on it is the one that ends the connection, whoever closes first.
    pub(super) farewell: Cell<bool>,
    pub(super) time_out: Cell<TimeOut>,
}

impl Lines {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self {
            shared,
            changed: Notify::new(),
            heals: Cell::new(0),
            heals_of_everything: Cell::new(0),
            late: Cell::new(0),
            open: RefCell::default(),
        }
    }

    /// A client has sent its startup message.
    pub(super) fn open(&self, latency: Option<Duration>) -> Rc<Line> {
        let line = Rc::new(Line {
            id: self.shared.ledger.open(),
            stands: Cell::new(false),
            called: Cell::new(false),
            latency: Cell::new(latency),
            ordered: Cell::new(None),
            greeted: Cell::new(false),
            begun: Cell::new(false),
            farewell: Cell::new(false),
            time_out: Cell::default(),
        });
        self.open.borrow_mut().insert(line.id, line.clone());
        self.seen(line.id, Seen::Opened);
        line
    }

    /// The connection is over.
    pub(super) fn close(&self, line: &Line, by: Side) {
        self.shared.ledger.note(line.id, |it| it.open = false);
        self.seen(line.id, Seen::Closed { by });
        self.open.borrow_mut().remove(&line.id);
        self.changed.notify_waiters();
    }

    pub(super) fn seen(&self, connection: u32, what: Seen<'_>) {
        self.shared.watch.seen(connection, what);
    }

    pub(super) fn landed(&self, claim: &Claim, connection: Option<u32>) {
        let fault = match claim.act {
            Act::Fault(fault) => Some(fault),
            Act::Call(_) => None,
        };
        self.shared.armings.landed(claim.arming);
        self.shared.ledger.count(|it| it.landed += 1);
        self.shared.watch.landed(Landed { arming: claim.arming, connection, fault, moment: claim.moment });
    }

    /// What is armed for this line and moment happens to it.
    pub(super) async fn meet(&self, line: &Line, moment: Moment) -> ControlFlow<End> {
        let Some(claim) = self.shared.armings.claim(Some(line.id), moment) else { return ControlFlow::Continue(()) };
        self.landed(&claim, Some(line.id));
        match claim.act {
            Act::Fault(fault) => line.disturb(fault)?,
            Act::Call(call) => self.call(line, call).await,
        }
        if moment > Moment::Sent {
            // A reply that is there already is late by this, and not only the next one.
            self.delay(line).await;
        }
        self.clear(line).await;
        ControlFlow::Continue(())
    }

    /// What is to happen now happens to the lines that have nothing under way.
    pub(super) async fn meet_idle(&self) {
        let mut ended = Vec::new();
        let open: Vec<Rc<Line>> = self.open.borrow().values().cloned().collect();
        for line in open.into_iter().filter(|it| self.is_idle(it)) {
            while let Some(claim) = self.shared.armings.claim(Some(line.id), Moment::Idle) {
                self.landed(&claim, Some(line.id));
                let Act::Fault(fault) = claim.act else { continue };
                if let ControlFlow::Break(end) = line.disturb(fault) {
                    line.ordered.set(Some(end));
                    ended.push(line.id);
                    break;
                }
            }
        }
        self.shared.armings.spend(Moment::Idle);
        self.changed.notify_waiters();
        self.until(|| ended.iter().all(|id| !self.open.borrow().contains_key(id))).await;
    }

    /// Lets the server end the sessions of the lines that have nothing under way, and waits until it has: of how many.
    pub(super) async fn time_out_idle(&self) -> usize {
        let is_idle = |it: &Rc<Line>| self.is_idle(it) && !it.stands();
        let idle: Vec<Rc<Line>> = self.open.borrow().values().filter(|it| is_idle(it)).cloned().collect();
        idle.iter().for_each(|it| self.set_time_out(it, TimeOut::Wanted));
        let is_over = |it: &Rc<Line>| it.time_out.get().is_over() || !self.open.borrow().contains_key(&it.id);
        // What was asked stays asked: its answer is still none of the client's.
        let _ = timeout(TIME_OUT_MAX, self.until(|| idle.iter().all(is_over))).await;
        idle.iter().filter(|it| it.time_out.get() == TimeOut::Ended).count()
    }

    /// Waits until the server is to be told to end this session; whether that is in a transaction.
    pub(super) async fn time_out_wanted(&self, line: &Line) -> bool {
        self.until(|| line.time_out.get() == TimeOut::Wanted).await;
        self.shared.ledger.connection(line.id).and_then(|it| it.status) == Some(b'T')
    }

    pub(super) fn set_time_out(&self, line: &Line, time_out: TimeOut) {
        if line.time_out.replace(time_out) != time_out {
            self.changed.notify_waiters();
        }
    }

    /// What lasts is over; what is half open only if everything is healed.
    pub(super) fn heal(&self, what: Healing) {
        self.heals.set(self.heals.get() + 1);
        if what == Healing::Everything {
            self.heals_of_everything.set(self.heals_of_everything.get() + 1);
        }
        for line in self.open.borrow().values() {
            line.stands.set(false);
            line.latency.set(None);
        }
        self.changed.notify_waiters();
    }

    /// Waits until this is healed once more.
    pub(super) async fn healed(&self, what: Healing) {
        let heals = match what {
            Healing::Everything => &self.heals_of_everything,
            Healing::Network => &self.heals,
        };
        let before = heals.get();
        self.until(|| heals.get() > before).await;
    }

    /// Waits until bytes of this line may move.
    pub(super) async fn clear(&self, line: &Line) {
        self.until(|| !line.stands()).await;
    }

    /// Waits until this line's client may be heard.
    pub(super) async fn audible(&self, line: &Line) {
        self.until(|| !line.is_unheard()).await;
    }

    /// Waits as long as a request or a reply of this line is late.
    pub(super) async fn delay(&self, line: &Line) {
        if let Some(latency) = line.latency.get() {
            self.wait(latency).await;
        }
    }

    /// Waits so long, or until the network is healed before.
    pub(super) async fn wait(&self, latency: Duration) {
        self.late.set(self.late.get() + 1);
        let _late = Late(&self.late);
        let _ = timeout(latency, self.healed(Healing::Network)).await;
    }

    /// Whether anything is delayed.
    pub(super) fn is_late(&self) -> bool {
        self.late.get() > 0
    }

    /// Waits until this line is to end, at another task's word.
    pub(super) async fn ordered(&self, line: &Line) -> End {
        loop {
            let changed = self.changed.notified();
            if let Some(end) = line.ordered.get() {
                return end;
            }
            changed.await;
        }
    }

    async fn call(&self, line: &Line, call: Call) {
        let pid = self.shared.ledger.connection(line.id).and_then(|it| it.pid).unwrap_or_default();
        line.called.set(true);
        // A call that panics or takes too long is a defect of the harness; the bytes go on.
        let _ = timeout(CALL_MAX, spawn_blocking(move || call(pid))).await;
        line.called.set(false);
        self.changed.notify_waiters();
    }

    async fn until(&self, holds: impl Fn() -> bool) {
        loop {
            let changed = self.changed.notified();
            if holds() {
                return;
            }
            changed.await;
        }
    }

    fn is_idle(&self, line: &Line) -> bool {
        let known = self.shared.ledger.connection(line.id);
        line.greeted.get() && !line.begun.get() && known.is_some_and(|it| it.delivered == it.requests)
    }
}

impl Line {
    /// Whether its bytes may not move.
    pub(super) fn stands(&self) -> bool {
        self.stands.get() || self.called.get()
    }

    /// Whether its client's bytes may not move.
    pub(super) fn is_unheard(&self) -> bool {
        self.stands() || self.time_out.get().is_asking()
    }

    fn disturb(&self, fault: NetworkFault) -> ControlFlow<End> {
        match on_line(fault) {
            OnLine::Stand => self.stands.set(true),
            OnLine::Delay(latency) => self.latency.set(Some(latency)),
            OnLine::End => return ControlFlow::Break(End::Disturbed(fault)),
        }
        ControlFlow::Continue(())
    }
}
