//! Plan files: TOML outside, one-line steps inside.
//!
//! Owns reading, writing and the errors that name file, line, column and what was expected. A file holds one
//! pinned plan, where it came from, and the verdict it must give. Whether a plan makes sense for a system is not
//! decided here ([`crate::model::admissible`]); that its schedule lets every command run is.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::Deserialize;
use toml::Spanned;

use super::text::TextError;
use super::{ACTORS_MAX, Actor, ActorId, CONNECTIONS_MAX, Gate, Plan, Schedule, Step, Tasks};
use crate::invariant::Invariant;

/// The version of the format that this build reads and writes.
pub const VERSION: u32 = 1;

/// One pinned plan with its provenance and the verdict that it must give.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlanFile {
    /// The plan.
    pub plan: Plan,
    /// The system that it was found on, or that it is meant for.
    pub system: Option<String>,
    /// The verdict that a run must end with.
    pub expect: Option<Expectation>,
    /// Where the plan came from: seed, versions. Read by people, never by the harness.
    pub origin: Option<String>,
    /// What happened at each turn when the plan was recorded; a replay is compared with it.
    pub recorded: Vec<String>,
}

/// The verdict that a pinned plan must give.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expectation {
    /// No invariant breaks.
    Pass,
    /// This invariant breaks first.
    Violation(Invariant),
}

impl fmt::Display for Expectation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pass => f.write_str("pass"),
            Self::Violation(invariant) => write!(f, "violation {invariant}"),
        }
    }
}

impl FromStr for Expectation {
    type Err = TextError;

    fn from_str(text: &str) -> Result<Self, TextError> {
        if text == "pass" {
            return Ok(Self::Pass);
        }
        let name = text.strip_prefix("violation ");
        let found = name.and_then(|name| Invariant::ALL.into_iter().find(|it| it.to_string() == name));
        found.map(Self::Violation).ok_or_else(|| {
            let ids: Vec<_> = Invariant::ALL.iter().map(ToString::to_string).collect();
            let expected = format!("`pass` or `violation ID` with an ID of {}", ids.join(", "));
            TextError { at: 0, expected, found: format!("`{text}`") }
        })
    }
}

impl From<Plan> for PlanFile {
    fn from(plan: Plan) -> Self {
        Self { plan, system: None, expect: None, origin: None, recorded: Vec::new() }
    }
}

/// A plan file that cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PlanError {
    /// The file cannot be read at all.
    #[error("{}: cannot read the plan: {source}", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Something in it is not as it must be.
    #[error("{}:{line}:{column}: {message}", path.display())]
    Text {
        /// Which file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// The column in characters, from 1.
        column: usize,
        /// What was expected there and what was found.
        message: String,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    #[serde(rename = "version")]
    _version: Spanned<u32>,
    system: Option<String>,
    expect: Option<Spanned<String>>,
    origin: Option<String>,
    #[serde(default)]
    storage: Option<Spanned<String>>,
    connections: Option<Spanned<u8>>,
    #[serde(default)]
    fixture: bool,
    tasks: Option<Spanned<String>>,
    schedule: Option<Spanned<String>>,
    actors: Spanned<toml::map::Map<String, toml::Value>>,
    #[serde(default)]
    recorded: Vec<String>,
}

/// The same once more for the steps: `toml::Value` keeps no spans, so each actor is read again with them.
#[derive(Deserialize)]
struct RawActors {
    actors: std::collections::BTreeMap<Spanned<String>, Vec<Spanned<String>>>,
}

/// Only the version, so that a newer file is recognized before anything else in it is judged.
#[derive(Deserialize)]
struct RawVersion {
    version: Option<Spanned<u32>>,
}

impl PlanFile {
    /// Reads a plan file.
    ///
    /// # Errors
    /// [`PlanError`], with file, line, column and what was expected.
    pub fn read(path: &Path) -> Result<Self, PlanError> {
        let text = std::fs::read_to_string(path).map_err(|source| PlanError::Read { path: path.to_owned(), source })?;
        Self::parse(&text, path)
    }

    /// Parses the text of a plan file; `path` is only named in errors.
    ///
    /// # Errors
    /// [`PlanError::Text`].
    pub fn parse(text: &str, path: &Path) -> Result<Self, PlanError> {
        check_version(text, path)?;
        let source = Source { text, path };
        let raw: Raw = toml::from_str(text).map_err(|it| source.toml(&it))?;
        let actors: RawActors = toml::from_str(text).map_err(|it| source.toml(&it))?;
        let actors = source.actors(&raw.actors, actors)?;
        let schedule = match &raw.schedule {
            None => Schedule::serial(&actors),
            Some(it) => source.schedule(it, &actors)?,
        };
        let storage = raw.storage.as_ref().map(|it| source.within(it)).transpose()?.unwrap_or_default();
        let tasks = raw.tasks.as_ref().map(|text| source.within(text)).transpose()?.unwrap_or_default();
        let connections = match &raw.connections {
            None => 2,
            Some(it) if (1..=CONNECTIONS_MAX).contains(it.get_ref()) => *it.get_ref(),
            Some(it) => {
                let message = format!("expected 1 to {CONNECTIONS_MAX} connections, found {}", it.get_ref());
                return Err(source.error(it.span().start, message));
            }
        };
        Ok(Self {
            plan: Plan { storage, connections, fixture: raw.fixture, tasks, actors, schedule },
            system: raw.system,
            expect: raw.expect.as_ref().map(|it| source.within(it)).transpose()?,
            origin: raw.origin,
            recorded: raw.recorded,
        })
    }
}

