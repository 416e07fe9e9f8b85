//! The invariant of transactions: `transaction-agreement`.
//!
//! What the system says of transactions is compared with what the database's hooks, or the wire, say of its connections.
//!
//! Not checked: what they do not see; a transaction without writes that stays open, unless its session writes later; the end
//! of a transaction that was dropped, or that was rolled back after something had failed in its session; locks on databases
//! where one writer does not exclude the others.

use super::checked::Checked;
use super::scene::reaches_database;
use super::view::View;
use crate::history::{By, ConnectionId, FailureClass, Outcome, Span, What};
use crate::model::{Ending, Lock, Transaction, is_autonomous};
use crate::plan::{Command, IsolationModel, Residue};
use crate::verdict::Invariant;

/// The system's idea of being in a transaction equals the database's.
pub fn transaction_agreement(view: &View<'_>) -> Checked {
    let mut checked = Checked::default();
    goes_on_after_its_end(view, &mut checked);
    leaves_its_connection(view, &mut checked);
    locks_nothing(view, &mut checked);
    joins_its_caller(view, &mut checked);
    for transaction in &view.claims.transactions {
        for by in &transaction.writes {
            let Some(evidence) = view.evidence(*by) else {
                continue;
            };
            checked.evaluated += 1;
            if let Some(connection) = evidence.wrote.iter().find(|it| evidence.committed.contains(it)) {
                let step = view.facts.spans.get(*by).map_or_else(String::new, |it| it.step.to_string());
                let expected = format!("`{step}` is part of the transaction that ends here");
                let observed = format!("{connection} had committed it by itself");
                checked.found(view, Invariant::TransactionAgreement, transaction.end, expected, observed);
            }
        }
    }
    for (by, span) in view.facts.spans.iter() {
        let (Some(at), Some((_, session))) = (span.returned, view.session(by)) else {
            continue;
        };
        if !view.is_untouched(by, session) && !raw_transaction(view, by, session.opened) {
            checked.evaluated += 1;
            if let Some(observed) = in_a_transaction(view, by) {
                let expected = "a statement outside any transaction, as the system has it".to_owned();
                checked.found(view, Invariant::TransactionAgreement, at, expected, observed);
            }
        }
    }
    for read in &view.claims.reads {
        let Some(own) = read.own else { continue };
        checked.evaluated += 1;
        if own != read.seen {
            let show = |it: Option<u32>| it.map_or_else(|| "no row".to_owned(), |it| it.to_string());
            let expected = format!("{} = {}, as its own transaction wrote it", read.key, show(own));
            let observed = format!("{} = {}", read.key, show(read.seen));
            checked.found(view, Invariant::TransactionAgreement, read.at, expected, observed);
        }
    }
    checked
}

/// A transaction whose end was answered has ended on its connection. Inside a fixture the test's own goes on.
fn goes_on_after_its_end(view: &View<'_>, checked: &mut Checked) {
    let told = |it: &&Transaction| it.ending != Ending::Untold && !view.facts.history.fixture;
    for transaction in view.claims.transactions.iter().filter(told) {
        for by in &transaction.writes {
            let Some(connection) = view.evidence(*by).and_then(|it| it.wrote.last().copied()) else { continue };
            let Some(since) = view.facts.spans.get(*by).and_then(|it| it.returned) else { continue };
            checked.evaluated += 1;
            let until_then = view.facts.history.events.get(since..transaction.end).unwrap_or_default();
            if !until_then.iter().any(|it| ends_transaction(&it.what, connection)) {
                let how = if transaction.ending == Ending::Committed { "committed" } else { "rolled back" };
                let expected = format!("{connection} has {how} before that was answered");
                let observed = format!("the transaction was open there: {}", later(view, transaction.end, connection));
                checked.found(view, Invariant::TransactionAgreement, transaction.end, expected, observed);
                break;
            }
        }
    }
}

/// All statements of a transaction are served by the connection that it is open on. How it ends may have to be asked elsewhere.
fn leaves_its_connection(view: &View<'_>, checked: &mut Checked) {
    if view.facts.history.fixture {
        return;
    }
    let inside = |by: By| view.claims.in_transaction.contains(&by);
    let server = |(by, span): (By, &Span<'_>)| {
        reaches_database(&span.step.command).then(|| view.server(by)).flatten().map(|(connection, _)| connection)
    };
    for (by, span) in view.facts.spans.iter().filter(|(by, _)| inside(*by)) {
        let Some(mine) = server((by, span)) else { continue };
        let before = view.facts.spans.before(by).rev().filter(|(_, it)| !is_autonomous(&it.step.command));
        let mut before = before.take_while(|(earlier, _)| inside(*earlier));
        let Some(first) = before.find_map(server) else { continue };
        checked.evaluated += 1;
        if first != mine {
            let at = span.returned.unwrap_or(span.invoked);
            let expected = format!("`{}` is done on {first}, where its transaction is open", span.step.command);
            checked.found(view, Invariant::TransactionAgreement, at, expected, format!("{mine} served it"));
        }
    }
}

