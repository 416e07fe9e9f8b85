//! The oracle: judges a history. Pure; it runs nothing and knows no system.
//!
//! Owns the [`Invariant`]s' ids and order, the [`Verdict`], and the branching over unknown outcomes. Each invariant is
//! one function in a file of its family, whose header lists what it does not check:
//! [`values`], [`identity`], [`wiring`], [`ends`], [`reports`].
//!
//! One defect may break several invariants. The earliest violation in the history counts; on a tie, the first in
//! [`Invariant::ALL`].

pub mod ends;
pub mod identity;
pub mod reports;
pub mod values;
mod view;
pub mod wiring;

use std::collections::BTreeMap;
use std::fmt;

use crate::history::{By, History, What};
use crate::model::UNKNOWNS_MAX;
pub use view::{Facts, View};

/// What must hold for every system, whatever it is.
///
/// The ids are stable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Invariant {
    /// A handle whose session has ended is never served.
    NoStaleUse,
    /// Two live sessions are never on one connection, and never see each other's uncommitted work.
    NoCrossScope,
    /// What was reported as committed is there.
    CommittedDurable,
    /// What was reported as rolled back, or as failed, is not there.
    RolledBackInvisible,
    /// A transaction of unknown outcome is applied whole or not at all.
    ScopeAtomic,
    /// One command takes effect at most once.
    NoDuplicateEffect,
    /// Nothing of one borrower is left on a connection for the next.
    NoResidue,
    /// The system's idea of being in a transaction equals the database's.
    TransactionAgreement,
    /// What a registry hands out is up to date, its scope's own, built once, and stood in for only while it should be.
    RegistryFresh,
    /// The use of a stale handle fails with an error that says so.
    StaleIsNamed,
    /// Each listener is told of every session once at its beginning and once at its end, and goes with it.
    ListenersBalanced,
    /// Reported health and counters match what happened.
    HealthAgrees,
    /// No more connections are opened than there are reasons for.
    ReconnectsBounded,
    /// After everybody has ended, every connection and permit is back, and closing closes them.
    NoLeak,
    /// After the faults and cancels are over, the next caller succeeds.
    Recovers,
    /// After the pool was closed nobody gets a session.
    CloseEnds,
    /// The system does not panic.
    NoPanic,
    /// No command waits for ever.
    NoHang,
    /// What the system's extension checks.
    Extension,
}

impl Invariant {
    /// Every invariant, in the order in which ties are decided.
    pub const ALL: [Self; 19] = [
        Self::NoStaleUse,
        Self::NoCrossScope,
        Self::CommittedDurable,
        Self::RolledBackInvisible,
        Self::ScopeAtomic,
        Self::NoDuplicateEffect,
        Self::NoResidue,
        Self::TransactionAgreement,
        Self::RegistryFresh,
        Self::StaleIsNamed,
        Self::ListenersBalanced,
        Self::HealthAgrees,
        Self::ReconnectsBounded,
        Self::NoLeak,
        Self::Recovers,
        Self::CloseEnds,
        Self::NoPanic,
        Self::NoHang,
        Self::Extension,
    ];

    fn check(self) -> Check {
        match self {
            Self::NoStaleUse => ends::no_stale_use,
            Self::NoCrossScope => identity::no_cross_scope,
            Self::CommittedDurable => values::committed_durable,
            Self::RolledBackInvisible => values::rolled_back_invisible,
            Self::ScopeAtomic => values::scope_atomic,
            Self::NoDuplicateEffect => identity::no_duplicate_effect,
            Self::NoResidue => identity::no_residue,
            Self::TransactionAgreement => identity::transaction_agreement,
            Self::RegistryFresh => wiring::registry_fresh,
            Self::StaleIsNamed => ends::stale_is_named,
            Self::ListenersBalanced => reports::listeners_balanced,
            Self::HealthAgrees => reports::health_agrees,
            Self::ReconnectsBounded => reports::reconnects_bounded,
            Self::NoLeak => ends::no_leak,
            Self::Recovers => ends::recovers,
            Self::CloseEnds => ends::close_ends,
            Self::NoPanic => ends::no_panic,
            Self::NoHang => ends::no_hang,
            // The extension judges by itself; see `crate::chain`.
            Self::Extension => |_| Checked::default(),
        }
    }
}

impl fmt::Display for Invariant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::NoStaleUse => "no-stale-use",
            Self::NoCrossScope => "no-cross-scope",
            Self::CommittedDurable => "committed-durable",
            Self::RolledBackInvisible => "rolled-back-invisible",
            Self::ScopeAtomic => "scope-atomic",
            Self::NoDuplicateEffect => "no-duplicate-effect",
            Self::NoResidue => "no-residue",
            Self::TransactionAgreement => "transaction-agreement",
            Self::RegistryFresh => "registry-fresh",
            Self::StaleIsNamed => "stale-is-named",
            Self::ListenersBalanced => "listeners-balanced",
            Self::HealthAgrees => "health-agrees",
            Self::ReconnectsBounded => "reconnects-bounded",
            Self::NoLeak => "no-leak",
            Self::Recovers => "recovers",
            Self::CloseEnds => "close-ends",
            Self::NoPanic => "no-panic",
            Self::NoHang => "no-hang",
            Self::Extension => "extension",
        })
    }
}

/// What a history comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Every invariant held.
    Pass,
    /// One did not.
    Violation(Violation),
    /// Nothing can be said, and why.
    Inconclusive(String),
}

/// An invariant that broke.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which one.
    pub invariant: Invariant,
    /// The event at which it was broken.
    pub at: usize,
    /// The command that the event belongs to.
    pub by: Option<By>,
    /// What had to be.
    pub expected: String,
    /// What was.
    pub observed: String,
}

type Check = fn(&View<'_>) -> Checked;

/// What the check of one invariant came to.
#[derive(Debug, Default)]
pub struct Checked {
    /// How often there was something to check.
    pub evaluated: u32,
    /// What was found wrong.
    pub violations: Vec<Violation>,
}

impl Checked {
    fn found(&mut self, view: &View<'_>, invariant: Invariant, at: usize, expected: String, observed: String) {
        let by = view.facts.history.events.get(at).and_then(|it| it.by);
        self.violations.push(Violation { invariant, at, by, expected, observed });
    }
}

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
    /// The same oracle, blind to one invariant. The blindness tests show that each check is needed.
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
        // Whether a later unknown arises may depend on an earlier one, so the number of branches is found on the way.
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
                // The branch that explains the most of the history is the one that is believed.
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
            let checked = invariant.check()(view);
            let count = evaluated.entry(*invariant).or_default();
            *count = (*count).max(checked.evaluated);
            all.extend(checked.violations);
        }
        all.into_iter().min_by_key(|it| (it.at, it.invariant))
    }
}

/// A pass, unless the harness could not do its own part.
fn unless_harness_failed(history: &History) -> Verdict {
    let why = history.events.iter().find_map(|event| match &event.what {
        What::HarnessFault(why) => Some(format!("the harness failed: {why}")),
        _ => None,
    });
    why.map_or(Verdict::Pass, Verdict::Inconclusive)
}

/// How much of the history a branch explains before it breaks; with as much, a definite violation is preferred.
fn rank(violation: &Violation) -> (usize, bool) {
    (violation.at, violation.invariant != Invariant::ScopeAtomic)
}
