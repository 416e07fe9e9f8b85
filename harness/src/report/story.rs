//! From a history to rows: one row per command, two if another actor was busy in between.
//!
//! Owns the choice of what is reported, and the wording. The layout is in [`super::page`].

use std::collections::BTreeSet;

use super::run::Report;
use super::text::{Style, Word};
use crate::history::{By, ByCommand, ConnectionId, Event, History, Leftovers, Outcome, Reply, Span, What};
use crate::model::{ends_session, opens_session};
use crate::plan::{ActorId, Step};

/// The content of one row.
#[derive(Debug, Default)]
pub(super) struct Row {
    pub(super) by: Option<By>,
    /// The actor's place, or the number of actors for an observer; none for a line across the page.
    pub(super) column: Option<usize>,
    /// A blank line comes before it.
    pub(super) apart: bool,
    pub(super) label: String,
    pub(super) command: Word,
    pub(super) evidence: Vec<Action>,
    pub(super) answers: Vec<Word>,
    /// What the database did for the command after it had ended.
    pub(super) later: Vec<Action>,
    /// Whether the command was under way before the row, and is after it.
    pub(super) flies: (bool, bool),
    /// The other actors that have a command under way.
    pub(super) passing: Vec<usize>,
    /// The violation is in this row.
    pub(super) marked: bool,
}

impl Row {
    pub(super) fn across(command: Word, marked: bool) -> Self {
        Self { command, marked, ..Self::default() }
    }

    pub(super) fn evidence(&self) -> Option<Word> {
        Some(Word::new(Style::Dim, actions(&self.evidence)?))
    }

    pub(super) fn later(&self) -> Option<Word> {
        Some(Word::new(Style::Dim, format!("then {}", actions(&self.later)?)))
    }

    pub(super) fn lane(&self) -> char {
        match self.flies {
            (false, false) => ' ',
            (false, true) => '┌',
            (true, true) => '├',
            (true, false) => '└',
        }
    }
}

/// A connection and its observed action; no word means that it only served.
#[derive(Clone, Copy, Debug)]
pub(super) struct Action(pub(super) ConnectionId, pub(super) &'static str);

pub(super) fn action(what: &What) -> Option<Action> {
    Some(match what {
        What::Served(id) => Action(*id, ""),
        What::Wrote(id) => Action(*id, "wrote"),
        What::Committed(id) => Action(*id, "committed"),
        What::RolledBack(id) => Action(*id, "rolled back"),
        What::Connected(id) => Action(*id, "opened"),
        What::Disconnected(id) => Action(*id, "closed"),
        What::Lost(id) => Action(*id, "lost"),
        What::RefusedWrite(id) => Action(*id, "refused a write"),
        _ => return None,
    })
}

/// `c1 wrote ×2, committed · c2`
pub(super) fn actions(all: &[Action]) -> Option<String> {
    let mut text = String::new();
    for of_one in all.chunk_by(|one, next| one.0 == next.0) {
        let dot = if text.is_empty() { "" } else { " · " };
        text += &format!("{dot}{}", of_one[0].0);
        let mut comma = " ";
        for same in of_one.chunk_by(|one, next| one.1 == next.1).filter(|it| !it[0].1.is_empty()) {
            text += &format!("{comma}{}", same[0].1);
            if same.len() > 1 {
                text += &format!(" ×{}", same.len());
            }
            comma = ", ";
        }
    }
    (!text.is_empty()).then_some(text)
}

/// Turns a history into rows.
pub(super) struct Story<'a> {
    pub(super) report: &'a Report<'a>,
    pub(super) spans: ByCommand<Span<'a>>,
    /// The observers without incident; they share one line.
    pub(super) quiet: BTreeSet<ActorId>,
    pub(super) rows: Vec<Row>,
    pub(super) flying: BTreeSet<By>,
    pub(super) ended: BTreeSet<By>,
    pub(super) sessions: BTreeSet<ActorId>,
}

impl<'a> Story<'a> {
    pub(super) fn tell(report: &'a Report<'a>) -> Vec<Row> {
        let spans = report.history.commands();
        let mut story = Self {
            report,
            spans,
            quiet: quiet(report),
            rows: Vec::new(),
            flying: BTreeSet::new(),
            ended: BTreeSet::new(),
            sessions: BTreeSet::new(),
        };
        let mut over = false;
        for (at, event) in report.history.events.iter().enumerate() {
            let marked = report.violation.is_some_and(|it| it.at == at);
            if event.what == What::PlanOver {
                over = true;
                story.plan_over(marked);
            } else {
                story.event(event, marked);
            }
        }
        if !over {
            story.not_reached();
        }
        if report.brief {
            story.end_at_the_mark();
        }
        story.rows
    }

    /// Leaves out what observers did after the violation.
    fn end_at_the_mark(&mut self) {
        let Some(mark) = self.rows.iter().position(|row| row.marked) else {
            return;
        };
        let mut at = 0;
        self.rows.retain(|row| {
            at += 1;
            at <= mark + 1 || row.by.is_none_or(|by| !self.report.history.is_observer(by.actor))
        });
    }

