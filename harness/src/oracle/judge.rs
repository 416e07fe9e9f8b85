//! The judge: the check of each invariant, the branching over unknown outcomes, and the choice of the violation that
//! counts.

use std::collections::BTreeMap;

use super::checked::Checked;
use super::view::{Facts, View};
use super::{ends, identity, innocence, limit, order, reports, transactions, values, wiring};
use crate::history::{History, What};
use crate::model::{Claims, UNKNOWNS_MAX};
use crate::verdict::{Invariant, Verdict, Violation};

/// A verdict, and how often each invariant was evaluated for it.
#[derive(Clone, Debug)]
pub struct Judgement {
    /// The verdict.
    pub verdict: Verdict,
    /// How often there was something to check.
    pub evaluated: BTreeMap<Invariant, u32>,
}

/// A judged history, with what was drawn up of it for the judgement.
pub struct Judged<'a> {
    /// What is the same in every branch.
    pub facts: Facts<'a>,
    /// What the replies claim if no unknown outcome took effect.
    pub claims: Claims,
    /// The verdict.
    pub judgement: Judgement,
}

/// The judge of histories.
#[derive(Clone, Debug)]
pub struct Oracle {
    invariants: Vec<Invariant>,
}

impl Default for Oracle {
    fn default() -> Self {
        Self { invariants: Invariant::ALL.to_vec() }
    }
}

impl Oracle {
    /// Returns the same oracle, blind to one invariant. The blindness tests show that each check is needed.
    #[must_use]
    pub fn without(mut self, invariant: Invariant) -> Self {
        self.invariants.retain(|it| *it != invariant);
        self
    }

    /// Judges a history.
    pub fn judge(&self, history: &History) -> Judgement {
        self.examine(history).judgement
    }

    /// Judges a history, and hands on what was drawn up for that.
    pub fn examine<'a>(&self, history: &'a History) -> Judged<'a> {
        let facts = Facts::of(history);
        let first = View::of(&facts, 0);
        let judgement = self.follow_branches(&first);
        let View { claims, .. } = first;
        Judged { facts, claims, judgement }
    }

    /// Judges the branches in turn, of which this is the first, until one holds.
    fn follow_branches(&self, first: &View<'_>) -> Judgement {
        let (facts, history) = (first.facts, first.facts.history);
        let mut counts = vec![None; self.invariants.len()];
        let mut best: Option<Violation> = None;
        // An earlier unknown outcome may decide whether a later one arises, so the number of branches is only known
        // during the search.
        let (mut assignment, mut unknowns) = (0, 0);
        while assignment < 1 << unknowns {
            let later = (assignment > 0).then(|| View::of(facts, assignment));
            let view = later.as_ref().unwrap_or(first);
            unknowns = unknowns.max(view.claims.unknowns);
            if unknowns > UNKNOWNS_MAX {
                if let Some(certain) = self.certain_violation(view) {
                    return self.judgement(Verdict::Violation(certain), &counts);
                }
                let why = format!("{unknowns} unknown outcomes: more than {UNKNOWNS_MAX} are not followed");
                return self.judgement(Verdict::Inconclusive(why), &counts);
            }
            match (self.first_violation(view, &mut counts), &mut best) {
                (None, _) => {
                    return self.judgement(unless_harness_failed(history), &counts);
                }
                // The branch that explains the most of the history decides.
                (Some(new), Some(old)) if rank(&new) <= rank(old) => {}
                (Some(new), best) => *best = Some(new),
            }
            assignment += 1;
        }
        let verdict = best.map_or_else(|| unless_harness_failed(history), Verdict::Violation);
        self.judgement(verdict, &counts)
    }

    /// With the counts of those invariants that were checked at all.
    fn judgement(&self, verdict: Verdict, counts: &[Option<u32>]) -> Judgement {
        let counted = self.invariants.iter().zip(counts);
        let evaluated = counted.filter_map(|(invariant, count)| Some((*invariant, (*count)?))).collect();
        Judgement { verdict, evaluated }
    }

    /// A violation that rests on no outcome.
    fn certain_violation(&self, view: &View<'_>) -> Option<Violation> {
        let certain = [Invariant::NoPanic, Invariant::NoHang].into_iter().filter(|it| self.invariants.contains(it));
        certain.flat_map(|it| check_of(it)(view).violations).min_by_key(Violation::precedence)
    }

    /// Checks one branch; each count is the most that any branch gave to check.
    fn first_violation(&self, view: &View<'_>, counts: &mut [Option<u32>]) -> Option<Violation> {
        let mut all = Vec::new();
        for (invariant, count) in self.invariants.iter().zip(counts) {
            let checked = check_of(*invariant)(view);
            *count = (*count).max(Some(checked.evaluated));
            all.extend(checked.violations);
        }
        all.into_iter().min_by_key(Violation::precedence)
    }
}

/// Returns a pass, unless the harness itself failed.
fn unless_harness_failed(history: &History) -> Verdict {
    let why = history.events.iter().find_map(|event| match &event.what {
        What::HarnessFault(why) => Some(format!("the harness failed: {why}")),
        _ => None,
    });
    why.map_or(Verdict::Pass, Verdict::Inconclusive)
}

/// Ranks a branch by how much of the history it explains: one in which nothing breaks but what yields, and otherwise by the
/// event at which it breaks; on a tie, a definite violation wins.
fn rank(violation: &Violation) -> (bool, usize, bool) {
    (violation.invariant.yields(), violation.at, violation.invariant != Invariant::ScopeAtomic)
}

type Check = fn(&View<'_>) -> Checked;

/// Returns the check of an invariant.
fn check_of(invariant: Invariant) -> Check {
    match invariant {
        Invariant::NoStaleUse => ends::no_stale_use,
        Invariant::NoCrossScope => identity::no_cross_scope,
        Invariant::CommittedDurable => values::committed_durable,
        Invariant::RolledBackInvisible => values::rolled_back_invisible,
        Invariant::ScopeAtomic => values::scope_atomic,
        Invariant::Linearizable => order::linearizable,
        Invariant::NoDuplicateEffect => identity::no_duplicate_effect,
        Invariant::NoResidue => identity::no_residue,
        Invariant::TransactionAgreement => transactions::transaction_agreement,
        Invariant::RegistryFresh => wiring::registry_fresh,
        Invariant::StaleIsNamed => ends::stale_is_named,
        Invariant::ListenersBalanced => reports::listeners_balanced,
        Invariant::HealthAgrees => reports::health_agrees,
        Invariant::ReconnectsBounded => reports::reconnects_bounded,
        Invariant::LimitKept => limit::limit_kept,
        Invariant::NoLeak => ends::no_leak,
        Invariant::Recovers => ends::recovers,
        Invariant::InnocentSucceeds => innocence::innocent_succeeds,
        Invariant::CloseEnds => ends::close_ends,
        Invariant::NoPanic => ends::no_panic,
        Invariant::NoHang => ends::no_hang,
        // The extension judges by itself; see `crate::chain`.
        Invariant::Extension => |_| Checked::default(),
    }
}
