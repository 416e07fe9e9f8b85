//! From a history to a chart: lanes, rows in the order of events, and what lasts from one row to another.
//!
//! Owns what is drawn where, for [`super::svg`]. A transaction is there twice: as the replies claim it, beside its actor, and as the
//! evidence shows it, beside its connection.
//!
//! Not shown: savepoints of a connection, of which there is no evidence; and that a transaction which wrote nothing has ended is
//! taken from the reply, where the database tells nobody.

use std::collections::{BTreeMap, BTreeSet};

use super::run::Report;
use super::story::{action, name, quiet};
use crate::history::{By, ByCommand, ConnectionId, Outcome, Reply, Span, What};
use crate::model::depth_after;
use crate::plan::{ActorId, Command, Residue};

/// A column of the chart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Lane {
    Actor(ActorId),
    Connection(ConnectionId),
}

/// One row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ChartRow {
    /// What happened, in the lanes where something did.
    Cells(BTreeMap<Lane, Cell>),
    /// The plan is over; observers follow.
    AfterPlan,
    /// The replies and the evidence part here.
    Parted,
    /// The invariant breaks here.
    Broken(String),
}

/// What happened in one lane.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Cell {
    pub(super) text: String,
    /// A fault has landed.
    pub(super) is_faulted: bool,
    pub(super) is_cancelled: bool,
}

/// What lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lasting {
    Command,
    /// A transaction of an actor, by the replies, at this depth from 0.
    Claimed(usize),
    /// A transaction of a connection, by the evidence.
    Real,
}

/// Something that lasts from one row to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Block {
    pub(super) lane: Lane,
    pub(super) what: Lasting,
    pub(super) from: usize,
    pub(super) to: usize,
    /// Whether it did not end.
    pub(super) goes_on: bool,
}

/// The chart of one run.
#[derive(Debug, Default)]
pub(super) struct Chart {
    pub(super) lanes: Vec<Lane>,
    pub(super) rows: Vec<ChartRow>,
    pub(super) blocks: Vec<Block>,
}

struct Builder<'a> {
    report: &'a Report<'a>,
    /// The observers that found nothing wrong; they are left out.
    quiet: BTreeSet<ActorId>,
    spans: ByCommand<Span<'a>>,
    chart: Chart,
    /// Whose row the last one is, if it can be continued.
    last: Option<Option<By>>,
    /// Where the commands began that are under way.
    flying: BTreeMap<By, usize>,
    /// Where the transactions of each actor began, by the replies, outermost first.
    claimed: BTreeMap<ActorId, Vec<usize>>,
    /// Where the transaction of each connection began.
    real: BTreeMap<ConnectionId, usize>,
    /// Whom each connection has served last.
    served: BTreeMap<ConnectionId, ActorId>,
}

impl Chart {
    /// The chart of a run whose accounts part at this event, if they do.
    pub(super) fn of(report: &Report<'_>, parted: Option<usize>) -> Self {
        let mut builder = Builder {
            report,
            quiet: quiet(report),
            spans: report.history.commands(),
            chart: Self::default(),
            last: None,
            flying: BTreeMap::new(),
            claimed: BTreeMap::new(),
            real: BTreeMap::new(),
            served: BTreeMap::new(),
        };
        for (at, event) in report.history.events.iter().enumerate() {
            let is_quiet = event.by.is_some_and(|by| builder.quiet.contains(&by.actor));
            builder.event(event.by, &event.what, is_quiet);
            if parted == Some(at) {
                builder.across(ChartRow::Parted);
            }
            if let Some(violation) = report.violation.filter(|it| it.at == at) {
                builder.across(ChartRow::Broken(violation.invariant.to_string()));
            }
        }
        if let Some(violation) = report.violation.filter(|it| it.at >= report.history.events.len()) {
            builder.across(ChartRow::Broken(violation.invariant.to_string()));
        }
        builder.end()
    }
}

