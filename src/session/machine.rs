//! One session: a connection lent to one scope, with its transaction state.
//!
//! Owns the state and its only writer, [`Session::transition`]. `lender` and `call` tell it what happened and do what
//! follows. Not here: waiting, retrying, talking to a connection.

use super::state::{AfterLoss, Call, Happened, Loss, State, TransactionId};
use crate::source::{Begin, Condition, Effect, ErrorClass};

/// A session's state, its connection, and the residue on it.
#[derive(Debug)]
pub(crate) struct Session<L> {
    state: State,
    /// The connection. None in [`State::Empty`], and in [`State::Failed`] after it was discarded.
    lease: Option<L>,
    /// How often a connection was lent to the scope.
    generation: u64,
    /// How the outermost transaction was begun.
    begun: Begin,
    /// The scope has ended a transaction of its own.
    has_ended_one: bool,
    /// The scope's settings were set on the connection since it was lent.
    configured: bool,
    /// A caller has had the connection itself since it was lent.
    was_lent_out: bool,
    /// A statement may have changed them since.
    unsettled: bool,
    /// The begin may have set something on the connection itself, and that was not undone since.
    owes_reset: bool,
    /// The strongest of what statements have left on the connection.
    left: Effect,
    /// The same, of statements that have ended: what one leaves during which the connection was lost, nobody was told of.
    left_by_ended: Effect,
    /// The same, before the transaction that is open.
    left_before: Effect,
    /// What has to be done with the connection before it is used.
    condition: Condition,
    /// Something was answered on the connection since it was lent.
    touched: bool,
    /// The database was asked whether a transaction is open, and has not answered. The question may begin one, so a later
    /// answer proves nothing if this question is cancelled.
    asking: bool,
    /// By which the transaction can be found after a commit whose answer is missing.
    transaction: Option<TransactionId>,
    /// Why a statement inside the open transaction failed, the last one that did: whether the transaction has to be asked about.
    last_failure: Option<ErrorClass>,
    /// The same, if nothing else has happened in it since: whether the transaction is retried. What its owner decides after
    /// another call, or after giving one up, is the owner's own.
    just_failed: Option<ErrorClass>,
}

impl<L> Session<L> {
    pub(crate) fn new() -> Self {
        Self {
            state: State::Empty,
            lease: None,
            generation: 0,
            begun: Begin::default(),
            has_ended_one: false,
            configured: false,
            was_lent_out: false,
            unsettled: false,
            owes_reset: false,
            left: Effect::Nothing,
            left_by_ended: Effect::Nothing,
            left_before: Effect::Nothing,
            condition: Condition::Good,
            touched: false,
            asking: false,
            transaction: None,
            last_failure: None,
            just_failed: None,
        }
    }

    pub(crate) fn state(&self) -> &State {
        &self.state
    }

    pub(crate) fn generation(&self) -> u64 {
        self.generation
    }

    pub(crate) fn begun(&self) -> Begin {
        self.begun
    }

    /// Whether a begin may have set something on the connection itself that is still to be undone.
    pub(crate) fn owes_reset(&self) -> bool {
        self.owes_reset
    }

    /// Records that the connection has answered: what a begin has set on it is undone.
    pub(crate) fn was_reset(&mut self) {
        self.owes_reset = false;
    }

    /// The strongest of what statements have left on the connection.
    pub(crate) fn left(&self) -> Effect {
        self.left
    }

    /// Records what a statement leaves on the connection.
    pub(crate) fn leave(&mut self, effect: Effect) {
        self.unsettled |= self.configured && effect > Effect::Nothing;
        self.left = self.left.max(effect);
    }

    /// Whether the scope has ended a transaction of its own, so that something may be kept, whatever becomes of the next one.
    pub(crate) fn has_ended_one(&self) -> bool {
        self.has_ended_one
    }

    /// Whether the connection has to be cleaned for its next borrower, whatever its statements have left: the scope's settings were
    /// set on it, or its caller has had it.
    pub(crate) fn owes_cleaning(&self) -> bool {
        self.configured || self.was_lent_out
    }

