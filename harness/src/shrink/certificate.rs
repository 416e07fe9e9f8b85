//! The certificate of a minimal plan: every removal that was tried, and its result.
//!
//! Owns the table and how it is printed.

use std::collections::BTreeMap;
use std::fmt;

use super::rate::Rate;
use crate::invariant::Invariant;
use crate::model::Inadmissible;
use crate::plan::{ActorId, Plan};

/// What was tried to make a plan smaller.
#[derive(Clone, Debug, Default)]
pub struct Certificate {
    /// The plan without one of its commands, for each.
    pub singles: Vec<Removal>,
    /// The plan without two of its commands, for each two.
    pub pairs: Vec<Removal>,
    /// How many plans were run in all.
    pub runs: u32,
    /// Whether the budget sufficed; if not, a smaller plan may exist.
    pub complete: bool,
}

/// The plan without some of its commands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Removal {
    /// What was removed, each as `a 3: commit`.
    pub gone: Vec<String>,
    /// The result for what was left.
    pub came_to: Attempt,
}

/// The result for a smaller plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attempt {
    /// It was not run: it makes no sense for the system.
    Inadmissible(Inadmissible),
    /// Nothing broke.
    Passes,
    /// This broke.
    Breaks(Invariant),
    /// The same broke, but not as often as it must.
    Rarer(Rate),
    /// Inconclusive: the run proves nothing.
    Inconclusive,
    /// The budget was spent before, or there were too many.
    NotTried,
}

/// More pairs than this are counted instead of listed.
const LISTED_MAX: usize = 10;

impl Removal {
    pub(super) fn of(plan: &Plan, gone: &[(ActorId, usize)], came_to: Attempt) -> Self {
        let named = |(actor, at): &(ActorId, usize)| {
            let step = &plan.actors[actor.index()].steps[*at];
            format!("{actor} {}: {step}", at + 1)
        };
        Self { gone: gone.iter().map(named).collect(), came_to }
    }
}

impl Attempt {
    /// The class that pairs are counted by.
    fn class(&self) -> String {
        match self {
            Self::Inadmissible(_) => "makes no sense".into(),
            Self::Passes => "breaks nothing".into(),
            Self::Breaks(invariant) => format!("breaks {invariant} instead"),
            Self::Rarer(_) => "breaks the same, but more rarely".into(),
            Self::Inconclusive => "inconclusive".into(),
            Self::NotTried => "not tried".into(),
        }
    }
}

impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inadmissible(it) => write!(f, "makes no sense: `{}`: {}", it.text, it.why),
            Self::Rarer(rate) => write!(f, "breaks the same, but only in {rate} runs"),
            it => f.write_str(&it.class()),
        }
    }
}

/// One line for each single removal that was tried, and one for each pair or, if they are many, for each class of result.
/// Those that were not tried are counted, so that the table is never longer than the picture of the plan.
impl fmt::Display for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.singles.is_empty() {
            return writeln!(f, "there is nothing to leave out");
        }
        let name = |it: &Removal| it.gone.join(" and ");
        let are_listed = self.pairs.len() <= LISTED_MAX;
        let listed = self.pairs.iter().filter(|_| are_listed);
        let tried = self.singles.iter().chain(listed).filter(|it| it.came_to != Attempt::NotTried);
        let rows: Vec<_> = tried.map(|it| (name(it), &it.came_to)).collect();
        let width = rows.iter().map(|it| it.0.chars().count()).max().unwrap_or(0);
        for (gone, came_to) in rows {
            writeln!(f, "without {gone:<width$}  {came_to}")?;
        }
        if !are_listed {
            let mut classes: BTreeMap<String, usize> = BTreeMap::new();
            for pair in &self.pairs {
                *classes.entry(pair.came_to.class()).or_default() += 1;
            }
            let mut classes: Vec<_> = classes.into_iter().collect();
            classes.sort_by(|one, other| other.1.cmp(&one.1).then_with(|| one.0.cmp(&other.0)));
            let classes: Vec<_> = classes.into_iter().map(|(class, count)| format!("{count} × {class}")).collect();
            writeln!(f, "without two of them, {} pairs: {}", self.pairs.len(), classes.join(", "))?;
        }
        let untried = |all: &[Removal]| all.iter().filter(|it| it.came_to == Attempt::NotTried).count();
        match (untried(&self.singles), if are_listed { untried(&self.pairs) } else { 0 }) {
            (0, 0) => Ok(()),
            (singles, 0) => writeln!(f, "not tried: {singles} without one of them"),
            (0, pairs) => writeln!(f, "not tried: {pairs} without two of them"),
            (singles, pairs) => writeln!(f, "not tried: {singles} without one of them, {pairs} without two"),
        }
    }
}
