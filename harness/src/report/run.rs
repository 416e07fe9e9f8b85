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
}
