//! What a command means: the row that it touches, and the session that it opens or ends.

use crate::history::{Outcome, Span};
use crate::plan::{Command, Key, Phase, Usage, Value};

/// The value that a command writes, if it writes one.
pub fn written(command: &Command) -> Option<(Key, Value)> {
    match *command {
        Command::Put(key, value) | Command::Swap(key, value) | Command::Insert(key, value, _) => Some((key, value)),
        ref command => match used(command) {
            Some(Usage::Put(key, value)) => Some((key, value)),
            Some(Usage::Get(_)) | None => None,
        },
    }
}

/// Whether a transaction is begun for it. SQLite refuses that inside a raw transaction. PostgreSQL warns, and the next end ends
/// everything.
pub(crate) fn begins_transaction(command: &Command) -> bool {
    matches!(command, Command::Begin(_) | Command::Swap(..))
}

/// What is done to a row through something else than the session itself, if that is what the command does.
pub(crate) fn used(command: &Command) -> Option<Usage> {
    match *command {
        Command::Stale(usage) | Command::Use(usage) | Command::Autonomous(usage) => Some(usage),
        _ => None,
    }
}

/// Whether it is done in a session of its own, which is over with it.
pub(crate) fn is_autonomous(command: &Command) -> bool {
    matches!(command, Command::Autonomous(_))
}

/// Whether a session begins with it, the actor's own or one for itself.
pub(crate) fn begins_session(command: &Command) -> bool {
    opens_session(command) || is_autonomous(command)
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
        ref command => match used(command) {
            Some(Usage::Get(key)) => Some(key),
            _ => written(command).map(|(key, _)| key),
        },
    }
}