    /// Records that the caller has the connection itself.
    pub(crate) fn lent_out(&mut self) {
        self.was_lent_out = true;
    }

    /// Whether a statement may have changed the scope's settings since.
    pub(crate) fn is_unsettled(&self) -> bool {
        self.unsettled
    }

    /// Records that the scope's settings are set.
    pub(crate) fn was_configured(&mut self) {
        (self.configured, self.unsettled) = (true, false);
    }

    /// What has to be done with the connection before it is used.
    pub(crate) fn condition(&self) -> Condition {
        self.condition
    }

    /// Records that the connection is fit for use.
    pub(crate) fn made_fit(&mut self) {
        self.condition = Condition::Good;
    }

    /// Whether the connection has answered nothing since it was lent, so that it can be replaced unnoticed.
    pub(crate) fn is_untouched(&self) -> bool {
        !self.touched
    }

    /// Records that a question about the transaction is sent; returns whether every earlier one was answered.
    pub(crate) fn ask(&mut self) -> bool {
        !std::mem::replace(&mut self.asking, true)
    }

    /// Records that the question was answered.
    pub(crate) fn answered(&mut self) {
        self.asking = false;
    }

    pub(crate) fn last_failure(&self) -> Option<ErrorClass> {
        self.last_failure
    }

    /// Records that a statement in the transaction may have been refused: its commit is not to be answered as one, if it was.
    pub(crate) fn may_have_failed(&mut self) {
        self.last_failure = Some(ErrorClass::Rejected);
    }

    pub(crate) fn just_failed(&self) -> Option<ErrorClass> {
        self.just_failed
    }

    /// By which the transaction can be found after a commit whose answer is missing.
    pub(crate) fn transaction(&self) -> Option<TransactionId> {
        self.transaction
    }

    /// Records that the transaction was begun, and the id by which it can be looked up.
    pub(crate) fn begun_as(&mut self, transaction: TransactionId) {
        self.transaction = Some(transaction);
    }

    /// Returns the connection, for the call that was just entered.
    pub(crate) fn lease_mut(&mut self) -> Option<&mut L> {
        self.lease.as_mut()
    }

    /// Takes the connection out, to give it back or to discard it.
    pub(crate) fn take_lease(&mut self) -> Option<L> {
        self.lease.take()
    }

    /// Records that a connection was lent: the next generation begins.
    pub(crate) fn lend(&mut self, lease: L, condition: Condition) {
        self.lease = Some(lease);
        self.condition = condition;
        self.transition(Happened::Lent);
    }

    /// Returns the loss that the caller has to acknowledge before it can go on.
    pub(crate) fn failed(&self) -> Option<&Loss> {
        match &self.state {
            State::Failed { why, .. } => Some(why),
            _ => None,
        }
    }

    /// Returns the depth that the caller sees.
    pub(crate) fn depth(&self) -> u32 {
        match self.state {
            State::Open { depth }
            | State::Calling { depth, .. }
            | State::InDoubt { depth, .. }
            | State::Failed { depth, .. } => depth,
            State::Empty | State::Ready | State::Lost { .. } | State::Ended => 0,
        }
    }