    pub(super) fn event(&mut self, event: &Event, marked: bool) {
        let text = match (&event.what, event.by) {
            (What::StopHung, _) => Word::new(Style::Red, "the system was told to stop and did not"),
            (What::ThreadGivenUp, _) => Word::new(Style::Red, "it blocks the plan's thread, which is abandoned"),
            (What::Stopped, _) if marked => Word::new(Style::Plain, "the system has stopped"),
            (What::FinalState(_), _) if marked => Word::new(Style::Plain, "the final state is read"),
            (What::Stopped | What::FinalState(_), _) => return,
            (What::HarnessFault(why), _) => Word::with_tail(Style::Red, "the harness failed", why),
            (what, Some(by)) => return self.command(by, what, marked),
            (What::Served(_) | What::Connected(_) | What::Disconnected(_), None) if !marked => {
                return;
            }
            (what, None) => match action(what).and_then(|it| actions(&[it])) {
                Some(actions) => Word::new(Style::Plain, format!("{actions}, for no command")),
                None => match answer(what) {
                    Some(word) => word,
                    None => return,
                },
            },
        };
        self.rows.push(Row::across(text, marked));
    }

    pub(super) fn command(&mut self, by: By, what: &What, marked: bool) {
        if self.quiet.contains(&by.actor) {
            return;
        }
        let leaves_session = *what == What::Ended && self.sessions.remove(&by.actor);
        if *what == What::Ended && !leaves_session && !marked {
            self.flying.remove(&by);
            return;
        }
        if *what == What::Ended || self.rows.last().is_none_or(|it| it.by != Some(by)) {
            let row = self.row(by, (*what == What::Ended).then_some(leaves_session));
            self.rows.push(row);
        }
        let late = self.ended.contains(&by);
        let row = self.rows.last_mut().expect("there is one: it was pushed above if need be");
        row.marked |= marked;
        match action(what) {
            Some(action) if late => row.later.push(action),
            Some(action) => row.evidence.push(action),
            // A command may have to wait several times in a row.
            None if *what == What::Blocked && row.answers.last().is_some_and(|it| it.head == BLOCKED) => {}
            None => row.answers.extend(answer(what)),
        }
        match what {
            What::Invoked(step) => {
                self.flying.insert(by);
                if ends_session(&step.command) {
                    self.sessions.remove(&by.actor);
                }
            }
            What::Returned(outcome) => {
                if let Some(Span { step, .. }) = self.spans.get(by) {
                    row.answers.extend(not_landed(self.report.history, by, step, outcome));
                    if opens_session(&step.command) && matches!(outcome, Outcome::Done(_)) {
                        self.sessions.insert(by.actor);
                    }
                }
            }
            What::Panicked(_) | What::Hung => {
                self.sessions.remove(&by.actor);
            }
            _ => {}
        }
        if matches!(what, What::Returned(_) | What::Skipped | What::Panicked(_) | What::Hung | What::Ended) {
            self.flying.remove(&by);
            self.ended.insert(by);
        }
        row.flies.1 = self.flying.contains(&by);
    }

    /// A row for the command, or for the end of its actor (with or without a session still open).
    pub(super) fn row(&self, by: By, end: Option<bool>) -> Row {
        let planned = self.report.plan.actors.get(by.actor.index()).and_then(|it| it.steps.get(by.step));
        let (label, command) = match end {
            None => {
                let step = self.spans.get(by).map(|it| it.step).or(planned);
                (name(by), step.map_or_else(String::new, Step::to_string))
            }
            Some(true) => (by.actor.to_string(), "ends without `close`".into()),
            Some(false) => (by.actor.to_string(), "ends".into()),
        };
        let others = self.flying.iter().filter(|it| it.actor != by.actor && !self.report.history.is_observer(it.actor));
        Row {
            by: Some(by),
            column: Some(by.actor.index().min(self.report.plan.actors.len())),
            label,
            command: Word::new(Style::Plain, command),
            flies: (self.flying.contains(&by), false),
            passing: others.map(|it| it.actor.index()).collect(),
            ..Row::default()
        }
    }

    /// Reports the commands of the plan that were never invoked, because their actor had ended before.
    pub(super) fn not_reached(&mut self) {
        for (at, actor) in self.report.plan.actors.iter().enumerate() {
            let id = ActorId::new(at);
            let invoked = self.spans.iter().filter(|it| it.0.actor == id).map(|it| it.0.step + 1).max().unwrap_or(0);
            let Some(missing) = actor.steps.len().checked_sub(invoked + 1) else {
                continue;
            };
            let text = match missing {
                0 => "not reached".to_owned(),
                more => format!("not reached, nor {more} more"),
            };
            let mut row = self.row(By { actor: id, step: invoked }, None);
            row.answers.push(Word::new(Style::Dim, text));
            self.rows.push(row);
        }
    }

