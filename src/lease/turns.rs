//! One scope's turns on the connection of a test.
//!
//! Owns how a joined scope's transactions run on the shared connection: as savepoints inside the test's own
//! transaction. The current turn, and what the last one left, are in [`super::joint`].

use std::sync::Arc;
use std::time::Duration;

use super::joint::{CoreGuard, InDoubt, JOINED, Joint, Turn, quiesce};
use crate::bounded::Bounded;
use crate::error::{Error, TurnTimedOut};
use crate::health::Holder;
use crate::source::{Connection, ConnectionError, Control, ErrorClass, Settings, Source};

/// One scope's turns.
pub(crate) struct Turns<S: Source> {
    joint: Arc<Joint<S>>,
    scope: Holder,
    settings: Settings,
    core: Option<CoreGuard<S>>,
    begun: Begun,
}

/// The state that a scope leaves when its turn ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Left {
    Nothing,
    /// It may be in a transaction.
    Transaction,
    /// A call was cancelled and has not been settled.
    InDoubt,
}

/// Whether the savepoint that stands for the transaction is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Begun {
    No,
    Yes,
    /// The statement that sets or ends it was sent and not confirmed.
    Unsure,
}

impl<S: Source> Turns<S> {
    /// Creates the turns of this scope; its first call takes the first one.
    pub(crate) fn on(joint: Arc<Joint<S>>, scope: Holder, settings: Settings) -> Self {
        Self { joint, scope, settings, core: None, begun: Begun::No }
    }

    /// Waits for a turn, unless the scope has it already, and cleans up after the last one.
    pub(super) async fn take(&mut self, bounded: &Bounded<S>, operation: &'static str) -> Result<(), Error> {
        if self.core.is_none() {
            self.joint.refuse_lost()?;
            let source = bounded.source();
            let began = source.now();
            let Some(mut core) = bounded.within(bounded.policy().acquire_timeout, self.joint.core()).await else {
                return Err(self.waited_too_long(source, operation, began));
            };
            self.joint.put_in_order(&mut core, bounded).await;
            self.joint.clean_for(self.scope.id, &mut core, bounded).await;
            self.joint.configure(self.scope.id, &self.settings, &mut core, bounded).await?;
            let turn = Turn { scope: self.scope.clone(), operation, since: source.now(), task: source.task() };
            self.joint.set_turn(Some(turn));
            self.core = Some(core);
        }
        self.joint.refuse_lost()
    }

    /// Ends the turn, so that other scopes can take theirs.
    pub(crate) fn rest(&mut self, left: Left) {
        let Some(mut core) = self.core.take() else { return };
        self.joint.set_turn(None);
        if left != Left::Nothing || self.begun != Begun::No {
            let unanswered = left == Left::InDoubt || self.begun == Begun::Unsure;
            core.leave_unclean((!S::Connection::ORDERED && unanswered).then(|| self.in_doubt()));
        }
        self.begun = Begun::No;
        if left == Left::InDoubt && !S::Connection::ORDERED && !S::Connection::INTERRUPTIBLE {
            let why = format!("a call of scope {} was cancelled, and this database cannot say what it did", self.scope);
            self.joint.lose(&why);
        }
    }

    /// What may be running, if a call was cancelled now.
    fn in_doubt(&self) -> InDoubt {
        if self.begun == Begun::Yes { InDoubt::Statement } else { InDoubt::Control }
    }

    /// A statement of this turn may leave something on the connection that no rollback undoes.
    pub(super) fn leave_residue(&mut self) {
        if let Some(core) = &mut self.core {
            core.leave_residue(self.scope.id);
        }
    }

    /// Whether the savepoint that stands for the transaction may be set.
    pub(super) fn has_begun(&self) -> bool {
        self.begun != Begun::No
    }

    /// Gives a statement outside of a transaction a savepoint of its own, if its refusal would abort the test's
    /// transaction.
    pub(super) async fn guard(&mut self, bounded: &Bounded<S>) -> Result<(), Error> {
        let limit = bounded.policy().begin_timeout;
        let set = bounded.in_time(limit, self.outermost(Control::Savepoint(JOINED), Begun::Yes));
        if let Err(failure) = set.await {
            self.joint.lose(&format!("a savepoint could not be set in it: {failure}"));
        }
        self.joint.refuse_lost()
    }

    /// Stops what a cancelled call left running, or drains it, so that the connection can be asked.
    pub(super) async fn quiesce(&mut self, bounded: &Bounded<S>) -> Result<(), ConnectionError> {
        let in_doubt = self.in_doubt();
        let lease = self.core.as_mut().and_then(|core| core.lease_mut()).ok_or_else(gone)?;
        quiesce(bounded, lease, in_doubt).await
    }

    fn waited_too_long(&self, source: &S, operation: &'static str, began: Duration) -> Error {
        let now = source.now();
        let turn = self.joint.turn();
        Error::TurnTimedOut(Box::new(TurnTimedOut {
            test: self.joint.test().clone(),
            scope: self.scope.clone(),
            operation,
            waited: now.saturating_sub(began),
            own_task: turn.as_ref().is_some_and(|turn| turn.task == source.task()),
            holder: turn.map(|turn| (turn.scope, turn.operation, now.saturating_sub(turn.since))),
        }))
    }

    /// The connection, while it is this scope's turn.
    pub(super) fn connection(&mut self) -> Option<&mut S::Connection> {
        self.core.as_mut()?.connection()
    }

    pub(super) async fn control(&mut self, control: Control) -> Result<(), ConnectionError> {
        match control {
            Control::Begin(_) | Control::CleanBegin(_) => self.outermost(Control::Savepoint(JOINED), Begun::Yes).await,
            Control::Commit | Control::CommitUnlessFailed => self.outermost(Control::Release(JOINED), Begun::No).await,
            Control::Rollback if self.begun == Begun::No => Ok(()),
            Control::Rollback => self.outermost(Control::RollbackTo(JOINED), Begun::No).await,
            // A joined transaction ignores the read-only option, so nothing was set.
            Control::Reset | Control::Clean => Ok(()),
            control => self.connection().ok_or_else(gone)?.control(control).await,
        }
    }

    pub(super) async fn in_transaction(&mut self) -> Result<bool, ConnectionError> {
        match self.begun {
            Begun::No => self.test_in_transaction().await.map(|_| false),
            Begun::Yes => self.test_in_transaction().await,
            // No database lists its savepoints. A rollback follows an unanswered begin or end in any case, so the
            // rollback serves as the question.
            Begun::Unsure => {
                let there = self.connection().ok_or_else(gone)?.roll_back_to(JOINED).await?;
                self.begun = Begun::No;
                if there { Ok(true) } else { self.test_in_transaction().await.map(|_| false) }
            }
        }
    }

    /// Sends the statement that sets or ends the savepoint that stands for the transaction.
    async fn outermost(&mut self, control: Control, after: Begun) -> Result<(), ConnectionError> {
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

    async fn test_in_transaction(&mut self) -> Result<bool, ConnectionError> {
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
        // Its scope ended, perhaps in a transaction: the next turn begins with a rollback.
        self.rest(Left::Transaction);
    }
}

/// The test's connection was given up.
pub(super) fn gone() -> ConnectionError {
    ConnectionError::new(ErrorClass::Disconnected, "the test's connection is gone")
}
