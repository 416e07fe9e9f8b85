//! What a session works on: a connection of its own, or turns on the one that all scopes of a test share.
//!
//! Owns what a joined scope's transactions come to on the shared connection: savepoints inside the test's own transaction.
//! Who lends and takes back is in [`crate::sessions`], the test's side in [`crate::testing`].

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, OwnedMutexGuard};

use crate::error::{Error, TurnTimedOut};
use crate::health::Holder;
use crate::sessions::{Inner, in_transaction, roll_back_to};
use crate::source::{Class, Connection, Control, Failure, Source, TaskId};
use crate::sync::Shared;

/// The savepoint that stands for a joined scope's transaction; savepoints of its own count from 1.
const JOINED: u32 = 0;

/// What a session works on.
pub(crate) enum Lease<S: Source> {
    /// A connection of its own.
    Own(S::Lease),
    /// Turns on a shared one.
    Turns(Turns<S>),
}

/// The connection that all scopes of a test share.
pub(crate) struct Joint<S: Source> {
    /// The test, for messages.
    pub(crate) test: Holder,
    core: Arc<Mutex<Core<S>>>,
    /// Who has the turn, for whoever waits.
    turn: Shared<Option<Turn>>,
    /// Why the test is not isolated any more.
    lost: Shared<Option<String>>,
}

/// What only the one who has the turn can reach.
pub(crate) struct Core<S: Source> {
    /// None once it was given up, or back.
    pub(crate) lease: Option<S::Lease>,
    /// Whoever had it last may have left a transaction.
    unclean: bool,
    /// A call was cut off on it: what it left running has to be stopped, or heard out.
    pub(crate) doubt: Option<Doubt>,
}

#[derive(Clone, Debug)]
struct Turn {
    scope: Holder,
    operation: &'static str,
    since: Duration,
    task: TaskId,
}

/// One scope's turns.
pub(crate) struct Turns<S: Source> {
    joint: Arc<Joint<S>>,
    scope: Holder,
    core: Option<OwnedMutexGuard<Core<S>>>,
    begun: Begun,
}

/// What a scope leaves when its turn ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Left {
    Nothing,
    /// It may be in a transaction.
    Transaction,
    /// A call was cut off and has not been settled.
    Doubt,
}

/// What was cut off on the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Doubt {
    /// A statement of the application's, inside a savepoint: it is stopped.
    Statement,
    /// Something of the library's, which is quick: it is heard out. Stopped, it could leave the test's transaction aborted with
    /// no savepoint to go back to.
    Control,
}

/// Whether the savepoint that stands for the transaction is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Begun {
    No,
    Yes,
    /// What sets or ends it was sent and not answered with yes.
    Unsure,
}

impl<S: Source> Joint<S> {
    /// Over a connection on which the test's transaction is open.
    pub(crate) fn new(test: Holder, lease: S::Lease) -> Self {
        let core = Core { lease: Some(lease), unclean: false, doubt: None };
        Self { test, core: Arc::new(Mutex::new(core)), turn: Shared::default(), lost: Shared::default() }
    }

    /// Turns for this scope.
    pub(crate) fn turns(self: &Arc<Self>, scope: Holder) -> Turns<S> {
        Turns { joint: Arc::clone(self), scope, core: None, begun: Begun::No }
    }

    /// The test's isolation is lost: nothing runs on its connection any more. The first reason counts.
    pub(crate) fn lose(&self, why: &str) {
        self.close(why);
        tracing::error!(test = %self.test, why, "a test's isolation is lost");
    }

    /// Nothing runs on its connection any more.
    pub(crate) fn close(&self, why: &str) {
        self.lost.with(|it| it.get_or_insert_with(|| why.to_owned()).len());
    }

    pub(crate) fn lost(&self) -> Option<String> {
        self.lost.with(|it| it.clone())
    }

    fn refuse_lost(&self) -> Result<(), Error> {
        match self.lost() {
            Some(why) => Err(Error::IsolationLost { test: self.test.name.clone(), why }),
            None => Ok(()),
        }
    }

    /// The connection, if nobody has the turn.
    pub(crate) fn try_core(&self) -> Option<OwnedMutexGuard<Core<S>>> {
        Arc::clone(&self.core).try_lock_owned().ok()
    }
}

impl<S: Source> Turns<S> {
    /// Waits for a turn, unless this is one already, and puts in order what the last one left.
    pub(crate) async fn take(&mut self, inner: &Inner<S>, operation: &'static str) -> Result<(), Error> {
        if self.core.is_none() {
            self.joint.refuse_lost()?;
            let began = inner.source.now();
            let waiting = Arc::clone(&self.joint.core).lock_owned();
            let Some(mut core) = inner.within(inner.policy.acquire_timeout, waiting).await else {
                return Err(self.waited_too_long(inner, operation, began));
            };
            if core.unclean {
                clean(&mut core, &self.joint, inner).await;
            }
            let turn =
                Turn { scope: self.scope.clone(), operation, since: inner.source.now(), task: inner.source.task() };
            self.joint.turn.with(|it| *it = Some(turn));
            self.core = Some(core);
        }
        self.joint.refuse_lost()
    }

