//! `compare`: the same plans on SQLite and on PostgreSQL, and where their verdicts differ.
//!
//! Owns what the two have in common. A system that is right on one database and wrong on another rests on something that the
//! other does not promise. Faults are left out, since each database has its own.

use std::path::Path;
use std::sync::atomic::Ordering;

use serde::Serialize;
use unstale_harness::chain::{Chain, Subject};
use unstale_harness::explore::write_atomically;
use unstale_harness::generate::{Profile, generate, random_for};
use unstale_harness::oracle::Verdict;
use unstale_harness::plan::{Plan, PlanFile, Storage};
use unstale_harness::system::Capabilities;

use crate::args::{Backend, Compare};
use crate::explore::interrupted;
use crate::{CommandError, Status, output, systems};

#[derive(Serialize)]
struct Compared {
    system: String,
    plans: u64,
    inconclusive: u64,
    differences: Vec<Difference>,
}

#[derive(Serialize)]
struct Difference {
    plan: String,
    sqlite: String,
    postgres: String,
}

/// Runs `compare`.
///
/// # Errors
/// The system does not run on both; a file cannot be read or written.
pub(crate) fn compare(options: &Compare) -> Result<Status, CommandError> {
    let on = |backend| systems::wanted(Some(&options.system), Some(backend)).map(|it| it[0]);
    let (sqlite, postgres) = (on(&Backend::Sqlite)?, on(&Backend::Postgres)?);
    let both = Capabilities::of(sqlite.capabilities().iter().filter(|it| postgres.capabilities().has(*it)));
    let given = options.file.as_deref().map(PlanFile::read).transpose()?.map(|it| it.plan);
    let profile = Profile { faults: false, fixtures: false, ..Profile::default() };
    let number = if given.is_some() { 1 } else { options.plans };
    let mut compared = Compared { system: options.system.clone(), plans: 0, inconclusive: 0, differences: Vec::new() };
    for at in 0..number {
        if interrupted().load(Ordering::Relaxed) {
            break;
        }
        let drawn = || generate(&profile, both, None, &mut random_for(options.seed, at));
        let plan = given.clone().unwrap_or_else(drawn);
        compared.plans += 1;
        let verdicts = (judged(sqlite, &plan, Storage::Wal)?, judged(postgres, &plan, Storage::Postgres)?);
        let (Some(one), Some(other)) = verdicts else {
            compared.inconclusive += 1;
            continue;
        };
        if one == other {
            continue;
        }
        let name = format!("{}-differs-{}-{at}.toml", options.system, options.seed);
        let text = PlanFile::from(Plan { storage: Storage::Postgres, ..plan }).to_string();
        let path = written(&options.out, &name, &text)?;
        if !options.json {
            println!(
                "plan {at}: {one} on sqlite, {other} on postgres\nunstale replay {path} --system {}",
                postgres.name()
            );
        }
        compared.differences.push(Difference { plan: path, sqlite: one, postgres: other });
    }
    let status = match &compared {
        it if !it.differences.is_empty() => Status::Violation,
        it if it.inconclusive > 0 => Status::Inconclusive,
        _ => Status::Pass,
    };
    if options.json {
        output::json(&compared);
    } else {
        let Compared { plans, inconclusive, differences, .. } = &compared;
        println!("{plans} plans on both: {} verdicts differ, {inconclusive} inconclusive", differences.len());
    }
    Ok(status)
}

/// The plan's verdict there; none if nothing can be said.
fn judged(subject: &dyn Subject, plan: &Plan, storage: Storage) -> Result<Option<String>, CommandError> {
    let plan = Plan { storage, ..plan.clone() };
    let chain = Chain::new(subject);
    chain.admits(&plan).map_err(|why| CommandError::Inadmissible { file: subject.name().into(), why })?;
    Ok(match chain.run(&plan).judgement.verdict {
        Verdict::Pass => Some("pass".into()),
        Verdict::Violation(violation) => Some(violation.invariant.to_string()),
        Verdict::Inconclusive(_) => None,
    })
}

fn written(folder: &Path, name: &str, text: &str) -> Result<String, CommandError> {
    let written = write_atomically(folder, name, text);
    let path =
        written.map_err(|source| CommandError::Write { path: folder.join(name).display().to_string(), source })?;
    Ok(path.display().to_string())
}
