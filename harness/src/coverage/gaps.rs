//! What was declared or applies, and never happened: each such gap makes an exploration inconclusive.
//!
//! Owns which invariants can be evaluated on a system at all.

use super::counts::Coverage;
use crate::capability::{Capabilities, Capability};
use crate::generate::Kind;
use crate::invariant::Invariant;

/// A command that was asked for so often is expected to have succeeded.
const ASKED_MIN: u64 = 50;

impl Coverage {
    /// Returns what was declared or applies and never happened: each makes the exploration inconclusive.
    pub fn gaps(&self, declared: Capabilities) -> Vec<String> {
        let unused = self.capabilities(declared).filter(|(_, count)| *count == 0);
        let mut gaps: Vec<String> =
            unused.map(|(it, _)| format!("the capability `{it}` is declared and was never exercised")).collect();
        // A capability may have several commands, of which one that never succeeds would be hidden by the others.
        let refused = self.alphabet.iter().filter(|(kind, tally)| {
            let exercised = kind.needed().is_some_and(|it| declared.has(it) && self.exercised(it) > 0);
            exercised && !may_be_refused(**kind) && tally.succeeded == 0 && tally.tried >= ASKED_MIN
        });
        gaps.extend(
            refused.map(|(kind, tally)| format!("`{kind}` was asked for {} times and never succeeded", tally.tried)),
        );
        let blind = Invariant::ALL.into_iter().filter(|it| applies(*it, declared));
        let blind = blind.filter(|it| self.evaluated.get(it).is_none_or(|count| *count == 0));
        gaps.extend(blind.map(|it| format!("the invariant `{it}` was never evaluated")));
        gaps
    }
}

/// Whether a correct system may refuse every command of this kind: what would be left on a connection for its next borrower.
fn may_be_refused(kind: Kind) -> bool {
    matches!(kind, Kind::RawBegin | Kind::RawSetting | Kind::RawTempTable | Kind::RawLock)
}

/// Whether an invariant can be evaluated at all on a system that can do this.
fn applies(invariant: Invariant, capabilities: Capabilities) -> bool {
    let has = |it| capabilities.has(it);
    match invariant {
        Invariant::NoStaleUse => has(Capability::Retention),
        // A correct system answers every stale use with an error, so this invariant is evaluated too.
        Invariant::StaleIsNamed => has(Capability::Retention),
        Invariant::NoCrossScope | Invariant::NoDuplicateEffect | Invariant::NoResidue => has(Capability::Identity),
        Invariant::TransactionAgreement => has(Capability::Identity) && has(Capability::Transactions),
        Invariant::RolledBackInvisible => has(Capability::Transactions),
        Invariant::ScopeAtomic => has(Capability::Transactions) && has(Capability::Cancellation),
        Invariant::Linearizable => has(Capability::Swaps),
        Invariant::RegistryFresh => has(Capability::Registry),
        Invariant::CloseEnds => has(Capability::ClosePool),
        Invariant::Extension => has(Capability::Extension),
        Invariant::HealthAgrees | Invariant::ListenersBalanced => has(Capability::Reports),
        Invariant::ReconnectsBounded | Invariant::LimitKept => has(Capability::Identity),
        // A system with a workload of its own need not know any other command.
        Invariant::InnocentSucceeds => !has(Capability::Extension),
        Invariant::CommittedDurable
        | Invariant::NoLeak
        | Invariant::Recovers
        | Invariant::NoPanic
        | Invariant::NoHang => true,
    }
}
