//! The figures of a storm: what landed when, what was met, and how long recovery took. Pure.
//!
//! Owns the counts and whether a pass can be believed: a storm in which nothing landed, or no outcome was unknown, shows
//! nothing. It judges nothing.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use hdrhistogram::Histogram;

use super::history::{History, Landing, Operation, Outcome};
use super::judge::Judgement;
use super::work::Work;
use unstale_harness::oracle::Invariant;
use unstale_harness::plan::{Fault, Moment};

/// The longest recovery that is told apart from longer ones.
const RECOVERY_MAX: Duration = Duration::from_secs(60);

/// What a storm was like.
#[derive(Clone, Debug)]
pub struct Summary {
    /// How many operations there were.
    pub operations: u64,
    /// How often each situation arose.
    pub sometimes: BTreeMap<&'static str, u64>,
    /// How often each fault landed: its name without the moment, and the moment. What can happen and did not is 0.
    pub landed: BTreeMap<(String, Moment), u64>,
    /// What failed operations said, and how often; numbers and names in it are blacked out.
    pub failures: BTreeMap<String, u64>,
    /// How long recoveries took, by what was recovered from.
    pub recovery: BTreeMap<String, Recovery>,
}

/// The times from the end of an outage to the first success of each actor.
#[derive(Clone, Debug)]
pub struct Recovery {
    /// How many outages there were.
    pub outages: u64,
    /// How often an actor had no success before the next outage began. Those are in no time below.
    pub overtaken: u64,
    /// In microseconds.
    times: Histogram<u64>,
}

impl Recovery {
    fn new() -> Self {
        let times = Histogram::new_with_max(micros(RECOVERY_MAX), 3).expect("the bounds are constants that make sense");
        Self { outages: 0, overtaken: 0, times }
    }

    /// How many recoveries.
    pub fn count(&self) -> u64 {
        self.times.len()
    }

    /// The time that this share of the recoveries did not exceed.
    pub fn quantile(&self, share: f64) -> Duration {
        Duration::from_micros(self.times.value_at_quantile(share))
    }

    /// The slowest.
    pub fn max(&self) -> Duration {
        Duration::from_micros(self.times.max())
    }
}

/// The situations that a storm should meet.
const SOMETIMES: [&str; 15] = [
    "acknowledged",
    "definitely not done",
    "unknown",
    "unknown, and it was done",
    "unknown, and it was not done",
    "cancelled before it could take effect",
    "cancelled when it could take effect",
    "answered unknown by the system itself",
    "transaction of several rows acknowledged",
    "transaction rolled back by its actor",
    "own work read",
    "fault landed",
    "server restarted",
    "operation was under way when the server went down",
    "all connections died at once",
];

impl Summary {
    /// Sums a storm up.
    pub fn of(history: &History) -> Self {
        let mut summary = Self {
            operations: 0,
            sometimes: SOMETIMES.into_iter().map(|it| (it, 0)).collect(),
            landed: cells().map(|it| (it, 0)).collect(),
            failures: BTreeMap::new(),
            recovery: BTreeMap::new(),
        };
        for landing in &history.landings {
            if let Some(cell) = cell(landing.fault) {
                *summary.landed.entry(cell).or_default() += 1;
            }
            summary.met("fault landed");
            if landing.is_restart() {
                summary.met("server restarted");
            }
            if landing.ends_every_session() {
                summary.met("all connections died at once");
            }
        }
        for operation in history.actors.iter().flatten() {
            summary.operation(history, operation);
        }
        summary.recoveries(history);
        summary
    }

    /// Why a pass would not be believed.
    pub fn gaps(&self, judgement: &Judgement) -> Vec<String> {
        let mut gaps: Vec<String> =
            self.sometimes.iter().filter(|it| *it.1 == 0).map(|it| format!("never met: {}", it.0)).collect();
        for invariant in [
            Invariant::CommittedDurable,
            Invariant::RolledBackInvisible,
            Invariant::ScopeAtomic,
            Invariant::NoDuplicateEffect,
            Invariant::Recovers,
            Invariant::NoLeak,
        ] {
            if judgement.evaluated.get(&invariant).is_none_or(|it| *it == 0) {
                gaps.push(format!("the invariant `{invariant}` was never evaluated"));
            }
        }
        gaps
    }

    /// The faults that can happen and did not.
    pub fn empty_cells(&self) -> Vec<String> {
        self.landed.iter().filter(|it| *it.1 == 0).map(|((fault, at), _)| format!("{fault}@{at}")).collect()
    }

    fn met(&mut self, what: &'static str) {
        *self.sometimes.entry(what).or_default() += 1;
    }

