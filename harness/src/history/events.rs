//! The history of one plan: its events in their order, and the commands that they belong to.

use super::by_command::ByCommand;
use super::event::{Event, Outcome, What};
use crate::plan::{ActorId, IsolationModel, Step};

/// Everything that happened while one plan ran.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History {
    /// The events in the order in which they were appended.
    pub events: Vec<Event>,
    /// How many actors the plan had; actors from here on are observers that ran afterwards.
    pub planned: usize,
    /// Where it happened, as far as that decides what may be concluded from it.
    pub isolation: IsolationModel,
    /// Whether all of it happened inside a test fixture.
    pub fixture: bool,
    /// The most connections that the system was to have open at once, if that is known.
    pub connections_max: Option<u8>,
    /// Whether the database is lost with its connections, so that a system may keep to one of them.
    pub in_memory: bool,
    /// The event from which on a task of the system may have been under way while another command ran, so that what a
    /// connection did may be recorded under either.
    pub tasks_overlap: Option<usize>,
}

impl History {
    /// Whether this actor is an observer that ran after the plan.
    pub fn is_observer(&self, actor: ActorId) -> bool {
        actor.index() >= self.planned
    }

    /// Where each command was invoked and ended.
    pub fn commands(&self) -> ByCommand<Span<'_>> {
        let mut spans = ByCommand::with_room_for(self.events.iter().filter_map(|it| it.by));
        for (at, event) in self.events.iter().enumerate() {
            let Some(by) = event.by else { continue };
            match &event.what {
                What::Invoked(step) => {
                    if let Some(entry) = spans.entry(by) {
                        *entry = Some(Span { step, invoked: at, returned: None, outcome: None, skipped: false });
                    }
                }
                What::Returned(outcome) => {
                    if let Some(Some(span)) = spans.entry(by) {
                        span.returned = Some(at);
                        span.outcome = Some(outcome);
                    }
                }
                What::Skipped => {
                    if let Some(Some(span)) = spans.entry(by) {
                        span.skipped = true;
                    }
                }
                _ => {}
            }
        }
        spans
    }

    /// What happened at each step, as one line each: the form in which a replay is compared.
    ///
    /// Error texts are left out, since they may name paths and times.
    pub fn trace(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for event in &self.events {
            let text = match &event.what {
                What::Returned(Outcome::Failed(failure)) => format!("failed ({})", failure.class),
                What::Returned(outcome) => outcome.to_string(),
                What::Skipped => "skipped".into(),
                What::Blocked => "blocked".into(),
                What::Panicked(_) => "panicked".into(),
                What::Hung => "hung".into(),
                What::FaultLanded(fault) => format!("{fault} landed"),
                What::Wrote(connection) => format!("{connection} wrote"),
                What::Committed(connection) => format!("{connection} committed"),
                What::RolledBack(connection) => format!("{connection} rolled back"),
                What::Lost(connection) => format!("{connection} lost"),
                What::RefusedWrite(connection) => format!("{connection} refused a write"),
                What::Late(connection) => format!("{connection} answered late"),
                What::Built { build, service, .. } => format!("{build} built, {service}"),
                What::ThreadGivenUp => "thread given up".into(),
                What::PlanOver => "plan over".into(),
                What::Served(connection) => format!("{connection} served"),
                What::Invoked(_)
                | What::Ended
                | What::Connected(_)
                | What::Disconnected(_)
                | What::Reported(_)
                | What::Stopped
                | What::StopHung
                | What::FinalState(_)
                | What::HarnessFault(_) => continue,
            };
            match event.by {
                Some(by) => lines.push(format!("{}{} {text}", by.actor, by.step + 1)),
                None => lines.push(text),
            }
        }
        lines
    }
}

/// One command of a history, from its invocation to its end.
#[derive(Clone, Copy, Debug)]
pub struct Span<'a> {
    /// What was asked.
    pub step: &'a Step,
    /// The event that invoked it.
    pub invoked: usize,
    /// The event that ended it; none for a command that was skipped, hung or cut short by a panic.
    pub returned: Option<usize>,
    /// How it ended.
    pub outcome: Option<&'a Outcome>,
    /// Whether the system did nothing for it.
    pub skipped: bool,
}

impl Span<'_> {
    /// Whether the system said that it is done.
    pub fn is_done(&self) -> bool {
        matches!(self.outcome, Some(Outcome::Done(_)))
    }

    /// Whether it came to no end: it hung, or was cut short by a panic or by the end of its actor. Whether its work was
    /// done is unknown then, and no reply will ever tell.
    pub fn is_unfinished(&self) -> bool {
        self.outcome.is_none() && !self.skipped
    }
}
