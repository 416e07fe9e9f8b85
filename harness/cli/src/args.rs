//! The command line: verbs, flags and their defaults.

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::{PossibleValue, PossibleValuesParser};
use clap::{Args, Parser, Subcommand, ValueEnum};
use unstale_harness::coverage::Requirement;
use unstale_harness::plan;

use crate::values::{duration, jobs, shard};
use crate::{status, systems};

/// Finds stale sessions, lost work and residue in what lends database sessions.
#[derive(Debug, Parser)]
#[command(name = "unstale", version, after_help = status::HELP)]
pub struct Arguments {
    /// What to do; without it, the library is explored for 30 seconds.
    #[command(subcommand)]
    pub verb: Option<Verb>,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Draw plans, run them, and shrink and report each distinct violation.
    Explore(Explore),
    /// Run the plan of a file again and compare it with what was recorded.
    Replay(Replay),
    /// Make the plan of a file as small as possible.
    Shrink(Shrink),
    /// Run scenario files and compare each with the verdict that it must give.
    Run(RunScenarios),
    /// Show that each deliberately broken system is caught, or with `--seeds` how soon.
    Zoo(Zoo),
    /// Search each deliberately broken system, and sqlx's pool, with many seeds, and print what it took as a table.
    ///
    /// One row for each exhibit, with the median and the worst of all seeds: the plans and the seconds until it was caught, and
    /// the size of its minimal plan. Then, seed by seed, the search for the nested begin in sqlx's pool. Made for a
    /// night and a release build. Without a PostgreSQL server, the exhibits that need one are left out.
    Nightly(Nightly),
    /// Run the same plans on SQLite and on PostgreSQL, and report where the verdicts differ.
    Compare(Compare),
    /// Stress a system on real threads while a private server is restarted, killed and cut off.
    Storm(Storm),
    /// List the systems that can be explored, and the exhibits of the zoo.
    Systems(Systems),
}

/// Flags of `explore`.
#[derive(Debug, Args)]
pub struct Explore {
    /// The system under test; `unstale systems` lists them. Without it, the library: simulated, then on SQLite, half the time
    /// each.
    #[arg(long, value_name = "NAME", value_parser = known_system(), hide_possible_values = true)]
    pub system: Option<String>,
    /// The database, if the system runs on several: sqlite, sim, postgres (a private server, started for this run and
    /// then removed), or the URL of a PostgreSQL server, whose other users are not disturbed.
    #[arg(long, value_name = "BACKEND", value_parser = backend)]
    pub backend: Option<Backend>,
    /// The most plans to run.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub plans: Option<u64>,
    /// The longest time, as `30s`, `5m` or `1h`; 30 seconds if there is no `--plans` either.
    #[arg(long = "for", value_name = "TIME", value_parser = duration)]
    pub time: Option<Duration>,
    /// The seed of all plans.
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// How schedules are drawn; without it as the profile has it, which is mixed.
    #[arg(long, value_name = "NAME", value_parser = ["mixed", "random", "deep", "pct", "pos", "serial"])]
    pub strategy: Option<String>,
    /// Run only this part of the plans: `1/4` is the first of four.
    #[arg(long, value_name = "I/N", value_parser = shard)]
    pub shard: Option<(u64, u64)>,
    /// How many plans run at the same time.
    #[arg(long, value_name = "N", value_parser = jobs)]
    pub jobs: Option<usize>,
    /// A TOML file with a `[profile]` from which plans are drawn.
    #[arg(long, value_name = "FILE")]
    pub profile: Option<PathBuf>,
    /// End with status 3 unless this was reached, as `evaluated.no-stale-use=100` or `landed.cancel=50`; may be given several
    /// times. Counters are plans, commands, evaluated.INVARIANT, capability.NAME, command.KIND, sometimes.SITUATION and
    /// landed.DISTURBANCE; a wrong name lists those that there are. Without `--system` it holds for each of the two.
    #[arg(long, value_name = "NAME=N")]
    pub require: Vec<Requirement>,
    /// Print every finding, with what shrinking has tried, and the whole coverage. Without it: the causes, the three that most plans
    /// met in full, and what of the coverage is missing.
    #[arg(long)]
    pub all: bool,
    /// Stop at the first finding.
    #[arg(long)]
    pub first: bool,
    /// A TOML file of causes that are reported already. Plans that break by one of them are counted, are mostly not shrunk, and
    /// are no violation for the exit status.
    ///
    /// The file begins with `version = 1`. Each `[[cause]]` has the `signature`, as the table of causes and `--json` print it,
    /// `reported` (where), and perhaps `fixed` (since which version) and `note`. A cause that no plan of a whole run meets is
    /// "no longer seen".
    #[arg(long, value_name = "FILE")]
    pub known: Option<PathBuf>,
    /// Write the causes of this run, with those that were known, to a file that `--known` reads.
    #[arg(long, value_name = "FILE")]
    pub write_known: Option<PathBuf>,
    /// The folder that counterexamples are written to.
    #[arg(long, value_name = "FOLDER", default_value = "unstale-findings")]
    pub out: PathBuf,
    /// Print one JSON value and nothing else on standard output: an object, or an array without `--system`.
    #[arg(long)]
    pub json: bool,
    /// Write the report to this HTML file as well.
    #[arg(long, value_name = "FILE.html")]
    pub report: Option<PathBuf>,
}