    pub(super) fn plan_over(&mut self, marked: bool) {
        self.not_reached();
        let history = self.report.history;
        let is_loud = |by: &By| history.is_observer(by.actor) && !self.quiet.contains(&by.actor);
        if self.report.brief && !marked && !self.spans.iter().any(|(by, _)| is_loud(&by)) {
            return;
        }
        if marked || self.spans.iter().any(|it| history.is_observer(it.0.actor)) {
            let heading = Word::new(Style::Bold, "after the plan");
            self.rows.push(Row { apart: true, ..Row::across(heading, marked) });
        }
        let mut groups: Vec<(String, Vec<String>)> = Vec::new();
        for actor in self.quiet.iter().filter(|_| !self.report.brief) {
            let verbs: Vec<_> = self.spans.iter().filter(|it| it.0.actor == *actor).map(|it| verb(it.1.step)).collect();
            let came_to = if is_skipped(self.report, *actor) { "skipped" } else { "done" };
            let text = format!("{}: all {came_to}", verbs.join(", "));
            match groups.iter_mut().find(|it| it.0 == text) {
                Some((_, actors)) => actors.push(actor.to_string()),
                None => groups.push((text, vec![actor.to_string()])),
            }
        }
        for (text, actors) in groups {
            let text = format!("{}  {text}", actors.join(", "));
            self.rows.push(Row::across(Word::new(Style::Plain, text), false));
        }
    }
}

const BLOCKED: &str = "blocked";

/// `a 5`; with the space, since `c5` would be a connection.
pub(super) fn name(by: By) -> String {
    format!("{} {}", by.actor, by.step + 1)
}

pub(super) fn verb(step: &Step) -> String {
    step.to_string().split(' ').next().unwrap_or_default().to_owned()
}

pub(super) fn quiet(report: &Report<'_>) -> BTreeSet<ActorId> {
    let events = || report.history.events.iter().filter_map(|it| Some((it.by?.actor, &it.what)));
    let loud: BTreeSet<_> = events()
        .filter(|(actor, what)| match what {
            What::Returned(Outcome::Done(Reply::Residue(seen))) => *seen != Leftovers::default(),
            What::Returned(Outcome::Done(_)) | What::Invoked(_) | What::Ended | What::Built { .. } => false,
            What::Skipped => !is_skipped(report, *actor),
            what => action(what).is_none(),
        })
        .map(|it| it.0)
        .chain(report.violation.and_then(|it| it.by).map(|it| it.actor))
        .collect();
    let observers = events().map(|it| it.0).filter(|it| report.history.is_observer(*it));
    observers.filter(|it| !loud.contains(it)).collect()
}

/// Whether the system did nothing for any command of this observer, as one does without the core workload.
fn is_skipped(report: &Report<'_>, observer: ActorId) -> bool {
    let mut own = report.history.events.iter().filter(|event| event.by.is_some_and(|by| by.actor == observer));
    own.all(|event| matches!(event.what, What::Invoked(_) | What::Skipped | What::Ended))
}

pub(super) fn answer(what: &What) -> Option<Word> {
    Some(match what {
        What::Returned(Outcome::Failed(it)) => {
            Word::with_tail(Style::Plain, &format!("→ failed ({})", it.class), &it.message)
        }
        // A changed row is expected; only an unchanged one is mentioned.
        What::Returned(Outcome::Done(Reply::Changed(true))) => Word::new(Style::Plain, "→ done"),
        What::Returned(outcome) => Word::new(Style::Plain, format!("→ {outcome}")),
        What::Skipped => Word::new(Style::Dim, "→ skipped"),
        What::Blocked => Word::new(Style::Plain, BLOCKED),
        What::Panicked(text) => Word::with_tail(Style::Red, "→ panicked", text),
        What::Hung => Word::new(Style::Red, "→ hung"),
        What::Built { build, service, parts } if parts.is_empty() => {
            Word::new(Style::Dim, format!("builds {build}, `{service}`"))
        }
        What::Built { build, service, parts } => {
            let parts: Vec<_> = parts.iter().map(ToString::to_string).collect();
            Word::new(Style::Dim, format!("builds {build}, `{service}`, from {}", parts.join(", ")))
        }
        What::FaultLanded(fault) => Word::new(Style::Plain, format!("{fault} landed")),
        _ => return None,
    })
}

/// Lists the command's fault and cancel that did not land.
pub(super) fn not_landed(history: &History, by: By, step: &Step, outcome: &Outcome) -> Vec<Word> {
    let landed = |fault| history.events.iter().any(|it| it.by == Some(by) && it.what == What::FaultLanded(fault));
    let fault = step.fault.filter(|it| !landed(*it)).map(|it| it.to_string());
    let cancel = step.cancel.filter(|_| !matches!(outcome, Outcome::Cancelled(_))).map(|_| "cancel".to_owned());
    fault.into_iter().chain(cancel).map(|it| Word::new(Style::Dim, format!("({it} did not land)"))).collect()
}
