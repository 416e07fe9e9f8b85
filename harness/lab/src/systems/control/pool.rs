//! The control's pool: permits, idle connections, and how connections are opened and closed.
//!
//! Inside a fixture everybody takes turns on one connection, whole sessions at a time. What a session does with its
//! connection is [`lease`](super::lease)'s.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::pending;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{Either, select};
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore};

use super::Flaw;
use super::connection::{Boundary, Connection, Source, is_refusal, within};
use super::for_flaws::Remembered;
use super::replies::Replies;
use unstale_harness::history::{Failure, FailureClass, Report};
use unstale_harness::plan::{BeginMode, Key};

/// How often a connection is asked for that cannot be had.
const TRIES_MAX: u32 = 4;

/// Between two tries to connect: with a few of them it outlasts a time in which connecting is refused.
const PAUSE: Duration = Duration::from_millis(20);

/// A probe may take this part of the time that a call may take.
const PROBE_PART: u32 = 4;

/// How long a caller waits for a connection that is lent, where calls have no limit.
const WAIT_MAX: Duration = Duration::from_secs(30);

/// A connection; only a flaw makes two users of it.
pub(super) type Kept<S> = Arc<Mutex<<S as Source>::Connection>>;

/// Room for one session.
pub(super) type Permit = Arc<OwnedSemaphorePermit>;

/// The connections of one source.
pub(super) struct Pool<S: Source> {
    pub(super) source: S,
    pub(super) flaw: Option<Flaw>,
    pub(super) idle: RefCell<Vec<Kept<S>>>,
    /// The one connection of a fixture, on which its transaction is open.
    test: RefCell<Option<Kept<S>>>,
    /// For [`Flaw::CaptiveSession`].
    pub(super) captive: RefCell<Option<Kept<S>>>,
    /// For [`Flaw::ShiftsReplies`].
    pub(super) replies: Replies<S::Connection>,
    /// For [`Flaw::WaitsCrosswise`].
    pub(super) keys: RefCell<BTreeMap<Key, Arc<Mutex<()>>>>,
    /// For [`Flaw::CachesEarly`].
    pub(super) remembered: Rc<RefCell<Remembered>>,
    /// For [`Flaw::WakesForReturnsAlone`]: the room of connections that were closed while others waited.
    pub(super) owed: RefCell<Vec<Permit>>,
    waiting: Cell<u32>,
    pub(super) permits: Arc<Semaphore>,
    pub(super) connections: u8,
    closed: Cell<bool>,
    sessions: Cell<u32>,
    opened: Cell<u32>,
}

impl<S: Source> Pool<S> {
    pub(super) fn new(source: S, connections: u8, flaw: Option<Flaw>) -> Self {
        let permits = Arc::new(Semaphore::new(usize::from(connections)));
        let replies = Replies::new();
        let (idle, test, captive, keys, remembered, owed) = Default::default();
        let (waiting, closed, sessions, opened) = Default::default();
        Self {
            source,
            flaw,
            idle,
            test,
            captive,
            replies,
            keys,
            remembered,
            owed,
            waiting,
            permits,
            connections,
            closed,
            sessions,
            opened,
        }
    }

    /// Opens the connection of a fixture, and its transaction on it.
    pub(super) async fn begin_test(&self) -> Result<(), Failure> {
        let test = self.connect().await?;
        test.lock().await.cross(Boundary::Begin(BeginMode::Immediate)).await?;
        *self.test.borrow_mut() = Some(test);
        Ok(())
    }

    pub(super) fn has(&self, flaw: Flaw) -> bool {
        self.flaw == Some(flaw)
    }

    /// What is wrong with everything that uses it.
    pub(super) fn flaw(&self) -> Option<Flaw> {
        self.flaw
    }

    pub(super) fn in_test(&self) -> bool {
        self.test.borrow().is_some()
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed.get()
    }

