//! What is reported: one run, what broke in it, and how wide the page is.

use crate::history::History;
use crate::plan::Plan;
use crate::verdict::Violation;

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
