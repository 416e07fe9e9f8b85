//! What the benches on PostgreSQL share: a server of their own, how long they measure, and the tables that they print.
//!
//! criterion repeats one thing until it is sure of it. Here every repetition needs a fault first, and what is compared has to
//! take turns, so that a machine that slows down slows all of it alike.

#![allow(dead_code, unreachable_pub, reason = "every bench takes what it needs")]

pub mod contender;

use std::env;
use std::process::ExitCode;
use std::time::Duration;

use hdrhistogram::Histogram;
use rand::seq::SliceRandom;
use unstale_wire::server::{Server, ServerError};

/// What is read and written.
pub const SCHEMA: &str = "create table kv (k bigint primary key, v bigint not null);
    insert into kv select k, 0 from generate_series(1, 100) as k;
    create table log (v bigint not null)";

/// One run of a bench.
pub struct Run {
    pub server: Server,
    length: Length,
    /// Only what has this in its title.
    filter: Option<String>,
}

#[derive(Clone, Copy)]
enum Length {
    Full,
    Quick,
    /// Once, to see that it works: what `cargo test --benches` asks for.
    Once,
}

/// Measures on a server of its own. Without PostgreSQL that is said in one line, and is no failure.
pub fn main(measure: impl FnOnce(&Run)) -> ExitCode {
    let arguments: Vec<_> = env::args().skip(1).collect();
    let has = |name: &str| arguments.iter().any(|it| it == name);
    let server = match Server::start() {
        Ok(server) => server,
        Err(error @ (ServerError::NoBinaries { .. } | ServerError::TooOld { .. })) => {
            println!("nothing was measured: {error}");
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            eprintln!("nothing was measured: {error}");
            return ExitCode::FAILURE;
        }
    };
    let length = match (has("--bench"), has("--quick")) {
        (false, _) => Length::Once,
        (true, true) => Length::Quick,
        (true, false) => Length::Full,
    };
    let filter = arguments.iter().find(|it| !it.starts_with('-')).cloned();
    measure(&Run { server, length, filter });
    ExitCode::SUCCESS
}

impl Run {
    /// How often something is repeated that is repeated so often in a full run.
    pub fn rounds(&self, full: usize) -> usize {
        match self.length {
            Length::Full => full,
            Length::Quick => full.div_ceil(8),
            Length::Once => 1,
        }
    }

    /// Whether something with this title was asked for.
    pub fn wants(&self, title: &str) -> bool {
        self.filter.as_ref().is_none_or(|it| title.contains(it))
    }
}

/// What several contenders took for the same thing, in turns.
pub struct Times {
    title: String,
    rows: Vec<Row>,
}

struct Row {
    name: &'static str,
    nanoseconds: Histogram<u64>,
    errors: u64,
    notes: Vec<String>,
}

impl Times {
    /// The others are compared with the first of them.
    pub fn of(title: impl Into<String>, names: impl IntoIterator<Item = &'static str>) -> Self {
        let row = |name| Row {
            name,
            nanoseconds: Histogram::new(3).expect("three digits can be kept"),
            errors: 0,
            notes: Vec::new(),
        };
        Self { title: title.into(), rows: names.into_iter().map(row).collect() }
    }

    pub fn record(&mut self, contender: usize, took: Duration) {
        let nanoseconds = u64::try_from(took.as_nanos()).expect("less than 500 years");
        self.rows[contender].nanoseconds.record(nanoseconds).expect("it grows as needed");
    }

    /// Callers were shown so many errors.
    pub fn errors(&mut self, contender: usize, shown: u64) {
        self.rows[contender].errors += shown;
    }

    /// Something to be said beside the times.
    pub fn note(&mut self, contender: usize, note: String) {
        self.rows[contender].notes.push(note);
    }

    /// Prints the table; the errors that callers were shown, by contender.
    pub fn print(&self) -> Vec<(&'static str, u64)> {
        println!("\n{}", self.title);
        println!(
            "  {:<42} {:>6} {:>10} {:>10} {:>7} {:>7} {:>7}",
            "", "n", "p50", "p99", "p50/1st", "p99/1st", "errors"
        );
        for row in &self.rows {
            let of = |it: &Row, quantile| milliseconds(it.nanoseconds.value_at_quantile(quantile));
            let ratio = |quantile| of(row, quantile) / of(&self.rows[0], quantile);
            println!(
                "  {:<42} {:>6} {:>7.3} ms {:>7.3} ms {:>7.2} {:>7.2} {:>7}{}{}",
                row.name,
                row.nanoseconds.len(),
                of(row, 0.5),
                of(row, 0.99),
                ratio(0.5),
                ratio(0.99),
                row.errors,
                if row.notes.is_empty() { "" } else { "  " },
                row.notes.join(", "),
            );
        }
        self.rows.iter().map(|it| (it.name, it.errors)).collect()
    }
}

/// Whose turn it is, in an order of its own in every round: nobody always comes after the same one.
pub fn turns(contenders: usize) -> Vec<usize> {
    let mut turns: Vec<_> = (0..contenders).collect();
    turns.shuffle(&mut rand::rng());
    turns
}

/// The middle one.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

#[expect(clippy::cast_precision_loss, reason = "times are far below 2^53 nanoseconds")]
fn milliseconds(nanoseconds: u64) -> f64 {
    nanoseconds as f64 / 1e6
}