    /// Lets others have their turn.
    fn rest(&mut self, left: Left) {
        let Some(mut core) = self.core.take() else { return };
        self.joint.turn.with(|it| *it = None);
        core.unclean |= left != Left::Nothing || self.begun != Begun::No;
        if !S::Connection::ORDERED && (left == Left::Doubt || self.begun == Begun::Unsure) {
            core.doubt = Some(self.doubt());
        }
        self.begun = Begun::No;
        if left == Left::Doubt && !S::Connection::ORDERED && !S::Connection::INTERRUPTIBLE {
            let why = format!("a call of scope {} was cut off, and what it did cannot be asked here", self.scope);
            self.joint.lose(&why);
        }
    }

    /// What may be running, if a call was cut off now.
    fn doubt(&self) -> Doubt {
        if self.begun == Begun::Yes { Doubt::Statement } else { Doubt::Control }
    }

    /// Gives a statement outside of a transaction a savepoint of its own, if it would spoil the test's transaction when it is
    /// refused.
    async fn guard(&mut self, inner: &Inner<S>) -> Result<(), Error> {
        let set = inner.in_time(inner.policy.begin_timeout, self.outermost(Control::Savepoint(JOINED), Begun::Yes));
        if let Err(failure) = set.await {
            self.joint.lose(&format!("a savepoint could not be set in it: {failure}"));
        }
        self.joint.refuse_lost()
    }

    fn waited_too_long(&self, inner: &Inner<S>, operation: &'static str, began: Duration) -> Error {
        let now = inner.source.now();
        let turn = self.joint.turn.with(|it| it.clone());
        Error::TurnTimedOut(Box::new(TurnTimedOut {
            test: self.joint.test.clone(),
            scope: self.scope.clone(),
            operation,
            waited: now.saturating_sub(began),
            own_task: turn.as_ref().is_some_and(|it| it.task == inner.source.task()),
            holder: turn.map(|it| (it.scope, it.operation, now.saturating_sub(it.since))),
        }))
    }

    fn connection(&mut self) -> Option<&mut S::Connection> {
        self.core.as_mut()?.lease.as_deref_mut()
    }

    /// Sends what sets or ends the savepoint that stands for the transaction.
    async fn outermost(&mut self, control: Control, after: Begun) -> Result<(), Failure> {
        self.begun = Begun::Unsure;
        let done = match self.connection() {
            Some(connection) => connection.control(control).await,
            None => Err(gone()),
        };
        if done.is_ok() {
            self.begun = after;
        }
        done
    }

    async fn test_in_transaction(&mut self) -> Result<bool, Failure> {
        let open = match self.connection() {
            Some(connection) => connection.in_transaction().await?,
            None => return Err(gone()),
        };
        if !open {
            let why = format!("a statement of scope {} ended the test's own transaction", self.scope);
            self.joint.lose(&why);
        }
        Ok(open)
    }
}

impl<S: Source> Drop for Turns<S> {
    fn drop(&mut self) {
        // Its scope ended, perhaps in a transaction: who comes next rolls it back.
        self.rest(Left::Transaction);
    }
}

/// Stops what was cut off on a connection, or hears it out: until it answers. Its caller sets the limit.
///
/// 1. What had not been sent when it was cut off is sent now, so the server is told again when it does not answer soon.
/// 2. What it answers first may be the error of what was cut off.
pub(crate) async fn quiesce<S: Source>(inner: &Inner<S>, lease: &mut S::Lease, doubt: Doubt) -> Result<(), Failure> {
    let mut silent = true;
    loop {
        if silent && doubt == Doubt::Statement {
            inner.source.interrupt(lease).await?;
        }
        match inner.within(inner.policy.probe_timeout, lease.probe()).await {
            Some(Ok(())) => return Ok(()),
            Some(Err(failure)) if matches!(failure.class, Class::Dead | Class::Unknown) => return Err(failure),
            Some(Err(_)) => silent = false,
            None => silent = true,
        }
    }
}