impl Builder<'_> {
    fn event(&mut self, by: Option<By>, what: &What, is_quiet: bool) {
        if let Some(connection) = connection(what) {
            let ends = matches!(what, What::Committed(_) | What::RolledBack(_) | What::Disconnected(_) | What::Lost(_));
            // What nobody's command has done is shown where it ends a transaction.
            let is_shown = ends && self.real.contains_key(&connection) || !is_quiet && by.is_some();
            if is_shown {
                self.evidence(by, connection, what, ends);
            }
            return;
        }
        match (what, by) {
            (What::PlanOver, _) => {
                let history = self.report.history;
                let is_shown = |by: By| history.is_observer(by.actor) && !self.quiet.contains(&by.actor);
                if history.events.iter().filter_map(|it| it.by).any(is_shown) {
                    self.across(ChartRow::AfterPlan);
                }
            }
            (what, Some(by)) if !is_quiet => self.command(by, what),
            _ => {}
        }
    }

    fn evidence(&mut self, by: Option<By>, connection: ConnectionId, what: &What, ends: bool) {
        let word = match what {
            What::Late(_) => "answered late",
            what => action(what).map_or("", |action| action.1),
        };
        let row = self.row(by);
        let cell = self.cell(row, Lane::Connection(connection));
        if word.is_empty() && cell.text.is_empty() {
            cell.text = SERVED.to_owned();
        } else if !word.is_empty() && (cell.text.is_empty() || cell.text == SERVED) {
            cell.text = word.to_owned();
        } else if !cell.text.ends_with(word) {
            cell.text += &format!(", {word}");
        }
        if let Some(by) = by {
            self.served.insert(connection, by.actor);
        }
        if matches!(what, What::Wrote(_)) || matches!(what, What::Served(_)) && self.begins(by) {
            self.real.entry(connection).or_insert(row);
        }
        if ends {
            self.end_real(connection, row);
        }
    }

    /// Whether the command begins a transaction, as far as its own reply does not deny it.
    fn begins(&self, by: Option<By>) -> bool {
        let span = by.and_then(|by| self.spans.get(by));
        span.is_some_and(|span| {
            let begins = matches!(span.step.command, Command::Begin(_) | Command::Raw(Residue::Transaction, _));
            begins && !matches!(span.outcome, Some(Outcome::Failed(_)))
        })
    }

    fn command(&mut self, by: By, what: &What) {
        let lane = Lane::Actor(by.actor);
        let said = match what {
            What::Invoked(step) => {
                self.last = None;
                let row = self.row(Some(by));
                self.flying.insert(by, row);
                self.cell(row, lane).text = format!("{}  {step}", name(by));
                return;
            }
            What::Returned(outcome) => outcome_in_short(outcome),
            What::Skipped => "→ skipped".to_owned(),
            What::Blocked => "waits".to_owned(),
            What::Panicked(_) => "→ panicked".to_owned(),
            What::Hung => "→ hung".to_owned(),
            What::FaultLanded(fault) => format!("◆ {fault}"),
            What::Ended if self.claimed.get(&by.actor).is_some_and(|open| !open.is_empty()) => {
                self.last = None;
                let row = self.row(Some(by));
                self.cell(row, lane).text = format!("{}    ends without `close`", by.actor);
                self.claims(by.actor, 0, row);
                return;
            }
            _ => return,
        };
        let is_continued = self.last == Some(Some(by));
        let row = self.row(Some(by));
        let cell = self.cell(row, lane);
        let label = if is_continued { String::new() } else { name(by) };
        cell.text = format!("{}{label} {said}", cell.text).trim().to_owned();
        cell.is_faulted |= matches!(what, What::FaultLanded(_));
        cell.is_cancelled |= matches!(what, What::Returned(Outcome::Cancelled(_)));
        if matches!(what, What::Blocked | What::FaultLanded(_)) {
            return;
        }
        if let Some(from) = self.flying.remove(&by) {
            self.chart.blocks.push(Block { lane, what: Lasting::Command, from, to: row, goes_on: false });
        }
        if let (What::Returned(outcome), Some(span)) = (what, self.spans.get(by).copied()) {
            let before = self.claimed.get(&by.actor).map_or(0, Vec::len);
            let depth = depth_after(u32::try_from(before).unwrap_or(u32::MAX), &span);
            self.claims(by.actor, usize::try_from(depth).unwrap_or(before), row);
            let is_end = depth == 0 && before > 0 && matches!(outcome, Outcome::Done(_));
            if is_end {
                let open = self.real.keys().copied().filter(|it| self.served.get(it) == Some(&by.actor));
                for connection in open.collect::<Vec<_>>() {
                    self.end_real(connection, row);
                }
            }
        }
    }

    /// From this row on, the actor is in so many transactions, by the replies.
    fn claims(&mut self, actor: ActorId, depth: usize, row: usize) {
        let open = self.claimed.entry(actor).or_default();
        while open.len() > depth {
            let from = open.pop().unwrap_or(row);
            let what = Lasting::Claimed(open.len());
            self.chart.blocks.push(Block { lane: Lane::Actor(actor), what, from, to: row, goes_on: false });
        }
        while open.len() < depth {
            open.push(row);
        }
    }

    fn end_real(&mut self, connection: ConnectionId, row: usize) {
        if let Some(from) = self.real.remove(&connection) {
            let lane = Lane::Connection(connection);
            self.chart.blocks.push(Block { lane, what: Lasting::Real, from, to: row, goes_on: false });
        }
    }

    /// The row of a command's next event: the last one, if that is its own.
    fn row(&mut self, by: Option<By>) -> usize {
        if self.last != Some(by) || self.chart.rows.is_empty() {
            self.chart.rows.push(ChartRow::Cells(BTreeMap::new()));
            self.last = Some(by);
        }
        self.chart.rows.len() - 1
    }

    fn cell(&mut self, row: usize, lane: Lane) -> &mut Cell {
        if !self.chart.lanes.contains(&lane) {
            self.chart.lanes.push(lane);
        }
        if !matches!(self.chart.rows[row], ChartRow::Cells(_)) {
            self.chart.rows[row] = ChartRow::Cells(BTreeMap::new());
        }
        match &mut self.chart.rows[row] {
            ChartRow::Cells(cells) => cells.entry(lane).or_default(),
            _ => unreachable!("it was made one of cells above"),
        }
    }

    fn across(&mut self, row: ChartRow) {
        self.chart.rows.push(row);
        self.last = None;
    }

    fn end(mut self) -> Chart {
        let to = self.chart.rows.len().saturating_sub(1);
        let block = |lane, what, from| Block { lane, what, from, to, goes_on: true };
        let flying = self.flying.iter().map(|(by, from)| block(Lane::Actor(by.actor), Lasting::Command, *from));
        let claimed = self.claimed.iter().flat_map(|(actor, open)| {
            open.iter().enumerate().map(|(depth, from)| block(Lane::Actor(*actor), Lasting::Claimed(depth), *from))
        });
        let real = self.real.iter().map(|(id, from)| block(Lane::Connection(*id), Lasting::Real, *from));
        self.chart.blocks.extend(flying.chain(claimed).chain(real));
        self.chart.lanes.sort_unstable();
        self.chart
    }
}

/// What stands for a connection that did nothing but serve.
const SERVED: &str = "·";

/// The connection that it is evidence of.
fn connection(what: &What) -> Option<ConnectionId> {
    match what {
        What::Late(id) => Some(*id),
        what => action(what).map(|action| action.0),
    }
}

fn outcome_in_short(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Failed(failure) => format!("→ failed ({})", failure.class),
        Outcome::Done(Reply::Changed(true)) => "→ done".to_owned(),
        outcome => format!("→ {outcome}"),
    }
}
