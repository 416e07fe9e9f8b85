//! Invariants of values: `committed-durable`, `rolled-back-invisible`, `scope-atomic`.
//!
//! They compare the values read, and the final state on the harness's own connection, with the claims of the replies.
//!
//! Not checked: that all reads of one transaction come from one snapshot; the order of commits across keys beyond real
//! time (of one key: [`order`](super::order)); updates that are lost between two commands of one transaction; rows that an
//! extension writes elsewhere.

use std::fmt::Display;

use super::checked::Checked;
use super::seen::Wrong;
use super::view::View;
use crate::history::Span;
use crate::model::Dead;
use crate::plan::{Command, Key};
use crate::verdict::Invariant;

/// What was reported as committed is there.
pub fn committed_durable(view: &View<'_>) -> Checked {
    let others = view.claims.reads.iter().filter(|read| read.own.is_none()).count();
    let mut checked = Checked { evaluated: count(others + view.seen.rows_compared), ..Checked::default() };
    for (read, wrong) in &view.seen.reads {
        if let Wrong::Missing(write) = wrong
            && wrong.is_definite()
        {
            let expected = format!("{} = {}, committed before", read.key, value(write.value));
            let observed = format!("{} = {}", read.key, value(read.seen));
            checked.found(view, Invariant::CommittedDurable, read.at, expected, observed);
        }
    }
    for (key, seen, wrong) in &view.seen.rows {
        if let Wrong::Missing(write) = wrong
            && wrong.is_definite()
        {
            let expected = format!("{key} = {}, committed, at the end", value(write.value));
            let observed = format!("{key} = {}", value(*seen));
            checked.found(view, Invariant::CommittedDurable, write.until, expected, observed);
        }
    }
    checked
}

/// What was reported as rolled back, or as failed, is not there, nor what nobody has reported.
pub fn rolled_back_invisible(view: &View<'_>) -> Checked {
    let could_show = view.claims.dead.iter().filter(|dead| was_there(view, dead) && is_looked_at(view, dead));
    let mut checked = Checked { evaluated: count(could_show.count()), ..Checked::default() };
    for (read, wrong) in &view.seen.reads {
        if let Wrong::Risen(dead) = wrong
            && wrong.is_definite()
        {
            let expected = format!("not {} = {}, which was undone before", read.key, dead.value);
            let observed = format!("{} = {}", read.key, value(read.seen));
            checked.found(view, Invariant::RolledBackInvisible, read.at, expected, observed);
        }
    }
    for (key, seen, wrong) in &view.seen.rows {
        if let Wrong::Risen(dead) = wrong
            && wrong.is_definite()
        {
            let expected = format!("not {key} = {}, which was undone, at the end", dead.value);
            let observed = format!("{key} = {}", value(*seen));
            checked.found(view, Invariant::RolledBackInvisible, dead.end, expected, observed);
        }
    }
    committed_by_nobody(view, &mut checked);
    checked
}

/// No row is there at the end that no command claims to have committed. An extension's commands write what they like.
fn committed_by_nobody(view: &View<'_>, checked: &mut Checked) {
    let is_extra = |span: &Span<'_>| matches!(span.step.command, Command::Extra(_));
    let end = view.facts.history.events.len().saturating_sub(1);
    for (key, seen, wrong) in &view.seen.rows {
        if let Wrong::Foreign(_) = wrong
            && !view.facts.spans.values().any(is_extra)
        {
            let expected = format!("not {key} = {}, which no command has committed, at the end", value(*seen));
            let observed = format!("{key} = {}", value(*seen));
            checked.found(view, Invariant::RolledBackInvisible, end, expected, observed);
        }
    }
}

/// Whether an undone write was ever in the database, as far as is known: a write that was refused leaves nothing that could
/// be seen.
fn was_there(view: &View<'_>, dead: &Dead) -> bool {
    let wrote = || view.evidence(dead.by).is_some_and(|evidence| !evidence.wrote.is_empty());
    view.facts.spans.get(dead.by).is_some_and(Span::is_done) || wrote()
}

/// Whether its row was read after it was undone, or at the end unless a later write hides it there.
fn is_looked_at(view: &View<'_>, dead: &Dead) -> bool {
    let claims = &view.claims;
    let is_hidden = || claims.committed.iter().any(|write| write.key == dead.key && write.from > dead.end);
    claims.reads.iter().any(|read| read.key == dead.key && read.at > dead.end)
        || view.facts.final_state.is_some() && !is_hidden()
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
    for (read, wrong) in view.seen.reads.iter().filter(|(_, wrong)| !wrong.is_definite()) {
        found(read.at, read.key, read.seen, wrong);
    }
    let end = view.facts.history.events.len().saturating_sub(1);
    for (key, seen, wrong) in view.seen.rows.iter().filter(|(_, _, wrong)| !wrong.is_definite()) {
        found(end, *key, *seen, wrong);
    }
    checked
}

fn value(value: Option<impl Display>) -> String {
    value.map_or_else(|| "no row".to_owned(), |it| it.to_string())
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
