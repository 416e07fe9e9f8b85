//! What a command means: the row that it touches, and the session that it opens or ends.

use crate::plan::{Command, Key, StaleUse, Value};

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
    matches!(command, Command::Close | Command::Replace | Command::Crash)
}

pub(super) fn touched(command: &Command) -> Option<Key> {
    match *command {
        Command::Delete(key) | Command::Get(key) | Command::Stale(StaleUse::Get(key)) => Some(key),
        ref command => written(command).map(|(key, _)| key),
    }
}
