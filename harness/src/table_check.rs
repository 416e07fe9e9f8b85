//! Whether the core workload's table shows what a system writes: a mistake in a system's own tables is no defect of its sessions.
//!
//! Owns the plan that shows it, the simplest there is, and what its history comes to. The chain runs it once, when something has
//! broken for the first time; then nothing that the system is blamed for can be believed.
//!
//! Only a write that the database itself reports as committed says something of the table: a system that merely claims to
//! have written is judged by the oracle as ever.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use crate::history::{By, History, Outcome, What};
use crate::plan::{ActorId, Backend, Key, Plan, PlanFile, Value};

const KEY: Key = Key(1);
const VALUE: Value = 1;

/// Where the plan writes, among the commands of its actor.
const WRITES: usize = 1;

/// Opens a session, writes, reads, and closes; nobody disturbs it.
pub(crate) fn plan(backend: Backend) -> Plan {
    let storage = match backend {
        Backend::Sqlite => "wal",
        Backend::Postgres => "postgres",
        Backend::Sim => "sim",
    };
    let steps = format!("\"open\", \"put {KEY} {VALUE}\", \"get {KEY}\", \"close\"");
    let text = format!("version = 1\nstorage = \"{storage}\"\nconnections = 1\n[actors]\na = [{steps}]");
    PlanFile::parse(&text, Path::new("table-check.toml")).expect("the text is a plan").plan
}

/// What is wrong with the table of this type of system; `run` runs the plan, the first time that somebody asks.
pub(crate) fn fault_of(system: &'static str, run: impl FnOnce() -> History) -> Option<String> {
    static KNOWN: Mutex<BTreeMap<&'static str, Option<String>>> = Mutex::new(BTreeMap::new());
    let known = || KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    let answer = known().get(system).cloned();
    answer.unwrap_or_else(|| {
        // Two threads that ask at the same time find out the same.
        let found = fault(&run());
        known().insert(system, found.clone());
        found
    })
}

/// What is wrong with the table, by the history of that plan.
fn fault(history: &History) -> Option<String> {
    let unreadable = history.events.iter().find_map(|event| match &event.what {
        What::HarnessFault(why) => Some(why),
        _ => None,
    });
    if let Some(why) = unreadable.filter(|_| history.events.iter().any(|event| event.what == What::PlanOver)) {
        return Some(format!(
            "the table or view `kv` cannot be read: {why}; it must have the columns `k` and `v`, both of integers of 8 bytes"
        ));
    }
    let rows = history.events.iter().find_map(|event| match &event.what {
        What::FinalState(rows) => Some(rows),
        _ => None,
    })?;
    let shown = rows.get(&KEY).copied();
    if shown == Some(VALUE) || !is_committed(history) {
        return None;
    }
    let shown = shown.map_or_else(|| format!("no row of {KEY}"), |value| format!("{KEY} = {value}"));
    Some(format!(
        "the table or view `kv` does not show what `put` writes: `put {KEY} {VALUE}` was committed, and `kv` has {shown}; \
         let `put` write to it, or make it a view of where `put` writes"
    ))
}

/// Whether the write was answered, and the database reports that the connection which wrote has committed and rolled
/// nothing back.
fn is_committed(history: &History) -> bool {
    let by = Some(By { actor: ActorId::new(0), step: WRITES });
    let is_done = |what: &What| matches!(what, What::Returned(Outcome::Done(_)));
    let wrote = history.events.iter().enumerate().find_map(|(at, event)| match event.what {
        What::Wrote(connection) if event.by == by => Some((at, connection)),
        _ => None,
    });
    let Some((at, connection)) = wrote else { return false };
    let later = || history.events[at..].iter().map(|event| &event.what);
    history.events.iter().any(|event| event.by == by && is_done(&event.what))
        && later().any(|what| *what == What::Committed(connection))
        && !later().any(|what| *what == What::RolledBack(connection))
}