    /// The only writer of the state.
    ///
    /// # Panics
    /// If the event cannot happen in this state: the scope has a defect, and going on could lose work.
    pub(crate) fn transition(&mut self, happened: Happened) {
        let before = std::mem::replace(&mut self.state, State::Ended);
        self.note(&before, &happened);
        self.state = match (before, happened) {
            (State::Empty, Happened::Lent) => State::Ready,
            (State::Ready, Happened::Called(call)) => State::Calling { call, depth: 0 },
            (State::Open { depth }, Happened::Called(call)) => State::Calling { call, depth },

            (State::Calling { call, depth }, Happened::Succeeded) => standing(match call {
                Call::Statement => depth,
                Call::Begin(_) => depth + 1,
                Call::Commit | Call::Rollback => depth - 1,
            }),
            (State::Calling { depth, .. }, Happened::NotKept(_)) => standing(depth - 1),
            (State::Calling { depth, .. }, Happened::Refused(_)) => standing(depth),
            (State::Calling { depth: 0, .. } | State::Ready, Happened::Unused) => State::Empty,
            (State::Calling { depth, .. } | State::Open { depth }, Happened::TransactionOver(why)) => {
                failed(depth, why)
            }
            (State::Calling { call, depth }, Happened::Cancelled) => State::InDoubt { call, depth },

            (State::InDoubt { call: Call::Statement, depth }, Happened::Settled { certain: false, .. })
                if depth > 0 =>
            {
                failed(depth, Loss::Transaction("whether it was still open could not be found out".into()))
            }
            (State::InDoubt { call: Call::Commit, depth: 1 }, Happened::Settled { certain: false, .. }) => {
                failed(1, Loss::CommitUnknown("the commit was cancelled".into()))
            }
            (State::InDoubt { call, depth }, Happened::Settled { open, .. }) => settled(call, depth, open),
            (before, Happened::GivenUp { why, then: AfterLoss::DatabaseGone }) => lost_for_good(before, why),
            (State::Calling { call, depth }, Happened::GivenUp { why, then }) => match (call, depth) {
                // The caller has its answer either way, and the transaction is over.
                (Call::Commit | Call::Rollback, 1) => self.after_transaction(why),
                (Call::Commit | Call::Rollback, depth) => failed(depth - 1, Loss::Transaction(why)),
                (_, depth) => self.bereft(depth, why, then),
            },
            (State::InDoubt { call, depth }, Happened::GivenUp { why, then }) => match (call, depth) {
                (Call::Commit, 1) => failed(1, Loss::CommitUnknown(why)),
                (_, depth) => self.bereft(depth, why, then),
            },
            (State::Open { depth }, Happened::GivenUp { why, then }) => self.bereft(depth, why, then),
            (State::Ready, Happened::GivenUp { why, then }) => self.bereft(0, why, then),
            (State::Failed { depth, why }, Happened::GivenUp { .. }) => State::Failed { depth, why },

            (State::Failed { depth: 1, why: Loss::CommitUnknown(why) }, Happened::Resolved { .. }) => {
                if self.lease.is_none() { self.after_transaction(why) } else { State::Ready }
            }
            (State::Failed { depth, why }, Happened::Acknowledged) => match depth - 1 {
                0 if self.lease.is_none() => self.after_transaction(why.into_text()),
                0 => State::Ready,
                depth => State::Failed { depth, why },
            },
            (State::Lost { .. }, Happened::Acknowledged) => State::Empty,
            (_, Happened::Ended) => State::Ended,
            (before, happened) => unreachable!("{happened:?} cannot happen to a session in {before:?}"),
        };
    }

