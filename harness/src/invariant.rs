//! What must hold for every system: the ids of the invariants and their order.
//!
//! Owns the names. The oracle has the checks, so that a plan file that names an invariant needs no oracle.

use std::fmt;

/// A property that must hold for every system.
///
/// The ids are stable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Invariant {
    /// A handle whose session has ended is never served.
    NoStaleUse,
    /// Two live sessions are never on one connection, and never see each other's uncommitted work.
    NoCrossScope,
    /// Work that was reported as committed is there.
    CommittedDurable,
    /// Work that was reported as rolled back, or as failed, is not there.
    RolledBackInvisible,
    /// A transaction of unknown outcome is applied whole or not at all.
    ScopeAtomic,
    /// The writes of each row have one order in which a swap directly follows what it has replaced, each read sees the write before
    /// it, and the last is what the row has at the end.
    Linearizable,
    /// One command takes effect at most once.
    NoDuplicateEffect,
    /// Nothing of one borrower is left on a connection for the next.
    NoResidue,
    /// The system's idea of being in a transaction equals the database's.
    TransactionAgreement,
    /// A service from a registry is up to date, belongs to its scope, is built once, and is overridden only while the
    /// guard lives.
    RegistryFresh,
    /// The use of a stale handle fails with an error that says so.
    StaleIsNamed,
    /// Each listener is called once at the beginning of every session and once at its end, and does not outlive the
    /// session.
    ListenersBalanced,
    /// Reported health and counters match what happened.
    HealthAgrees,
    /// Every opened connection has a reason.
    ReconnectsBounded,
    /// No more connections are in use at once than the system was given.
    LimitKept,
    /// After all actors have ended, every connection and permit is back, and closing the pool closes them.
    NoLeak,
    /// After the faults and cancels are over, the next caller succeeds.
    Recovers,
    /// A command on which nothing fell, and in whose way nobody was, does not fail, is not skipped, and is answered truly.
    InnocentSucceeds,
    /// A closed pool lends no session.
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
    pub const ALL: [Self; 22] = [
        Self::NoStaleUse,
        Self::NoCrossScope,
        Self::CommittedDurable,
        Self::RolledBackInvisible,
        Self::ScopeAtomic,
        Self::Linearizable,
        Self::NoDuplicateEffect,
        Self::NoResidue,
        Self::TransactionAgreement,
        Self::RegistryFresh,
        Self::StaleIsNamed,
        Self::ListenersBalanced,
        Self::HealthAgrees,
        Self::ReconnectsBounded,
        Self::LimitKept,
        Self::NoLeak,
        Self::Recovers,
        Self::InnocentSucceeds,
        Self::CloseEnds,
        Self::NoPanic,
        Self::NoHang,
        Self::Extension,
    ];

    /// Whether it is reported only if nothing else breaks: that an innocent command fails follows from almost every other
    /// defect, and says least of where that is.
    pub fn yields(self) -> bool {
        self == Self::InnocentSucceeds
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
            Self::Linearizable => "linearizable",
            Self::NoDuplicateEffect => "no-duplicate-effect",
            Self::NoResidue => "no-residue",
            Self::TransactionAgreement => "transaction-agreement",
            Self::RegistryFresh => "registry-fresh",
            Self::StaleIsNamed => "stale-is-named",
            Self::ListenersBalanced => "listeners-balanced",
            Self::HealthAgrees => "health-agrees",
            Self::ReconnectsBounded => "reconnects-bounded",
            Self::LimitKept => "limit-kept",
            Self::NoLeak => "no-leak",
            Self::Recovers => "recovers",
            Self::InnocentSucceeds => "innocent-succeeds",
            Self::CloseEnds => "close-ends",
            Self::NoPanic => "no-panic",
            Self::NoHang => "no-hang",
            Self::Extension => "extension",
        })
    }
}
