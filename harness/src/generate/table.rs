//! The kinds of commands that one plan knows.

use rand::Rng;

use super::draw::Draw;
use super::kinds::{FAVOURED, FAVOURITES, Kind, TABLE, WEIGHTS, needed_for};
use super::profile::Profile;
use crate::capability::Capabilities;

/// The kinds that one plan knows, each as often as it weighs: those that may apply to an actor without a session, and
/// those that may apply with one. Drawing from one table for both would mostly draw in vain where there is no session.
pub(super) struct Table {
    pub(super) outside: Weighted,
    pub(super) inside: Weighted,
}

/// How much of what a system can do a plan knows.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Knowledge {
    /// Whatever swarm switches on.
    Swarm,
    /// The same, and little besides services: with many kinds of statements between them, changes of a registry and what
    /// should show them seldom meet.
    Services,
    /// The same, and little besides the extension's commands and swaps: an application's requests meet each other.
    Requests,
    /// All of it, since it is little.
    Everything,
}

pub(super) struct Weighted {
    pub(super) kinds: [Kind; TABLE],
    pub(super) len: usize,
}

impl Weighted {
    const EMPTY: Self = Self { kinds: [Kind::Open; TABLE], len: 0 };

    pub(super) fn add(&mut self, kind: Kind, weight: u8) {
        let end = self.len + usize::from(weight);
        self.kinds[self.len..end].fill(kind);
        self.len = end;
    }
}

impl Table {
    /// Draws what one plan knows.
    pub(super) fn draw(
        profile: &Profile,
        capabilities: Capabilities,
        knowledge: Knowledge,
        draw: &mut Draw<'_, impl Rng>,
    ) -> Self {
        let mut table = Self { outside: Weighted::EMPTY, inside: Weighted::EMPTY };
        let is_able =
            |kind: Kind| needed_for(kind).is_none_or(|it| capabilities.has(it)) && !profile.without.contains(&kind);
        for (kind, weight, chance) in WEIGHTS {
            let chance = match knowledge {
                Knowledge::Services if !kind.is_about_services() => chance / 4,
                Knowledge::Requests if !is_of_requests(kind) => chance / 8,
                Knowledge::Requests | Knowledge::Everything => 16,
                Knowledge::Swarm | Knowledge::Services => chance,
            };
            if is_able(kind) && draw.chance(chance) {
                table.add(kind, weight);
            }
        }
        if matches!(knowledge, Knowledge::Swarm | Knowledge::Everything) {
            let able = WEIGHTS.iter().filter(|(kind, ..)| is_able(*kind));
            for _ in 0..FAVOURITES {
                if let Some((favourite, ..)) = draw.weighted(able.clone(), |_| 1) {
                    table.add(*favourite, FAVOURED);
                }
            }
        }
        table
    }

    fn add(&mut self, kind: Kind, weight: u8) {
        if kind.outside() {
            self.outside.add(kind, weight);
        }
        if kind.inside() {
            self.inside.add(kind, weight);
        }
    }

    pub(super) fn has(&self, kind: Kind) -> bool {
        self.inside.kinds[..self.inside.len].contains(&kind)
    }
}

/// What an application's requests are made of.
fn is_of_requests(kind: Kind) -> bool {
    matches!(kind, Kind::Extra | Kind::Open | Kind::Close | Kind::Put | Kind::Swap)
}
