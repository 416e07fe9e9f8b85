//! `storm`: many actors on real threads, and faults raining down.

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use unstale_lab::storm::history::History;
use unstale_lab::storm::judge::{Finding, Judgement, judge};
use unstale_lab::storm::summary::{Recovery, Summary};
use unstale_lab::storm::system::StormSystem;
use unstale_lab::storm::systems::{Library, SqlxPool};
use unstale_lab::storm::{self, StormError};

use crate::args::Storm;
use crate::explore::interrupted;
use crate::{CommandError, Status, output};

type Pass = fn(&storm::Storm, &AtomicBool, &mut dyn FnMut(usize, u32)) -> Result<History, StormError>;

/// The systems that a storm can pass over.
const SYSTEMS: [(&str, Pass); 2] = [(Library::NAME, storm::pass::<Library>), (SqlxPool::NAME, storm::pass::<SqlxPool>)];

/// Runs `storm`.
///
/// # Errors
/// Unknown system; no server, or one that does not serve the harness.
pub(crate) fn storm(options: &Storm) -> Result<Status, CommandError> {
    let wanted = SYSTEMS.into_iter().find(|it| it.0 == options.system);
    let (name, pass) = wanted.ok_or_else(|| CommandError::UnknownSystem {
        name: options.system.clone(),
        known: SYSTEMS.map(|it| it.0).join(", "),
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
        println!(
            "a storm over {name}: {} actors, {} connections, seed {}",
            storm.actors, storm.connections, storm.seed
        );
    }
    let history = with_progress(&storm, pass, options.json)?;
    let (judgement, summary) = (judge(&history), Summary::of(&history));
    let gaps: Vec<String> = history.harness.iter().cloned().chain(summary.gaps(&judgement)).collect();
    let status = if !judgement.findings.is_empty() {
        Status::Violation
    } else if !gaps.is_empty() {
        Status::Inconclusive
    } else {
        Status::Pass
    };
    if options.json {
        output::json(&json(name, &history, &judgement, &summary, gaps, status));
    } else {
        print(&history, &judgement, &summary, &gaps, status);
        if status == Status::Violation {
            println!("the same weather, though not the same run: {}", again(options));
        }
    }
    Ok(status)
}

fn with_progress(storm: &storm::Storm, pass: Pass, quiet: bool) -> Result<History, StormError> {
    let terminal = std::io::stderr().is_terminal() && !quiet;
    let bar = if terminal { ProgressBar::new_spinner() } else { ProgressBar::hidden() };
    bar.set_style(ProgressStyle::with_template("{spinner} {msg}").expect("the template is a constant that parses"));
    let begun = std::time::Instant::now();
    let mut said = Duration::ZERO;
    let history = pass(storm, interrupted(), &mut |faults, restarts| {
        let elapsed = begun.elapsed();
        let text = format!("{faults} faults landed, {restarts} restarts, {} s", elapsed.as_secs());
        if terminal {
            bar.set_message(text);
            bar.tick();
        } else if !quiet && elapsed >= said + Duration::from_secs(10) {
            said = elapsed;
            println!("  {text}");
        }
    });
    bar.finish_and_clear();
    history
}

fn print(history: &History, judgement: &Judgement, summary: &Summary, gaps: &[String], status: Status) {
    print!("{summary}");
    println!("evaluated (times)");
    for (invariant, count) in &judgement.evaluated {
        println!("  {invariant:<24} {count:>10}");
    }
    let stopped = if interrupted().load(Ordering::Relaxed) { ", stopped by Ctrl-C" } else { "" };
    println!(
        "{} operations, {} faults in {:.1} s{stopped}",
        summary.operations,
        history.landings.len(),
        history.healed.as_secs_f64()
    );
    for finding in &judgement.findings {
        println!("violation: {finding}");
    }
    for gap in gaps {
        println!("inconclusive: {gap}");
    }
    if status == Status::Pass {
        println!("pass");
    }
}

fn again(options: &Storm) -> String {
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
    verdict: &'static str,
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
    status: Status,
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
        verdict: match status {
            Status::Pass => "pass",
            Status::Violation => "violation",
            Status::Inconclusive => "inconclusive",
        },
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
