//! The zoo: deliberately broken systems, each with one defect met in real software. The harness must catch every one.
//!
//! Owns the list of exhibits. Nothing in the generator or the oracle knows of it; it keeps them honest.

mod lender;

use crate::chain::{Of, Subject};
use crate::oracle::Invariant;
use crate::system::{Capabilities, Capability};
pub use lender::{Defect, Lender};

/// One broken system.
pub struct Exhibit {
    /// The system.
    pub subject: &'static dyn Subject,
    /// What is wrong with it.
    pub defect: &'static str,
    /// Where such a defect is met.
    pub origin: &'static str,
    /// The invariant that must break.
    pub invariant: Invariant,
    /// The number of commands of the smallest plan known to break it.
    pub smallest_known: usize,
}

/// Every exhibit.
pub static EXHIBITS: [Exhibit; 4] = [
    Exhibit {
        subject: &Of::<Lender<SharedConnection>>::new(),
        defect: "zoo: a connection is handed to two sessions at once",
        origin: "a session registered as a static instance, so that every service shares it (see the seed's `db.session`)",
        invariant: Invariant::NoCrossScope,
        smallest_known: 1,
    },
    Exhibit {
        subject: &Of::<Lender<NoRollbackOnDrop>>::new(),
        defect: "zoo: a transaction that is dropped is not rolled back before the connection is lent again",
        origin: "pools that trust their borrowers to end what they began, as every pool without a reset on release does",
        invariant: Invariant::NoResidue,
        smallest_known: 2,
    },
    Exhibit {
        subject: &Of::<Lender<LyingCommit>>::new(),
        defect: "zoo: commit answers before it is done, and is lost when the session closes first",
        origin: "wrappers that pipeline COMMIT with the next statement and do not wait for its reply",
        invariant: Invariant::CommittedDurable,
        smallest_known: 4,
    },
    Exhibit {
        subject: &Of::<Lender<ReleasedConnection>>::new(),
        defect: "zoo: a retained handle serves statements on a connection that was given back",
        origin: "singleton services that keep a scoped session (the root cause of the seed's 139 failures)",
        invariant: Invariant::NoStaleUse,
        smallest_known: 4,
    },
];

/// See [`EXHIBITS`].
pub struct SharedConnection;

impl Defect for SharedConnection {
    const NAME: &'static str = "zoo-shared-connection";
    const SHARES: bool = true;
}

/// See [`EXHIBITS`].
pub struct NoRollbackOnDrop;

impl Defect for NoRollbackOnDrop {
    const NAME: &'static str = "zoo-no-rollback-on-drop";
    const ROLLS_BACK: bool = false;
}

/// See [`EXHIBITS`].
pub struct LyingCommit;

impl Defect for LyingCommit {
    const NAME: &'static str = "zoo-lying-commit";
    const COMMITS_LATER: bool = true;
}

/// See [`EXHIBITS`].
pub struct ReleasedConnection;

impl Defect for ReleasedConnection {
    const NAME: &'static str = "zoo-released-connection";

    fn capabilities() -> Capabilities {
        Capabilities::of([Capability::Transactions, Capability::Identity, Capability::Retention])
    }
}