    /// Applies the effects of an event beside the state.
    fn note(&mut self, before: &State, happened: &Happened) {
        if !matches!(happened, Happened::GivenUp { .. } | Happened::Called(_)) {
            self.left_by_ended = self.left;
        }
        self.has_ended_one |= matches!(
            (before, happened),
            (State::Open { depth: 1 }, Happened::Called(Call::Commit | Call::Rollback))
                | (State::Failed { depth: 1, .. }, Happened::Acknowledged | Happened::Resolved { .. })
        );
        match happened {
            Happened::Lent => {
                self.generation += 1;
                (self.left, self.left_by_ended, self.left_before) = Default::default();
                self.owes_reset = false;
                (self.configured, self.was_lent_out, self.unsettled) = (false, false, false);
                self.touched = false;
                self.asking = false;
                self.last_failure = None;
            }
            Happened::Called(Call::Begin(begin)) if *before == State::Ready => {
                self.begun = *begin;
                self.left_before = self.left;
                self.owes_reset |= begin.read_only;
                self.transaction = None;
                self.last_failure = None;
            }
            Happened::Unused => self.generation -= 1,
            Happened::Succeeded | Happened::Acknowledged => self.touched = true,
            Happened::Refused(class) | Happened::NotKept(class) => {
                self.touched = true;
                self.last_failure = Some(*class);
            }
            Happened::Resolved { committed } => {
                self.touched = true;
                self.last_failure = (!committed).then_some(ErrorClass::RetryTransaction);
            }
            Happened::TransactionOver(Loss::CommitUnknown(_)) => {
                self.last_failure = Some(ErrorClass::OutcomeUnknown);
            }
            Happened::TransactionOver(_) => self.last_failure = Some(ErrorClass::RetryTransaction),
            // Nothing of the transaction is kept, so it may be retried; after a commit the outcome is unknown.
            Happened::GivenUp { .. } => {
                let commit = matches!(
                    before,
                    State::Calling { call: Call::Commit, .. } | State::InDoubt { call: Call::Commit, .. }
                );
                self.last_failure =
                    Some(if commit { ErrorClass::OutcomeUnknown } else { ErrorClass::RetryTransaction });
            }
            _ => {}
        }
        self.just_failed = match (happened, before) {
            (Happened::Called(_) | Happened::Settled { .. } | Happened::Acknowledged, _)
            | (Happened::GivenUp { .. }, State::InDoubt { .. })
            // What a level failed of is passed on after its rollback.
            | (Happened::Succeeded, State::Calling { call: Call::Rollback, .. }) => self.just_failed,
            (Happened::Succeeded | Happened::Cancelled, _) => None,
            _ => self.last_failure,
        };
    }

    /// Returns the state at this depth after the connection was lost.
    fn bereft(&self, depth: u32, why: String, then: AfterLoss) -> State {
        match depth {
            0 if then == AfterLoss::Report || self.left_by_ended > Effect::Nothing => {
                State::Lost { why: Loss::Session(why) }
            }
            0 => State::Empty,
            depth => failed(depth, Loss::Transaction(why)),
        }
    }

    /// Returns the state after a transaction whose connection is gone, and with it what the session had set before.
    fn after_transaction(&self, why: String) -> State {
        match self.left_before {
            Effect::Nothing => State::Empty,
            _ => State::Lost { why: Loss::Session(why) },
        }
    }
}

/// Returns the state after the only connection was lost, unless the scope has ended meanwhile.
fn lost_for_good(before: State, why: String) -> State {
    if before == State::Ended { State::Ended } else { State::Lost { why: Loss::Database(why) } }
}

/// Returns the state at this depth with a good connection.
fn standing(depth: u32) -> State {
    if depth == 0 { State::Ready } else { State::Open { depth } }
}

fn failed(depth: u32, why: Loss) -> State {
    State::Failed { depth, why }
}

/// Returns the state after a cancelled call, given whether the database has an open transaction.
///
/// A cancelled end was not answered, so for its caller the level is still there: rolling back once more is right in every
/// case.
fn settled(call: Call, depth: u32, open: bool) -> State {
    let cancelled = |what: &str| Loss::Transaction(format!("{what} was cancelled"));
    match (call, depth, open) {
        (Call::Statement, 0, _) | (Call::Begin(_), 0, _) => State::Ready,
        (Call::Statement, depth, true) => State::Open { depth },
        (Call::Commit, 1, true) => failed(1, cancelled("its commit")),
        (Call::Commit, 1, false) => failed(1, Loss::CommitUnknown("the commit was cancelled".into())),
        // The fate of the savepoint is unknown, so the whole transaction is lost.
        (Call::Begin(_), depth, _) => failed(depth, cancelled("a savepoint")),
        (Call::Commit, depth, _) => failed(depth, cancelled("the release of a savepoint")),
        (Call::Rollback, depth, _) => failed(depth, cancelled("its rollback")),
        (Call::Statement, depth, false) => failed(depth, Loss::Transaction("a cancelled statement ended it".into())),
    }
}
