//! `compare`: the same plans on SQLite and on PostgreSQL, and where their verdicts differ.
//!
//! Owns the comparison. A system that is correct on one database and wrong on another relies on something that the
//! other does not promise. Faults are left out, since each database has its own.

use serde::Serialize;
use unstale_harness::chain::{Chain, Subject};
use unstale_harness::generate::{Profile, generate, random_for};
use unstale_harness::oracle::Verdict;
use unstale_harness::plan::{Backend, Plan, PlanFile, Storage};
use unstale_harness::system::Capabilities;

use crate::args::Compare;
use crate::console::{Console, say};
use crate::error::CommandError;
use crate::status::Status;
use crate::{files, interrupt, systems};

#[derive(Serialize)]
struct Compared {
    system: String,
    verdict: Status,
    interrupted: bool,
    plans: u64,
    inconclusive: u64,
    differences: Vec<Difference>,
}

#[derive(Serialize)]
struct Difference {
    plan: Option<String>,
    sqlite: String,
    postgres: String,
    /// The plan itself, if it could not be written, with the reason.
    unwritten: Option<String>,
}

/// Runs `compare`.
///
/// # Errors
/// The system does not run on both; a file cannot be read, or its plan makes no sense there; the folder cannot be written.
pub(crate) fn compare(options: &Compare, console: &Console) -> Result<Status, CommandError> {
    let on = |backend| systems::on(&options.system, Some(backend));
    let (sqlite, postgres) = (on(Backend::Sqlite)?, on(Backend::Postgres)?);
    let both = [(sqlite, Storage::Wal), (postgres, Storage::Postgres)];
    let given = options.file.as_deref().map(files::plan).transpose()?.map(|file| file.plan);
    if let (Some(plan), Some(path)) = (&given, &options.file) {
        let file = path.display().to_string();
        both.iter().try_for_each(|(subject, storage)| admits(*subject, plan, *storage, &file))?;
    }
    files::check_folder(&options.out)?;
    systems::start_server_of(postgres)?;

    let common = sqlite.capabilities().iter().filter(|capability| postgres.capabilities().has(*capability));
    let capabilities = Capabilities::of(common);
    let profile = Profile { faults: false, fixtures: false, ..Profile::default() };
    let number = if given.is_some() { 1 } else { options.plans };
    let (mut plans, mut inconclusive, mut differences) = (0, 0, Vec::new());
    while plans < number && !interrupt::is_requested() {
        let at = plans;
        let drawn = || generate(&profile, capabilities, None, &mut random_for(options.seed, at));
        let plan = given.clone().unwrap_or_else(drawn);
        plans += 1;
        let [on_sqlite, on_postgres] = both.map(|(subject, storage)| judged(subject, &plan, storage));
        let (Some(on_sqlite), Some(on_postgres)) = (on_sqlite, on_postgres) else {
            inconclusive += 1;
            continue;
        };
        if on_sqlite == on_postgres {
            continue;
        }
        let name = format!("{}-differs-{}-{at}.toml", options.system, options.seed);
        let file = PlanFile::from(Plan { storage: Storage::Postgres, ..plan });
        let written = files::write_plan(&options.out, &name, &file);
        if !options.json {
            say!(console, "plan {at}: {on_sqlite} on sqlite, {on_postgres} on postgres");
            match &written {
                Ok(path) => say!(console, "unstale replay {path} --system {}", postgres.name()),
                Err(why) => say!(console, "not written: {why}"),
            }
        }
        let (plan, unwritten) = written.map_or_else(|why| (None, Some(why)), |path| (Some(path), None));
        differences.push(Difference { plan, sqlite: on_sqlite, postgres: on_postgres, unwritten });
    }
    let interrupted = plans < number;
    let verdict = match (differences.len(), interrupted, inconclusive) {
        (1.., ..) => Status::Violation,
        (0, true, _) => Status::Interrupted,
        (0, false, 1..) => Status::Inconclusive,
        (0, false, 0) => Status::Pass,
    };
    if options.json {
        let system = options.system.clone();
        console.json(&Compared { system, verdict, interrupted, plans, inconclusive, differences });
    } else {
        let differ = differences.len();
        let interrupted = if interrupted { ", interrupted" } else { "" };
        say!(console, "{plans} plans on both: {differ} verdicts differ, {inconclusive} inconclusive{interrupted}");
    }
    Ok(verdict)
}

fn admits(subject: &dyn Subject, plan: &Plan, storage: Storage, file: &str) -> Result<(), CommandError> {
    let plan = Plan { storage, ..plan.clone() };
    let inadmissible = |why| CommandError::Inadmissible { file: format!("{file} on {}", subject.backend()), why };
    Chain::new(subject).admits(&plan).map_err(inadmissible)
}

/// The plan's verdict there; none if it is inconclusive.
fn judged(subject: &dyn Subject, plan: &Plan, storage: Storage) -> Option<String> {
    let plan = Plan { storage, ..plan.clone() };
    match Chain::new(subject).run(&plan).judgement.verdict {
        Verdict::Pass => Some("pass".into()),
        Verdict::Violation(violation) => Some(violation.invariant.to_string()),
        Verdict::Inconclusive(_) => None,
    }
}
