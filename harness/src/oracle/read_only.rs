//! Connections that turned read-only, and since when their system knows of it.
//!
//! A server turns read-only, disconnects nobody, and whoever connects later can write. A system cannot know of it before the
//! first write is refused, and that one may fail. From then on it knows of that connection and of every one that was opened
//! before it: who opens a session afterwards gets none of these. Evidence alone decides: not the class that a system gives its
//! errors.
//!
//! Not checked: later statements of a session whose write was refused; sessions that were opened before; connections that were
//! opened after the one that is known, and may have turned read-only since.

use crate::history::{By, ByCommand, ConnectionId, History, Outcome, Span, What};
use crate::model::depth_after;
use crate::plan::{ActorId, BeginMode, Command, Fault, ServerFault};

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
    /// Reads a history and its commands.
    pub(super) fn of(history: &History, spans: &ByCommand<Span<'_>>) -> Self {
        let (mut found, mut disturbed) = (Self::default(), Vec::new());
        let mut has_turned = false;
        let mut begun = Begun::default();
        for (at, event) in history.events.iter().enumerate() {
            let Some(by) = event.by else { continue };
            begun.follow(by, &event.what, spans);
            match &event.what {
                What::Invoked(step) => has_turned |= step.fault.is_some_and(turns_read_only),
                What::RefusedWrite(_) if !has_turned || begun.is_read_only(by) => {}
                What::RefusedWrite(id) if found.refused_by(by).is_none() => found.refused.push((by, *id)),
                What::FaultLanded(fault) if !turns_read_only(*fault) => disturbed.push(by),
                // A caller that has gone has not been told, and its system perhaps neither. Nor has one on whose command
                // another fault fell: the answer with the refusal may have been what was lost.
                What::Returned(Outcome::Done(_) | Outcome::Failed(_)) if !disturbed.contains(&by) => {
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

/// The actors that have begun a read-only transaction themselves, each with its depth: a write that is refused there says nothing
/// of its connection.
#[derive(Default)]
struct Begun(Vec<(ActorId, u32)>);

impl Begun {
    fn follow(&mut self, by: By, what: &What, spans: &ByCommand<Span<'_>>) {
        match what {
            What::Invoked(step) if step.command == Command::Begin(BeginMode::ReadOnly) => self.0.push((by.actor, 0)),
            What::Returned(_) => {
                let Some(span) = spans.get(by) else { return };
                for (_, depth) in self.0.iter_mut().filter(|it| it.0 == by.actor) {
                    *depth = depth_after(*depth, span);
                }
                // Another actor's begin may be under way, which has no depth yet.
                self.0.retain(|it| it.0 != by.actor || it.1 > 0);
            }
            _ => {}
        }
    }

    fn is_read_only(&self, by: By) -> bool {
        self.0.iter().any(|it| it.0 == by.actor)
    }
}
