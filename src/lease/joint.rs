//! The connection that all scopes of a test share.
//!
//! Owns the current turn, the loss of the test's isolation, and undoing what the last turn left. What one scope does in
//! its turn is in [`super::turns`].

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::{Mutex, OwnedMutexGuard};

use crate::bounded::{Bounded, InTransaction, RollBackTo};
use crate::error::Error;
use crate::health::Holder;
use crate::source::{Connection, ConnectionError, Control, Settings, Source, TaskId};
use crate::sync::{Held, Lockable, Shared};

/// The savepoint that stands for a joined scope's transaction; savepoints of its own count from 1.
pub(super) const JOINED: u32 = 0;

/// The connection that all scopes of a test share.
pub(crate) struct Joint<S: Source> {
    /// The test, for messages.
    test: Holder,
    core: Arc<Mutex<Core<S>>>,
    /// The scope whose turn it is, for the messages of waiting scopes.
    turn: Shared<Option<Turn>>,
    /// Why the test is no longer isolated.
    lost: Shared<Option<String>>,
    /// The test has ended.
    ended: AtomicBool,
    /// Gives up a connection with whatever is open on it.
    give_up: Box<dyn Fn(S::Lease) + Send + Sync>,
}

/// The connection, while it is one scope's turn.
pub(super) type CoreGuard<S> = Held<OwnedMutexGuard<Core<S>>, Arc<Joint<S>>>;

impl<S: Source> Lockable for Arc<Joint<S>> {
    fn left(&self) {
        self.give_up_if_ended();
    }
}

/// The part that only the scope whose turn it is can reach.
pub(crate) struct Core<S: Source> {
    /// None after the connection was discarded or given back.
    lease: Option<S::Lease>,
    /// The last turn may have left a transaction.
    unclean: bool,
    /// A call was cancelled on the connection: its running statement has to be stopped, or drained.
    in_doubt: Option<InDoubt>,
    /// The number of the scope that may have left something on the connection that no rollback undoes.
    residue_of: Option<u64>,
    /// The number of the scope whose settings are in force.
    configured_for: Option<u64>,
}

/// Whose turn it is.
#[derive(Clone, Debug)]
pub(super) struct Turn {
    pub(super) scope: Holder,
    pub(super) operation: &'static str,
    pub(super) since: Duration,
    pub(super) task: TaskId,
}

/// What may be running on the connection after a cancelled call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum InDoubt {
    /// A statement of the application's, inside a savepoint: it is stopped.
    Statement,
    /// Something of the library's, which is quick: it is drained. Stopped, it could leave the test's transaction aborted with
    /// no savepoint to go back to.
    Control,
}

impl<S: Source> Joint<S> {
    /// Over a connection on which the test's transaction is open.
    pub(crate) fn new(test: Holder, lease: S::Lease, give_up: impl Fn(S::Lease) + Send + Sync + 'static) -> Self {
        let core = Core { lease: Some(lease), unclean: false, in_doubt: None, residue_of: None, configured_for: None };
        Self {
            test,
            core: Arc::new(Mutex::new(core)),
            turn: Shared::default(),
            lost: Shared::default(),
            ended: AtomicBool::new(false),
            give_up: Box::new(give_up),
        }
    }

    pub(crate) fn test(&self) -> &Holder {
        &self.test
    }

    /// The test's isolation is lost: nothing runs on its connection any more. The first reason counts.
    pub(crate) fn lose(&self, why: &str) {
        self.close(why);
        tracing::error!(test = %self.test, why, "a test's isolation is lost");
    }

    /// Nothing runs on its connection any more.
    pub(crate) fn close(&self, why: &str) {
        self.lost.with(|lost| lost.get_or_insert_with(|| why.to_owned()).len());
    }

    pub(crate) fn lost(&self) -> Option<String> {
        self.lost.with(|lost| lost.clone())
    }

    pub(crate) fn refuse_lost(&self) -> Result<(), Error> {
        match self.lost() {
            Some(why) => Err(Error::IsolationLost { test: self.test.name.clone(), why }),
            None => Ok(()),
        }
    }

    /// The test ends, and takes its connection back if it is nobody's turn; otherwise whoever has it or waits for it gives it up.
    pub(crate) fn end(&self) -> Option<OwnedMutexGuard<Core<S>>> {
        self.ended.store(true, Ordering::SeqCst);
        Arc::clone(&self.core).try_lock_owned().ok()
    }

    /// Waits for the connection.
    pub(super) async fn core(self: &Arc<Self>) -> CoreGuard<S> {
        Held::wait(Arc::clone(self), Arc::clone(&self.core).lock_owned()).await
    }

    /// Gives up the connection of a test that has ended, unless somebody still has it.
    fn give_up_if_ended(&self) {
        if self.ended.load(Ordering::SeqCst)
            && let Ok(mut core) = self.core.try_lock()
            && let Some(lease) = core.take_lease()
        {
            (self.give_up)(lease);
        }
    }

    /// Whose turn it is.
    pub(super) fn turn(&self) -> Option<Turn> {
        self.turn.with(|turn| turn.clone())
    }

    pub(super) fn set_turn(&self, now: Option<Turn>) {
        self.turn.with(|turn| *turn = now);
    }