impl Default for Explore {
    fn default() -> Self {
        let parsed = Arguments::parse_from(["unstale", "explore"]);
        match parsed.verb {
            Some(Verb::Explore(options)) => options,
            _ => unreachable!("`unstale explore` is the verb explore"),
        }
    }
}

/// The databases that systems can be run on.
#[derive(Clone, PartialEq, Eq)]
pub enum Backend {
    /// Embedded SQLite, a fresh database for each plan.
    Sqlite,
    /// A private PostgreSQL server, a fresh schema for each plan.
    Postgres,
    /// The simulated database, in virtual time.
    Sim,
    /// A PostgreSQL server that is not ours.
    Given(String),
}

impl std::fmt::Debug for Backend {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // A URL may have a password in it.
        f.write_str(match self {
            Self::Sqlite => "sqlite",
            Self::Postgres => "postgres",
            Self::Sim => "sim",
            Self::Given(_) => "a URL",
        })
    }
}

impl From<&Backend> for plan::Backend {
    fn from(backend: &Backend) -> Self {
        match backend {
            Backend::Sqlite => Self::Sqlite,
            Backend::Postgres | Backend::Given(_) => Self::Postgres,
            Backend::Sim => Self::Sim,
        }
    }
}

fn known_system() -> PossibleValuesParser {
    let current = systems::names().into_iter().map(PossibleValue::new);
    // Former names in scripts are still accepted; the list shows the current ones.
    let former = systems::FORMER_NAMES.map(|(former, _)| PossibleValue::new(former).hide(true));
    PossibleValuesParser::new(current.chain(former))
}

fn exhibit() -> PossibleValuesParser {
    PossibleValuesParser::new(systems::exhibits())
}

fn searched_system() -> PossibleValuesParser {
    PossibleValuesParser::new(systems::searched())
}

fn stressed_system() -> PossibleValuesParser {
    PossibleValuesParser::new(systems::STRESSED.map(|(name, _)| name))
}

/// A backend other than a given server, which an exhibit would harm.
fn own_backend(text: &str) -> Result<Backend, String> {
    let known = backend(text).ok().filter(|backend| !matches!(backend, Backend::Given(_)));
    known.ok_or_else(|| "expected sqlite, sim or postgres".into())
}

fn backend(text: &str) -> Result<Backend, String> {
    match text {
        "sqlite" => Ok(Backend::Sqlite),
        "postgres" => Ok(Backend::Postgres),
        "sim" => Ok(Backend::Sim),
        // Its scheme is checked later, by code that does not print the URL: it may have a password in it.
        url if url.contains("://") => Ok(Backend::Given(url.into())),
        _ => Err("expected sqlite, sim, postgres, or postgres://USER:PASSWORD@HOST:PORT/DATABASE".into()),
    }
}

/// Flags of `replay`.
#[derive(Debug, Args)]
pub struct Replay {
    /// The plan.
    pub file: PathBuf,
    /// The system, if it is not the one that the file names; `unstale systems` lists them.
    #[arg(long, value_name = "NAME", value_parser = known_system(), hide_possible_values = true)]
    pub system: Option<String>,
    /// How many times it is run.
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    pub times: u32,
    /// Print one JSON value and nothing else on standard output.
    #[arg(long)]
    pub json: bool,
    /// Write the report to this HTML file as well.
    #[arg(long, value_name = "FILE.html")]
    pub report: Option<PathBuf>,
}

/// Flags of `shrink`.
#[derive(Debug, Args)]
pub struct Shrink {
    /// The plan.
    pub file: PathBuf,
    /// The system, if it is not the one that the file names; `unstale systems` lists them.
    #[arg(long, value_name = "NAME", value_parser = known_system(), hide_possible_values = true)]
    pub system: Option<String>,
    /// The longest time, as `30s`, `5m` or `1h`.
    #[arg(long = "for", value_name = "TIME", value_parser = duration, default_value = "60s")]
    pub time: Duration,
    /// Print one JSON value and nothing else on standard output.
    #[arg(long)]
    pub json: bool,
    /// The folder that the smaller plan is written to.
    #[arg(long, value_name = "FOLDER", default_value = "unstale-findings")]
    pub out: PathBuf,
    /// Write the report to this HTML file as well.
    #[arg(long, value_name = "FILE.html")]
    pub report: Option<PathBuf>,
}