    /// A connection for a new session, and its permit.
    pub(super) async fn lend(&self) -> Result<(Kept<S>, Option<Permit>), Failure> {
        let mut permit = Some(self.permit().await?);
        if self.has(Flaw::LeaksOnCancel) {
            permit.take().into_iter().for_each(OwnedSemaphorePermit::forget);
        }
        let connection = self.connection().await;
        if self.has(Flaw::LeaksOnCancel) {
            self.permits.add_permits(1);
            permit = Arc::clone(&self.permits).try_acquire_owned().ok();
        }
        if self.has(Flaw::LeaksOnError) && connection.is_err() {
            permit.take().into_iter().for_each(OwnedSemaphorePermit::forget);
        }
        if self.has(Flaw::KeepsNoLimit) {
            permit = None;
        }
        Ok((connection?, permit.map(Arc::new)))
    }

    async fn permit(&self) -> Result<OwnedSemaphorePermit, Failure> {
        let exhausted = || Failure::new(FailureClass::Exhausted, "every connection is lent");
        if self.has(Flaw::RefusesToWait) && self.permits.available_permits() == 0 {
            return Err(exhausted());
        }
        let mut waiting = Waiting::among(self);
        let limit = pin!(async {
            match self.has(Flaw::WaitsForEver) {
                true => pending().await,
                false => self.source.sleep(S::CALL_MAX.unwrap_or(WAIT_MAX)).await,
            }
        });
        let permit = pin!(Arc::clone(&self.permits).acquire_owned());
        let served = select(permit, limit).await;
        waiting.is_served = true;
        match served {
            Either::Left((permit, _)) => permit.map_err(|closed| Failure::new(FailureClass::Closed, closed)),
            Either::Right(_) => Err(exhausted()),
        }
    }

    /// A connection that has answered: an idle one, or a new one. A refusal is an answer too.
    async fn connection(&self) -> Result<Kept<S>, Failure> {
        while let Some(kept) = self.take().await {
            let answer = self.probe(&kept).await;
            let alive = answer.as_ref().map_or_else(is_refusal, |()| true) || self.has(Flaw::LossesAreMistakes);
            if !alive || self.has(Flaw::CheckThenUse) {
                self.idle.borrow_mut().retain(|other| !Arc::ptr_eq(other, &kept));
            }
            if alive {
                return Ok(kept);
            }
            if self.has(Flaw::LosesRoom) {
                self.lose_room();
            }
            if self.in_test() {
                answer?;
            }
            if self.has(Flaw::Storms) {
                self.reconnect_all().await?;
                break;
            }
        }
        self.connect().await
    }

    async fn take(&self) -> Option<Kept<S>> {
        if let Some(test) = &*self.test.borrow() {
            return Some(Arc::clone(test));
        }
        if let Some(Flaw::RacesAtGate(gate)) = self.flaw {
            return self.take_late(gate).await;
        }
        let mut idle = self.idle.borrow_mut();
        if self.has(Flaw::Shares) || self.has(Flaw::CheckThenUse) { idle.last().cloned() } else { idle.pop() }
    }

    pub(super) fn put_back(&self, connection: Kept<S>) {
        self.owed.borrow_mut().clear();
        let mut idle = self.idle.borrow_mut();
        if !idle.iter().any(|other| Arc::ptr_eq(other, &connection)) {
            idle.push(connection);
        }
    }

    /// A new connection that has answered. While none can be opened it is tried again.
    pub(super) async fn connect(&self) -> Result<Kept<S>, Failure> {
        let mut tries = 1;
        loop {
            match self.try_connect().await {
                Err(failure) if tries < TRIES_MAX && !is_refusal(&failure) => self.source.sleep(PAUSE).await,
                result => return result,
            }
            tries += 1;
        }
    }

    async fn try_connect(&self) -> Result<Kept<S>, Failure> {
        let kept = Arc::new(Mutex::new(within(S::CALL_MAX, self.source.connect()).await?));
        if !S::OPENING_ANSWERS {
            match self.probe(&kept).await {
                Err(failure) if is_refusal(&failure) || !self.has(Flaw::LossesAreMistakes) => return Err(failure),
                _ => {}
            }
        }
        Ok(kept)
    }

    async fn probe(&self, kept: &Kept<S>) -> Result<(), Failure> {
        let max = S::CALL_MAX.filter(|_| !self.has(Flaw::ProbesForEver)).map(|max| max / PROBE_PART);
        within(max, async { kept.lock().await.probe().await }).await
    }

