//! The report of one run, for a terminal: what everybody did, in order, and where it went wrong.
//!
//! Owns the picture: first a history becomes rows (`story`), then rows become lines that fit the width (`page`, `text`). The
//! command and `check!` print it. It judges nothing: the violation is given. It does no I/O and does not look at the
//! terminal: width and colors are given too.
//!
//! A row reads from left to right in the order of events: the command, what the database was seen to do for it, what
//! the system answered, and what the database did `then`.

mod html;
mod page;
mod story;
mod text;

use std::fmt;

pub use html::html;

use crate::history::History;
use crate::oracle::Violation;
use crate::plan::Plan;
use page::Page;
use story::Story;

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
