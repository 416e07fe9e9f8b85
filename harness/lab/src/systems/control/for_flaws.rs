//! What a session has for the sake of its flaw alone, and the rows that a flaw remembers.
//!
//! Owns the state; what is done with it stands where each flaw takes a safeguard away.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use tokio::sync::OwnedMutexGuard;
use tokio::time::Instant;

use super::Flaw;
use unstale_harness::history::Reply;
use unstale_harness::plan::{Command, Key, Value};

/// The state of a session's flaw.
pub(super) struct ForFlaws {
    /// For [`Flaw::CommitsLater`]: a commit was answered and not sent.
    pub(super) commit_is_due: bool,
    /// For [`Flaw::BuffersWrites`]: a write was answered and not sent.
    pub(super) due_write: Option<Command>,
    /// For [`Flaw::ClosesAfterTransaction`].
    pub(super) has_begun: bool,
    /// For [`Flaw::ReturnsTwice`]: a statement failed.
    pub(super) has_failed: bool,
    /// The transaction has ended, and its caller does not know.
    pub(super) is_ended: bool,
    /// For [`Flaw::DoomsQuietly`].
    pub(super) is_doomed: bool,
    /// For [`Flaw::ExpiresTransactions`]: when the last command ended.
    pub(super) used: Instant,
    /// For [`Flaw::WaitsCrosswise`]: the keys that the transaction holds.
    pub(super) held: Vec<(Key, OwnedMutexGuard<()>)>,
    /// The rows that are remembered, by the session or by all.
    pub(super) remembered: Option<Rc<RefCell<Remembered>>>,
}

impl ForFlaws {
    /// A session's, with what all of them remember.
    pub(super) fn new(flaw: Option<Flaw>, by_all: &Rc<RefCell<Remembered>>) -> Self {
        let remembered = match flaw {
            Some(Flaw::KeepsReads) => Some(Rc::default()),
            Some(Flaw::CachesEarly) => Some(Rc::clone(by_all)),
            _ => None,
        };
        let (commit_is_due, due_write, has_begun, has_failed, is_ended, is_doomed, held) = Default::default();
        let used = Instant::now();
        Self { commit_is_due, due_write, has_begun, has_failed, is_ended, is_doomed, used, held, remembered }
    }
}

/// Rows as they were last seen or written, committed or not; none where there was no row.
#[derive(Default)]
pub(super) struct Remembered(BTreeMap<Key, Option<Value>>);

impl Remembered {
    /// The reply to a command that asks for a row that is remembered.
    pub(super) fn reply(&self, command: &Command) -> Option<Reply> {
        let Command::Get(key) = command else { return None };
        self.0.get(key).map(|value| Reply::Value(*value))
    }

    /// Remembers what a command and its reply say of a row.
    pub(super) fn note(&mut self, command: &Command, reply: &Reply) {
        match (command, reply) {
            (Command::Get(key), Reply::Value(value)) => self.0.insert(*key, *value),
            (Command::Put(key, value) | Command::Insert(key, value, _), Reply::Changed(true)) => {
                self.0.insert(*key, Some(*value))
            }
            (Command::Delete(key), Reply::Changed(_)) => self.0.insert(*key, None),
            _ => None,
        };
    }
}
