//! `explore`: many plans, each distinct violation once.

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use unstale_harness::chain::Subject;
use unstale_harness::explore::{
    Exploration, Explored, Finding, Progress, StopAt, THREADS_GIVEN_UP_MAX, explore as run,
};
use unstale_harness::generate::{Order, Profile};
use unstale_harness::scenario::Scenario;
use unstale_wire::fleet::{is_given, use_given};

use crate::args::{Backend, Explore};
use crate::{CommandError, Status, output, systems};

/// Runs `explore`.
///
/// # Errors
/// Unknown system, unreadable profile, unwritable report.
pub(crate) fn explore(options: &Explore) -> Result<Status, CommandError> {
    if let Some(Backend::Given(url)) = &options.backend {
        use_given(url).map_err(CommandError::Server)?;
    }
    let subjects = systems::wanted(options.system.as_deref(), options.backend.as_ref())?;
    let exploration = exploration(options, subjects.len())?;
    let mut all: Vec<(&dyn Subject, Explored, Status)> = Vec::new();
    for subject in subjects {
        if !options.json {
            println!("exploring {} on {}, seed {}", subject.name(), subject.backend(), options.seed);
        }
        let explored = with_progress(subject, &exploration, options.json);
        let status = status(subject, &explored);
        if !options.json {
            print(subject, &explored, status);
        }
        let interrupted = explored.interrupted;
        all.push((subject, explored, status));
        if interrupted {
            break;
        }
    }
    if options.json {
        let values: Vec<_> = all.iter().map(|(subject, explored, status)| json(*subject, explored, *status)).collect();
        match (&options.system, &values[..]) {
            (Some(_), [one]) => output::json(one),
            _ => output::json(&values),
        }
    }
    if let Some(path) = &options.report {
        let names: Vec<_> = all.iter().map(|it| it.0.name()).collect();
        let sections: Vec<_> = all.iter().flat_map(|(subject, explored, _)| sections(*subject, explored)).collect();
        output::write_html(path, &format!("unstale explore {}", names.join(", ")), &sections)?;
    }
    Ok(Status::worst(all.iter().map(|it| it.2)))
}

/// The parts of a report: each finding, and what was covered.
fn sections(subject: &dyn Subject, explored: &Explored) -> Vec<(String, String)> {
    let section = |finding: &Finding| {
        let found = &finding.counterexample;
        let text = output::plain_report(&found.plan, &found.run.history, Some(&found.violation));
        (finding.fingerprint.clone(), text)
    };
    let coverage = (format!("coverage of {}", subject.name()), output::coverage(&explored.coverage, subject.backend()));
    explored.findings.iter().map(section).chain([coverage]).collect()
}

/// The flag that Ctrl-C sets; the handler can be installed only once per process.
pub(crate) fn interrupted() -> &'static AtomicBool {
    static STOP: AtomicBool = AtomicBool::new(false);
    static INSTALLED: OnceLock<()> = OnceLock::new();
    INSTALLED.get_or_init(|| {
        // Without a handler Ctrl-C ends the process at once; what was found is in its files already.
        let _ = ctrlc::set_handler(|| STOP.store(true, Ordering::Relaxed));
    });
    &STOP
}

fn exploration(options: &Explore, systems: usize) -> Result<Exploration, CommandError> {
    let mut profile = match &options.profile {
        None => Profile::default(),
        Some(path) => match Scenario::read(path)? {
            Scenario::Profile(it) => it.profile,
            Scenario::Pinned(_) => {
                let path = path.display();
                return Err(CommandError::Usage(format!("{path} holds a plan, expected a `[profile]`: try `replay`")));
            }
        },
    };
    let named = Order::ALL.into_iter().find(|it| it.to_string() == options.strategy);
    profile.server_faults &= !is_given();
    profile.strategy = named.unwrap_or(Order::Mixed);
    // With neither budget given, half a minute for all; with a number of plans alone, as long as they take.
    let given = options.time.or(options.plans.is_none().then_some(Duration::from_secs(30)));
    let endless = Duration::from_secs(u64::from(u32::MAX));
    let time = given.map_or(endless, |it| it / u32::try_from(systems).unwrap_or(1));
    let default = Exploration::default();
    Ok(Exploration {
        profile,
        seed: options.seed,
        plans: options.plans.unwrap_or(u64::MAX),
        time,
        shard: options.shard.unwrap_or((0, 1)),
        jobs: options.jobs.unwrap_or(default.jobs),
        folder: Some(options.out.clone()),
        stop_at: if options.first { StopAt::First } else { StopAt::Budget },
        ..default
    })
}

fn with_progress(subject: &dyn Subject, exploration: &Exploration, quiet: bool) -> Explored {
    let terminal = std::io::stderr().is_terminal() && !quiet;
    let bar = if terminal { ProgressBar::new_spinner() } else { ProgressBar::hidden() };
    bar.set_style(ProgressStyle::with_template("{spinner} {msg}").expect("the template is a constant that parses"));
    let mut said = Duration::ZERO;
    let explored = run(subject, exploration, interrupted(), |now: Progress| {
        let rate = f64::from(u32::try_from(now.plans).unwrap_or(u32::MAX)) / now.elapsed.as_secs_f64();
        let shrinking = now.shrinking.map_or_else(String::new, |it| format!(", {}", output::shrinking(it)));
        let text = format!(
            "{} plans, {rate:.0} a second, {} distinct violations, {} s{shrinking}",
            now.plans,
            now.findings,
            now.elapsed.as_secs()
        );
        if terminal {
            bar.set_message(text);
            bar.tick();
        } else if !quiet && now.elapsed >= said + Duration::from_secs(10) {
            said = now.elapsed;
            println!("  {text}");
        }
    });
    bar.finish_and_clear();
    explored
}

