//! Connections that turned read-only, and since when their system knows of it.
//!
//! A server turns read-only, disconnects nobody, and whoever connects later can write. A system cannot know of it before the
//! first write is refused, and that one may fail. From then on it knows: who opens a session afterwards does not get such a
//! connection, neither the one that refused the write nor another one of before. Evidence alone decides: not the class that a
//! system gives its errors.
//!
//! Not checked: later statements of a session whose write was refused; sessions that were opened before; what is refused while
//! another fault of this kind may be taking effect.

use std::ops::Range;

use crate::history::{By, History, Outcome, What};
use crate::plan::{Fault, ServerFault};

/// What is known of connections that turned read-only.
#[derive(Clone, Debug, Default)]
pub struct ReadOnly {
    /// The commands of which a write was refused, in the order of the first refusals.
    refused: Vec<By>,
    /// Between these events the system knows of every connection that is read-only.
    known: Vec<Range<usize>>,
}

/// Whether this fault makes connections read-only.
pub(super) fn turns_read_only(fault: Fault) -> bool {
    matches!(fault, Fault::Server(ServerFault::ReadOnly, _))
}

impl ReadOnly {
    /// Reads a history.
    pub(super) fn of(history: &History) -> Self {
        let mut found = Self::default();
        // Those whose fault may still be taking effect.
        let mut unmet: Vec<By> = Vec::new();
        let mut known_from = None;
        for (at, event) in history.events.iter().enumerate() {
            let Some(by) = event.by else { continue };
            match &event.what {
                What::Invoked(step) if step.fault.is_some_and(turns_read_only) => {
                    found.known.extend(known_from.take().map(|from| from..at));
                    unmet.push(by);
                }
                What::FaultLanded(fault) if turns_read_only(*fault) => unmet.retain(|it| *it != by),
                What::RefusedWrite(_) if !found.refused.contains(&by) => found.refused.push(by),
                What::Returned(outcome) => {
                    // A caller that has gone has not been told, and its system perhaps neither.
                    let is_told = !matches!(outcome, Outcome::Cancelled(_)) && found.refused.contains(&by);
                    if is_told && unmet.is_empty() {
                        known_from.get_or_insert(at);
                    }
                    // What has not taken effect by the end of its command does not any more.
                    unmet.retain(|it| *it != by);
                }
                What::Skipped | What::Ended => unmet.retain(|it| *it != by),
                _ => {}
            }
        }
        found.known.extend(known_from.map(|from| from..usize::MAX));
        found
    }

    /// Whether a write of this command was refused.
    pub(super) fn refused(&self, by: By) -> bool {
        self.refused.contains(&by)
    }

    /// Whether nobody who asks for a session at one event has to get a connection that is read-only at a later one.
    pub(super) fn is_ruled_out(&self, opened: usize, at: usize) -> bool {
        self.known.iter().any(|range| range.contains(&opened) && range.contains(&at))
    }
}