    /// Closes a connection on which nothing is under way, as a task; its permit gives no room before that is done.
    pub(super) fn close_later(&self, kept: Kept<S>, permit: Option<Permit>) {
        let mut permit = permit;
        if self.has(Flaw::WakesForReturnsAlone) && self.waiting.get() > 0 {
            self.owed.borrow_mut().extend(permit.take());
        }
        self.source.spawn(async move {
            discard::<S>(kept).await;
            drop(permit);
        });
    }

    /// Gives up a connection in doubt, as a task; its permit gives no room before that is done.
    pub(super) fn abandon(&self, kept: Kept<S>, permit: Option<Permit>) {
        let awaits = self.has(Flaw::AwaitsAbandoned);
        let Some(connection) = Arc::into_inner(kept) else { return };
        let mut connection = connection.into_inner();
        self.source.spawn(async move {
            if awaits {
                // It is closed in any case.
                let _ = connection.probe().await;
            }
            connection.abandon().await;
            drop(permit);
        });
    }

    /// Undoes what a session has left in the test's transaction, as a task: the next session gets its turn afterwards.
    pub(super) fn undo_later(&self, kept: Kept<S>, undo: &'static [Boundary], permit: Option<Permit>) {
        self.source.spawn(async move {
            for boundary in undo {
                // Where nothing is open there is nothing to undo.
                let _ = kept.lock().await.cross(*boundary).await;
            }
            drop(permit);
        });
    }

    pub(super) async fn close(&self) -> Result<(), Failure> {
        self.closed.set(true);
        self.owed.borrow_mut().clear();
        if !self.has(Flaw::LendsAfterClose) {
            self.permits.close();
        }
        loop {
            let Some(kept) = self.idle.borrow_mut().pop() else { break };
            discard::<S>(kept).await;
        }
        Ok(())
    }

    /// Closes everything; a test's transaction goes with its connection.
    pub(super) async fn stop(&self) {
        drop(self.captive.take());
        // Closing cannot fail: it waits for nothing but the idle connections.
        let _ = self.close().await;
        let test = self.test.take();
        if let Some(test) = test {
            discard::<S>(test).await;
        }
    }

    pub(super) fn session_opened(&self) {
        self.sessions.set(self.sessions.get() + 1);
        self.opened.set(self.opened.get() + 1);
    }

    pub(super) fn session_ended(&self) {
        self.sessions.set(self.sessions.get() - 1);
    }

    pub(super) fn report(&self) -> Report {
        let idle = u32::try_from(self.idle.borrow().len()).unwrap_or(u32::MAX);
        let (sessions, opened) = (self.sessions.get(), self.opened.get());
        let times = if self.has(Flaw::TellsTwice) { 2 } else { 1 };
        Report {
            healthy: !self.is_closed() || self.has(Flaw::AlwaysHealthy),
            connections: idle + sessions,
            lent: sessions,
            sessions,
            listeners: if self.has(Flaw::KeepsListeners) { opened } else { sessions },
            told_opened: times * opened,
            told_closed: times * (opened - sessions),
        }
    }
}

/// A caller in the queue for permits.
struct Waiting<'a, S: Source> {
    pool: &'a Pool<S>,
    is_served: bool,
}

impl<'a, S: Source> Waiting<'a, S> {
    fn among(pool: &'a Pool<S>) -> Self {
        pool.waiting.set(pool.waiting.get() + 1);
        Self { pool, is_served: false }
    }
}

impl<S: Source> Drop for Waiting<'_, S> {
    fn drop(&mut self) {
        self.pool.waiting.set(self.pool.waiting.get() - 1);
        // Who gives up waiting keeps the place in the queue.
        if !self.is_served && self.pool.has(Flaw::SwallowsPermits) {
            self.pool.lose_room();
        }
    }
}

/// Closes a connection, unless a flaw has left it with another user.
pub(super) async fn discard<S: Source>(kept: Kept<S>) {
    if let Some(connection) = Arc::into_inner(kept) {
        connection.into_inner().close().await;
    }
}
