//! The difference between real time and virtual time.
//!
//! Owns the seam between the stage and its backend. The stage decides which actor goes on; an environment lets it go
//! on, reports whether it was woken, and runs everything beside the actors. It decides no turn.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use super::alarm::Alarm;
use crate::erased::Started;
use crate::history::{By, Log};
use crate::plan::{ActorId, Key, Step, Value};
use crate::port::Wire;

/// The actor that goes on, and its command; none before its first.
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

/// Why an actor stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// Its command has ended.
    Boundary,
    /// Its command is at a gate.
    Reply,
    /// It waits for another actor.
    Blocked,
    /// It has ended.
    Gone,
}

/// The backend and the clock of a plan.
pub trait Environment {
    /// Whether the plan alone decides with which poll a command ends. Elsewhere a driver's threads decide it, and the
    /// turn after a first half belongs to the rest of the command, even if there is none.
    const POLLS_ARE_DECIDED: bool;

    /// Whether a rest takes no real time, so that one more before the system is stopped costs nothing.
    const RESTS_ARE_FREE: bool;

    /// Returns the log of the plan.
    fn log(&self) -> &Log;

    /// Returns the wire of the next actor, where its requests are visible; called for the actors in their order.
    fn wire(&mut self, actor: ActorId) -> Option<Arc<Wire>>;

    /// Prepares for a command that is about to begin: arms its fault.
    ///
    /// # Cancel safety
    /// Not cancel safe: a fault may be left behind, and the plan is abandoned with it.
    fn begin_command(&mut self, by: By, step: &Step) -> impl Future<Output = ()>;

    /// Lets so much time pass for the system, as far as its runtime's clock shows it.
    ///
    /// # Cancel safety
    /// Not cancel safe: a clock could be left standing.
    fn pass(&mut self, time: Duration) -> impl Future<Output = ()>;

    /// Attributes what happens from here on to this actor's command, or to no command.
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

    /// Runs whatever could wake the actor; returns whether it was woken.
    ///
    /// # Cancel safety
    /// Cancel safe: it only waits.
    fn is_woken(&mut self, alarm: &Alarm) -> impl Future<Output = bool>;

    /// Whether a command that had to wait and was woken is at a gate. Where its requests are visible, only a reply is one.
    fn is_at_gate(&mut self, running: Running<'_>) -> bool {
        let _ = running;
        true
    }

    /// Runs the work that a stopped actor has left to tasks and threads.
    ///
    /// # Cancel safety
    /// Not cancel safe, as [`Environment::begin_command`].
    fn end_turn(&mut self, running: Running<'_>, stop: Stop) -> impl Future<Output = ()>;

    /// Restarts the time-out of waiting actors, because another actor made progress.
    fn got_on(&mut self) {}

    /// Lets time pass until a waiting actor is woken; returns false if none ever will be.
    ///
    /// # Cancel safety
    /// Not cancel safe: a clock could be left standing.
    fn await_any(&mut self, is_any_woken: &dyn Fn() -> bool) -> impl Future<Output = bool>;

    /// Waits for the end of background work, before the observers run.
    ///
    /// # Cancel safety
    /// Not cancel safe, as [`Environment::await_any`].
    fn rest(&mut self) -> impl Future<Output = ()>;

    /// As [`Environment::rest`], after a command has hung.
    ///
    /// # Cancel safety
    /// Not cancel safe, as [`Environment::await_any`].
    fn rest_after_hang(&mut self) -> impl Future<Output = ()>;

    /// Prepares for the end of the system: its connections close, and what lives by them alone is to be read afterwards.
    ///
    /// # Cancel safety
    /// Cancel safe.
    fn begin_end(&mut self) -> impl Future<Output = ()> {
        std::future::ready(())
    }

    /// Runs a future of the system to its end; returns none if it hangs.
    ///
    /// # Cancel safety
    /// Not cancel safe, as [`Environment::await_any`].
    fn run_to_end<T>(&mut self, future: impl Future<Output = T>) -> impl Future<Output = Option<T>>;

    /// Lets the connections of a stopped system close.
    ///
    /// # Cancel safety
    /// Not cancel safe, as [`Environment::await_any`].
    fn closed(&mut self) -> impl Future<Output = ()>;

    /// Drops the system, and reads all rows.
    ///
    /// # Errors
    /// The reason why the rows cannot be read.
    ///
    /// # Cancel safety
    /// Cancel safe: it only reads.
    fn final_state(
        &mut self,
        system: Box<dyn Started>,
        hung: bool,
    ) -> impl Future<Output = Result<BTreeMap<Key, Value>, String>>;
}
