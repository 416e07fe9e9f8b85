//! Counters by name, and the numbers that they must reach: `evaluated.no-stale-use=100`.
//!
//! Owns the names. A name that nothing has is refused with those that there are, so that a requirement in a CI job cannot
//! hold by a spelling mistake. Whether one is reached is asked after an exploration.

use std::fmt;
use std::str::FromStr;

use super::counts::Coverage;
use super::disturbance::{Disturbance, disturbances};
use super::situations;
use crate::capability::Capability;
use crate::generate::Kind;
use crate::invariant::Invariant;
use crate::plan::Backend;

/// A counter, and the number that it must reach.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requirement {
    counter: Counter,
    least: u64,
}

/// A requirement that names no counter, or no number.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct UnknownCounter(String);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Counter {
    Plans,
    Commands,
    Evaluated(Invariant),
    Capability(Capability),
    Sometimes(&'static str),
    Command(Kind),
    Landed(Landed),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Landed {
    AnyCancel,
    AnyFault,
    One(Disturbance),
}

impl Requirement {
    /// Whether an exploration has reached it, or a line that says how far it has got.
    ///
    /// # Errors
    /// The line.
    pub fn check(&self, coverage: &Coverage) -> Result<(), String> {
        let reached = self.counter.of(coverage);
        if reached >= self.least { Ok(()) } else { Err(format!("required {self}, reached {reached}")) }
    }
}

impl Counter {
    /// Every group of counters, with what it holds.
    fn groups() -> [(&'static str, Vec<(String, Self)>); 5] {
        fn named<T: fmt::Display + Copy>(
            all: impl IntoIterator<Item = T>,
            counter: fn(T) -> Counter,
        ) -> Vec<(String, Counter)> {
            all.into_iter().map(|it| (it.to_string(), counter(it))).collect()
        }
        let mut landed = vec![
            ("cancel".to_owned(), Self::Landed(Landed::AnyCancel)),
            ("fault".to_owned(), Self::Landed(Landed::AnyFault)),
        ];
        for disturbance in [Backend::Sqlite, Backend::Sim, Backend::Postgres].into_iter().flat_map(disturbances) {
            let counter = Self::Landed(Landed::One(disturbance));
            if !landed.iter().any(|(_, known)| *known == counter) {
                landed.push((disturbance.to_string(), counter));
            }
        }
        let sometimes = situations::ALL.into_iter().map(|it| (it.replace(' ', "-"), Self::Sometimes(it)));
        [
            ("evaluated", named(Invariant::ALL, Self::Evaluated)),
            ("capability", named(Capability::ALL, Self::Capability)),
            ("command", named(Kind::all(), Self::Command)),
            ("sometimes", sometimes.collect()),
            ("landed", landed),
        ]
    }

    fn of(&self, coverage: &Coverage) -> u64 {
        match self {
            Self::Plans => coverage.plans,
            Self::Commands => coverage.commands,
            Self::Evaluated(invariant) => coverage.evaluated.get(invariant).copied().unwrap_or(0),
            Self::Capability(capability) => coverage.exercised(*capability),
            Self::Sometimes(situation) => coverage.sometimes.get(situation).copied().unwrap_or(0),
            Self::Command(kind) => coverage.alphabet.get(kind).map_or(0, |tally| tally.succeeded),
            Self::Landed(wanted) => {
                let is_wanted = |disturbance: Disturbance| match wanted {
                    Landed::AnyCancel => disturbance.is_cancel(),
                    Landed::AnyFault => !disturbance.is_cancel(),
                    Landed::One(it) => *it == disturbance,
                };
                let all = coverage.disturbances.iter().filter(|(disturbance, _)| is_wanted(**disturbance));
                all.map(|(_, tally)| tally.succeeded).sum()
            }
        }
    }
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.counter, self.least)
    }
}