impl fmt::Display for PlanFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "version = {VERSION}")?;
        let quoted = |text: &str| toml::Value::String(text.to_owned()).to_string();
        if let Some(system) = &self.system {
            writeln!(f, "system = {}", quoted(system))?;
        }
        if let Some(expect) = &self.expect {
            writeln!(f, "expect = {}", quoted(&expect.to_string()))?;
        }
        if let Some(origin) = &self.origin {
            writeln!(f, "origin = {}", quoted(origin))?;
        }
        let plan = &self.plan;
        writeln!(f, "storage = \"{}\"\nconnections = {}", plan.storage, plan.connections)?;
        if plan.fixture {
            writeln!(f, "fixture = true")?;
        }
        if plan.tasks != Tasks::default() {
            writeln!(f, "tasks = \"{}\"", plan.tasks)?;
        }
        writeln!(f, "schedule = \"{}\"", plan.schedule)?;
        if !self.recorded.is_empty() {
            writeln!(f, "recorded = [")?;
            for line in &self.recorded {
                writeln!(f, "  {},", quoted(line))?;
            }
            writeln!(f, "]")?;
        }
        writeln!(f, "\n[actors]")?;
        for (at, actor) in plan.actors.iter().enumerate() {
            writeln!(f, "{} = [", ActorId::new(at))?;
            for step in &actor.steps {
                writeln!(f, "  {},", quoted(&step.to_string()))?;
            }
            writeln!(f, "]")?;
        }
        Ok(())
    }
}

/// Recognizes a file of another version before anything else in it is judged.
pub(crate) fn check_version(text: &str, path: &Path) -> Result<(), PlanError> {
    let source = Source { text, path };
    let head: RawVersion = toml::from_str(text).map_err(|it| source.toml(&it))?;
    let Some(version) = head.version else {
        return Err(source.error(0, format!("expected `version = {VERSION}` at the top of the file")));
    };
    if *version.get_ref() != VERSION {
        let found = version.get_ref();
        let message = format!("expected version {VERSION}, found {found}: this build reads no other version");
        return Err(source.error(version.span().start, message));
    }
    Ok(())
}

/// An error at this byte of the text.
pub(crate) fn error_at(text: &str, path: &Path, offset: usize, message: String) -> PlanError {
    Source { text, path }.error(offset, message)
}

/// The error with its place in the file.
pub(crate) fn text_error(text: &str, path: &Path, error: &toml::de::Error) -> PlanError {
    Source { text, path }.toml(error)
}

/// A text with its name: turns byte offsets into lines and columns.
struct Source<'a> {
    text: &'a str,
    path: &'a Path,
}

impl Source<'_> {
    fn error(&self, offset: usize, message: String) -> PlanError {
        let before = &self.text[..offset.min(self.text.len())];
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
        PlanError::Text { path: self.path.to_owned(), line, column, message }
    }

    fn toml(&self, error: &toml::de::Error) -> PlanError {
        let start = error.span().map_or(0, |it: Range<usize>| it.start);
        self.error(start, error.message().to_owned())
    }

    /// Parses the inside of a string; its column counts from after the opening quote.
    fn within<T: FromStr<Err = TextError>>(&self, it: &Spanned<String>) -> Result<T, PlanError> {
        it.get_ref().parse().map_err(|error: TextError| {
            let skipped: usize = it.get_ref().chars().take(error.at).map(char::len_utf8).sum();
            self.error(it.span().start + 1 + skipped, error.to_string())
        })
    }

    fn actors(
        &self,
        table: &Spanned<toml::map::Map<String, toml::Value>>,
        raw: RawActors,
    ) -> Result<Vec<Actor>, PlanError> {
        if raw.actors.is_empty() {
            return Err(self.error(table.span().start, "expected at least one actor, `a = [\"open\"]`".into()));
        }
        let mut actors = Vec::new();
        for (name, steps) in raw.actors {
            let expected = ActorId::new(actors.len());
            if actors.len() == ACTORS_MAX {
                let message = format!("expected at most {ACTORS_MAX} actors, found `{}` too", name.get_ref());
                return Err(self.error(name.span().start, message));
            }
            if *name.get_ref() != expected.to_string() {
                let found = name.get_ref();
                let message = format!("expected the actor `{expected}` (a, b, c … without a gap), found `{found}`");
                return Err(self.error(name.span().start, message));
            }
            let steps = steps.iter().map(|it| self.within::<Step>(it)).collect::<Result<_, _>>()?;
            actors.push(Actor { steps });
        }
        Ok(actors)
    }

    /// A schedule must let every actor run each of its commands to the end, once.
    fn schedule(&self, it: &Spanned<String>, actors: &[Actor]) -> Result<Schedule, PlanError> {
        let schedule: Schedule = self.within(it)?;
        let fail = |message| Err(self.error(it.span().start + 1, message));
        if let Some(turn) = schedule.0.iter().find(|turn| turn.actor.index() >= actors.len()) {
            let last = ActorId::new(actors.len() - 1);
            return fail(format!("the schedule names the actor `{}`, expected one of a to {last}", turn.actor));
        }
        for (at, actor) in actors.iter().enumerate() {
            let id = ActorId::new(at);
            let turns = schedule.0.iter().filter(|it| it.actor == id && it.until == Gate::Boundary).count();
            let steps = actor.steps.len();
            if turns != steps {
                let what = if turns < steps { "short" } else { "long" };
                return fail(format!(
                    "the schedule is too {what} for the actor `{id}`: expected `{id}` {steps} times, one for each of \
                     its commands, found {turns}"
                ));
            }
        }
        Ok(schedule)
    }
}