    /// Undoes what the last turn may have left.
    pub(super) async fn put_in_order(&self, core: &mut Core<S>, bounded: &Bounded<S>) {
        let in_doubt = core.in_doubt;
        let Some(lease) = core.lease.as_mut().filter(|_| core.unclean) else { return };
        let undone = bounded.within(bounded.policy().release_timeout, async {
            if let Some(in_doubt) = in_doubt {
                quiesce(bounded, lease, in_doubt).await?;
            }
            match bounded.ask(&mut **lease, RollBackTo(JOINED)).await? {
                true => Ok(true),
                // There was nothing to undo, or no transaction at all.
                false => bounded.ask(&mut **lease, InTransaction).await,
            }
        });
        match undone.await {
            Some(Ok(true)) => {
                core.unclean = false;
                core.in_doubt = None;
            }
            Some(Ok(false)) => self.lose("a cancelled call ended the test's own transaction"),
            Some(Err(failure)) => self.lose(&format!("what a scope had left could not be rolled back: {failure}")),
            None => self.lose("what a scope had left could not be rolled back in time"),
        }
    }

    /// Undoes what another scope may have left on the connection beside its work. What it has left itself, a scope goes on with.
    pub(super) async fn clean_for(&self, scope: u64, core: &mut Core<S>, bounded: &Bounded<S>) {
        let is_others = core.residue_of.is_some_and(|other| other != scope);
        let Some(lease) = core.lease.as_mut().filter(|_| is_others && !core.unclean) else { return };
        match bounded.in_time(bounded.policy().release_timeout, bounded.source().clean(lease)).await {
            Ok(()) => (core.residue_of, core.configured_for) = (None, None),
            Err(failure) => {
                self.lose(&format!("what a scope had left on its connection could not be undone: {failure}"))
            }
        }
    }

    /// Sets what is set for a scope, inside the test's transaction: the next scope finds nothing of it. What is refused changes
    /// nothing.
    pub(super) async fn configure(
        &self,
        scope: u64,
        settings: &Settings,
        core: &mut Core<S>,
        bounded: &Bounded<S>,
    ) -> Result<(), Error> {
        if settings.is_empty() || core.configured_for == Some(scope) {
            return Ok(());
        }
        if core.unclean {
            return Ok(());
        }
        core.residue_of = Some(scope);
        // Until it was answered.
        core.leave_unclean(Some(InDoubt::Control));
        let Some(lease) = core.lease.as_mut() else { return Ok(()) };
        let limit = bounded.policy().begin_timeout;
        let set = bounded.in_time(limit, async {
            lease.control(Control::Savepoint(JOINED)).await?;
            let set = lease.set(settings).await;
            let end = if set.is_ok() { Control::Release(JOINED) } else { Control::RollbackTo(JOINED) };
            lease.control(end).await.map(|()| set)
        });
        match set.await {
            Ok(set) => {
                (core.unclean, core.in_doubt) = (false, None);
                set?;
                core.configured_for = Some(scope);
                Ok(())
            }
            Err(failure) => {
                self.lose(&format!("the settings of a scope could not be set in it: {failure}"));
                self.refuse_lost()
            }
        }
    }
}

impl<S: Source> Core<S> {
    pub(crate) fn connection(&mut self) -> Option<&mut S::Connection> {
        self.lease.as_deref_mut()
    }

    pub(super) fn lease_mut(&mut self) -> Option<&mut S::Lease> {
        self.lease.as_mut()
    }

    /// Takes the connection out, to give it back or up.
    pub(crate) fn take_lease(&mut self) -> Option<S::Lease> {
        self.lease.take()
    }

    /// What a cancelled call may have left running.
    pub(crate) fn in_doubt(&self) -> Option<InDoubt> {
        self.in_doubt
    }

    /// This scope may have left something that no rollback undoes.
    pub(super) fn leave_residue(&mut self, scope: u64) {
        self.residue_of = Some(scope);
        self.configured_for = None;
    }

    /// The turn has left something to undo, and perhaps something that still runs.
    pub(super) fn leave_unclean(&mut self, in_doubt: Option<InDoubt>) {
        self.unclean = true;
        self.in_doubt = in_doubt.or(self.in_doubt);
    }
}

/// Stops what a cancelled call left running on a connection, or drains it: until the connection answers. The caller sets the
/// limit.
///
/// 1. The rest of the cancelled request is sent now, so the stop request is repeated if the server does not answer soon.
/// 2. The first answer may be the error of the cancelled call.
pub(crate) async fn quiesce<S: Source>(
    bounded: &Bounded<S>,
    lease: &mut S::Lease,
    in_doubt: InDoubt,
) -> Result<(), ConnectionError> {
    let mut silent = true;
    loop {
        if silent && in_doubt == InDoubt::Statement {
            bounded.source().interrupt(lease).await?;
        }
        match bounded.within(bounded.probe_limit(lease), lease.probe()).await {
            Some(Ok(())) => return Ok(()),
            Some(Err(failure)) if failure.class.is_loss() => {
                return Err(failure);
            }
            Some(Err(_)) => silent = false,
            None => silent = true,
        }
    }
}