/// Flags of `run`.
#[derive(Debug, Args)]
pub struct RunScenarios {
    /// The scenario files.
    #[arg(required = true)]
    pub files: Vec<PathBuf>,
    /// Print one JSON value and nothing else on standard output.
    #[arg(long)]
    pub json: bool,
}

/// Flags of `compare`.
#[derive(Debug, Args)]
pub struct Compare {
    /// One plan; without it, plans are drawn.
    pub file: Option<PathBuf>,
    /// The system under test, which runs on both.
    #[arg(
        long,
        value_name = "NAME",
        default_value = "unstale",
        value_parser = known_system(),
        hide_possible_values = true
    )]
    pub system: String,
    /// How many plans.
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u64).range(1..))]
    pub plans: u64,
    /// The seed of all plans.
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// The folder that plans with different verdicts are written to.
    #[arg(long, value_name = "FOLDER", default_value = "unstale-findings")]
    pub out: PathBuf,
    /// Print one JSON value and nothing else on standard output.
    #[arg(long)]
    pub json: bool,
}

/// Flags of `zoo`.
#[derive(Debug, Args)]
pub struct Zoo {
    /// Only these exhibits; without a name, all of the table that can run here.
    #[arg(value_name = "NAME", value_parser = exhibit(), hide_possible_values = true)]
    pub names: Vec<String>,
    /// Which exhibits; a name is looked up in every table.
    #[arg(long, value_name = "TABLE", default_value = "classic")]
    pub of: Table,
    /// What the exhibits can do. With everything, whatever breaks counts.
    #[arg(long, value_name = "WHAT", default_value = "declared")]
    pub capabilities: Ability,
    /// Search each with so many seeds, from `--seed` on, shrink nothing, and print figures: in how many it was found, and the
    /// median of plans and seconds with both quartiles.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1000))]
    pub seeds: Option<u64>,
    /// The longest search in one exhibit with one seed, as `30s`, `5m` or `1h`.
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "10m")]
    pub budget: Duration,
    /// A TOML file with a `[profile]` from which plans are drawn.
    #[arg(long, value_name = "FILE")]
    pub profile: Option<PathBuf>,
    /// Only the exhibits on this database: sqlite, sim or postgres; without it, all that can run here.
    #[arg(long, value_name = "BACKEND", value_parser = own_backend)]
    pub backend: Option<Backend>,
    /// The most plans for each exhibit.
    #[arg(long, value_name = "N", default_value_t = 2000, value_parser = clap::value_parser!(u64).range(1..))]
    pub plans: u64,
    /// The seed of all plans.
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Print one JSON value and nothing else on standard output.
    #[arg(long)]
    pub json: bool,
}

/// The tables of exhibits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Table {
    /// The zoo: every one must be caught.
    Classic,
    /// Those that were built to measure the harness.
    Ours,
    /// Both.
    All,
    /// One race, at the second to the eighth gate of a command.
    Races,
    /// One lost update, behind 4 to 12 round trips.
    LostUpdates,
}

/// What the exhibits can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Ability {
    /// What each declares: no more than it needs to be wrong.
    Declared,
    /// Everything that its control can do.
    All,
}

/// Flags of `nightly`.
#[derive(Debug, Args)]
pub struct Nightly {
    /// Only these exhibits, or sqlx-pool; without a name, all that can run here.
    #[arg(value_name = "NAME", value_parser = searched_system(), hide_possible_values = true)]
    pub names: Vec<String>,
    /// With how many seeds each is searched; the tests use the first.
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=1000))]
    pub seeds: u64,
    /// Only the exhibits on this database: sqlite, sim or postgres; without it, all that can run here.
    #[arg(long, value_name = "BACKEND", value_parser = own_backend)]
    pub backend: Option<Backend>,
    /// Print one JSON value and nothing else on standard output.
    #[arg(long)]
    pub json: bool,
}

/// Flags of `storm`.
#[derive(Debug, Args)]
pub struct Storm {
    /// The system under test.
    #[arg(long, value_name = "NAME", default_value = "unstale-pg", value_parser = stressed_system())]
    pub system: String,
    /// How long faults are injected at most, as `30s`, `5m` or `1h`; 30 seconds if there is no `--restarts` either.
    #[arg(long = "for", value_name = "TIME", value_parser = duration)]
    pub time: Option<Duration>,
    /// Stop injecting faults after this many restarts of the server.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub restarts: Option<u32>,
    /// How many actors work at the same time.
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub actors: u32,
    /// How many connections the system may open.
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=80))]
    pub connections: u32,
    /// The seed of the faults and of the tasks; it does not make a run repeatable.
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Print one JSON value and nothing else on standard output.
    #[arg(long)]
    pub json: bool,
}

/// Flags of `systems`.
#[derive(Debug, Args)]
pub struct Systems {
    /// Print one JSON value and nothing else on standard output.
    #[arg(long)]
    pub json: bool,
}
