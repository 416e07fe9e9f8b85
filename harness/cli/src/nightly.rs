//! `nightly`: what is known to break is searched with many seeds, and what that took is printed as a table.
//!
//! Owns what is searched (the exhibits of the zoo, the two wirings, and the nested begin in sqlx's pool), and the rows of the
//! tables, which stand in the document on performance as they are printed. How one exhibit is searched is
//! [`crate::exhibits`]'s. Tests search with the first seed alone.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;
use unstale_harness::chain::Subject;
use unstale_harness::explore::{Exploration, StopAt, explore};
use unstale_harness::oracle::Invariant;
use unstale_harness::plan::Backend;
use unstale_lab::zoo::{EXHIBITS, WIRINGS};

use crate::args::Nightly;
use crate::console::{Console, say};
use crate::error::CommandError;
use crate::exhibits::{self, Choice};
use crate::status::Status;
use crate::{interrupt, systems};

/// The most plans with one seed.
const PLANS_MAX: u64 = 2000;

/// A wiring is found within so many plans, whatever the seed.
const PLANS_FOR_WIRING_MAX: u64 = 50;

/// How long the nested begin is searched with one seed.
const TIME_FOR_NESTED_BEGIN: Duration = Duration::from_secs(12);

/// What breaks by a nested begin: work that was reported as rolled back is there.
const NESTED_BEGIN: Invariant = Invariant::RolledBackInvisible;

const EXHIBIT_HEAD: &str = "\
| exhibit | caught by the right invariant | plans, median (most) | seconds, median (most) | commands of the minimal plan |
| --- | --- | --- | --- | --- |";

const SEED_HEAD: &str = "\
| seed | plans | seconds | commands of the minimal plan |
| --- | --- | --- | --- |";

/// A system, and what must be found in it.
struct Target {
    subject: &'static dyn Subject,
    invariant: Invariant,
    smallest_known: Option<usize>,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Exhibit,
    Wiring,
    SqlxPool,
}

/// What was found in one system with each seed.
#[derive(Serialize)]
struct Searched {
    name: &'static str,
    invariant: String,
    smallest_known: Option<usize>,
    seeds: Vec<Search>,
}

/// One search that was not interrupted.
#[derive(Serialize)]
struct Search {
    seed: u64,
    caught: bool,
    plans: u64,
    seconds: f64,
    minimal_commands: Option<usize>,
}

#[derive(Serialize)]
struct Json<'a> {
    status: Status,
    seeds: u64,
    searched: &'a [Searched],
}

/// Runs `nightly`.
///
/// # Errors
/// A backend or an exhibit was asked for that is not here.
pub(crate) fn nightly(options: &Nightly, console: &Console) -> Result<Status, CommandError> {
    let targets = targets(options, console)?;
    let mut all: Vec<Searched> = Vec::new();
    for target in &targets {
        let searched = search_with_all_seeds(target, options.seeds);
        if !options.json && !searched.seeds.is_empty() {
            print(target.kind, &searched, all.is_empty(), console);
        }
        all.push(searched);
    }
    let wanted = targets.len() as u64 * options.seeds;
    let searches = || all.iter().flat_map(|searched| &searched.seeds);
    let made = searches().count() as u64;
    // An exhibit that gets away is the harness's own defect: nothing that it passes can be believed.
    let status = if searches().any(|search| !search.caught) {
        Status::Inconclusive
    } else if made < wanted {
        Status::Interrupted
    } else {
        Status::Pass
    };
    if options.json {
        console.json(&Json { status, seeds: options.seeds, searched: &all });
    } else if made < wanted {
        say!(console, "interrupted: {made} of {wanted} searches were made");
    }
    Ok(status)
}

