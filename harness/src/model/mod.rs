//! The model: which plans make sense, and what a history's replies claim.
//!
//! Owns the semantics of the alphabet. It is independent of every system: it never calls one and shares no state machine
//! with one. It reads only invocations and replies ([`Claims`]); evidence from below belongs to the oracle, which
//! compares the two. What is asked of a registry is in [`wiring`].
//!
//! Isolation: a read may return any value that was committed at some moment between its invocation and its return; in a
//! transaction its own writes come first. That is READ COMMITTED, as on PostgreSQL and in the simulation. On SQLite the
//! moment may be as early as the transaction's begin, for its snapshots. What is *not* modelled: that the reads of one
//! transaction come from one snapshot.
//!
//! Outcomes are three: done, definitely not done, unknown. Each unknown is one bit of an assignment, and the claims
//! are drawn up per assignment, so that a transaction of unknown outcome is applied whole or not at all.

mod admissible;
mod claims;
mod frame;
mod meaning;
mod observers;
mod operation;
mod walk;
pub mod wiring;

pub use admissible::{ActorState, Inadmissible, admissible};
pub use claims::{Claims, Dead, Ending, Lock, Read, Session, Statement, Target, Transaction, UNKNOWNS_MAX, Write};
pub use meaning::written;
pub(crate) use meaning::{
    begins_session, effect_of, ends_session, is_autonomous, may_close_pool, opens_session, touched,
};
pub use observers::observers;
pub(crate) use operation::depth_after;
pub use operation::{Operation, Standing, is_cut_off, may_meet, waits};
