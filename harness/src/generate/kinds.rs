//! The kinds of commands: what swarm switches on and off, how often each is drawn, and what a system needs for it.

use std::fmt;

use serde::Deserialize;

use crate::capability::Capability;
use crate::plan::{BeginMode, Command, Conflict, Residue};

/// A kind of command: what swarm switches on and off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "each kind is the command of its name")]
pub enum Kind {
    Open,
    Close,
    Begin,
    BeginExplicit,
    BeginReadOnly,
    Nest,
    Commit,
    Rollback,
    Drop,
    Put,
    Swap,
    Insert,
    ConflictClause,
    Get,
    Delete,
    Scan,
    Stream,
    Fail,
    Slow,
    Wait,
    RawBegin,
    RawSetting,
    RawTempTable,
    RawLock,
    RawChannel,
    RawCursor,
    RawPrepared,
    RawAttached,
    Inspect,
    Retain,
    Stale,
    Use,
    Autonomous,
    Race,
    Abandon,
    ClosePool,
    Resolve,
    Override,
    Restore,
    Invalidate,
    WarmUp,
    Fork,
    Replace,
    Crash,
    Extra,
}

/// Each kind with how often it is drawn, and how likely a plan knows it at all, in sixteenths.
///
/// Ends are drawn less often than what they end, since most defects need several commands in one session; explicit and
/// nested begins are known more often than other kinds beyond the basic ones, since they are only met together. A plan
/// that retains a handle knows how to use it.
pub(super) const WEIGHTS: [(Kind, u8, u32); 45] = [
    (Kind::Open, 12, 16),
    (Kind::Close, 2, 14),
    (Kind::Begin, 6, 14),
    (Kind::BeginExplicit, 5, 11),
    (Kind::BeginReadOnly, 3, 6),
    (Kind::Nest, 5, 12),
    (Kind::Commit, 4, 14),
    (Kind::Rollback, 5, 14),
    (Kind::Drop, 3, 11),
    (Kind::Put, 6, 16),
    (Kind::Swap, 5, 8),
    (Kind::Insert, 2, 8),
    (Kind::ConflictClause, 3, 6),
    (Kind::Get, 3, 12),
    (Kind::Delete, 2, 6),
    (Kind::Scan, 2, 6),
    (Kind::Stream, 2, 5),
    (Kind::Fail, 2, 5),
    (Kind::Slow, 1, 3),
    (Kind::Wait, 2, 5),
    (Kind::RawBegin, 2, 2),
    (Kind::RawSetting, 2, 2),
    (Kind::RawTempTable, 2, 2),
    (Kind::RawLock, 2, 2),
    (Kind::RawChannel, 2, 2),
    (Kind::RawCursor, 2, 2),
    (Kind::RawPrepared, 2, 2),
    (Kind::RawAttached, 2, 2),
    (Kind::Inspect, 1, 4),
    (Kind::Retain, 4, 10),
    (Kind::Stale, 4, 16),
    (Kind::Use, 3, 8),
    (Kind::Autonomous, 2, 6),
    (Kind::Race, 2, 6),
    (Kind::Abandon, 2, 7),
    (Kind::ClosePool, 1, 2),
    (Kind::Resolve, 6, 13),
    (Kind::Override, 3, 11),
    (Kind::Restore, 2, 11),
    (Kind::Invalidate, 4, 11),
    (Kind::WarmUp, 1, 4),
    (Kind::Fork, 1, 5),
    (Kind::Replace, 3, 8),
    (Kind::Crash, 2, 9),
    (Kind::Extra, 8, 16),
];

/// The most entries of one plan's table of kinds: the sum of all weights.
pub(super) const TABLE: usize = {
    let (mut sum, mut at) = (0, 0);
    while at < WEIGHTS.len() {
        sum += WEIGHTS[at].1 as usize;
        at += 1;
    }
    // Each favourite has its weight besides.
    sum + FAVOURITES * FAVOURED as usize
};

/// How many kinds a plan has more of than of others: what is rare meets itself, and each kind is met by some plans.
pub(super) const FAVOURITES: usize = 2;

/// The weight of a favourite, besides its own.
pub(super) const FAVOURED: u8 = 10;

/// What a system must be able to do for commands of this kind.
pub(super) fn needed_for(kind: Kind) -> Option<Capability> {
    match kind {
        Kind::Begin | Kind::Commit | Kind::Rollback | Kind::Drop => Some(Capability::Transactions),
        Kind::BeginExplicit => Some(Capability::ExplicitBegin),
        Kind::BeginReadOnly => Some(Capability::ReadOnlyBegin),
        Kind::Nest => Some(Capability::Nesting),
        Kind::Swap => Some(Capability::Swaps),
        Kind::ConflictClause => Some(Capability::ConflictClauses),
        Kind::Stream => Some(Capability::Streams),
        Kind::RawBegin
        | Kind::RawSetting
        | Kind::RawTempTable
        | Kind::RawChannel
        | Kind::RawCursor
        | Kind::RawPrepared
        | Kind::RawAttached
        | Kind::Inspect => Some(Capability::RawSql),
        Kind::RawLock => Some(Capability::ConnectionLocks),
        Kind::Retain | Kind::Stale => Some(Capability::Retention),
        Kind::Use => Some(Capability::ServiceUse),
        Kind::Autonomous => Some(Capability::Autonomous),
        Kind::Race | Kind::Abandon => Some(Capability::Sharing),
        Kind::ClosePool => Some(Capability::ClosePool),
        Kind::Resolve
        | Kind::Override
        | Kind::Restore
        | Kind::Invalidate
        | Kind::WarmUp
        | Kind::Fork
        | Kind::Replace
        | Kind::Crash => Some(Capability::Registry),
        Kind::Extra => Some(Capability::Extension),
        Kind::Open
        | Kind::Close
        | Kind::Put
        | Kind::Insert
        | Kind::Get
        | Kind::Delete
        | Kind::Scan
        | Kind::Fail
        | Kind::Slow
        | Kind::Wait => None,
    }
}

