//! What differs between real time and virtual time.
//!
//! Owns the seam between the stage and what it stands on. The stage decides who goes on; an environment lets them go on, says
//! whether they were woken, and lets everything beside the actors happen. It decides no turn.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use super::alarm::Alarm;
use crate::erased::Started;
use crate::history::{By, Log};
use crate::plan::{ActorId, Key, Step, Value};
use crate::port::Wire;

/// Who goes on, and with which command; none before its first.
#[derive(Clone, Copy, Debug)]
pub struct Running<'a> {
    /// The actor.
    pub actor: ActorId,
    /// The command that it was granted last.
    pub command: Option<(By, &'a Step)>,
}

impl Running<'_> {
    /// The name of the command.
    pub fn by(&self) -> Option<By> {
        self.command.map(|(by, _)| by)
    }
}

/// Why an actor stopped where it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// Its command has ended.
    Boundary,
    /// Its command is at a gate.
    Reply,
    /// It waits for somebody.
    Blocked,
    /// It has ended.
    Gone,
}

/// Where and by which clock a plan is played.
pub trait Environment {
    /// Whether the plan alone decides with which poll a command ends. Elsewhere that is up to a driver's threads, and the
    /// turn after a first half belongs to the rest of the command, whether or not there is a rest.
    const POLLS_ARE_DECIDED: bool;

    /// Whether a rest takes no real time, so that one more before the system is stopped costs nothing.
    const RESTS_ARE_FREE: bool;

    /// Where everything is recorded.
    fn log(&self) -> &Log;

    /// The wire of the next actor, where its requests can be seen; actors come in their order.
    fn wire(&mut self, actor: ActorId) -> Option<Arc<Wire>>;

    /// A command is about to begin: arms its fault.
    ///
    /// # Cancel safety
    /// Not cancel safe: a fault may be left behind, and the plan is given up with it.
    fn begin_command(&mut self, by: By, step: &Step) -> impl Future<Output = ()>;

    /// This actor goes on: what happens from here on belongs to its command. None: it belongs to nobody.
    ///
    /// # Cancel safety
    /// Not cancel safe, as [`Environment::begin_command`].
    fn enter(&mut self, running: Option<Running<'_>>) -> impl Future<Output = ()>;

    /// Polls the actor once.
    fn poll(
        &mut self,
        running: Running<'_>,
        future: Pin<&mut dyn Future<Output = ()>>,
        context: &mut Context<'_>,
    ) -> Poll<()>;

    /// Lets happen what could wake the actor; whether it was woken.
    ///
    /// # Cancel safety
    /// Cancel safe: it only waits.
    fn is_woken(&mut self, alarm: &Alarm) -> impl Future<Output = bool>;

    /// The actor has stopped: lets happen what it has left to others.
    ///
    /// # Cancel safety
    /// Not cancel safe, as [`Environment::begin_command`].
    fn end_turn(&mut self, running: Running<'_>, stop: Stop) -> impl Future<Output = ()>;

    /// Somebody got on who is not among those that wait: waiting begins anew.
    fn got_on(&mut self) {}

    /// Everybody who is left waits: lets time go by until one is woken; false if nobody ever will be.
    ///
    /// # Cancel safety
    /// Not cancel safe: a clock could be left standing.
    fn await_any(&mut self, is_any_woken: &dyn Fn() -> bool) -> impl Future<Output = bool>;

    /// Lets end what goes on beside the actors, before somebody looks whether everything is in order.
    ///
    /// # Cancel safety
    /// Not cancel safe, as [`Environment::await_any`].
    fn rest(&mut self) -> impl Future<Output = ()>;

    /// As [`Environment::rest`], after a command has hung.
    ///
    /// # Cancel safety
    /// Not cancel safe, as [`Environment::await_any`].
    fn rest_after_hang(&mut self) -> impl Future<Output = ()>;

    /// Runs a future of the system to its end; none if it has none.
    ///
    /// # Cancel safety
    /// Not cancel safe, as [`Environment::await_any`].
    fn run_to_end<T>(&mut self, future: impl Future<Output = T>) -> impl Future<Output = Option<T>>;

    /// The system has stopped: lets its connections close.
    ///
    /// # Cancel safety
    /// Not cancel safe, as [`Environment::await_any`].
    fn closed(&mut self) -> impl Future<Output = ()>;

    /// Takes the system away, and reads all rows.
    ///
    /// # Errors
    /// Why they cannot be read.
    ///
    /// # Cancel safety
    /// Cancel safe: it only reads.
    fn final_state(
        &mut self,
        system: Box<dyn Started>,
        hung: bool,
    ) -> impl Future<Output = Result<BTreeMap<Key, Value>, String>>;
}
