//! Focus: a plan that knows only a few of what a system can do.
//!
//! A plan that could do everything seldom does the same thing twice, and much goes wrong only between two uses of one thing.
//! Owns the choice; which commands need what is [`crate::capability`]'s.

use rand::Rng;

use super::draw::Draw;
use crate::capability::{Capabilities, Capability};

/// What a plan may be focused on, how often, and what each is nothing without. What has many commands of its own is drawn
/// more often.
const SUBJECTS: [(Capability, u32, &[Capability]); 20] = [
    (Capability::Nesting, 2, &[Capability::Transactions]),
    (Capability::ExplicitBegin, 1, &[Capability::Transactions]),
    (Capability::ReadOnlyBegin, 1, &[Capability::Transactions]),
    (Capability::Cancellation, 2, &[Capability::Transactions]),
    (Capability::Polls, 1, &[Capability::Cancellation, Capability::Transactions]),
    (Capability::Faults, 2, &[Capability::Transactions]),
    (Capability::ConnectionLoss, 2, &[Capability::Faults]),
    (Capability::Retention, 2, &[]),
    (Capability::Sharing, 1, &[]),
    (Capability::ServiceUse, 2, &[Capability::Registry]),
    (Capability::Autonomous, 1, &[Capability::Transactions]),
    (Capability::ClosePool, 1, &[]),
    (Capability::Swaps, 2, &[]),
    (Capability::ConflictClauses, 1, &[Capability::Transactions]),
    (Capability::RawSql, 2, &[]),
    (Capability::ConnectionLocks, 1, &[Capability::RawSql]),
    (Capability::Streams, 1, &[]),
    (Capability::Registry, 4, &[]),
    (Capability::Fixture, 2, &[Capability::Transactions]),
    (Capability::Extension, 4, &[]),
];

/// What stays: it says where a system runs and what is known of it, not what is asked of it.
const SETTING: [Capability; 4] =
    [Capability::Identity, Capability::Simulation, Capability::Postgres, Capability::Reports];

/// The setting, and up to two subjects with what they need; half of the time transactions as well.
pub(super) fn focused(capabilities: Capabilities, draw: &mut Draw<'_, impl Rng>) -> Capabilities {
    let mut kept = Capabilities::of(SETTING.into_iter().filter(|it| capabilities.has(*it)));
    if draw.chance(8) {
        kept = kept.with(Capability::Transactions);
    }
    let able = SUBJECTS.iter().filter(|(subject, ..)| capabilities.has(*subject));
    for _ in 0..draw.below(3) {
        if let Some((subject, _, needed)) = draw.weighted(able.clone(), |(_, weight, _)| *weight) {
            kept = needed.iter().fold(kept.with(*subject), |kept, it| kept.with(*it));
        }
    }
    Capabilities::of(kept.iter().filter(|it| capabilities.has(*it)))
}