/// What was done in a session of its own is committed when it is answered, whatever its caller has open.
fn joins_its_caller(view: &View<'_>, checked: &mut Checked) {
    let done = view.facts.spans.iter().filter(|(_, it)| is_autonomous(&it.step.command) && it.is_done());
    for (by, span) in done {
        let Some(evidence) = view.evidence(by) else { continue };
        checked.evaluated += 1;
        if let Some(open) = evidence.wrote.iter().find(|it| !evidence.committed.contains(it)) {
            let expected = format!("`{}` is committed by itself", span.step.command);
            let observed = format!("{open} did not commit it: a transaction is open there");
            checked.found(
                view,
                Invariant::TransactionAgreement,
                span.returned.unwrap_or(span.invoked),
                expected,
                observed,
            );
        }
    }
}

/// What became of the transaction on this connection after this event.
fn later(view: &View<'_>, from: usize, connection: ConnectionId) -> &'static str {
    let events = &view.facts.history.events[from..];
    match events.iter().map(|it| &it.what).find(|it| ends_transaction(it, connection)) {
        Some(What::Committed(_)) => "it was committed later",
        Some(_) => "it was rolled back later",
        None => "it never ended",
    }
}

/// Whether no transaction is open on this connection after that.
fn ends_transaction(what: &What, connection: ConnectionId) -> bool {
    match what {
        What::Committed(id) | What::RolledBack(id) | What::Disconnected(id) | What::Lost(id) => *id == connection,
        _ => false,
    }
}

/// A transaction that began with the database's write lock keeps every other one from committing a write.
fn locks_nothing(view: &View<'_>, checked: &mut Checked) {
    if view.facts.history.isolation != IsolationModel::Sqlite || view.facts.history.fixture {
        return;
    }
    for lock in &view.claims.locks {
        let Lock { by, from, until } = *lock;
        let Some(mine) = its_connection(view, lock) else { continue };
        checked.evaluated += 1;
        let meanwhile = view.facts.history.events.iter().enumerate().take(until).skip(from);
        let mut meanwhile = meanwhile.take_while(|(_, it)| !ends_transaction(&it.what, mine));
        let other = meanwhile.find_map(|(at, it)| match it.what {
            // What it commits may be in its own temporary database.
            What::Committed(other) if has_written(view, at, other) => Some((at, other)),
            _ => None,
        });
        if let Some((at, other)) = other {
            let step = view.facts.spans.get(by).map_or_else(String::new, |it| it.step.to_string());
            let expected = format!("nobody else commits: `{step}` of {} has locked the database", by.actor);
            let observed = format!("{other} committed a write");
            checked.found(view, Invariant::TransactionAgreement, at, expected, observed);
        }
    }
}

/// Whether this connection had changed a row in the transaction that ends at this event.
fn has_written(view: &View<'_>, at: usize, connection: ConnectionId) -> bool {
    let mut inside = view.facts.history.events[..at].iter().rev().map(|it| &it.what);
    inside.find(|it| ends_transaction(it, connection) || **it == What::Wrote(connection))
        == Some(&What::Wrote(connection))
}

/// The connection that a lock is held on.
fn its_connection(view: &View<'_>, lock: &Lock) -> Option<ConnectionId> {
    let is_inside = |by: By, invoked: usize| by.actor == lock.by.actor && by >= lock.by && invoked < lock.until;
    let mut inside = view.facts.spans.iter().filter(|(by, span)| is_inside(*by, span.invoked));
    inside.find_map(|(by, _)| view.server(by)).map(|(connection, _)| connection)
}

/// Whether the evidence shows that a command outside any transaction ran inside one.
pub(super) fn in_a_transaction(view: &View<'_>, by: By) -> Option<String> {
    let span = view.facts.spans.get(by)?;
    match (&span.step.command, span.outcome?) {
        (Command::Begin(_), Outcome::Failed(failure)) if failure.class == FailureClass::NoTransaction => {
            let outermost = !view.claims.in_transaction.contains(&by);
            outermost.then(|| format!("`begin` failed: {}", failure.message))
        }
        // A fixture has a transaction of its own.
        (_, Outcome::Done(_)) if view.facts.history.fixture => None,
        (_, Outcome::Done(_)) if view.claims.autocommitted.iter().any(|it| it.by == by) => {
            let evidence = view.evidence(by)?;
            let open = evidence.wrote.iter().find(|it| !evidence.committed.contains(it))?;
            Some(format!("{open} did not commit it: a transaction is open there"))
        }
        _ => None,
    }
}

/// Whether the session has begun a transaction behind the system's back before this command.
fn raw_transaction(view: &View<'_>, by: By, opened: usize) -> bool {
    let mut before = view.facts.spans.before(by).filter(|(_, it)| it.invoked > opened);
    before.any(|(_, it)| matches!(it.step.command, Command::Raw(Residue::Transaction, _)))
}
