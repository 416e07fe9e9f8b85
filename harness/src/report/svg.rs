//! A chart as inline SVG: time goes down, a lane for each actor and each connection.
//!
//! Owns where everything is drawn. Colors are the page's, by class ([`super::html`]), so that it is read by day, by night and in
//! print. It has no script.

use std::fmt::Write as _;

use super::chart::{Block, Cell, Chart, ChartRow, Lane, Lasting};
use super::html::escaped;
use super::run::Report;
use super::text::{cut, length};

/// The height of a row.
const ROW: usize = 24;
/// The height of the names above.
const HEAD: usize = 30;
/// The width of a character, at least as wide as any monospaced font of this size draws it.
const CHARACTER: usize = 8;
/// The width of a bar, and from one to the next.
const BAR: usize = 8;
const BARS_APART: usize = 11;
/// Between two lanes, and at the edges.
const LANES_APART: usize = 20;
const EDGE: usize = 10;
/// Longer texts are cut; the whole is shown when the pointer rests on it.
const TEXT_MAX: usize = 56;

/// The timeline of a run; `parted` is the event at which replies and evidence part, if they do.
pub fn timeline(report: &Report<'_>, parted: Option<usize>) -> String {
    let chart = Chart::of(report, parted);
    let places = places(&chart);
    let after = places.last().map_or(EDGE, |place| place.end + EDGE);
    let note_at = places.first().map_or(EDGE + BARS_APART, |place| place.text);
    let notes = chart.rows.iter().map(|row| note_at + length(&across(row)) * CHARACTER + EDGE);
    let (width, height) = (notes.max().unwrap_or(0).max(after), HEAD + chart.rows.len() * ROW + EDGE);
    let mut svg = format!(
        "<svg class=\"timeline\" role=\"img\" aria-label=\"timeline\" width=\"{width}\" height=\"{height}\" \
         viewBox=\"0 0 {width} {height}\">\n"
    );
    let mut draw = |shape: String| {
        svg += &shape;
        svg.push('\n');
    };
    for place in &places {
        let (x, name) = (place.text, lane_name(place.lane));
        draw(format!("<text class=\"head\" x=\"{x}\" y=\"18\">{}</text>", escaped(&name)));
        let x = place.bar + BAR / 2;
        draw(format!("<path class=\"lane\" d=\"M{x} {HEAD}V{}\"/>", height - EDGE));
    }
    for block in &chart.blocks {
        if let Some(place) = places.iter().find(|place| place.lane == block.lane) {
            draw(bar(block, place));
        }
    }
    for (at, row) in chart.rows.iter().enumerate() {
        let y = HEAD + at * ROW + ROW / 2;
        if let ChartRow::Cells(cells) = row {
            for place in &places {
                cells.get(&place.lane).into_iter().for_each(|cell| draw(text(cell, place, y)));
            }
            continue;
        }
        let class = if *row == ChartRow::AfterPlan { "after" } else { "bad" };
        let (x, text) = (note_at, across(row));
        let behind = x + length(&text) * CHARACTER;
        draw(format!("<path class=\"{class}\" d=\"M{EDGE} {y}H{}M{behind} {y}H{}\"/>", x - 4, width - EDGE));
        draw(format!("<text class=\"{class}\" x=\"{x}\" y=\"{}\">{}</text>", y + 4, escaped(&text)));
    }
    svg + "</svg>\n"
}

/// Where a lane is drawn.
struct Place {
    lane: Lane,
    start: usize,
    bar: usize,
    text: usize,
    end: usize,
}

fn places(chart: &Chart) -> Vec<Place> {
    let mut start = EDGE;
    let place = |lane: &Lane| {
        let depth = chart.blocks.iter().filter(|block| block.lane == *lane).map(|block| match block.what {
            Lasting::Claimed(depth) => depth + 1,
            Lasting::Command | Lasting::Real => 0,
        });
        let bar = start + depth.max().unwrap_or(0) * BARS_APART;
        let text = bar + BARS_APART + 3;
        let cells = chart.rows.iter().filter_map(|row| match row {
            ChartRow::Cells(cells) => cells.get(lane).map(|cell| length(&cell.text).min(TEXT_MAX)),
            _ => None,
        });
        let longest = cells.max().unwrap_or(0).max(length(&lane_name(*lane)));
        let place = Place { lane: *lane, start, bar, text, end: text + longest * CHARACTER };
        start = place.end + LANES_APART;
        place
    };
    chart.lanes.iter().map(place).collect()
}

fn bar(block: &Block, place: &Place) -> String {
    let (x, class) = match block.what {
        Lasting::Command => (place.bar, "command"),
        Lasting::Real => (place.bar, "real"),
        Lasting::Claimed(depth) => (place.start + depth * BARS_APART, "claimed"),
    };
    let inset = if block.what == Lasting::Command { 4 } else { 2 };
    let y = HEAD + block.from * ROW + inset;
    let height = (block.to - block.from + 1) * ROW - 2 * inset;
    let mut shape =
        format!("<rect class=\"{class}\" x=\"{x}\" y=\"{y}\" width=\"{BAR}\" height=\"{height}\" rx=\"2\"/>");
    if block.goes_on {
        let (bottom, middle, right) = (y + height, x + BAR / 2, x + BAR);
        let _ = write!(shape, "<path class=\"{class}\" d=\"M{x} {bottom}H{right}L{middle} {}Z\"/>", bottom + 7);
    }
    shape
}

fn text(cell: &Cell, place: &Place, y: usize) -> String {
    let (x, shown) = (place.text, cut(&cell.text, TEXT_MAX));
    let whole = if shown == cell.text { String::new() } else { format!("<title>{}</title>", escaped(&cell.text)) };
    let mut shape = format!("<text x=\"{x}\" y=\"{}\">{whole}{}</text>", y + 4, escaped(&shown));
    let (left, right, top, bottom, middle) = (place.bar - 2, place.bar + BAR + 2, y - 6, y + 6, place.bar + BAR / 2);
    if cell.is_faulted {
        let _ =
            write!(shape, "<path class=\"fault\" d=\"M{middle} {top}L{right} {y}L{middle} {bottom}L{left} {y}Z\"/>");
    }
    if cell.is_cancelled {
        let _ = write!(
            shape,
            "<path class=\"cancel\" d=\"M{left} {top}L{right} {bottom}M{right} {top}L{left} {bottom}\"/>"
        );
    }
    shape
}

fn lane_name(lane: Lane) -> String {
    match lane {
        Lane::Actor(actor) => actor.to_string(),
        Lane::Connection(connection) => connection.to_string(),
    }
}

/// What is said of a row that goes across the lanes.
fn across(row: &ChartRow) -> String {
    match row {
        ChartRow::Cells(_) => String::new(),
        ChartRow::AfterPlan => "after the plan".to_owned(),
        ChartRow::Parted => "replies and evidence part".to_owned(),
        ChartRow::Broken(invariant) => format!("breaks {invariant}"),
    }
}
