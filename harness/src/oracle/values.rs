//! Invariants of values: `committed-durable`, `rolled-back-invisible`, `scope-atomic`.
//!
//! They compare the values read, and the final state on the harness's own connection, with the claims of the replies.
//!
//! Not checked: that all reads of one transaction come from one snapshot; the order of commits across keys beyond real
//! time; lost updates between a read and a write of one transaction (the workload's writes do not depend on reads); rows
//! that an extension writes elsewhere.

use std::fmt::Display;

use super::checked::Checked;
use super::view::View;
use crate::model::{Dead, Read, Write};
use crate::plan::{Key, Value};
use crate::verdict::Invariant;

/// What was reported as committed is there.
pub fn committed_durable(view: &View<'_>) -> Checked {
    let mut checked = Checked::default();
    for read in &view.claims.reads {
        checked.evaluated += u32::from(read.own.is_none());
        if let Some(Wrong::Missing(write)) = judge(view, read).filter(Wrong::is_definite) {
            let expected = format!("{} = {}, committed before", read.key, value(write.value));
            let observed = format!("{} = {}", read.key, value(read.seen));
            checked.found(view, Invariant::CommittedDurable, read.at, expected, observed);
        }
    }
    for (key, seen) in final_rows(view) {
        checked.evaluated += 1;
        if let Some(Wrong::Missing(write)) = judge_final(view, key, seen).filter(Wrong::is_definite) {
            let expected = format!("{key} = {}, committed, at the end", value(write.value));
            let observed = format!("{key} = {}", value(seen));
            checked.found(view, Invariant::CommittedDurable, write.until, expected, observed);
        }
    }
    checked
}

/// What was reported as rolled back, or as failed, is not there.
pub fn rolled_back_invisible(view: &View<'_>) -> Checked {
    let mut checked = Checked { evaluated: count(view.claims.dead.len()), ..Checked::default() };
    for read in &view.claims.reads {
        if let Some(Wrong::Risen(dead)) = judge(view, read).filter(Wrong::is_definite) {
            let expected = format!("not {} = {}, which was undone before", read.key, dead.value);
            let observed = format!("{} = {}", read.key, value(read.seen));
            checked.found(view, Invariant::RolledBackInvisible, read.at, expected, observed);
        }
    }
    for (key, seen) in final_rows(view) {
        if let Some(Wrong::Risen(dead)) = judge_final(view, key, seen).filter(Wrong::is_definite) {
            let expected = format!("not {key} = {}, which was undone, at the end", dead.value);
            let observed = format!("{key} = {}", value(seen));
            checked.found(view, Invariant::RolledBackInvisible, dead.end, expected, observed);
        }
    }
    checked
}

/// A transaction of unknown outcome is applied whole or not at all: in this branch it is taken as one of the two, and
/// something of the other is seen.
pub fn scope_atomic(view: &View<'_>) -> Checked {
    let assumed = view.claims.committed.iter().filter(|it| it.assumed).count()
        + view.claims.dead.iter().filter(|it| it.assumed).count();
    let mut checked = Checked { evaluated: count(assumed), ..Checked::default() };
    let mut found = |at, key: Key, seen, wrong: &Wrong| {
        let expected = match wrong {
            Wrong::Risen(dead) => format!("not {key} = {}, since the rest of its transaction is not there", dead.value),
            Wrong::Missing(write) => {
                format!("{key} = {}, since the rest of its transaction is there", value(write.value))
            }
            Wrong::Foreign(_) => return,
        };
        checked.found(view, Invariant::ScopeAtomic, at, expected, format!("{key} = {}", value(seen)));
    };
    for read in &view.claims.reads {
        if let Some(wrong) = judge(view, read).filter(|it| !it.is_definite()) {
            found(read.at, read.key, read.seen, &wrong);
        }
    }
    let end = view.facts.history.events.len().saturating_sub(1);
    for (key, seen) in final_rows(view) {
        if let Some(wrong) = judge_final(view, key, seen).filter(|it| !it.is_definite()) {
            found(end, key, seen, &wrong);
        }
    }
    checked
}

/// Why an observed value is impossible.
pub(super) enum Wrong {
    /// It was undone before.
    Risen(Dead),
    /// No command of this plan had committed it: it is uncommitted, or foreign to the plan.
    Foreign(Option<Value>),
    /// Something else was committed there and is missing.
    Missing(Write),
}

impl Wrong {
    /// Whether it is independent of this branch's assumption about an unknown outcome.
    pub(super) fn is_definite(&self) -> bool {
        match self {
            Self::Risen(dead) => !dead.assumed,
            Self::Missing(write) => !write.assumed,
            Self::Foreign(_) => true,
        }
    }
}

/// Judges a read that did not hit a write of its own transaction (those are `transaction-agreement`'s).
pub(super) fn judge(view: &View<'_>, read: &Read) -> Option<Wrong> {
    if read.own.is_some() {
        return None;
    }
    judge_seen(view, read.key, read.seen, read.from, read.at)
}

/// Judges a row of the final state.
fn judge_final(view: &View<'_>, key: Key, seen: Option<Value>) -> Option<Wrong> {
    let end = view.facts.history.events.len();
    judge_seen(view, key, seen, end, end)
}

fn judge_seen(view: &View<'_>, key: Key, seen: Option<Value>, from: usize, at: usize) -> Option<Wrong> {
    let writes = || view.claims.committed.iter().filter(move |it| it.key == key);
    // A write is hidden once another one surely came after it and surely before the read.
    let hidden = |until: Option<usize>| writes().any(|it| until.is_none_or(|until| until < it.from) && it.until < from);
    let initial = seen.is_none() && !hidden(None);
    let allowed = |it: &Write| it.value == seen && it.from <= at && !hidden(Some(it.until));
    if initial || writes().any(allowed) {
        return None;
    }
    if let Some(seen) = seen {
        if let Some(dead) = view.claims.dead.iter().find(|it| it.value == seen && it.end <= at) {
            return Some(Wrong::Risen(*dead));
        }
        if !writes().any(|it| it.value == Some(seen) && it.from <= at) {
            return Some(Wrong::Foreign(Some(seen)));
        }
    }
    // The expected write: a certain one is preferred over an assumed one.
    let missing = writes().filter(|it| it.until < from).max_by_key(|it| (!it.assumed, it.until));
    Some(missing.map_or(Wrong::Foreign(seen), |it| Wrong::Missing(*it)))
}

fn final_rows<'a>(view: &'a View<'_>) -> impl Iterator<Item = (Key, Option<Value>)> + 'a {
    view.facts.final_state.into_iter().flat_map(|rows| {
        let mut keys: std::collections::BTreeSet<Key> = rows.keys().copied().collect();
        keys.extend(view.claims.committed.iter().map(|it| it.key));
        keys.into_iter().map(|key| (key, rows.get(&key).copied()))
    })
}

fn value(value: Option<impl Display>) -> String {
    value.map_or_else(|| "no row".to_owned(), |it| it.to_string())
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
