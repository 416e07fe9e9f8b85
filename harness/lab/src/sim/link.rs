//! One connection as the server sees it: what was sent on it, how much of that has arrived, and the answer for its caller.
//!
//! Owns the states of a connection and the queue of its requests, which are done one after the other. [`super::server`] decides
//! when the first of them runs and what a fault does to it. Pure: the time and the waker are passed in.

use std::task::Waker;
use std::time::Duration;

use super::request::{Refused, Request, Said};
use unstale_harness::history::By;

/// The command that some work belongs to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Origin {
    /// The command; what it spawned and left behind belongs to it as well.
    pub(super) by: Option<By>,
    /// It is done by the actor itself, not by a task that it left behind.
    pub(super) by_actor: bool,
}

/// The answer to a request; none if the connection is lost.
pub(super) type Answer = Result<Said, Option<Refused>>;

/// One connection.
#[derive(Debug)]
pub(super) struct Link {
    state: State,
    /// What was sent and has not been done.
    queue: Vec<Sent>,
    /// The number of the last request that has arrived.
    arrived: u64,
    answer: Option<(u64, Answer)>,
    /// Who waits for the answer.
    waker: Option<Waker>,
    stands_until: Duration,
    /// The command that it was last recorded to serve.
    served: Option<By>,
    /// The last thing on whose behalf it was used or closed.
    origin: Origin,
}

/// A request that was sent and has not been done.
#[derive(Debug)]
pub(super) struct Sent {
    pub(super) number: u64,
    pub(super) request: Request,
    pub(super) origin: Origin,
    /// Its time has been taken already.
    pub(super) took_time: bool,
    /// Nobody waits for its answer.
    pub(super) abandoned: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Up,
    /// It was cut; its other end has not been closed.
    Lost,
    /// Its caller has closed it.
    Closing,
    Closed,
}

impl Link {
    /// A connection on which nothing was sent.
    pub(super) fn new(origin: Origin) -> Self {
        Self {
            state: State::Up,
            queue: Vec::new(),
            arrived: 0,
            answer: None,
            waker: None,
            stands_until: Duration::ZERO,
            served: None,
            origin,
        }
    }

    /// The last thing on whose behalf it was used or closed.
    pub(super) fn origin(&self) -> Origin {
        self.origin
    }

    /// Whether requests can be sent.
    pub(super) fn is_up(&self) -> bool {
        self.state == State::Up
    }

    /// Whether requests can be sent and none is on its way.
    pub(super) fn is_idle(&self) -> bool {
        self.is_up() && self.queue.is_empty()
    }

    /// Whether its caller has closed it while something on it was not done.
    pub(super) fn is_closing(&self) -> bool {
        self.state == State::Closing
    }

    /// Whether both ends have closed it.
    pub(super) fn is_closed(&self) -> bool {
        self.state == State::Closed
    }

    /// Whether its caller has closed it and everything on it is done.
    pub(super) fn can_end(&self, now: Duration) -> bool {
        self.is_closing() && self.queue.is_empty() && self.stands_until <= now
    }

    /// The first request, whether or not it has arrived.
    pub(super) fn first(&self) -> Option<&Sent> {
        self.queue.first()
    }

    /// The same, to note what happens to it.
    pub(super) fn first_mut(&mut self) -> Option<&mut Sent> {
        self.queue.first_mut()
    }

    /// The first request, if it has arrived and the connection does not stand still.
    pub(super) fn arrived(&self, now: Duration) -> Option<&Sent> {
        self.first().filter(|sent| sent.number <= self.arrived && self.stands_until <= now)
    }

    /// Puts a request in the queue.
    pub(super) fn send(&mut self, number: u64, request: Request, origin: Origin) {
        self.origin = origin;
        self.queue.push(Sent { number, request, origin, took_time: false, abandoned: false });
    }

    /// Everything that was sent up to this request arrives.
    pub(super) fn arrive(&mut self, number: u64) {
        self.arrived = self.arrived.max(number);
    }

    /// Nobody waits for this request any more. Whether it is still on its way.
    pub(super) fn abandon(&mut self, number: u64) -> bool {
        self.waker = None;
        self.answer = None;
        let Some(sent) = self.queue.iter_mut().find(|sent| sent.number == number) else { return false };
        sent.abandoned = true;
        self.arrived < number
    }

    /// The first request is done with this answer. Whether anybody waits for it.
    pub(super) fn finish_first(&mut self, answer: Result<Said, Refused>) -> bool {
        let sent = self.queue.remove(0);
        if !sent.abandoned {
            self.answer = Some((sent.number, answer.map_err(Some)));
        }
        !sent.abandoned
    }

    /// Takes the answer to a request; none if it is not there yet.
    pub(super) fn take_answer(&mut self, number: u64, now: Duration) -> Option<Answer> {
        if self.holds_answer(number, now) {
            return self.answer.take().map(|(_, answer)| answer);
        }
        (!self.is_up()).then_some(Err(None))
    }

    /// Whether there is an answer to take.
    pub(super) fn has_answer(&self, number: u64, now: Duration) -> bool {
        !self.is_up() || self.holds_answer(number, now)
    }

    /// Whether an answer, to whichever request, can be taken now.
    pub(super) fn holds_any_answer(&self, now: Duration) -> bool {
        self.stands_until <= now && self.answer.is_some()
    }

    fn holds_answer(&self, number: u64, now: Duration) -> bool {
        self.stands_until <= now && self.answer.as_ref().is_some_and(|(answered, _)| *answered == number)
    }

    /// Wakes this one when the answer is there.
    pub(super) fn wait(&mut self, waker: &Waker) {
        match &mut self.waker {
            Some(old) => old.clone_from(waker),
            none => *none = Some(waker.clone()),
        }
    }

    /// Wakes who waits for the answer.
    pub(super) fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    /// Nothing is done on it until then.
    pub(super) fn stand(&mut self, until: Duration) {
        self.stands_until = until;
    }

    /// Notes the command that it serves. Whether it is another one than before.
    pub(super) fn serve(&mut self, by: Option<By>) -> bool {
        std::mem::replace(&mut self.served, by) != by
    }

    /// Its caller closes it.
    pub(super) fn close(&mut self, origin: Origin) {
        self.origin = origin;
        self.waker = None;
        self.state = State::Closing;
    }

    /// It is cut: what was sent and not done never will be.
    pub(super) fn cut(&mut self) {
        self.state = State::Lost;
        self.queue.clear();
    }

    /// Both of its ends are closed.
    pub(super) fn end(&mut self) {
        self.state = State::Closed;
    }
}
