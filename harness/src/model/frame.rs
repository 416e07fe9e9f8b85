//! A transaction or savepoint that is open, as the walk through a history keeps it, and what is seen from inside.

use std::collections::BTreeMap;

use super::claims::Dead;
use crate::history::By;
use crate::plan::{IsolationModel, Key, Value};

/// A transaction or savepoint that is open.
pub(super) struct Frame {
    pub(super) begun: usize,
    /// Begun by raw SQL: the system knows nothing of it, and only the end of the session ends it.
    pub(super) raw: bool,
    /// A raw transaction in which something failed, or in which the system began its own: the database may have ended it, and
    /// nobody was told.
    pub(super) uncertain: bool,
    pub(super) writes: Vec<Pending>,
}

#[derive(Clone, Copy)]
pub(super) struct Pending {
    pub(super) by: By,
    pub(super) key: Key,
    pub(super) value: Option<Value>,
    /// What was there before, if it was read in order to write this and is not the transaction's own.
    pub(super) replaced: Option<Value>,
}

/// The first event whose state a command that was invoked here may see; none if its transaction may be over.
pub(super) fn seen_from(isolation: IsolationModel, frames: &[Frame], invoked: usize) -> Option<usize> {
    if frames.iter().any(|it| it.uncertain) {
        None
    } else if isolation.is_read_committed() {
        Some(invoked)
    } else {
        Some(frames.first().map_or(invoked, |it| it.begun))
    }
}

/// What these transactions have written to the row last.
pub(super) fn own(frames: &[Frame], key: Key) -> Option<Option<Value>> {
    let writes = frames.iter().rev().flat_map(|it| it.writes.iter().rev());
    writes.clone().find(|it| it.key == key).map(|it| it.value)
}

pub(super) fn dead(write: &Pending, end: usize, assumed: bool) -> Option<Dead> {
    Some(Dead { by: write.by, key: write.key, value: write.value?, end, assumed })
}

/// The last write of each row, with what the first of them replaced.
pub(super) fn last_per_key(writes: &[Pending]) -> Vec<Pending> {
    let mut last: BTreeMap<Key, Pending> = BTreeMap::new();
    for write in writes {
        let first = last.get(&write.key).map_or(write.replaced, |it| it.replaced);
        last.insert(write.key, Pending { replaced: first, ..*write });
    }
    last.into_values().collect()
}

/// The rows, and for every other key up to the last one its absence.
pub(super) fn all_keys(keys: &[Key], rows: &[(Key, Value)], last: Option<Key>) -> Vec<(Key, Option<Value>)> {
    let known = keys.iter().filter(|it| last.is_none_or(|last| **it <= last));
    let mut seen = Vec::with_capacity(keys.len() + rows.len());
    seen.extend(known.map(|key| (*key, None)));
    for (key, value) in rows {
        match seen.binary_search_by_key(key, |it| it.0) {
            Ok(at) => seen[at].1 = Some(*value),
            Err(at) => seen.insert(at, (*key, Some(*value))),
        }
    }
    seen
}