    fn operation(&mut self, history: &History, operation: &Operation) {
        self.operations += 1;
        let task = &operation.task;
        let first = history.rows.contains_key(&(task.actor, task.sequence, 1));
        match &operation.outcome {
            Outcome::Done(_) => {
                self.met("acknowledged");
                match task.work {
                    Work::Read { .. } => self.met("own work read"),
                    _ if task.is_rolled_back() => self.met("transaction rolled back by its actor"),
                    _ if task.rows() > 1 => self.met("transaction of several rows acknowledged"),
                    _ => {}
                }
            }
            Outcome::NotDone(why) => {
                self.met("definitely not done");
                if operation.cancelled {
                    self.met("cancelled before it could take effect");
                } else {
                    *self.failures.entry(format!("not done: {}", kind(why))).or_default() += 1;
                }
            }
            Outcome::Unknown(_) | Outcome::Hung => {
                self.met("unknown");
                self.met(if first { "unknown, and it was done" } else { "unknown, and it was not done" });
                if operation.cancelled {
                    self.met("cancelled when it could take effect");
                } else if let Outcome::Unknown(why) = &operation.outcome {
                    self.met("answered unknown by the system itself");
                    *self.failures.entry(format!("unknown: {}", kind(why))).or_default() += 1;
                }
            }
        }
    }

    fn recoveries(&mut self, history: &History) {
        let mut outages: Vec<&Landing> = history.landings.iter().filter(|it| it.fault.is_server_wide()).collect();
        outages.sort_by_key(|it| it.began);
        for (at, outage) in outages.iter().enumerate() {
            let until = outages.get(at + 1).map_or(Duration::MAX, |it| it.began);
            let name = cell(outage.fault).map_or_else(String::new, |it| it.0);
            let mut under_way = false;
            let recovery = self.recovery.entry(name).or_insert_with(Recovery::new);
            recovery.outages += 1;
            for operations in &history.actors {
                // An actor's operations follow each other, so they are in the order of their ends.
                let first = operations.partition_point(|it| it.returned < outage.ended);
                let before = operations.partition_point(|it| it.returned < outage.began);
                under_way |= operations.get(before).is_some_and(|it| it.invoked < outage.began);
                let done = operations[first..].iter().find(|it| matches!(it.outcome, Outcome::Done(_)));
                match done.filter(|it| it.returned < until) {
                    Some(it) => recovery.times.saturating_record(micros(it.returned - outage.ended).max(1)),
                    None => recovery.overtaken += 1,
                }
            }
            if under_way && outage.ends_every_session() {
                self.met("operation was under way when the server went down");
            }
        }
    }
}

/// The figures as text, for people.
impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "sometimes (times)")?;
        for (what, count) in &self.sometimes {
            let never = if *count == 0 { "  never met" } else { "" };
            writeln!(f, "  {what:<52} {count:>9}{never}")?;
        }
        write!(f, "landed {:<18}", "")?;
        Moment::ALL.iter().try_for_each(|it| write!(f, " {it:>12}", it = it.to_string()))?;
        writeln!(f)?;
        let mut rows: Vec<&String> = self.landed.keys().map(|it| &it.0).collect();
        rows.dedup();
        for row in rows {
            write!(f, "  {row:<23}")?;
            for at in Moment::ALL {
                match self.landed.get(&(row.clone(), at)) {
                    None => write!(f, " {:>12}", "")?,
                    Some(0) => write!(f, " {:>12}", "·")?,
                    Some(count) => write!(f, " {count:>12}")?,
                }
            }
            writeln!(f)?;
        }
        let empty = self.empty_cells();
        if !empty.is_empty() {
            writeln!(f, "never landed: {}", empty.join(", "))?;
        }
        writeln!(f, "said by operations that failed (times)")?;
        for (what, count) in &self.failures {
            writeln!(f, "  {count:>7}  {what}")?;
        }
        writeln!(f, "from the end of an outage to each actor's first success")?;
        for (what, it) in &self.recovery {
            writeln!(
                f,
                "  {what:<20} {} outages, {} recoveries: median {:?}, p99 {:?}, slowest {:?}; overtaken by the next {}",
                it.outages,
                it.count(),
                it.quantile(0.5),
                it.quantile(0.99),
                it.max(),
                it.overtaken
            )?;
        }
        Ok(())
    }
}

/// Every cell of the table: what can happen, and when.
fn cells() -> impl Iterator<Item = (String, Moment)> {
    Fault::every().filter_map(cell)
}

fn cell(fault: Fault) -> Option<(String, Moment)> {
    Some((fault.word(), fault.moment()?))
}

/// The longest text of a failure that is told from others.
const KIND_MAX: usize = 110;

/// A message without its numbers, so that messages of one kind count as one.
fn kind(why: &str) -> String {
    let mut kind = String::new();
    for it in why.chars().take(KIND_MAX) {
        let it = if it.is_ascii_digit() { '#' } else { it };
        if it != '#' || !kind.ends_with('#') {
            kind.push(it);
        }
    }
    kind
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use unstale_harness::plan::ServerFault;

    #[test]
    fn messages_of_one_kind_count_as_one() {
        assert_eq!(kind("waited 1.25s for 10 of 10"), kind("waited 3.7s for 9 of 10"));
        assert!(kind(&"x".repeat(1000)).len() <= KIND_MAX);
    }

    #[test]
    fn table_has_a_cell_for_everything_that_can_happen() {
        let cells: Vec<_> = cells().collect();
        assert!(cells.contains(&(ServerFault::RestartKilled.to_string(), Moment::Idle)));
        assert!(cells.contains(&("black-hole".into(), Moment::BeforeReply)));
        assert_eq!(cells.len(), Fault::postgres().len() + Fault::server_wide().len());
    }
}
