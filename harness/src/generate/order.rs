//! How schedules are drawn: the names, and what is mixed.

use std::fmt;

use serde::Deserialize;

/// How schedules are drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Order {
    /// One of the others for each plan.
    Mixed,
    /// Any actor after any command; one that stops within a command does so at its first gate.
    Random,
    /// The same, and one that stops does so at any gate up to the profile's deepest.
    Deep,
    /// Priorities with two random change points, each at a gate as deep as in `Deep` (Burckhardt et al., *A randomized
    /// scheduler with probabilistic guarantees of finding bugs*, ASPLOS 2010, with d = 3).
    Pct,
    /// Each actor has a random priority, drawn again when it got on, or when somebody did what it is about to do: of commands that
    /// meet, each order is as likely as any other (Yuan, Yang, Gu, *Partial order aware concurrency sampling*, CAV 2018). A
    /// command's gates, up to the profile's deepest, count as steps of their own.
    Pos,
    /// One actor after the other.
    Serial,
}

impl Order {
    /// Every order.
    pub const ALL: [Self; 6] = [Self::Mixed, Self::Random, Self::Deep, Self::Pct, Self::Pos, Self::Serial];

    /// What `Mixed` draws from.
    pub(super) const MIX: [Self; 8] =
        [Self::Random, Self::Random, Self::Deep, Self::Deep, Self::Pos, Self::Pos, Self::Pct, Self::Serial];
}

impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Mixed => "mixed",
            Self::Random => "random",
            Self::Deep => "deep",
            Self::Pct => "pct",
            Self::Pos => "pos",
            Self::Serial => "serial",
        })
    }
}