impl fmt::Display for Counter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plans => f.write_str("plans"),
            Self::Commands => f.write_str("commands"),
            Self::Evaluated(it) => write!(f, "evaluated.{it}"),
            Self::Capability(it) => write!(f, "capability.{it}"),
            Self::Sometimes(it) => write!(f, "sometimes.{}", it.replace(' ', "-")),
            Self::Command(it) => write!(f, "command.{it}"),
            Self::Landed(Landed::AnyCancel) => f.write_str("landed.cancel"),
            Self::Landed(Landed::AnyFault) => f.write_str("landed.fault"),
            Self::Landed(Landed::One(it)) => write!(f, "landed.{it}"),
        }
    }
}

impl FromStr for Requirement {
    type Err = UnknownCounter;

    fn from_str(text: &str) -> Result<Self, UnknownCounter> {
        let wrong = |why: String| UnknownCounter(why);
        let (name, number) = text
            .split_once('=')
            .ok_or_else(|| wrong(format!("expected NAME=N, as evaluated.no-stale-use=100, found `{text}`")))?;
        let least = number.parse().ok().filter(|least| *least > 0);
        let least =
            least.ok_or_else(|| wrong(format!("expected a number from 1 behind `{name}=`, found `{number}`")))?;
        Ok(Self { counter: name.parse()?, least })
    }
}

impl FromStr for Counter {
    type Err = UnknownCounter;

    fn from_str(name: &str) -> Result<Self, UnknownCounter> {
        match name {
            "plans" => return Ok(Self::Plans),
            "commands" => return Ok(Self::Commands),
            _ => {}
        }
        let groups = Self::groups();
        let unknown = |there_are: String| UnknownCounter(format!("nothing is called `{name}`; {there_are}"));
        let (group, member) = name.split_once('.').unwrap_or((name, ""));
        let Some((_, members)) = groups.iter().find(|it| it.0 == group) else {
            let groups: Vec<_> = groups.iter().map(|(group, _)| format!("{group}.NAME")).collect();
            return Err(unknown(format!("there are: plans, commands, {}", groups.join(", "))));
        };
        let found = members.iter().find(|(known, _)| known == member).map(|(_, counter)| counter.clone());
        found.ok_or_else(|| {
            let names: Vec<_> = members.iter().map(|(known, _)| known.as_str()).collect();
            unknown(format!("behind `{group}.` there are: {}", names.join(", ")))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_counter_has_a_name_that_parses() {
        for (group, members) in Counter::groups() {
            assert!(!members.is_empty());
            for (member, counter) in members {
                assert_eq!(format!("{group}.{member}").parse(), Ok(counter.clone()));
                assert_eq!(counter.to_string(), format!("{group}.{member}"));
            }
        }
        for name in ["plans", "commands"] {
            assert_eq!(name.parse::<Counter>().map(|it| it.to_string()), Ok(name.to_owned()));
        }
    }

    #[test]
    fn unknown_counter_is_refused_with_those_that_there_are() {
        let refused = |text: &str| text.parse::<Requirement>().expect_err("there is none").to_string();
        assert!(refused("evaluated.no-stale=1").contains("there are: no-stale-use, no-cross-scope, "));
        assert!(refused("landed.cut=1").contains("behind `landed.` there are: cancel, fault, cancel@before-send, "));
        assert!(refused("seen.x=1").contains("there are: plans, commands, evaluated.NAME, "));
        assert!(refused("plan=1").contains("there are: plans, commands, evaluated.NAME, "));
        assert!(refused("plans").contains("expected NAME=N"));
        for number in ["", "0", "-1", "many"] {
            assert!(refused(&format!("plans={number}")).contains("expected a number from 1"), "{number}");
        }
    }

    #[test]
    fn requirement_says_how_far_it_has_got() {
        let coverage = Coverage { plans: 7, ..Coverage::default() };
        let check = |text: &str| text.parse::<Requirement>().expect("it is known").check(&coverage);
        assert_eq!(check("plans=7"), Ok(()));
        assert_eq!(check("plans=8"), Err("required plans=8, reached 7".into()));
        assert_eq!(check("landed.cancel@sent=1"), Err("required landed.cancel@sent=1, reached 0".into()));
    }
}