/// What is to be searched: what was asked for, or all that can run here.
fn targets(options: &Nightly, console: &Console) -> Result<Vec<Target>, CommandError> {
    let backend = options.backend.as_ref().map(Backend::from);
    let is_wanted = |target: &Target| {
        let name = target.subject.name();
        (options.names.is_empty() || options.names.iter().any(|wanted| wanted == name))
            && backend.is_none_or(|backend| target.subject.backend() == backend)
    };
    let wanted: Vec<Target> = every_target().filter(is_wanted).collect();
    if wanted.is_empty() {
        let names = options.names.join(", ");
        return Err(CommandError::Usage(format!("not on that database: {names}; leave out --backend")));
    }
    let choice = if backend.is_some() || !options.names.is_empty() { Choice::Named } else { Choice::All };
    exhibits::that_can_run(wanted, |target| target.subject, choice, console)
}

fn every_target() -> impl Iterator<Item = Target> {
    let exhibits = EXHIBITS.iter().map(|exhibit| Target {
        subject: exhibit.subject,
        invariant: exhibit.invariant,
        smallest_known: Some(exhibit.smallest_known),
        kind: Kind::Exhibit,
    });
    let other = |subject, invariant, kind| Target { subject, invariant, smallest_known: None, kind };
    let wirings = WIRINGS.into_iter().map(move |(subject, _)| other(subject, Invariant::NoCrossScope, Kind::Wiring));
    let sqlx_pool = systems::named(systems::SQLX_POOL).map(|subject| other(subject, NESTED_BEGIN, Kind::SqlxPool));
    exhibits.chain(wirings).chain(sqlx_pool)
}

impl Target {
    fn exploration(&self, seed: u64) -> Exploration {
        let stop_at = StopAt::Found(self.invariant);
        match self.kind {
            Kind::Exhibit => exhibits::exploration(self.subject, stop_at, seed, PLANS_MAX),
            Kind::Wiring => exhibits::exploration(self.subject, stop_at, seed, PLANS_FOR_WIRING_MAX),
            Kind::SqlxPool => {
                Exploration { seed, plans: u64::MAX, time: TIME_FOR_NESTED_BEGIN, stop_at, ..Exploration::default() }
            }
        }
    }
}

/// Searches until all seeds have been used, or it is interrupted.
fn search_with_all_seeds(target: &Target, seeds: u64) -> Searched {
    Searched {
        name: target.subject.name(),
        invariant: target.invariant.to_string(),
        smallest_known: target.smallest_known,
        seeds: (0..seeds).map_while(|seed| search(target, seed)).collect(),
    }
}

/// Searches with one seed; none if that was interrupted, since what was being shrunk then is not as small as it must get.
fn search(target: &Target, seed: u64) -> Option<Search> {
    if interrupt::is_requested() {
        return None;
    }
    let explored = explore(target.subject, &target.exploration(seed), interrupt::flag(), |_| {});
    if explored.interrupted {
        return None;
    }
    let caught = exhibits::caught(&explored, Some(target.invariant));
    Some(Search {
        seed,
        caught: caught.is_some(),
        plans: caught.map_or(explored.coverage.plans, |finding| finding.after_plans),
        seconds: caught.map_or(explored.took, |finding| finding.after).as_secs_f64(),
        minimal_commands: caught.map(|finding| finding.counterexample.plan.commands()),
    })
}

fn print(kind: Kind, searched: &Searched, is_first: bool, console: &Console) {
    if kind != Kind::SqlxPool {
        if is_first {
            say!(console, "{EXHIBIT_HEAD}");
        }
        say!(console, "{}", searched.exhibit_row());
        return;
    }
    let gap = if is_first { "" } else { "\n" };
    say!(console, "{gap}{}, {}\n\n{SEED_HEAD}", searched.name, searched.invariant);
    for search in &searched.seeds {
        let commands = search.minimal_commands.map_or_else(|| "not caught".to_owned(), |commands| commands.to_string());
        say!(console, "| {} | {} | {:.2} | {commands} |", search.seed, search.plans, search.seconds);
    }
    say!(console, "{}", searched.last_seed_row());
}

