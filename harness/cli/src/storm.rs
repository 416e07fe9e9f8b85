//! `storm`: many actors on real threads, while faults are injected.
//!
//! Owns the wording and the fields of a storm's results. The storm itself runs and is judged in [`unstale_harness`].

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde::Serialize;
use unstale_lab::storm;
use unstale_lab::storm::history::History;
use unstale_lab::storm::judge::{Finding, Judgement, judge};
use unstale_lab::storm::summary::{Recovery, Summary};

use crate::args::Storm;
use crate::console::{Console, say};
use crate::error::CommandError;
use crate::interrupt;
use crate::progress::ProgressLine;
use crate::status::Status;
use crate::systems::{STRESSED, Stress};

/// Runs `storm`.
///
/// # Errors
/// Unknown system; no server, or one that does not serve the harness.
pub(crate) fn storm(options: &Storm, console: &Console) -> Result<Status, CommandError> {
    let wanted = STRESSED.into_iter().find(|(name, _)| *name == options.system);
    let (name, stress) = wanted.ok_or_else(|| {
        let known = STRESSED.map(|(name, _)| name).join(", ");
        CommandError::Usage(format!("no storm can be run over `{}`; there are: {known}", options.system))
    })?;
    // With a number of restarts alone, as long as they take.
    let given = options.time.or(options.restarts.is_none().then_some(Duration::from_secs(30)));
    let storm = storm::Storm {
        actors: options.actors,
        connections: options.connections,
        seed: options.seed,
        time: given.unwrap_or(Duration::from_secs(u64::from(u32::MAX))),
        restarts: options.restarts.unwrap_or(u32::MAX),
    };
    if !options.json {
        let storm::Storm { actors, connections, seed, .. } = &storm;
        say!(console, "a storm over {name}: {actors} actors, {connections} connections, seed {seed}");
    }
    let history = with_progress(&storm, stress, console, options.json)?;
    let interrupted = interrupt::is_requested();
    let (judgement, summary) = (judge(&history), Summary::of(&history));
    let gaps: Vec<String> = history.harness.iter().cloned().chain(summary.gaps(&judgement)).collect();
    let status = if !judgement.findings.is_empty() {
        Status::Violation
    } else if interrupted {
        Status::Interrupted
    } else if !gaps.is_empty() {
        Status::Inconclusive
    } else {
        Status::Pass
    };
    if options.json {
        console.json(&json(name, &history, &judgement, &summary, gaps, status));
    } else {
        print(&history, &judgement, &summary, console);
        match status {
            Status::Pass => say!(console, "pass"),
            Status::Interrupted => say!(console, "interrupted: no invariant broke until then"),
            Status::Violation | Status::Inconclusive => {
                gaps.iter().for_each(|gap| say!(console, "inconclusive: {gap}"));
            }
        }
        if status == Status::Violation {
            say!(console, "the same faults and tasks, though not the same run: {}", rerun_command(options));
        }
    }
    Ok(status)
}

fn with_progress(
    storm: &storm::Storm,
    stress: Stress,
    console: &Console,
    json: bool,
) -> Result<History, storm::StormError> {
    let line = ProgressLine::begin(console, json);
    let begun = Instant::now();
    stress(storm, interrupt::flag(), &mut |faults, restarts| {
        line.tell(&format!("{faults} faults landed, {restarts} restarts, {} s", begun.elapsed().as_secs()));
    })
}

fn print(history: &History, judgement: &Judgement, summary: &Summary, console: &Console) {
    console.text(summary);
    say!(console, "evaluated (times)");
    for (invariant, count) in &judgement.evaluated {
        say!(console, "  {invariant:<24} {count:>10}");
    }
    let stopped = if interrupt::is_requested() { ", interrupted" } else { "" };
    say!(
        console,
        "{} operations, {} faults in {:.1} s{stopped}",
        summary.operations,
        history.landings.len(),
        history.healed.as_secs_f64()
    );
    for finding in &judgement.findings {
        say!(console, "violation: {finding}");
    }
}

fn rerun_command(options: &Storm) -> String {
    let Storm { system, actors, connections, seed, .. } = options;
    let time = options.time.map_or_else(String::new, |it| format!(" --for {}s", it.as_secs()));
    let restarts = options.restarts.map_or_else(String::new, |it| format!(" --restarts {it}"));
    format!(
        "unstale storm --system {system} --actors {actors} --connections {connections} --seed {seed}{time}{restarts}"
    )
}

#[derive(Serialize)]
struct Json {
    system: &'static str,
    verdict: Status,
    interrupted: bool,
    operations: u64,
    seconds: f64,
    violations: Vec<JsonViolation>,
    gaps: Vec<String>,
    sometimes: BTreeMap<&'static str, u64>,
    fault_phase: BTreeMap<String, BTreeMap<String, u64>>,
    empty_cells: Vec<String>,
    missed: BTreeMap<String, u64>,
    failures: BTreeMap<String, u64>,
    recovery: BTreeMap<String, JsonRecovery>,
}

#[derive(Serialize)]
struct JsonViolation {
    invariant: String,
    count: u64,
    actor: Option<u32>,
    sequence: Option<u32>,
    expected: String,
    observed: String,
}

/// Times in milliseconds.
#[derive(Serialize)]
struct JsonRecovery {
    outages: u64,
    recoveries: u64,
    overtaken: u64,
    p50: f64,
    p90: f64,
    p99: f64,
    max: f64,
}

fn json(
    system: &'static str,
    history: &History,
    judgement: &Judgement,
    summary: &Summary,
    gaps: Vec<String>,
    verdict: Status,
) -> Json {
    let mut fault_phase: BTreeMap<String, BTreeMap<String, u64>> = BTreeMap::new();
    for ((fault, at), count) in &summary.landed {
        fault_phase.entry(fault.clone()).or_default().insert(at.to_string(), *count);
    }
    let violation = |it: &Finding| JsonViolation {
        invariant: it.invariant.to_string(),
        count: it.count,
        actor: it.at.map(|it| it.0),
        sequence: it.at.map(|it| it.1),
        expected: it.expected.clone(),
        observed: it.observed.clone(),
    };
    let recovery = |it: &Recovery| {
        let ms = |it: Duration| it.as_secs_f64() * 1000.0;
        JsonRecovery {
            outages: it.outages,
            recoveries: it.count(),
            overtaken: it.overtaken,
            p50: ms(it.quantile(0.5)),
            p90: ms(it.quantile(0.9)),
            p99: ms(it.quantile(0.99)),
            max: ms(it.max()),
        }
    };
    Json {
        system,
        verdict,
        interrupted: interrupt::is_requested(),
        operations: summary.operations,
        seconds: history.healed.as_secs_f64(),
        violations: judgement.findings.iter().map(violation).collect(),
        gaps,
        sometimes: summary.sometimes.clone(),
        fault_phase,
        empty_cells: summary.empty_cells(),
        missed: history.missed.clone(),
        failures: summary.failures.clone(),
        recovery: summary.recovery.iter().map(|(what, it)| (what.clone(), recovery(it))).collect(),
    }
}
