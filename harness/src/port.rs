//! The port: an actor pulls its commands from it, gates open there, and cancels land there.
//!
//! Owns the hand-over between the scheduler and one actor. It does not decide which actor runs ([`crate::stage`] does)
//! and does not interpret outcomes.

use std::cell::RefCell;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Poll, Waker};

use crate::history::{By, Failure, Log, Outcome, Reply, What};
use crate::plan::{ActorId, Command, Phase, Step};

/// One actor's source of commands.
pub struct Port {
    shared: Rc<ActorPort>,
    log: Log,
    last: Ended,
}

/// How the last command of an actor ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It was done.
    Done,
    /// The system answered with an error.
    Failed,
    /// Its future was dropped.
    Cancelled,
    /// The actor ran nothing for it.
    Skipped,
}

/// The state that the scheduler and one actor share.
pub(crate) struct ActorPort {
    actor: ActorId,
    steps: Vec<Step>,
    state: RefCell<State>,
    wire: Option<Arc<Wire>>,
}

/// The progress of an actor's requests, where it is visible. There the phases of a cancel are those of a request;
/// elsewhere they are counted by polls, since most calls are one request and take two polls.
#[derive(Debug, Default)]
pub struct Wire {
    sent: AtomicU32,
    answered: AtomicU32,
    /// The actor whose cancel waits for one of these; another thread may see it first.
    waiting: Mutex<Option<Waker>>,
}

impl Wire {
    /// A request is under way.
    pub fn sent(&self) {
        self.sent.fetch_add(1, Ordering::SeqCst);
        self.wake();
    }

    /// Its reply has arrived and has not been read.
    pub fn answered(&self) {
        self.answered.fetch_add(1, Ordering::SeqCst);
        self.wake();
    }

    fn wake_when_moved(&self, waker: &Waker) {
        *self.waiting.lock().unwrap_or_else(PoisonError::into_inner) = Some(waker.clone());
    }

    fn wake(&self) {
        if let Some(waker) = self.waiting.lock().unwrap_or_else(PoisonError::into_inner).take() {
            waker.wake();
        }
    }

    /// Returns how many requests were sent, and how many replies have arrived.
    pub(crate) fn counts(&self) -> (u32, u32) {
        (self.sent.load(Ordering::SeqCst), self.answered.load(Ordering::SeqCst))
    }
}

#[derive(Default)]
struct State {
    /// The number of commands taken so far.
    taken: usize,
    /// The number of commands that the actor may take so far.
    granted: usize,
    /// Whether the next pull returns no command.
    closed: bool,
    /// Whether the command that was taken last has ended.
    ended: bool,
    /// Whether the actor waits for its next command.
    waiting: bool,
}

impl Port {
    /// Returns the next command, or none when the actor is to end. An earlier command for which the actor ran nothing
    /// is recorded as skipped: it did not apply in the actor's state. A `wait` is not the system's: the
    /// scheduler begins it, and lets time pass.
    ///
    /// # Cancel safety
    /// Cancel safe: a command is taken only when the future completes.
    pub async fn next(&mut self) -> Option<Command> {
        if self.shared.current().is_some() {
            self.end(What::Skipped);
        }
        self.last = Ended::Skipped;
        poll_fn(|_| {
            let mut state = self.shared.state.borrow_mut();
            state.waiting = true;
            if state.granted > state.taken {
                state.waiting = false;
                let at = state.taken;
                state.taken += 1;
                state.ended = false;
                let (by, step) = (self.shared.by(at), &self.shared.steps[at]);
                if !matches!(step.command, Command::Wait(_)) {
                    self.log.record_for(by, What::Invoked(step.clone()));
                    return Poll::Ready(Some(step.command.clone()));
                }
                // Who decides on turns has let the time pass.
                self.log.record_for(by, What::Returned(Outcome::Done(Reply::Done)));
                (state.ended, state.waiting) = (true, true);
            }
            if state.closed {
                state.waiting = false;
                return Poll::Ready(None);
            }
            Poll::Pending
        })
        .await
    }

    /// Runs the system's future for the command, returns its value, and records that the command is done.
    ///
    /// `None` if it failed or was cancelled; either way the outcome is recorded, and the actor pulls its next command.
    ///
    /// # Cancel safety
    /// This is where the plan's cancels land: `future` is dropped in the phase that the step names.
    pub async fn run<T, E: Into<Failure>>(&mut self, future: impl Future<Output = Result<T, E>>) -> Option<T> {
        self.ask(future, |_| Reply::Done).await
    }

