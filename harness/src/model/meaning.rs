//! What a command means: the row that it touches, and the session that it opens or ends.

use crate::history::{Outcome, Span};
use crate::plan::{Command, Key, Phase, StaleUse, Value};

/// The value that a command writes, if it writes one.
pub fn written(command: &Command) -> Option<(Key, Value)> {
    match *command {
        Command::Put(key, value) | Command::Insert(key, value, _) | Command::Stale(StaleUse::Put(key, value)) => {
            Some((key, value))
        }
        _ => None,
    }
}

/// What a command changes if it is done.
pub(crate) fn effect_of(command: &Command) -> Option<(Key, Option<Value>)> {
    match command {
        Command::Delete(key) => Some((*key, None)),
        command => written(command).map(|(key, value)| (key, Some(value))),
    }
}

/// Whether there is a session once this is done.
pub(crate) fn opens_session(command: &Command) -> bool {
    matches!(command, Command::Open | Command::Replace)
}

/// Whether the session is no more from the moment when this is asked for.
pub(crate) fn ends_session(command: &Command) -> bool {
    matches!(command, Command::Close | Command::Replace | Command::Crash | Command::Abandon(_))
}

/// Whether this may have closed the pool. A close that was cancelled before its first poll ran nothing; one that was
/// cancelled later, failed or came to no end may have.
pub(crate) fn may_close_pool(span: &Span<'_>) -> bool {
    let never_ran = span.skipped || matches!(span.outcome, Some(Outcome::Cancelled(Phase::BeforeSend)));
    span.step.command == Command::ClosePool && !never_ran
}

/// The row that it reads or changes.
pub(crate) fn touched(command: &Command) -> Option<Key> {
    match *command {
        Command::Delete(key) | Command::Get(key) | Command::Race(key) | Command::Abandon(key) => Some(key),
        Command::Stale(StaleUse::Get(key)) => Some(key),
        ref command => written(command).map(|(key, _)| key),
    }
}