/// What raw SQL of this kind leaves behind.
pub(super) fn residue_of(kind: Kind) -> Option<Residue> {
    Some(match kind {
        Kind::RawBegin => Residue::Transaction,
        Kind::RawSetting => Residue::Setting,
        Kind::RawTempTable => Residue::TempTable,
        Kind::RawLock => Residue::Lock,
        Kind::RawChannel => Residue::Channel,
        Kind::RawCursor => Residue::Cursor,
        Kind::RawPrepared => Residue::Prepared,
        Kind::RawAttached => Residue::Attached,
        _ => return None,
    })
}

impl Kind {
    /// Every kind.
    pub fn all() -> impl Iterator<Item = Self> {
        WEIGHTS.into_iter().map(|(kind, ..)| kind)
    }

    /// The kind of a command that runs inside so many transactions: a begin inside one is a kind of its own.
    pub fn of(command: &Command, depth: u32) -> Self {
        match command {
            Command::Open => Self::Open,
            Command::Close => Self::Close,
            Command::Begin(_) if depth > 0 => Self::Nest,
            Command::Begin(BeginMode::Plain) => Self::Begin,
            Command::Begin(BeginMode::ReadOnly) => Self::BeginReadOnly,
            Command::Begin(_) => Self::BeginExplicit,
            Command::Commit => Self::Commit,
            Command::Rollback => Self::Rollback,
            Command::Drop => Self::Drop,
            Command::Put(..) => Self::Put,
            Command::Swap(..) => Self::Swap,
            Command::Insert(_, _, Conflict::Abort) => Self::Insert,
            Command::Insert(..) => Self::ConflictClause,
            Command::Get(_) => Self::Get,
            Command::Delete(_) => Self::Delete,
            Command::Scan => Self::Scan,
            Command::Stream(_) => Self::Stream,
            Command::Fail => Self::Fail,
            Command::Slow => Self::Slow,
            Command::Wait(_) => Self::Wait,
            Command::Raw(Residue::Transaction, _) => Self::RawBegin,
            Command::Raw(Residue::Setting, _) => Self::RawSetting,
            Command::Raw(Residue::TempTable, _) => Self::RawTempTable,
            Command::Raw(Residue::Lock, _) => Self::RawLock,
            Command::Raw(Residue::Channel, _) => Self::RawChannel,
            Command::Raw(Residue::Cursor, _) => Self::RawCursor,
            Command::Raw(Residue::Prepared, _) => Self::RawPrepared,
            Command::Raw(Residue::Attached, _) => Self::RawAttached,
            Command::Inspect => Self::Inspect,
            Command::Retain => Self::Retain,
            Command::Stale(_) => Self::Stale,
            Command::Use(_) => Self::Use,
            Command::Autonomous(_) => Self::Autonomous,
            Command::Race(_) => Self::Race,
            Command::Abandon(_) => Self::Abandon,
            Command::ClosePool => Self::ClosePool,
            Command::Resolve(_) => Self::Resolve,
            Command::Override(_) => Self::Override,
            Command::Restore => Self::Restore,
            Command::Invalidate(_) => Self::Invalidate,
            Command::WarmUp => Self::WarmUp,
            Command::Fork => Self::Fork,
            Command::Replace => Self::Replace,
            Command::Crash => Self::Crash,
            Command::Extra(_) => Self::Extra,
        }
    }

    /// What a system must be able to do for commands of this kind.
    pub fn needed(self) -> Option<Capability> {
        needed_for(self)
    }

    /// Whether it may apply to an actor without a session.
    pub(super) fn outside(self) -> bool {
        self.in_registry()
            || matches!(
                self,
                Self::Open | Self::ClosePool | Self::Stale | Self::Use | Self::Crash | Self::Extra | Self::Wait
            )
    }

    /// Whether it may apply to an actor with a session.
    pub(super) fn inside(self) -> bool {
        !matches!(self, Self::Open | Self::ClosePool)
    }

    /// Whether it affects services, or the session or fixture that they live in.
    pub(super) fn is_about_services(self) -> bool {
        self.in_registry()
            || matches!(
                self,
                Self::Open
                    | Self::Close
                    | Self::Replace
                    | Self::Crash
                    | Self::Abandon
                    | Self::Retain
                    | Self::Stale
                    | Self::Use
            )
    }

    /// Whether it is a registry's business alone.
    fn in_registry(self) -> bool {
        matches!(self, Self::Resolve | Self::Override | Self::Restore | Self::Invalidate | Self::WarmUp | Self::Fork)
    }
}

/// As in a profile.
impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::new();
        for letter in format!("{self:?}").chars() {
            if letter.is_ascii_uppercase() && !text.is_empty() {
                text.push('-');
            }
            text.push(letter.to_ascii_lowercase());
        }
        f.pad(&text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kind_prints_as_it_is_read() {
        for kind in Kind::all() {
            let text = format!("kind = \"{kind}\"");
            let read: std::collections::BTreeMap<String, Kind> = toml::from_str(&text).expect("it is a kind");
            assert_eq!(read["kind"], kind);
        }
    }
}