fn status(subject: &dyn Subject, explored: &Explored) -> Status {
    let gaps = explored.coverage.gaps(subject.capabilities());
    if !explored.findings.is_empty() {
        Status::Violation
    } else if !gaps.is_empty() || !explored.unsure.is_empty() || explored.coverage.inconclusive > 0 {
        Status::Inconclusive
    } else {
        Status::Pass
    }
}

fn print(subject: &dyn Subject, explored: &Explored, status: Status) {
    for (at, finding) in explored.findings.iter().enumerate() {
        let found = &finding.counterexample;
        println!("\n── {} of {}: {} ──", at + 1, explored.findings.len(), finding.fingerprint);
        print!("{}", output::report(&found.plan, &found.run.history, Some(&found.violation)));
        let (hits, runs) = found.reproduced;
        println!(
            "found after {} plans and {:.1} s, in {} plans; {} commands, shrunk with {} runs in {:.1} s{}; replays {hits} of {runs}",
            finding.after_plans,
            finding.after.as_secs_f64(),
            finding.count,
            found.plan.commands(),
            found.certificate.runs,
            finding.shrinking.as_secs_f64(),
            output::out_of_budget(&found.certificate),
        );
        print!("{}", output::indented(&found.certificate));
        if let Some(path) = &finding.path {
            println!("reproduce: unstale replay {}", path.display());
        }
    }
    for unsure in &explored.unsure {
        println!("\nbroke once and not again: {unsure}");
        print!("{}", output::report(&unsure.plan, &unsure.run.history, unsure.run.violation()));
    }
    for unwritten in &explored.unwritten {
        println!("\nnot written: {unwritten}");
    }
    if explored.threads_given_up > 0 {
        println!("\n{}", output::given_up(explored.threads_given_up));
    }
    println!("\n{}", output::coverage(&explored.coverage, subject.backend()));
    let coverage = &explored.coverage;
    let seconds = explored.took.as_secs_f64();
    println!("{} plans, {} commands in {seconds:.1} s{}", coverage.plans, coverage.commands, stopped(explored));
    match status {
        Status::Pass => println!("pass: no invariant broke"),
        Status::Violation => println!("violation: {} distinct", explored.findings.len()),
        Status::Inconclusive => {
            println!("inconclusive:");
            for gap in coverage.gaps(subject.capabilities()) {
                println!("  {gap}");
            }
            for unsure in &explored.unsure {
                println!("  broke once and not again: {unsure}");
            }
            if let Some(why) = &coverage.first_inconclusive {
                println!("  {} plans were inconclusive, the first: {why}", coverage.inconclusive);
            }
        }
    }
    if let Some(path) = explored.findings.iter().find_map(|it| it.path.as_ref()) {
        println!("unstale replay {}", path.display());
    } else if !explored.unwritten.is_empty() {
        println!("save a plan from above as plan.toml, and: unstale replay plan.toml");
    }
}

fn stopped(explored: &Explored) -> &'static str {
    if explored.interrupted {
        ", stopped by Ctrl-C"
    } else if explored.threads_given_up >= THREADS_GIVEN_UP_MAX {
        ", stopped because too many threads are blocked"
    } else {
        ""
    }
}

#[derive(Serialize)]
struct Json {
    verdict: &'static str,
    plans: u64,
    commands: u64,
    seconds: f64,
    violations: Vec<JsonViolation>,
    unsure: Vec<String>,
    unwritten: Vec<String>,
    threads_given_up: u64,
    gaps: Vec<String>,
    sometimes: BTreeMap<&'static str, u64>,
    fault_phase: BTreeMap<String, BTreeMap<&'static str, u64>>,
}

#[derive(Serialize)]
struct JsonViolation {
    invariant: String,
    count: u64,
    commands: usize,
    plan: Option<String>,
    fingerprint: String,
    after_plans: u64,
    after_seconds: f64,
    shrink_seconds: f64,
    reproduced: (u32, u32),
}

fn json(subject: &dyn Subject, explored: &Explored, status: Status) -> Json {
    let mut fault_phase: BTreeMap<_, BTreeMap<_, _>> = BTreeMap::new();
    for ((row, column), count) in &explored.coverage.landed {
        fault_phase.entry(row.clone()).or_default().insert(*column, *count);
    }
    Json {
        verdict: match status {
            Status::Pass => "pass",
            Status::Violation => "violation",
            Status::Inconclusive => "inconclusive",
        },
        plans: explored.coverage.plans,
        commands: explored.coverage.commands,
        seconds: explored.took.as_secs_f64(),
        violations: explored
            .findings
            .iter()
            .map(|it| JsonViolation {
                invariant: it.counterexample.violation.invariant.to_string(),
                count: it.count,
                commands: it.counterexample.plan.commands(),
                plan: it.path.as_ref().map(|it| it.display().to_string()),
                fingerprint: it.fingerprint.clone(),
                after_plans: it.after_plans,
                after_seconds: it.after.as_secs_f64(),
                shrink_seconds: it.shrinking.as_secs_f64(),
                reproduced: it.counterexample.reproduced,
            })
            .collect(),
        unsure: explored.unsure.iter().map(ToString::to_string).collect(),
        unwritten: explored.unwritten.clone(),
        threads_given_up: explored.threads_given_up,
        gaps: explored.coverage.gaps(subject.capabilities()),
        sometimes: explored.coverage.sometimes().collect(),
        fault_phase,
    }
}
