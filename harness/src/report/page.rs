//! From rows to lines: one column per actor, as wide as the page allows.
//!
//! Owns the layout: where columns begin, what runs through a line, and the conclusion under the rows.

use super::run::Report;
use super::story::{Row, name};
use super::text::{Flow, GAP, Line, MARGIN, Style, Word, cut, length, one_line, wrapped};
use crate::history::{By, What};
use crate::plan::{ActorId, Command, Key, Spelling, Tasks};
use crate::spelling::text;
use crate::verdict::Violation;

/// The narrowest page.
const PAGE_MIN: usize = 40;
/// A column is not made narrower than this; columns overlap instead, since only one of them is used in each row.
const COLUMN_MIN: usize = 34;
/// Longer items do not decide the width of a column.
const COMMAND_MAX: usize = 28;
const EVIDENCE_MAX: usize = 28;
const ANSWERS_MAX: usize = 60;
/// More room than this is kept for no answer at the cost of what is before it; a note takes up the rest.
const ANSWER_MAX: usize = 30;
/// The room for the number of a note, of two digits.
const NOTE: usize = 5;
/// Less room than this is not enough for commands and evidence before a column of answers.
const BEFORE_ANSWERS_MIN: usize = 16;
/// Where the text of the conclusion begins.
const CONCLUSION: usize = 14;

/// Lays rows out as lines.
pub(super) struct Page<'a> {
    pub(super) report: &'a Report<'a>,
    pub(super) width: usize,
    pub(super) columns: Vec<Column>,
    /// The room at the left of a column for the line that says that a command is under way.
    pub(super) lane: usize,
    pub(super) notes: Vec<String>,
    pub(super) lines: Vec<Line>,
}

/// Where the things of one column begin; the last of its sizes are zero if it never has any.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Column {
    pub(super) start: usize,
    pub(super) label: usize,
    pub(super) command: usize,
    pub(super) evidence: usize,
    pub(super) answers: usize,
    /// The longest first answer without its message.
    pub(super) answer: usize,
    /// The longest of all.
    pub(super) further: usize,
    pub(super) edge: usize,
}

impl Column {
    pub(super) fn measure(rows: &[Row], at: usize) -> Self {
        let mut column = Self::default();
        for row in rows.iter().filter(|it| it.column == Some(at)) {
            let answers: usize = row.answers.iter().chain(&row.later()).map(|it| it.len() + 1).sum();
            column.label = column.label.max(length(&row.label));
            column.command = column.command.max(row.command.len().min(COMMAND_MAX));
            column.evidence = column.evidence.max(row.evidence().map_or(0, |it| it.len()).min(EVIDENCE_MAX));
            column.answers = column.answers.max(answers.min(ANSWERS_MAX));
            let least = |word: &Word| word.len().min(length(&word.head) + NOTE).min(ANSWER_MAX);
            let later = row.later();
            let mut words = row.answers.iter().chain(&later).map(least);
            column.answer = column.answer.max(words.next().unwrap_or(0));
            column.further = column.further.max(words.max().unwrap_or(0)).max(column.answer);
        }
        column
    }

    /// The width that it would like to have.
    pub(super) fn natural(&self, lane: usize) -> usize {
        let sizes = [self.command, self.evidence, self.answers];
        lane + self.label + sizes.into_iter().filter(|it| *it > 0).map(|it| it + GAP).sum::<usize>()
    }

    pub(super) fn command_at(&self) -> usize {
        self.start + self.label + GAP
    }

    /// Where the evidence begins and where the answers do, if there is room for columns of their own. Long commands and
    /// evidence do not push the answers out of theirs: what does not fit before it is followed by a line of its own.
    pub(super) fn stops(&self) -> (Option<usize>, Option<usize>) {
        let evidence = self.command_at() + self.command + GAP;
        let behind = if self.evidence == 0 { evidence } else { evidence + self.evidence + GAP };
        let earliest = self.command_at() + BEFORE_ANSWERS_MIN;
        if earliest + self.answer > self.edge {
            return (None, None);
        }
        let answers = behind.min(self.edge.saturating_sub(self.further).max(earliest));
        let evidence = evidence.min(answers.saturating_sub(self.evidence + GAP)).max(self.command_at());
        (Some(evidence), Some(answers))
    }
}