    /// As [`Port::run`], and records the command's answer.
    ///
    /// # Cancel safety
    /// As [`Port::run`].
    pub async fn ask<T, E: Into<Failure>>(
        &mut self,
        future: impl Future<Output = Result<T, E>>,
        reply: impl FnOnce(&T) -> Reply,
    ) -> Option<T> {
        let cancel = self.shared.current().and_then(|at| self.shared.steps[at].cancel);
        let outcome = {
            // Pinned here and not moved, since a system's futures are large. It is dropped before the outcome is
            // recorded.
            let future = pin!(future);
            self.drive(future, cancel).await
        };
        let (outcome, kept) = match outcome {
            Ok(Ok(value)) => (Outcome::Done(reply(&value)), Some(value)),
            Ok(Err(error)) => (Outcome::Failed(error.into()), None),
            Err(phase) => (Outcome::Cancelled(phase), None),
        };
        self.last = match &outcome {
            Outcome::Done(_) => Ended::Done,
            Outcome::Failed(_) => Ended::Failed,
            Outcome::Cancelled(_) => Ended::Cancelled,
        };
        self.end(What::Returned(outcome));
        kept
    }

    /// Returns how the last command ended.
    pub fn last(&self) -> Ended {
        self.last
    }

    /// Polls the future to its end, or to the phase of the cancel.
    async fn drive<T>(&self, mut future: Pin<&mut impl Future<Output = T>>, cancel: Option<Phase>) -> Result<T, Phase> {
        if cancel == Some(Phase::BeforeSend) {
            return Err(Phase::BeforeSend);
        }
        let mut polls: u8 = 0;
        let wire = self.shared.wire.as_deref();
        let before = wire.map(Wire::counts);
        let is_sent = || wire.map(|it| it.counts().0) != before.map(|it| it.0) || wire.is_none();
        let is_answered = || wire.map(|it| it.counts().1) != before.map(|it| it.1) || wire.is_none();
        poll_fn(|context| {
            if polls > 0 && cancel == Some(Phase::BeforeReply) && is_answered() {
                return Poll::Ready(Err(Phase::BeforeReply));
            }
            if polls > 0 && cancel == Some(Phase::Sent) && is_sent() {
                return Poll::Ready(Err(Phase::Sent));
            }
            if let (Some(wire), Some(_)) = (wire, cancel) {
                wire.wake_when_moved(context.waker());
            }
            polls = polls.saturating_add(1);
            match future.as_mut().poll(context) {
                Poll::Ready(value) => Poll::Ready(Ok(value)),
                Poll::Pending if cancel == Some(Phase::Sent) && is_sent() => Poll::Ready(Err(Phase::Sent)),
                Poll::Pending if cancel == Some(Phase::Poll(polls)) => Poll::Ready(Err(Phase::Poll(polls))),
                Poll::Pending => Poll::Pending,
            }
        })
        .await
    }

    fn end(&self, what: What) {
        if let Some(at) = self.shared.current() {
            self.log.record_for(self.shared.by(at), what);
            self.shared.state.borrow_mut().ended = true;
        }
    }
}

impl ActorPort {
    /// Adds the actor's wire, where its requests are visible.
    pub(crate) fn new(actor: ActorId, steps: Vec<Step>, wire: Option<Arc<Wire>>) -> Rc<Self> {
        Rc::new(Self { actor, steps, state: RefCell::default(), wire })
    }

    /// Returns the port for the actor itself.
    pub(crate) fn port(self: &Rc<Self>, log: Log) -> Port {
        Port { shared: Rc::clone(self), log, last: Ended::Skipped }
    }

    /// Returns the actor that the port belongs to.
    pub(crate) fn actor(&self) -> ActorId {
        self.actor
    }

    /// Lets the actor take one more command; returns false if none is left.
    pub(crate) fn grant(&self) -> bool {
        let mut state = self.state.borrow_mut();
        let more = state.granted < self.steps.len();
        state.granted += usize::from(more);
        more
    }

    /// Whether every command has been granted.
    pub(crate) fn is_done(&self) -> bool {
        self.state.borrow().granted >= self.steps.len()
    }

    /// Makes the next pull return no command.
    pub(crate) fn close(&self) {
        self.state.borrow_mut().closed = true;
    }

    /// Whether the actor waits for its next command and has not been granted one.
    pub(crate) fn is_at_boundary(&self) -> bool {
        let state = self.state.borrow();
        state.waiting && state.granted == state.taken && !state.closed
    }

    /// Returns the command that was granted or taken last.
    pub(crate) fn step(&self) -> Option<(By, &Step)> {
        let at = self.state.borrow().granted.checked_sub(1)?;
        Some((self.by(at), self.steps.get(at)?))
    }

    /// Returns the command that has been taken and has not ended.
    fn current(&self) -> Option<usize> {
        let state = self.state.borrow();
        if state.ended { None } else { state.taken.checked_sub(1) }
    }

    fn by(&self, step: usize) -> By {
        By { actor: self.actor, step }
    }
}
