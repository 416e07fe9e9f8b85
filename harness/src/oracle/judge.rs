//! The judge: the check of each invariant, the branching over unknown outcomes, and the choice of the violation that
//! counts.

use std::collections::BTreeMap;

use super::checked::Checked;
use super::view::{Facts, View};
use super::{ends, identity, reports, values, wiring};
use crate::history::{History, What};
use crate::model::UNKNOWNS_MAX;
use crate::verdict::{Invariant, Verdict, Violation};

/// A verdict, and how often each invariant was evaluated for it.
#[derive(Clone, Debug)]
pub struct Judgement {
    /// The verdict.
    pub verdict: Verdict,
    /// How often there was something to check.
    pub evaluated: BTreeMap<Invariant, u32>,
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
        let facts = Facts::of(history);
        let mut evaluated = BTreeMap::new();
        let mut best: Option<Violation> = None;
        // An earlier unknown outcome may decide whether a later one arises, so the number of branches is only known
        // during the search.
        let (mut assignment, mut unknowns) = (0, 0);
        while assignment < 1 << unknowns {
            let claims = facts.claims(assignment);
            unknowns = unknowns.max(claims.unknowns);
            if unknowns > UNKNOWNS_MAX {
                let why = format!("{unknowns} unknown outcomes: more than {UNKNOWNS_MAX} are not followed");
                return Judgement { verdict: Verdict::Inconclusive(why), evaluated };
            }
            let first = self.first_violation(&View { facts: &facts, claims }, &mut evaluated);
            match (first, &mut best) {
                (None, _) => {
                    return Judgement { verdict: unless_harness_failed(history), evaluated };
                }
                // The branch that explains the most of the history decides.
                (Some(new), Some(old)) if rank(&new) <= rank(old) => {}
                (Some(new), best) => *best = Some(new),
            }
            assignment += 1;
        }
        let verdict = best.map_or_else(|| unless_harness_failed(history), Verdict::Violation);
        Judgement { verdict, evaluated }
    }

    fn first_violation(&self, view: &View<'_>, evaluated: &mut BTreeMap<Invariant, u32>) -> Option<Violation> {
        let mut all = Vec::new();
        for invariant in &self.invariants {
            let checked = check_of(*invariant)(view);
            let count = evaluated.entry(*invariant).or_default();
            *count = (*count).max(checked.evaluated);
            all.extend(checked.violations);
        }
        all.into_iter().min_by_key(|it| (it.at, it.invariant))
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

/// Ranks a branch by how much of the history it explains before it breaks; on a tie, a definite violation wins.
fn rank(violation: &Violation) -> (usize, bool) {
    (violation.at, violation.invariant != Invariant::ScopeAtomic)
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
        Invariant::NoDuplicateEffect => identity::no_duplicate_effect,
        Invariant::NoResidue => identity::no_residue,
        Invariant::TransactionAgreement => identity::transaction_agreement,
        Invariant::RegistryFresh => wiring::registry_fresh,
        Invariant::StaleIsNamed => ends::stale_is_named,
        Invariant::ListenersBalanced => reports::listeners_balanced,
        Invariant::HealthAgrees => reports::health_agrees,
        Invariant::ReconnectsBounded => reports::reconnects_bounded,
        Invariant::NoLeak => ends::no_leak,
        Invariant::Recovers => ends::recovers,
        Invariant::CloseEnds => ends::close_ends,
        Invariant::NoPanic => ends::no_panic,
        Invariant::NoHang => ends::no_hang,
        // The extension judges by itself; see `crate::chain`.
        Invariant::Extension => |_| Checked::default(),
    }
}