/// Undoes what the last turn may have left.
async fn clean<S: Source>(core: &mut Core<S>, joint: &Joint<S>, inner: &Inner<S>) {
    let Some(lease) = &mut core.lease else { return };
    let (attempts, doubt) = (inner.policy.attempts_max, core.doubt);
    let undone = inner.within(inner.policy.release_timeout, async {
        if let Some(doubt) = doubt {
            quiesce(inner, lease, doubt).await?;
        }
        match roll_back_to(&mut **lease, JOINED, attempts).await? {
            true => Ok(true),
            // There was nothing to undo, or no transaction at all.
            false => in_transaction(&mut **lease, attempts).await,
        }
    });
    match undone.await {
        Some(Ok(true)) => {
            core.unclean = false;
            core.doubt = None;
        }
        Some(Ok(false)) => joint.lose("a call that was cut off ended the test's own transaction"),
        Some(Err(failure)) => joint.lose(&format!("what a scope had left could not be rolled back: {failure}")),
        None => joint.lose("what a scope had left could not be rolled back in time"),
    }
}

fn gone() -> Failure {
    Failure::new(Class::Dead, "the test's connection is gone")
}

impl<S: Source> Lease<S> {
    /// The connection, for a call that has its turn.
    pub(crate) fn connection(&mut self) -> Option<&mut S::Connection> {
        match self {
            Self::Own(lease) => Some(lease),
            Self::Turns(turns) => turns.connection(),
        }
    }

    /// Waits for a turn, where there are several who share; `alone` if it is for one statement outside of a transaction.
    pub(crate) async fn take_turn(
        &mut self,
        inner: &Inner<S>,
        operation: &'static str,
        alone: bool,
    ) -> Result<(), Error> {
        let Self::Turns(turns) = self else { return Ok(()) };
        turns.take(inner, operation).await?;
        if alone && S::Connection::ABORTS { turns.guard(inner).await } else { Ok(()) }
    }

    /// Whether a statement outside of a transaction has a savepoint of its own.
    pub(crate) fn is_guarded(&self) -> bool {
        matches!(self, Self::Turns(turns) if S::Connection::ABORTS && turns.begun != Begun::No)
    }

    /// Stops what was cut off on a connection that is shared, or hears it out, so that it can be asked.
    pub(crate) async fn quiesce(&mut self, inner: &Inner<S>) -> Result<(), Failure> {
        let Self::Turns(turns) = self else { return Ok(()) };
        if S::Connection::ORDERED {
            return Ok(());
        }
        let doubt = turns.doubt();
        let lease = turns.core.as_mut().and_then(|it| it.lease.as_mut()).ok_or_else(gone)?;
        quiesce(inner, lease, doubt).await
    }

    /// The next call may be somebody else's.
    pub(crate) fn rest(&mut self, left: Left) {
        if let Self::Turns(turns) = self {
            turns.rest(left);
        }
    }
}

impl<S: Source> Connection for Lease<S> {
    const ORDERED: bool = S::Connection::ORDERED;
    const BEGIN_PROBES: bool = S::Connection::BEGIN_PROBES;
    const CLEANS: bool = S::Connection::CLEANS;
    const ABORTS: bool = S::Connection::ABORTS;
    const INTERRUPTIBLE: bool = S::Connection::INTERRUPTIBLE;

    async fn control(&mut self, control: Control) -> Result<(), Failure> {
        let turns = match self {
            Self::Own(lease) => return lease.control(control).await,
            Self::Turns(turns) => turns,
        };
        match control {
            Control::Begin(_) | Control::CleanBegin(_) => turns.outermost(Control::Savepoint(JOINED), Begun::Yes).await,
            Control::Commit | Control::CommitUnlessFailed => turns.outermost(Control::Release(JOINED), Begun::No).await,
            Control::Rollback if turns.begun == Begun::No => Ok(()),
            Control::Rollback => turns.outermost(Control::RollbackTo(JOINED), Begun::No).await,
            // Whether a joined transaction is read-only is not shown, so nothing was set.
            Control::Reset | Control::Clean => Ok(()),
            control => turns.connection().ok_or_else(gone)?.control(control).await,
        }
    }

    async fn in_transaction(&mut self) -> Result<bool, Failure> {
        let turns = match self {
            Self::Own(lease) => return lease.in_transaction().await,
            Self::Turns(turns) => turns,
        };
        match turns.begun {
            Begun::No => turns.test_in_transaction().await.map(|_| false),
            Begun::Yes => turns.test_in_transaction().await,
            // No database says which savepoints there are. Whoever asks after an unanswered begin or end rolls back in any
            // case, so the rollback is the question.
            Begun::Unsure => {
                let there = turns.connection().ok_or_else(gone)?.roll_back_to(JOINED).await?;
                turns.begun = Begun::No;
                if there { Ok(true) } else { turns.test_in_transaction().await.map(|_| false) }
            }
        }
    }

    async fn probe(&mut self) -> Result<(), Failure> {
        self.connection().ok_or_else(gone)?.probe().await
    }
}
