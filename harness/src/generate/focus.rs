//! Focus: a plan that knows only a few of what a system can do.
//!
//! A plan that could do everything seldom does the same thing twice, and much goes wrong only between two uses of one thing.
//! Owns the choice; which commands need what is [`crate::capability`]'s.

use rand::Rng;

use super::draw::Draw;
use crate::capability::{Capabilities, Capability};

/// What a plan may be focused on, each with what it is nothing without.
const SUBJECTS: [(Capability, &[Capability]); 15] = [
    (Capability::Nesting, &[Capability::Transactions]),
    (Capability::ExplicitBegin, &[Capability::Transactions]),
    (Capability::Cancellation, &[Capability::Transactions]),
    (Capability::Polls, &[Capability::Cancellation, Capability::Transactions]),
    (Capability::Faults, &[Capability::Transactions]),
    (Capability::ConnectionLoss, &[Capability::Faults]),
    (Capability::Retention, &[]),
    (Capability::ClosePool, &[]),
    (Capability::ConflictClauses, &[Capability::Transactions]),
    (Capability::RawSql, &[]),
    (Capability::ConnectionLocks, &[Capability::RawSql]),
    (Capability::Streams, &[]),
    (Capability::Registry, &[]),
    (Capability::Fixture, &[Capability::Transactions]),
    (Capability::Extension, &[]),
];

/// What stays: it says where a system runs and what is known of it, not what is asked of it.
const SETTING: [Capability; 4] =
    [Capability::Identity, Capability::Simulation, Capability::Postgres, Capability::Reports];

/// The setting, and one or two subjects with what they need; now and then with transactions alone.
pub(super) fn focused(capabilities: Capabilities, draw: &mut Draw<'_, impl Rng>) -> Capabilities {
    let mut kept = Capabilities::of(SETTING.into_iter().filter(|it| capabilities.has(*it)));
    if draw.chance(8) {
        kept = kept.with(Capability::Transactions);
    }
    let able = || SUBJECTS.iter().filter(|(subject, _)| capabilities.has(*subject));
    let count = able().count();
    for _ in 0..draw.below(3) {
        if let Some((subject, needed)) = able().nth(draw.below_len(count)) {
            kept = needed.iter().fold(kept.with(*subject), |kept, it| kept.with(*it));
        }
    }
    Capabilities::of(kept.iter().filter(|it| capabilities.has(*it)))
}
