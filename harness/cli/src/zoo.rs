//! `zoo`: deliberately broken systems are explored until they are caught.
//!
//! Owns which of them are wanted, and the report on each: what was caught, shrunk, or with several seeds how soon something was.
//! The search itself is in [`crate::exhibits`], the figures in [`crate::figures`].

use serde::Serialize;
use unstale_harness::chain::Subject;
use unstale_harness::explore::{Exploration, explore as run};
use unstale_harness::generate::Profile;
use unstale_harness::oracle::Invariant;
use unstale_harness::plan::Backend;
use unstale_lab::zoo::{BlindSpot, EXHIBITS, Exhibit, LOST_UPDATES, Measure, OURS, RACES, Reach};

use crate::args::{Ability, Table, Zoo};
use crate::console::{Console, say};
use crate::error::CommandError;
use crate::exhibits::{self, Choice};
use crate::figures::{Figures, HEAD, Search, Summary};
use crate::status::Status;
use crate::{files, interrupt};

/// A system, and what must be found in it.
struct Target {
    subject: &'static dyn Subject,
    origin: &'static str,
    /// The one that must break; none if it may be any.
    invariant: Option<Invariant>,
    smallest_known: Option<usize>,
    blind_spot: Option<&'static str>,
    /// Whether it must be found.
    is_due: bool,
}

#[derive(Serialize)]
struct Exhibited {
    name: &'static str,
    origin: &'static str,
    verdict: &'static str,
    /// Whether it was caught; none if that was interrupted.
    found: Option<bool>,
    invariant: Option<String>,
    expected_invariant: Option<String>,
    plans: u64,
    seconds: f64,
    minimal_commands: Option<usize>,
    smallest_known: Option<usize>,
    /// Whether a miss is a defect; of what was built to measure the harness some are known to be missed.
    is_due: bool,
}

#[derive(Serialize)]
struct Json<'a> {
    status: Status,
    seeds: u64,
    plans: u64,
    budget_seconds: f64,
    exhibits: &'a [Figures],
}

/// Runs `zoo`.
///
/// # Errors
/// A backend was asked for that is not here, or an exhibit that is not on it; the profile cannot be read.
pub(crate) fn zoo(options: &Zoo, console: &Console) -> Result<Status, CommandError> {
    let profile = options.profile.as_deref().map(files::profile).transpose()?.unwrap_or_default();
    let targets = targets(options, console)?;
    match options.seeds {
        Some(seeds) => Ok(measure(&targets, options, seeds, &profile, console)),
        None => Ok(show_all(&targets, options, &profile, console)),
    }
}

/// What was asked for by name, or the whole of the table, as far as it can run here.
fn targets(options: &Zoo, console: &Console) -> Result<Vec<Target>, CommandError> {
    let backend = options.backend.as_ref().map(Backend::from);
    let tables: &[Table] = match options.of {
        _ if !options.names.is_empty() => &[Table::Classic, Table::Ours, Table::Races, Table::LostUpdates],
        Table::All => &[Table::Classic, Table::Ours],
        Table::Classic => &[Table::Classic],
        Table::Ours => &[Table::Ours],
        Table::Races => &[Table::Races],
        Table::LostUpdates => &[Table::LostUpdates],
    };
    let is_wanted = |target: &Target| {
        let name = target.subject.name();
        (options.names.is_empty() || options.names.iter().any(|wanted| wanted == name))
            && backend.is_none_or(|backend| target.subject.backend() == backend)
    };
    let all = tables.iter().flat_map(|table| of_table(*table, options.capabilities));
    let wanted: Vec<Target> = all.filter(is_wanted).collect();
    if wanted.is_empty() {
        let what = if options.names.is_empty() { "nothing of this table".into() } else { options.names.join(", ") };
        return Err(CommandError::Usage(format!("not on that database: {what}; leave out --backend")));
    }
    let choice = if backend.is_some() || !options.names.is_empty() { Choice::Named } else { Choice::All };
    exhibits::that_can_run(wanted, |target| target.subject, choice, console)
}

fn of_table(table: Table, ability: Ability) -> Vec<Target> {
    let of =
        |measures: &'static [Measure]| measures.iter().map(|measure| Target::of_measure(measure, ability)).collect();
    match table {
        Table::Classic => EXHIBITS.iter().map(|exhibit| Target::of_exhibit(exhibit, ability)).collect(),
        Table::Ours => of(OURS),
        Table::Races => of(RACES),
        Table::LostUpdates => of(LOST_UPDATES),
        Table::All => [Table::Classic, Table::Ours].into_iter().flat_map(|table| of_table(table, ability)).collect(),
    }
}

impl Target {
    /// The smallest plan is known for what the exhibit declares: with more, another face of the defect may come first.
    fn of_exhibit(exhibit: &Exhibit, ability: Ability) -> Self {
        let Exhibit { subject, in_full, origin, invariant, smallest_known, .. } = *exhibit;
        let (blind_spot, is_due) = (None, true);
        match ability {
            Ability::Declared => {
                let (invariant, smallest_known) = (Some(invariant), Some(smallest_known));
                Self { subject, origin, invariant, smallest_known, blind_spot, is_due }
            }
            Ability::All => {
                Self { subject: in_full, origin, invariant: None, smallest_known: None, blind_spot, is_due }
            }
        }
    }

    fn of_measure(measure: &Measure, ability: Ability) -> Self {
        let subject = match ability {
            Ability::Declared => measure.subject,
            Ability::All => measure.in_full,
        };
        let blind_spot = match measure.blind_spot {
            BlindSpot::Oracle => "oracle",
            BlindSpot::Generator => "generator",
            BlindSpot::Manner => "manner",
        };
        Self {
            subject,
            origin: measure.origin,
            invariant: None,
            smallest_known: None,
            blind_spot: Some(blind_spot),
            is_due: measure.reach == Reach::Reliable,
        }
    }

