//! Which values that were seen could not be, and why: the basis of every check that compares values.
//!
//! Owns the judgement on one value. Several invariants ask for it, so it is passed once for each branch, and only what is
//! wrong is kept. Which invariant is broken by it is not said here.

use std::collections::BTreeMap;

use crate::model::{Claims, Dead, Read, Target, Write};
use crate::plan::{Key, Value};

/// What was seen in one branch and could not be.
pub(super) struct Seen {
    /// The reads, in their order.
    pub(super) reads: Vec<(Read, Wrong)>,
    /// The rows of the final state, by key.
    pub(super) rows: Vec<(Key, Option<Value>, Wrong)>,
    /// How many rows of the final state were compared, those that are not there included.
    pub(super) rows_compared: usize,
}

/// Why a value that was seen could not be.
pub(super) enum Wrong {
    /// It was undone before.
    Risen(Dead),
    /// Nobody in this plan had committed it; it is somebody's open work, or of another world.
    Foreign(Option<Value>),
    /// Something else was committed there and is missing.
    Missing(Write),
}

impl Seen {
    /// Compares what was read, and the final state if it counts, with what this branch claims; `end` is the end of the
    /// history.
    pub(super) fn of(claims: &Claims, final_state: Option<&BTreeMap<Key, Value>>, end: usize) -> Self {
        // Those that hit a write of their own transaction are `transaction-agreement`'s.
        let others = claims.reads.iter().filter(|read| read.own.is_none());
        let wrong = |read: &Read| Some((*read, judge(claims, read.key, read.seen, read.from, read.at)?));
        let mut seen = Self { reads: others.filter_map(wrong).collect(), rows: Vec::new(), rows_compared: 0 };
        let Some(rows) = final_state else { return seen };
        let mut keys: Vec<Key> = rows.keys().copied().chain(claims.committed.iter().map(|write| write.key)).collect();
        keys.sort_unstable();
        keys.dedup();
        seen.rows_compared = keys.len();
        seen.rows.extend(keys.into_iter().filter_map(|key| {
            let value = rows.get(&key).copied();
            Some((key, value, judge(claims, key, value, end, end)?))
        }));
        seen
    }
}

impl Wrong {
    /// Whether it does not rest on what this branch assumes of an unknown outcome.
    pub(super) fn is_definite(&self) -> bool {
        match self {
            Self::Risen(dead) => !dead.assumed,
            Self::Missing(write) => !write.assumed,
            Self::Foreign(_) => true,
        }
    }
}

/// Whether a row that a command was to insert or delete may have been there, and whether it may not.
pub(super) fn presence(claims: &Claims, target: &Target) -> (bool, bool) {
    let Target { by, key, from, at, .. } = *target;
    let writes = || claims.committed.iter().filter(move |it| it.key == key && it.by != by);
    let hidden = |until: Option<usize>| writes().any(|it| until.is_none_or(|until| until < it.from) && it.until < from);
    let possible =
        |there: bool| writes().any(|it| it.value.is_some() == there && it.from <= at && !hidden(Some(it.until)));
    (possible(true), !hidden(None) || possible(false))
}

/// Judges a value that was seen at some moment between these events.
fn judge(claims: &Claims, key: Key, seen: Option<Value>, from: usize, at: usize) -> Option<Wrong> {
    let writes = || claims.committed.iter().filter(move |it| it.key == key);
    // A write is hidden once another one surely came after it and surely before the read.
    let hidden = |until: Option<usize>| writes().any(|it| until.is_none_or(|until| until < it.from) && it.until < from);
    let initial = seen.is_none() && !hidden(None);
    let allowed = |it: &Write| it.value == seen && it.from <= at && !hidden(Some(it.until));
    if initial || writes().any(allowed) {
        return None;
    }
    if let Some(seen) = seen {
        if let Some(dead) = claims.dead.iter().find(|it| it.value == seen && it.end <= at) {
            return Some(Wrong::Risen(*dead));
        }
        if !writes().any(|it| it.value == Some(seen) && it.from <= at) {
            return Some(Wrong::Foreign(Some(seen)));
        }
    }
    // What should be there: prefer what is certain over what this branch assumes.
    let missing = writes().filter(|it| it.until < from).max_by_key(|it| (!it.assumed, it.until));
    Some(missing.map_or(Wrong::Foreign(seen), |it| Wrong::Missing(*it)))
}