impl<'a> Page<'a> {
    pub(super) fn new(report: &'a Report<'a>, rows: &[Row]) -> Self {
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

    pub(super) fn heading(&mut self) {
        let plan = self.report.plan;
        let plural = if plan.connections == 1 { "" } else { "s" };
        let mut line = Line::default();
        let fixture = if plan.fixture { ", inside a fixture" } else { "" };
        let tasks = if plan.tasks == Tasks::Late { ", tasks run late" } else { "" };
        let about = format!("{}, {} connection{plural}{fixture}{tasks}", plan.storage, plan.connections);
        line.push_at(MARGIN, Style::Dim, &about);
        self.lines.push(line);
        if !self.report.brief {
            self.lines.push(Line::default());
        } else if plan.actors.len() == 1 {
            return;
        }
        let mut line = Line::default();
        for (at, column) in self.columns.iter().enumerate().take(plan.actors.len()) {
            line.push_at(column.start, Style::Bold, &ActorId::new(at).to_string());
        }
        self.lines.push(line);
    }

    pub(super) fn row(&mut self, row: &Row) {
        let column = row.column.and_then(|it| self.columns.get(it)).copied();
        let across = Column { start: MARGIN, edge: self.width, ..Column::default() };
        let place = column.unwrap_or(across);
        let (evidence_at, answers_at) = if column.is_some() { place.stops() } else { (None, None) };
        let command_at = if column.is_some() { place.command_at() } else { MARGIN };
        let emphasis = if row.marked { Style::Bold } else { row.command.style };

        let mut flow = Flow {
            rest: self.lanes(row, place, if row.flies.1 { '│' } else { ' ' }),
            line: self.lanes(row, place, row.lane()),
            hang: answers_at.unwrap_or(command_at + GAP),
            edge: place.edge,
            lines: Vec::new(),
            notes: &mut self.notes,
        };
        flow.line.push_at(place.start, Style::Dim, &row.label);
        flow.put(command_at, GAP, &Word { style: emphasis, ..row.command.clone() });
        if let Some(evidence) = row.evidence() {
            flow.put(evidence_at.unwrap_or(0), GAP, &evidence);
        }
        for (nth, word) in row.answers.iter().chain(&row.later()).enumerate() {
            match answers_at {
                Some(at) if nth == 0 => flow.put_in_column(at, word),
                _ => flow.put(0, if nth == 0 { GAP } else { 1 }, word),
            }
        }
        let mut lines = flow.end();
        if row.marked {
            lines[0].mark();
        }
        for line in &mut lines {
            self.lanes_after(line, row);
        }
        if row.apart && !self.report.brief {
            self.lines.push(Line::default());
        }
        self.lines.append(&mut lines);
    }

    /// Starts a line with the lanes up to the column.
    pub(super) fn lanes(&self, row: &Row, place: Column, own: char) -> Line {
        let mut line = Line::default();
        for other in row.passing.iter().filter_map(|it| self.columns.get(*it)).filter(|it| it.start < place.start) {
            line.push_at(other.start - self.lane, Style::Dim, "│");
        }
        if own != ' ' && self.lane > 0 && row.column.is_some_and(|it| it < self.report.plan.actors.len()) {
            line.push_at(place.start - self.lane, Style::Dim, &own.to_string());
        }
        line
    }

    /// Draws the lanes behind the text of the line.
    pub(super) fn lanes_after(&self, line: &mut Line, row: &Row) {
        for other in row.passing.iter().filter_map(|it| self.columns.get(*it)) {
            let at = other.start - self.lane;
            if at > line.width {
                line.push_at(at, Style::Dim, "│");
            }
        }
    }

    pub(super) fn conclusion(&mut self) {
        self.raw_texts();
        if let Some(violation) = self.report.violation {
            if !self.report.brief {
                self.lines.push(Line::default());
            }
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
            let is_told = self.report.violation.is_some_and(|it| it.observed == text || rows.is_empty());
            if !(self.report.brief && is_told) {
                self.say("at the end", Style::Plain, &text);
            }
        }
        let notes = std::mem::take(&mut self.notes);
        if !notes.is_empty() && !self.report.brief {
            self.lines.push(Line::default());
        }
        for (at, note) in notes.iter().enumerate() {
            self.paragraph(&format!("[{}]", at + 1), MARGIN + 4, Style::Plain, note);
        }
    }

    /// What raw SQL says where it is not written plainly.
    fn raw_texts(&mut self) {
        let plan = self.report.plan;
        let mut is_first = true;
        for (actor, step, it) in plan.steps() {
            let Command::Raw(residue, spelling) = it.command else { continue };
            let Some(text) = text(plan.storage.backend(), residue, spelling).filter(|_| spelling != Spelling::PLAIN)
            else {
                continue;
            };
            if std::mem::take(&mut is_first) {
                self.lines.push(Line::default());
            }
            let place = name(By { actor, step });
            self.say("written", Style::Plain, &format!("{place}: {}", text.replace('\n', "⏎")));
        }
    }

    pub(super) fn place_of(&self, violation: &Violation) -> Option<String> {
        let event = self.report.history.events.get(violation.at);
        let spans = self.report.history.commands();
        match (violation.by, event.map(|it| &it.what)) {
            (Some(by), Some(What::Ended)) => Some(format!("when {} ended", by.actor)),
            (Some(by), _) => Some(match spans.get(by) {
                Some(span) => format!("at {}: {}", name(by), span.step),
                None => format!("at {}", name(by)),
            }),
            (None, Some(What::PlanOver)) => Some("after the plan".into()),
            (None, Some(What::Stopped | What::StopHung)) => Some("when the system was stopped".into()),
            (None, Some(What::FinalState(_)) | None) => Some("at the end".into()),
            (None, Some(_)) => None,
        }
    }

    pub(super) fn say(&mut self, title: &str, style: Style, text: &str) {
        self.paragraph(title, CONCLUSION, style, &one_line(text));
    }

    /// A title and a wrapped text beside it.
    pub(super) fn paragraph(&mut self, title: &str, indent: usize, style: Style, text: &str) {
        let mut line = Line::default();
        line.push_at(MARGIN, Style::Dim, title);
        for part in wrapped(text, self.width.saturating_sub(indent).max(1)) {
            line.push_at(indent, style, &part);
            self.lines.push(std::mem::take(&mut line));
        }
    }
}

/// Gives each column the distance to the next one and the width that it may use.
pub(super) fn share(natural: &[usize], page: usize) -> Vec<(usize, usize)> {
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
    // The last column may use the remaining width.
    if let Some(last) = widths.last_mut() {
        *last += left;
    }
    widths.into_iter().map(|it| (it + GAP, it)).collect()
}
