//! `explore`: many plans, each distinct violation once.
//!
//! Owns the order of steps: bad input is refused before the first plan, and every verdict is printed before a report is
//! written.

use std::time::Duration;

use unstale_harness::chain::Subject;
use unstale_harness::explore::{Exploration, Explored, Progress, StopAt, THREADS_GIVEN_UP_MAX, explore as run};
use unstale_harness::generate::{Order, Profile};
use unstale_harness::known::KnownCause;
use unstale_wire::fleet::{is_given, use_given};

use crate::args::{Backend, Explore};
use crate::console::{Console, say};
use crate::error::CommandError;
use crate::explored::{Outcome, print, sections};
use crate::explored_json::Json;
use crate::files::{self, ReportFile};
use crate::progress::ProgressLine;
use crate::status::Status;
use crate::{interrupt, systems, text};

/// Runs `explore`.
///
/// # Errors
/// Unknown system, unreadable profile, a folder or report that could not be written, no server.
pub(crate) fn explore(options: &Explore, console: &Console) -> Result<Status, CommandError> {
    let backend = options.backend.as_ref().map(Into::into);
    let subjects = match &options.system {
        Some(name) => vec![systems::on(name, backend)?],
        None => systems::library(backend),
    };
    let profile = options.profile.as_deref().map(files::profile).transpose()?.unwrap_or_default();
    let known = options.known.as_deref().map(files::known).transpose()?.unwrap_or_default();
    options.write_known.as_deref().map(files::check_known).transpose()?;
    files::check_folder(&options.out)?;
    let report = ReportFile::check(options.report.as_deref())?;
    if let Some(Backend::Given(url)) = &options.backend {
        use_given(url).map_err(CommandError::Server)?;
    }
    for subject in &subjects {
        systems::start_server_of(*subject)?;
    }
    let exploration = Exploration { known, ..exploration(options, profile, subjects.len()) };
    let mut all: Vec<Ended> = Vec::new();
    for subject in subjects {
        if !options.json {
            say!(console, "exploring {} on {}, seed {}", subject.name(), subject.backend(), options.seed);
        }
        let explored = with_progress(subject, &exploration, console, options.json);
        let ended = Ended::of(subject, explored, options);
        if !options.json {
            print(&ended.outcome(), options.all, console);
        }
        let interrupted = ended.explored.interrupted;
        all.push(ended);
        if interrupted {
            break;
        }
    }
    if options.json {
        let values: Vec<_> = all.iter().map(|ended| Json::of(&ended.outcome())).collect();
        match (&options.system, &values[..]) {
            (Some(_), [one]) => console.json(one),
            _ => console.json(&values),
        }
    }
    let names: Vec<_> = all.iter().map(|ended| ended.subject.name()).collect();
    report.write(console, &format!("unstale explore {}", names.join(", ")), || {
        all.iter().flat_map(|ended| sections(&ended.outcome())).collect()
    });
    if let Some(path) = &options.write_known {
        files::write_known(path, to_be_known(&exploration.known, &all), console);
    }
    Ok(Status::worst(all.iter().map(|ended| ended.status)))
}

/// What was known before, and the causes that were found, each once.
fn to_be_known(known: &[KnownCause], all: &[Ended]) -> Vec<KnownCause> {
    let mut causes = known.to_vec();
    for found in all.iter().flat_map(|ended| ended.explored.causes()) {
        if causes.iter().all(|it| it.cause != *found.cause) {
            let reported = "not reported yet".to_owned();
            causes.push(KnownCause { cause: found.cause.clone(), reported, fixed: None, note: None });
        }
    }
    causes
}

/// An exploration that has ended.
struct Ended {
    subject: &'static dyn Subject,
    explored: Explored,
    status: Status,
    is_whole: bool,
    unmet: Vec<String>,
}

impl Ended {
    fn of(subject: &'static dyn Subject, explored: Explored, options: &Explore) -> Self {
        let unmet: Vec<_> = options.require.iter().filter_map(|it| it.check(&explored.coverage).err()).collect();
        let status = status(subject, &explored, &unmet);
        let is_cut_short = explored.interrupted || explored.threads_given_up >= THREADS_GIVEN_UP_MAX;
        let is_whole = !is_cut_short && (!options.first || explored.findings.is_empty());
        Self { subject, explored, status, is_whole, unmet }
    }

    fn outcome(&self) -> Outcome<'_> {
        let Self { subject, explored, status, is_whole, unmet } = self;
        Outcome { subject: *subject, explored, status: *status, is_whole: *is_whole, unmet }
    }
}

fn exploration(options: &Explore, mut profile: Profile, systems: usize) -> Exploration {
    profile.server_faults &= !is_given();
    if let Some(named) = Order::ALL.into_iter().find(|order| Some(order.to_string()) == options.strategy) {
        profile.strategy = named;
    }
    // With neither budget given, half a minute for all; with a number of plans alone, as long as they take.
    let given = options.time.or(options.plans.is_none().then_some(Duration::from_secs(30)));
    let endless = Duration::from_secs(u64::from(u32::MAX));
    let time = given.map_or(endless, |time| time / u32::try_from(systems).unwrap_or(1));
    let default = Exploration::default();
    Exploration {
        profile,
        seed: options.seed,
        plans: options.plans.unwrap_or(u64::MAX),
        time,
        shard: options.shard.unwrap_or((0, 1)),
        jobs: options.jobs.unwrap_or(default.jobs),
        folder: Some(options.out.clone()),
        stop_at: if options.first { StopAt::First } else { StopAt::Budget },
        ..default
    }
}

fn with_progress(subject: &dyn Subject, exploration: &Exploration, console: &Console, json: bool) -> Explored {
    let line = ProgressLine::begin(console, json);
    let mut findings = 0;
    run(subject, exploration, interrupt::flag(), |now: Progress| {
        let rate = f64::from(u32::try_from(now.plans).unwrap_or(u32::MAX)) / now.elapsed.as_secs_f64();
        let shrinking = now.shrinking.map_or_else(String::new, |shrinking| format!(", {}", text::shrinking(shrinking)));
        let text = format!(
            "{} plans, {rate:.0} a second, {} distinct violations, {} s{shrinking}",
            now.plans,
            now.findings,
            now.elapsed.as_secs()
        );
        // The first is news; later ones are in the table.
        if findings == 0 && now.findings > 0 {
            findings = now.findings;
            line.tell_news(&text);
        } else {
            line.tell(&text);
        }
    })
}

fn status(subject: &dyn Subject, explored: &Explored, unmet: &[String]) -> Status {
    let gaps = explored.coverage.gaps(subject.capabilities());
    if !explored.findings.is_empty() {
        Status::Violation
    } else if !explored.unsure.is_empty() {
        Status::Inconclusive
    } else if explored.interrupted {
        Status::Interrupted
    } else if !gaps.is_empty() || !unmet.is_empty() || explored.coverage.inconclusive > 0 {
        Status::Inconclusive
    } else {
        Status::Pass
    }
}