    fn exploration(&self, seed: u64, options: &Zoo, profile: &Profile) -> Exploration {
        let stop_at = exhibits::stop_at(self.invariant);
        let exploration = exhibits::exploration(self.subject, stop_at, seed, options.plans);
        Exploration { time: options.budget, profile: profile.clone(), ..exploration }
    }
}

/// Explores each with several seeds, and prints figures.
fn measure(targets: &[Target], options: &Zoo, seeds: u64, profile: &Profile, console: &Console) -> Status {
    let mut all: Vec<Figures> = Vec::new();
    for target in targets {
        let seeds = options.seed..options.seed.saturating_add(seeds);
        let searches: Vec<Search> = seeds.map_while(|seed| search(target, seed, options, profile)).collect();
        let Target { subject, blind_spot, is_due, .. } = *target;
        let figures = Figures::of(subject.name(), subject.backend().to_string(), blind_spot, is_due, searches);
        if !options.json && figures.of > 0 {
            if all.is_empty() {
                say!(console, "{HEAD}");
            }
            say!(console, "{}", figures.row());
        }
        all.push(figures);
    }
    let status = if all.iter().any(|figures| figures.is_due && figures.was_missed()) {
        Status::Inconclusive
    } else if interrupt::is_requested() {
        Status::Interrupted
    } else {
        Status::Pass
    };
    if options.json {
        let (plans, budget_seconds) = (options.plans, options.budget.as_secs_f64());
        console.json(&Json { status, seeds, plans, budget_seconds, exhibits: &all });
    } else {
        say!(console, "\n{}", Summary(&all));
    }
    status
}

/// Searches with one seed, and shrinks nothing; none if it was interrupted.
fn search(target: &Target, seed: u64, options: &Zoo, profile: &Profile) -> Option<Search> {
    if interrupt::is_requested() {
        return None;
    }
    let exploration = target.exploration(seed, options, profile);
    let exploration = Exploration { shrink_time: std::time::Duration::ZERO, ..exploration };
    let explored = run(target.subject, &exploration, interrupt::flag(), |_| {});
    if explored.interrupted {
        return None;
    }
    let caught = exhibits::caught(&explored, target.invariant);
    Some(Search {
        seed,
        broke: caught.map(|finding| finding.counterexample.violation.invariant.to_string()),
        plans: caught.map_or(explored.coverage.plans, |finding| finding.after_plans),
        seconds: caught.map_or(explored.took, |finding| finding.after).as_secs_f64(),
        unsure: explored.unsure.len(),
    })
}

/// Explores each with one seed, and prints what was caught.
fn show_all(targets: &[Target], options: &Zoo, profile: &Profile, console: &Console) -> Status {
    let mut all = Vec::new();
    for target in targets {
        let shown = show(target, options, profile);
        if !options.json && shown.found.is_some() {
            print(&shown, console);
        }
        all.push(shown);
    }
    let tried = all.iter().filter(|shown| shown.found.is_some()).count();
    if options.json {
        console.json(&all);
    } else if tried < all.len() {
        say!(console, "interrupted: {tried} of {} exhibits were tried", all.len());
    }
    // An exhibit that is not caught is a defect of the harness: its passes cannot be believed.
    if all.iter().any(|shown| shown.is_due && shown.found == Some(false)) {
        Status::Inconclusive
    } else if tried < all.len() {
        Status::Interrupted
    } else {
        Status::Pass
    }
}

/// Explores one until it is caught, or interrupted.
fn show(target: &Target, options: &Zoo, profile: &Profile) -> Exhibited {
    let exploration = target.exploration(options.seed, options, profile);
    let explored = run(target.subject, &exploration, interrupt::flag(), |_| {});
    let caught = exhibits::caught(&explored, target.invariant);
    let (verdict, found) = match caught {
        // What is shrunk when it is interrupted is not as small as it must get.
        _ if explored.interrupted => ("interrupted", None),
        Some(_) => ("caught", Some(true)),
        None if target.is_due => ("missed", Some(false)),
        None => ("not found yet", Some(false)),
    };
    let finding = caught.or(explored.findings.first());
    let counterexample = finding.map(|finding| &finding.counterexample);
    Exhibited {
        name: target.subject.name(),
        origin: target.origin,
        verdict,
        found,
        invariant: counterexample.map(|it| it.violation.invariant.to_string()),
        expected_invariant: target.invariant.map(|invariant| invariant.to_string()),
        plans: finding.map_or(explored.coverage.plans, |finding| finding.after_plans),
        seconds: finding.map_or(explored.took, |finding| finding.after).as_secs_f64(),
        minimal_commands: counterexample.map(|it| it.plan.commands()),
        smallest_known: target.smallest_known,
        is_due: target.is_due,
    }
}

fn print(shown: &Exhibited, console: &Console) {
    let verdict = match shown.verdict {
        "missed" => "MISSED",
        verdict => verdict,
    };
    let known = shown.smallest_known.map_or_else(String::new, |known| format!(" (smallest known {known})"));
    say!(
        console,
        "{verdict}  {:<28} {:<24} after {:>4} plans, {:.2} s; {} commands{known}",
        shown.name,
        shown.invariant.as_deref().unwrap_or("nothing"),
        shown.plans,
        shown.seconds,
        shown.minimal_commands.map_or_else(|| "no".to_owned(), |commands| commands.to_string()),
    );
}