impl Searched {
    /// The row of an exhibit, which stands without `zoo-` there.
    fn exhibit_row(&self) -> String {
        let name = self.name.strip_prefix("zoo-").unwrap_or(self.name);
        let caught = self.caught().count();
        let (plans, seconds, commands) = self.cells();
        format!("| `{name}` | {caught} of {} | {plans} | {seconds} | {commands} |", self.seeds.len())
    }

    /// The row behind those of the seeds.
    fn last_seed_row(&self) -> String {
        let (plans, seconds, commands) = self.cells();
        format!("| median (most) | {plans} | {seconds} | {commands} |")
    }

    fn caught(&self) -> impl Iterator<Item = &Search> {
        self.seeds.iter().filter(|search| search.caught)
    }

    /// Plans, seconds and the sizes of minimal plans, of the searches that caught it.
    fn cells(&self) -> (String, String, String) {
        let plans = median_and_most(self.caught().map(|search| search.plans as f64));
        let plans = plans.map_or("–".to_owned(), |(median, most)| format!("{median} ({most})"));
        let seconds = median_and_most(self.caught().map(|search| search.seconds));
        let seconds = seconds.map_or("–".to_owned(), |(median, most)| format!("{median:.2} ({most:.1})"));
        let mut sizes: BTreeMap<usize, usize> = BTreeMap::new();
        for commands in self.caught().filter_map(|search| search.minimal_commands) {
            *sizes.entry(commands).or_default() += 1;
        }
        let sizes = sizes.iter().map(|(commands, seeds)| format!("{commands} ({seeds})"));
        let known = self.smallest_known.map(|known| format!("known {known}"));
        (plans, seconds, sizes.chain(known).collect::<Vec<_>>().join(", "))
    }
}

/// The median, and the greatest; none of nothing.
fn median_and_most(values: impl Iterator<Item = f64>) -> Option<(f64, f64)> {
    let mut sorted: Vec<f64> = values.collect();
    sorted.sort_by(f64::total_cmp);
    let most = *sorted.last()?;
    let middle = sorted.len() / 2;
    let median = if sorted.len() % 2 == 1 { sorted[middle] } else { (sorted[middle - 1] + sorted[middle]) / 2.0 };
    Some((median, most))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caught(seed: u64, plans: u64, seconds: f64, commands: usize) -> Search {
        Search { seed, caught: true, plans, seconds, minimal_commands: Some(commands) }
    }

    fn searched(seeds: Vec<Search>) -> Searched {
        Searched { name: "zoo-residue", invariant: "no-residue".into(), smallest_known: Some(1), seeds }
    }

    #[test]
    fn row_has_the_median_the_worst_and_every_size() {
        let even = searched(vec![caught(0, 60, 1.0, 1), caught(1, 63, 29.46, 2)]);
        assert_eq!(even.exhibit_row(), "| `residue` | 2 of 2 | 61.5 (63) | 15.23 (29.5) | 1 (1), 2 (1), known 1 |");
        let odd = searched(vec![caught(0, 9, 0.5, 1), caught(1, 2, 0.1, 1), caught(2, 1, 0.0, 1)]);
        assert_eq!(odd.last_seed_row(), "| median (most) | 2 (9) | 0.10 (0.5) | 1 (3), known 1 |");
    }

    #[test]
    fn search_that_missed_counts_in_no_median() {
        let missed = Search { seed: 1, caught: false, plans: 2000, seconds: 90.0, minimal_commands: None };
        let half = searched(vec![caught(0, 4, 0.25, 1), missed]);
        assert_eq!(half.exhibit_row(), "| `residue` | 1 of 2 | 4 (4) | 0.25 (0.2) | 1 (1), known 1 |");
        assert_eq!(searched(Vec::new()).exhibit_row(), "| `residue` | 0 of 0 | – | – | known 1 |");
    }
}
