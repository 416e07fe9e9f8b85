//! The input of a report: one run, its violation, and the width of the page.

use crate::history::History;
use crate::plan::Plan;
use crate::verdict::Violation;

/// The report of one run; `Display` prints it, each line ended.
#[derive(Clone, Copy, Debug)]
pub struct Report<'a> {
    /// The plan.
    pub plan: &'a Plan,
    /// The history.
    pub history: &'a History,
    /// The violation, if there is one.
    pub violation: Option<&'a Violation>,
    /// How many characters a line may have; fewer than 40 count as 40.
    pub width: usize,
    /// Whether to emphasize with ANSI escape sequences.
    pub color: bool,
    /// Whether to leave out what says nothing of the violation: the heading of a lone actor, observers that found nothing wrong
    /// or came after it, a final state that was observed already, and blank lines.
    pub brief: bool,
}
