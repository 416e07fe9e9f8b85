//! Connections that turned read-only, and since when their system knows of it.
//!
//! A server turns read-only, disconnects nobody, and whoever connects later can write. A system cannot know of it before the
//! first write is refused, and that one may fail. From then on it knows of that connection and of every one that was opened
//! before it: who opens a session afterwards gets none of these. Evidence alone decides: not the class that a system gives its
//! errors.
//!
//! Not checked: later statements of a session whose write was refused; sessions that were opened before; connections that were
//! opened after the one that is known, and may have turned read-only since.

use crate::history::{By, ConnectionId, History, Outcome, What};
use crate::plan::{Fault, ServerFault};

/// What is known of connections that turned read-only.
#[derive(Clone, Debug, Default)]
pub struct ReadOnly {
    /// The commands of which a write was refused, each with the first connection that refused one.
    refused: Vec<(By, ConnectionId)>,
    /// The events at which a caller, and so its system, was told, each with that connection.
    told: Vec<(usize, ConnectionId)>,
}

/// Whether this fault makes connections read-only.
pub(super) fn turns_read_only(fault: Fault) -> bool {
    matches!(fault, Fault::Server(ServerFault::ReadOnly, _))
}

impl ReadOnly {
    /// Reads a history.
    pub(super) fn of(history: &History) -> Self {
        let mut found = Self::default();
        for (at, event) in history.events.iter().enumerate() {
            let Some(by) = event.by else { continue };
            match &event.what {
                What::RefusedWrite(id) if found.refused_by(by).is_none() => found.refused.push((by, *id)),
                // A caller that has gone has not been told, and its system perhaps neither.
                What::Returned(Outcome::Done(_) | Outcome::Failed(_)) => {
                    found.told.extend(found.refused_by(by).map(|id| (at, id)));
                }
                _ => {}
            }
        }
        found
    }

    /// The connection that refused a write of this command, if one did.
    pub(super) fn refused_by(&self, by: By) -> Option<ConnectionId> {
        self.refused.iter().find(|(other, _)| *other == by).map(|(_, id)| *id)
    }

    /// Whether it was known before this event that this connection is read-only.
    pub(super) fn is_known(&self, connection: ConnectionId, at: usize) -> bool {
        self.told.iter().any(|(told, id)| *told < at && connection <= *id)
    }
}
