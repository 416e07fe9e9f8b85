//! The report of one run, for a terminal: what everybody did, in order, and where it went wrong.
//!
//! Owns the picture: first a history becomes rows (one row per command, two if somebody else was busy in between),
//! then rows become lines that fit the width. The command and `check!` print it. It judges nothing: the violation is
//! given. It does no I/O and does not look at the terminal: width and colors are given too.
//!
//! A row reads from left to right in the order of events: the command, what the database was seen to do for it, what
//! the system answered, and what the database did `then`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Write as _};

use crate::history::{By, ConnectionId, Event, History, Outcome, Reply, Span, What};
use crate::oracle::Violation;
use crate::plan::{ActorId, Command, Key, Plan, Step};

/// The report of one run; `Display` prints it, each line ended.
#[derive(Clone, Copy, Debug)]
pub struct Report<'a> {
    /// What was run.
    pub plan: &'a Plan,
    /// What happened.
    pub history: &'a History,
    /// What broke, if anything did.
    pub violation: Option<&'a Violation>,
    /// How many characters a line may have; fewer than 40 count as 40.
    pub width: usize,
    /// Whether to emphasize with ANSI escape sequences.
    pub color: bool,
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows = Story::tell(self);
        let mut page = Page::new(self, &rows);
        page.heading();
        for row in &rows {
            page.row(row);
        }
        page.conclusion();
        page.lines.iter().try_for_each(|it| it.write(f, self.color))
    }
}

/// A self-contained HTML page of titled sections of preformatted text. Everything is escaped.
pub fn html(title: &str, sections: &[(String, String)]) -> String {
    let title = escaped(title);
    let mut page = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<title>{title}</title>\n\
         <style>{STYLE_SHEET}</style>\n</head>\n<body>\n<h1>{title}</h1>\n"
    );
    for (name, text) in sections {
        page += &format!("<section>\n<h2>{}</h2>\n<pre>{}</pre>\n</section>\n", escaped(name), escaped(text));
    }
    page + "</body>\n</html>\n"
}

const STYLE_SHEET: &str = ":root { color-scheme: light dark } \
    body { font: 15px/1.5 system-ui, sans-serif; max-width: 76rem; margin: 2rem auto; padding: 0 1rem } \
    pre { font: 13px/1.45 ui-monospace, monospace; overflow-x: auto; padding: 1rem; border: 1px solid #8886; \
    border-radius: 6px }";

fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for it in text.chars() {
        match it {
            '&' => safe += "&amp;",
            '<' => safe += "&lt;",
            '>' => safe += "&gt;",
            '"' => safe += "&quot;",
            '\'' => safe += "&#39;",
            it => safe.push(it),
        }
    }
    safe
}

/// What stands in one row.
#[derive(Debug, Default)]
struct Row {
    by: Option<By>,
    /// The actor's place, or the number of actors for an observer; none for a line across the page.
    column: Option<usize>,
    /// A blank line comes before it.
    apart: bool,
    label: String,
    command: Word,
    evidence: Vec<Deed>,
    answers: Vec<Word>,
    /// What the database did for the command after it had ended.
    later: Vec<Deed>,
    /// Whether the command was under way before the row, and is after it.
    flies: (bool, bool),
    /// The other actors that have a command under way.
    passing: Vec<usize>,
    /// The violation is here.
    marked: bool,
}

impl Row {
    fn across(command: Word, marked: bool) -> Self {
        Self { command, marked, ..Self::default() }
    }

    fn evidence(&self) -> Option<Word> {
        Some(Word::new(Style::Dim, deeds(&self.evidence)?))
    }

    fn later(&self) -> Option<Word> {
        Some(Word::new(Style::Dim, format!("then {}", deeds(&self.later)?)))
    }

    fn lane(&self) -> char {
        match self.flies {
            (false, false) => ' ',
            (false, true) => '┌',
            (true, true) => '├',
            (true, false) => '└',
        }
    }
}

