//! The situations that an exploration should meet now and then, each counted once for each plan.
//!
//! Owns their names, and how each is recognized in a finished run.

use std::collections::BTreeMap;

use crate::history::{By, History, What};
use crate::model::wiring::Wiring;
use crate::oracle::Judged;
use crate::plan::Plan;

/// Every situation.
pub(super) const ALL: [&str; 16] = [
    "cancel landed",
    "cancel during commit landed",
    "fault landed",
    "nested transaction",
    "two sessions at once",
    "a command waited for another actor",
    "statement failed because it was busy",
    "statement failed inside a transaction",
    "connection served two sessions in turn",
    "commands of two actors overlapped",
    "transaction was dropped without an end",
    "stale handle was used",
    "service resolved while an override was active",
    "service resolved while the registry changed",
    "service resolved from a registry of its own",
    "everything happened inside a fixture",
];

/// Adds those that are seen in the order of events, in sessions and in registries, whatever single commands came to.
pub(super) fn of_events(plan: &Plan, judged: &Judged<'_>, met: &mut Vec<&'static str>) {
    let facts = &judged.facts;
    if plan.fixture {
        met.push("everything happened inside a fixture");
    }
    in_order(facts.history, met);
    in_registries(&facts.wiring, met);
    let sessions = &judged.claims.sessions;
    let overlap = |at: usize| {
        let one = &sessions[at];
        sessions[at + 1..].iter().any(|it| it.opened < one.ended && it.actor.index() < plan.actors.len())
    };
    if (0..sessions.len()).any(overlap) {
        met.push("two sessions at once");
    }
}

fn in_order(history: &History, met: &mut Vec<&'static str>) {
    let mut running: Option<By> = None;
    let mut users = BTreeMap::new();
    for event in &history.events {
        match (&event.what, event.by) {
            (What::Blocked, _) => met.push("a command waited for another actor"),
            (What::Served(connection), Some(by)) => {
                let before = users.insert(*connection, by.actor);
                if before.is_some_and(|it| it != by.actor) {
                    met.push("connection served two sessions in turn");
                }
            }
            (What::Invoked(_), Some(by)) => {
                if running.is_some_and(|it| it.actor != by.actor) {
                    met.push("commands of two actors overlapped");
                }
                running = Some(by);
            }
            (What::Returned(_) | What::Skipped, Some(by)) if running == Some(by) => running = None,
            _ => {}
        }
    }
}

fn in_registries(wiring: &Wiring<'_>, met: &mut Vec<&'static str>) {
    let resolutions = &wiring.resolutions;
    let is_overridden = |build| wiring.closure(build).into_iter().any(|part| wiring.substitute(part).is_some());
    if !wiring.substitutes.is_empty() && resolutions.iter().any(|it| is_overridden(it.build)) {
        met.push("service resolved while an override was active");
    }
    if resolutions.iter().any(|it| wiring.changes.iter().any(|change| change.from < it.at && change.until > it.from)) {
        met.push("service resolved while the registry changed");
    }
    if resolutions.iter().any(|it| it.registry.is_some()) {
        met.push("service resolved from a registry of its own");
    }
}
