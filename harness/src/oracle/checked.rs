//! The result of checking one invariant.

use super::view::View;
use crate::verdict::{Invariant, Violation};

/// The result of checking one invariant.
#[derive(Debug, Default)]
pub struct Checked {
    /// How often there was something to check.
    pub evaluated: u32,
    /// The violations found.
    pub violations: Vec<Violation>,
}

impl Checked {
    pub(super) fn found(
        &mut self,
        view: &View<'_>,
        invariant: Invariant,
        at: usize,
        expected: String,
        observed: String,
    ) {
        let by = view.facts.history.events.get(at).and_then(|it| it.by);
        self.violations.push(Violation { invariant, at, by, expected, observed });
    }
}