/// A connection, and what it was seen to do; nothing more than serve if there is no word.
#[derive(Clone, Copy, Debug)]
struct Deed(ConnectionId, &'static str);

fn deed(what: &What) -> Option<Deed> {
    Some(match what {
        What::Served(id) => Deed(*id, ""),
        What::Wrote(id) => Deed(*id, "wrote"),
        What::Committed(id) => Deed(*id, "committed"),
        What::RolledBack(id) => Deed(*id, "rolled back"),
        What::Connected(id) => Deed(*id, "opened"),
        What::Disconnected(id) => Deed(*id, "closed"),
        _ => return None,
    })
}

/// `c1 wrote ×2, committed · c2`
fn deeds(all: &[Deed]) -> Option<String> {
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
struct Story<'a> {
    report: &'a Report<'a>,
    spans: BTreeMap<By, Span<'a>>,
    /// The observers whom nothing happened to; they share one line.
    quiet: BTreeSet<ActorId>,
    rows: Vec<Row>,
    flying: BTreeSet<By>,
    ended: BTreeSet<By>,
    sessions: BTreeSet<ActorId>,
}

impl<'a> Story<'a> {
    fn tell(report: &'a Report<'a>) -> Vec<Row> {
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
        story.rows
    }

    fn event(&mut self, event: &Event, marked: bool) {
        let text = match (&event.what, event.by) {
            (What::StopHung, _) => Word::new(Style::Red, "the system was told to stop and did not"),
            (What::Stopped, _) if marked => Word::new(Style::Plain, "the system has stopped"),
            (What::FinalState(_), _) if marked => Word::new(Style::Plain, "the final state is read"),
            (What::Stopped | What::FinalState(_), _) => return,
            (What::HarnessFault(why), _) => Word::with_tail(Style::Red, "the harness failed", why),
            (what, Some(by)) => return self.command(by, what, marked),
            (What::Served(_) | What::Connected(_) | What::Disconnected(_), None) if !marked => {
                return;
            }
            (what, None) => match deed(what).and_then(|it| deeds(&[it])) {
                Some(deeds) => Word::new(Style::Plain, format!("{deeds}, for no command")),
                None => match answer(what) {
                    Some(word) => word,
                    None => return,
                },
            },
        };
        self.rows.push(Row::across(text, marked));
    }

    fn command(&mut self, by: By, what: &What, marked: bool) {
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
        match deed(what) {
            Some(deed) if late => row.later.push(deed),
            Some(deed) => row.evidence.push(deed),
            None => row.answers.extend(answer(what)),
        }
        match what {
            What::Invoked(step) => {
                self.flying.insert(by);
                if step.command == Command::Close {
                    self.sessions.remove(&by.actor);
                }
            }
            What::Returned(outcome) => {
                if let Some(Span { step, .. }) = self.spans.get(&by) {
                    row.answers.extend(not_landed(self.report.history, by, step, outcome));
                    if step.command == Command::Open && matches!(outcome, Outcome::Done(_)) {
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
    fn row(&self, by: By, end: Option<bool>) -> Row {
        let planned = self.report.plan.actors.get(by.actor.index()).and_then(|it| it.steps.get(by.step));
        let (label, command) = match end {
            None => {
                let step = self.spans.get(&by).map(|it| it.step).or(planned);
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

    /// The commands of the plan that were never invoked, because their actor was gone before.
    fn not_reached(&mut self) {
        for (at, actor) in self.report.plan.actors.iter().enumerate() {
            let id = ActorId::new(at);
            let invoked = self.spans.keys().filter(|it| it.actor == id).map(|it| it.step + 1).max().unwrap_or(0);
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

    fn plan_over(&mut self, marked: bool) {
        self.not_reached();
        let history = self.report.history;
        if marked || self.spans.keys().any(|it| history.is_observer(it.actor)) {
            let heading = Word::new(Style::Bold, "after the plan");
            self.rows.push(Row { apart: true, ..Row::across(heading, marked) });
        }
        let mut groups: Vec<(Vec<String>, Vec<String>)> = Vec::new();
        for actor in &self.quiet {
            let verbs: Vec<_> = self.spans.iter().filter(|it| it.0.actor == *actor).map(|it| verb(it.1.step)).collect();
            match groups.iter_mut().find(|it| it.0 == verbs) {
                Some((_, actors)) => actors.push(actor.to_string()),
                None => groups.push((verbs, vec![actor.to_string()])),
            }
        }
        for (verbs, actors) in groups {
            let text = format!("{}  {}: all done", actors.join(", "), verbs.join(", "));
            self.rows.push(Row::across(Word::new(Style::Plain, text), false));
        }
    }
}

/// `a 5`; with the space, since `c5` would be a connection.
fn name(by: By) -> String {
    format!("{} {}", by.actor, by.step + 1)
}

fn verb(step: &Step) -> String {
    step.to_string().split(' ').next().unwrap_or_default().to_owned()
}

fn quiet(report: &Report<'_>) -> BTreeSet<ActorId> {
    let events = || report.history.events.iter().filter_map(|it| Some((it.by?.actor, &it.what)));
    let loud: BTreeSet<_> = events()
        .filter(|(_, what)| match what {
            What::Returned(Outcome::Done(Reply::Residue { setting, temp_tables })) => *setting || *temp_tables > 0,
            What::Returned(Outcome::Done(_)) | What::Invoked(_) | What::Ended => false,
            what => deed(what).is_none(),
        })
        .map(|it| it.0)
        .chain(report.violation.and_then(|it| it.by).map(|it| it.actor))
        .collect();
    let observers = events().map(|it| it.0).filter(|it| report.history.is_observer(*it));
    observers.filter(|it| !loud.contains(it)).collect()
}

fn answer(what: &What) -> Option<Word> {
    Some(match what {
        What::Returned(Outcome::Failed(it)) => {
            Word::with_tail(Style::Plain, &format!("→ failed ({})", it.class), &it.message)
        }
        // That a row changed is what one expects; that none did is worth a word.
        What::Returned(Outcome::Done(Reply::Changed(true))) => Word::new(Style::Plain, "→ done"),
        What::Returned(outcome) => Word::new(Style::Plain, format!("→ {outcome}")),
        What::Skipped => Word::new(Style::Dim, "→ skipped"),
        What::Blocked => Word::new(Style::Plain, "blocked"),
        What::Panicked(text) => Word::with_tail(Style::Red, "→ panicked", text),
        What::Hung => Word::new(Style::Red, "→ hung"),
        What::FaultLanded(fault) => Word::new(Style::Plain, format!("{fault} landed")),
        _ => return None,
    })
}

/// What the plan wanted done to the command and was not.
fn not_landed(history: &History, by: By, step: &Step, outcome: &Outcome) -> Vec<Word> {
    let landed = |fault| history.events.iter().any(|it| it.by == Some(by) && it.what == What::FaultLanded(fault));
    let fault = step.fault.filter(|it| !landed(*it)).map(|it| it.to_string());
    let cancel = step.cancel.filter(|_| !matches!(outcome, Outcome::Cancelled(_))).map(|_| "cancel".to_owned());
    fault.into_iter().chain(cancel).map(|it| Word::new(Style::Dim, format!("({it} did not land)"))).collect()
}

/// The narrowest page.
const PAGE_MIN: usize = 40;
/// The margin on the left, for the mark.
const MARGIN: usize = 2;
/// Between two columns, and between two things in one.
const GAP: usize = 2;
/// A column is not made narrower than this; columns overlap instead, since only one of them is used in each row.
const COLUMN_MIN: usize = 34;
/// What is longer than this does not decide the width of a column.
const COMMAND_MAX: usize = 28;
const EVIDENCE_MAX: usize = 28;
const ANSWERS_MAX: usize = 60;
/// Less room than this is not enough for an answer of its own.
const ANSWERS_MIN: usize = 22;
/// Less of a message than this says nothing.
const MESSAGE_MIN: usize = 30;
/// Where the text of the conclusion begins.
const CONCLUSION: usize = 14;

/// Lays rows out as lines.
struct Page<'a> {
    report: &'a Report<'a>,
    width: usize,
    columns: Vec<Column>,
    /// The room at the left of a column for the line that says that a command is under way.
    lane: usize,
    notes: Vec<String>,
    lines: Vec<Line>,
}

/// Where the things of one column begin; the last of its sizes are zero if it never has any.
#[derive(Clone, Copy, Debug, Default)]
struct Column {
    start: usize,
    label: usize,
    command: usize,
    evidence: usize,
    answers: usize,
    edge: usize,
}

impl Column {
    fn measure(rows: &[Row], at: usize) -> Self {
        let mut column = Self::default();
        for row in rows.iter().filter(|it| it.column == Some(at)) {
            let answers: usize = row.answers.iter().chain(&row.later()).map(|it| it.len() + 1).sum();
            column.label = column.label.max(length(&row.label));
            column.command = column.command.max(row.command.len().min(COMMAND_MAX));
            column.evidence = column.evidence.max(row.evidence().map_or(0, |it| it.len()).min(EVIDENCE_MAX));
            column.answers = column.answers.max(answers.min(ANSWERS_MAX));
        }
        column
    }

    /// The width that it would like to have.
    fn natural(&self, lane: usize) -> usize {
        let sizes = [self.command, self.evidence, self.answers];
        lane + self.label + sizes.into_iter().filter(|it| *it > 0).map(|it| it + GAP).sum::<usize>()
    }

    fn command_at(&self) -> usize {
        self.start + self.label + GAP
    }

    /// Where the evidence begins and where the answers do, if there is room for columns of their own.
    fn stops(&self) -> (Option<usize>, Option<usize>) {
        let evidence = self.command_at() + self.command + GAP;
        let answers = if self.evidence == 0 { evidence } else { evidence + self.evidence + GAP };
        if answers + self.answers.min(ANSWERS_MIN) <= self.edge {
            (Some(evidence), Some(answers))
        } else if evidence + ANSWERS_MIN <= self.edge {
            (Some(evidence), None)
        } else {
            (None, None)
        }
    }
}

impl<'a> Page<'a> {
    fn new(report: &'a Report<'a>, rows: &[Row]) -> Self {
        let width = report.width.max(PAGE_MIN);
        let lane = if rows.iter().any(|it| it.column.is_some() && it.lane() != ' ') { 2 } else { 0 };
        let actors = report.plan.actors.len();
        let mut columns: Vec<_> = (0..=actors).map(|at| Column::measure(rows, at)).collect();
        let natural: Vec<_> = columns[..actors].iter().map(|it| it.natural(lane)).collect();
        let mut offset = MARGIN;
        for (column, (step, span)) in columns.iter_mut().zip(share(&natural, width - MARGIN)) {
            (column.start, column.edge) = (offset + lane, (offset + span).min(width));
            offset += step;
        }
        (columns[actors].start, columns[actors].edge) = (MARGIN, width);
        Self { report, width, columns, lane, notes: Vec::new(), lines: Vec::new() }
    }

    fn heading(&mut self) {
        let plan = self.report.plan;
        let plural = if plan.connections == 1 { "" } else { "s" };
        let mut line = Line::default();
        line.push_at(MARGIN, Style::Dim, &format!("{}, {} connection{plural}", plan.storage, plan.connections));
        self.lines.extend([line, Line::default()]);
        let mut line = Line::default();
        for (at, column) in self.columns.iter().enumerate().take(plan.actors.len()) {
            line.push_at(column.start, Style::Bold, &ActorId::new(at).to_string());
        }
        self.lines.push(line);
    }

    fn row(&mut self, row: &Row) {
        let column = row.column.and_then(|it| self.columns.get(it)).copied();
        let across = Column { start: MARGIN, edge: self.width, ..Column::default() };
        let place = column.unwrap_or(across);
        let (evidence_at, answers_at) = if column.is_some() { place.stops() } else { (None, None) };
        let command_at = if column.is_some() { place.command_at() } else { MARGIN };
        let emphasis = if row.marked { Style::Bold } else { row.command.style };

        let mut flow = Flow {
            rest: self.lanes(row, place, if row.flies.1 { '│' } else { ' ' }),
            line: self.lanes(row, place, row.lane()),
            hang: answers_at.or(evidence_at).unwrap_or(command_at + GAP),
            edge: place.edge,
            lines: Vec::new(),
            notes: &mut self.notes,
        };
        flow.line.push_at(place.start, Style::Dim, &row.label);
        flow.put(command_at, GAP, &Word { style: emphasis, ..row.command.clone() });
        if let Some(evidence) = row.evidence() {
            flow.put(evidence_at.unwrap_or(0), GAP, &evidence);
        }
        let (mut at, mut gap) = (answers_at.or(evidence_at).unwrap_or(0), GAP);
        for word in row.answers.iter().chain(&row.later()) {
            flow.put(at, gap, word);
            (at, gap) = (0, 1);
        }
        let mut lines = flow.end();
        if row.marked {
            lines[0].mark();
        }
        for line in &mut lines {
            self.lanes_after(line, row);
        }
        if row.apart {
            self.lines.push(Line::default());
        }
        self.lines.append(&mut lines);
    }

    /// A line with what runs through it up to the column.
    fn lanes(&self, row: &Row, place: Column, own: char) -> Line {
        let mut line = Line::default();
        for other in row.passing.iter().filter_map(|it| self.columns.get(*it)).filter(|it| it.start < place.start) {
            line.push_at(other.start - self.lane, Style::Dim, "│");
        }
        if own != ' ' && self.lane > 0 && row.column.is_some_and(|it| it < self.report.plan.actors.len()) {
            line.push_at(place.start - self.lane, Style::Dim, &own.to_string());
        }
        line
    }

    /// What runs through the line behind the text that is in it.
    fn lanes_after(&self, line: &mut Line, row: &Row) {
        for other in row.passing.iter().filter_map(|it| self.columns.get(*it)) {
            let at = other.start - self.lane;
            if at > line.width {
                line.push_at(at, Style::Dim, "│");
            }
        }
    }

    fn conclusion(&mut self) {
        if let Some(violation) = self.report.violation {
            self.lines.push(Line::default());
            let place = self.place_of(violation);
            self.say("violated", Style::Red, &violation.invariant.to_string());
            if let Some(line) = self.lines.last_mut()
                && let Some(place) = place
            {
                line.push_at(line.width + GAP, Style::Plain, &cut(&place, self.width.saturating_sub(line.width + GAP)));
            }
            self.say("expected", Style::Plain, &violation.expected);
            self.say("observed", Style::Plain, &violation.observed);
        }
        let state = self.report.history.events.iter().rev().find_map(|it| match &it.what {
            What::FinalState(rows) => Some(rows),
            _ => None,
        });
        if let Some(rows) = state {
            let rows: Vec<_> =
                rows.iter().filter(|it| *it.0 != Key::OBSERVER).map(|(k, v)| format!("{k} = {v}")).collect();
            let text = if rows.is_empty() { "no rows".to_owned() } else { rows.join(", ") };
            if self.report.violation.is_none() {
                self.lines.push(Line::default());
            }
            self.say("at the end", Style::Plain, &text);
        }
        let notes = std::mem::take(&mut self.notes);
        if !notes.is_empty() {
            self.lines.push(Line::default());
        }
        for (at, note) in notes.iter().enumerate() {
            self.paragraph(&format!("[{}]", at + 1), MARGIN + 4, Style::Plain, note);
        }
    }

    fn place_of(&self, violation: &Violation) -> Option<String> {
        let event = self.report.history.events.get(violation.at);
        let spans = self.report.history.commands();
        match (violation.by, event.map(|it| &it.what)) {
            (Some(by), Some(What::Ended)) => Some(format!("when {} ended", by.actor)),
            (Some(by), _) => Some(match spans.get(&by) {
                Some(span) => format!("at {}: {}", name(by), span.step),
                None => format!("at {}", name(by)),
            }),
            (None, Some(What::PlanOver)) => Some("when the plan was over".into()),
            (None, Some(What::Stopped | What::StopHung)) => Some("when the system was stopped".into()),
            (None, Some(What::FinalState(_)) | None) => Some("at the end".into()),
            (None, Some(_)) => None,
        }
    }

    fn say(&mut self, title: &str, style: Style, text: &str) {
        self.paragraph(title, CONCLUSION, style, &one_line(text));
    }

    /// A title and a wrapped text beside it.
    fn paragraph(&mut self, title: &str, indent: usize, style: Style, text: &str) {
        let mut line = Line::default();
        line.push_at(MARGIN, Style::Dim, title);
        for part in wrapped(text, self.width.saturating_sub(indent).max(1)) {
            line.push_at(indent, style, &part);
            self.lines.push(std::mem::take(&mut line));
        }
    }
}

/// Gives each column the distance to the next one and the width that it may use.
fn share(natural: &[usize], page: usize) -> Vec<(usize, usize)> {
    let count = natural.len();
    let room = page.saturating_sub(GAP * count.saturating_sub(1));
    if count * COLUMN_MIN > room && natural.iter().sum::<usize>() > room {
        let step = page.saturating_sub(COLUMN_MIN) / count.saturating_sub(1).max(1);
        return (0..count).map(|at| (step, page - at * step)).collect();
    }
    // What the modest ones leave is shared by the others.
    let (mut left, mut widths) = (room, vec![0; count]);
    let mut order: Vec<_> = (0..count).collect();
    order.sort_by_key(|it| natural[*it]);
    for (done, at) in order.into_iter().enumerate() {
        widths[at] = natural[at].min(left / (count - done));
        left -= widths[at];
    }
    // The last one may use what nobody wanted.
    if let Some(last) = widths.last_mut() {
        *last += left;
    }
    widths.into_iter().map(|it| (it + GAP, it)).collect()
}

/// Fills lines with words.
struct Flow<'n> {
    line: Line,
    /// How a further line begins.
    rest: Line,
    /// Where the text of a further line begins.
    hang: usize,
    edge: usize,
    lines: Vec<Line>,
    notes: &'n mut Vec<String>,
}

impl Flow<'_> {
    /// Puts the word here, or at this distance from what is there already, or on a further line; if it is too long, cuts
    /// it and makes the whole a note.
    fn put(&mut self, at: usize, gap: usize, word: &Word) {
        let at = if self.line.has_text { at.max(self.line.width + gap) } else { at };
        let room = self.edge.saturating_sub(at);
        if let Some(text) = self.fitting(word, room) {
            return self.line.push_at(at, word.style, &text);
        }
        if self.line.has_text && self.line.width > self.hang {
            self.lines.push(std::mem::replace(&mut self.line, self.rest.clone()));
        }
        let at = self.hang.max(self.line.width + usize::from(self.line.has_text));
        let room = self.edge.saturating_sub(at);
        let text = self.fitting(word, room).unwrap_or_else(|| {
            let tag = self.note(word.whole().trim_start_matches("→ "));
            cut(&word.head, room.saturating_sub(length(&tag))) + &tag
        });
        self.line.push_at(at, word.style, &text);
    }

    fn fitting(&mut self, word: &Word, room: usize) -> Option<String> {
        if word.len() <= room {
            return Some(word.whole());
        }
        // Room for a note's number of two digits.
        let left = room.checked_sub(length(&word.head) + 5)?;
        if word.tail.is_empty() {
            return None;
        }
        let tag = self.note(&word.tail);
        let some = if left < MESSAGE_MIN + 2 { String::new() } else { format!(": {}", cut(&word.tail, left - 2)) };
        Some(format!("{}{some}{tag}", word.head))
    }

    fn note(&mut self, text: &str) -> String {
        let at = self.notes.iter().position(|it| it == text).unwrap_or_else(|| {
            self.notes.push(text.to_owned());
            self.notes.len() - 1
        });
        format!(" [{}]", at + 1)
    }

    fn end(mut self) -> Vec<Line> {
        self.lines.push(self.line);
        self.lines
    }
}

/// Text that is kept together: a head, and a tail (a message) of which as much is shown as fits.
#[derive(Clone, Debug, Default)]
struct Word {
    style: Style,
    head: String,
    tail: String,
}

impl Word {
    fn new(style: Style, head: impl AsRef<str>) -> Self {
        Self { style, head: one_line(head.as_ref()), tail: String::new() }
    }

    fn with_tail(style: Style, head: &str, tail: &str) -> Self {
        Self { tail: one_line(tail), ..Self::new(style, head) }
    }

    fn whole(&self) -> String {
        if self.tail.is_empty() { self.head.clone() } else { format!("{}: {}", self.head, self.tail) }
    }

    fn len(&self) -> usize {
        length(&self.whole())
    }
}

/// Without line breaks and other control characters, which could paint over the rest.
fn one_line(text: &str) -> String {
    let text: String = text.chars().map(|it| if it.is_control() { ' ' } else { it }).collect();
    text.trim().to_owned()
}

fn length(text: &str) -> usize {
    text.chars().count()
}

/// At most so many characters; what is missing is a `…`.
fn cut(text: &str, room: usize) -> String {
    if length(text) <= room {
        return text.to_owned();
    }
    let some: String = text.chars().take(room.saturating_sub(1)).collect();
    format!("{}…", some.trim_end())
}

/// Broken between words, and within one that is longer than a line.
fn wrapped(text: &str, room: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let mut word: Vec<char> = word.chars().collect();
        loop {
            let line = lines.last_mut().expect("there is at least one line");
            let used = length(line) + usize::from(!line.is_empty());
            if used + word.len() <= room {
                line.extend((!line.is_empty()).then_some(' '));
                line.extend(word);
                break;
            }
            if line.is_empty() {
                line.extend(word.drain(..room));
            }
            lines.push(String::new());
        }
    }
    lines
}

const BOLD: &str = "\x1b[1m";
const DIM: &str = "\x1b[2m";
const RED: &str = "\x1b[31m";
const RESET: &str = "\x1b[0m";

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Style {
    #[default]
    Plain,
    Bold,
    Dim,
    Red,
}

/// One line of the page, filled from left to right.
#[derive(Clone, Debug, Default)]
struct Line {
    pieces: Vec<(Style, String)>,
    width: usize,
    /// Whether there is more in it than margins and lanes.
    has_text: bool,
    marked: bool,
}

impl Line {
    fn push_at(&mut self, at: usize, style: Style, text: &str) {
        if text.is_empty() {
            return;
        }
        let gap = at.saturating_sub(self.width);
        self.pieces.push((Style::Plain, " ".repeat(gap)));
        self.pieces.push((style, text.to_owned()));
        self.width += gap + length(text);
        self.has_text |= !matches!(text, "│" | "┌" | "├" | "└");
    }

    /// Puts the mark of the violation into the margin.
    fn mark(&mut self) {
        self.marked = true;
    }

    fn write(&self, f: &mut fmt::Formatter<'_>, color: bool) -> fmt::Result {
        let mut pieces = self.pieces.clone();
        if let (true, Some((_, margin))) = (self.marked, pieces.first_mut()) {
            margin.drain(..MARGIN);
            pieces.insert(0, (Style::Red, "▶ ".into()));
        }
        for (style, text) in pieces {
            let code = match style {
                Style::Bold => BOLD,
                Style::Dim => DIM,
                Style::Red => RED,
                Style::Plain => "",
            };
            if color && !code.is_empty() {
                write!(f, "{code}{text}{RESET}")?;
            } else {
                f.write_str(&text)?;
            }
        }
        f.write_char('\n')
    }
}
