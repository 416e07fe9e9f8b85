//! One actor while it performs.
//!
//! Owns the actor's future, and what the scheduler remembers of it between two turns.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use super::alarm::Alarm;
use super::environment::{Environment, Running};
use crate::erased::Started;
use crate::history::{Log, What};
use crate::local::Local;
use crate::plan::{Actor, ActorId};
use crate::port::ActorPort;

/// Where an actor stands between two turns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ActorState {
    /// Its next command may begin.
    AtBoundary,
    /// Within a command, at a gate.
    Within,
    /// It waits for somebody, or all its commands are done.
    Out,
}

/// One actor while it performs.
pub(super) struct ActorRun<'a> {
    pub(super) port: Rc<ActorPort>,
    pub(super) alarm: Arc<Alarm>,
    waker: Waker,
    future: Option<Local<'a, ()>>,
    pub(super) blocked: bool,
    /// Turns that came while it was blocked.
    pub(super) missed: usize,
    /// Its last turn was to end within a command: the next one goes on with that command, if it has not ended by itself.
    pub(super) halved: bool,
}

impl<'a> ActorRun<'a> {
    pub(super) fn new<E: Environment>(
        id: ActorId,
        actor: &Actor,
        system: &'a dyn Started,
        environment: &mut E,
    ) -> Self {
        let port = ActorPort::new(id, actor.steps.clone(), environment.wire(id));
        let future = Some(system.actor(port.port(environment.log().clone())));
        let alarm: Arc<Alarm> = Arc::default();
        let waker = Waker::from(Arc::clone(&alarm));
        Self { port, alarm, waker, future, blocked: false, missed: 0, halved: false }
    }

    pub(super) fn state(&self) -> ActorState {
        if self.is_gone() || self.blocked {
            ActorState::Out
        } else if !self.port.is_at_boundary() {
            ActorState::Within
        } else if self.port.is_done() {
            ActorState::Out
        } else {
            ActorState::AtBoundary
        }
    }

    pub(super) fn is_gone(&self) -> bool {
        self.future.is_none()
    }

    /// It is blocked and was woken.
    pub(super) fn can_resume(&self) -> bool {
        self.blocked && self.alarm.rang()
    }

    pub(super) fn running(&self) -> Running<'_> {
        Running { actor: self.port.actor(), command: self.port.step() }
    }

    /// Polls once; whether the actor is gone.
    pub(super) fn poll<E: Environment>(&mut self, environment: &mut E) -> bool {
        self.alarm.silence();
        let Some(future) = self.future.as_mut() else { return true };
        let running = Running { actor: self.port.actor(), command: self.port.step() };
        let result = catch_unwind(AssertUnwindSafe(|| {
            environment.poll(running, future.as_mut(), &mut Context::from_waker(&self.waker))
        }));
        let what = match result {
            Ok(Poll::Pending) => return false,
            Ok(Poll::Ready(())) => What::Ended,
            Err(panic) => What::Panicked(panic_text(&*panic)),
        };
        self.discard(environment.log(), what);
        true
    }

    /// Drops the actor with all that it holds. Its destructors may panic too.
    pub(super) fn discard(&mut self, log: &Log, what: What) {
        let by = self.running().by();
        log.record_as(by, what);
        let future = self.future.take();
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| drop(future))) {
            log.record_as(by, What::Panicked(panic_text(&*panic)));
        }
    }
}

/// The text of a panic, if it has one.
pub fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(ToString::to_string);
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "a panic without a text".into())
}
