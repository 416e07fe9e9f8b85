//! One-line steps and schedules: how the parts of a plan print and parse.
//!
//! Owns the words of the plan format. `parse(print(x)) == x` for every value (a property in `tests/plan.rs`).
//! A parse error says where in the line it is and what was expected; it knows nothing of files
//! ([`super::file`] adds file, line and column).

use std::fmt;
use std::str::FromStr;

use super::fault::{NoFault, expected};
use super::{
    ActorId, BeginMode, Command, Conflict, Gate, Key, Pause, Phase, Residue, Schedule, Service, Spelling, Step,
    Storage, Tasks, Turn, Usage, Wanted,
};

/// A step or a schedule that does not parse.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected {expected}, found {found}")]
pub struct TextError {
    /// Where in the text, in characters from 0.
    pub at: usize,
    /// What would have been accepted there.
    pub expected: String,
    /// What stands there.
    pub found: String,
}

const COMMANDS: &str = "a command: open, close, begin [immediate|exclusive|read-only], commit, rollback, drop, put KEY VALUE, \
    swap KEY VALUE, insert KEY VALUE [or ignore|replace|rollback], get KEY, delete KEY, scan, stream ROWS, fail, slow, wait 1s|1m|1h, \
    raw begin|setting|temp-table|lock|channel|cursor|prepared|attached [spelled N.M], \
    inspect, retain, stale get KEY, stale put KEY VALUE, use rows get KEY, use rows put KEY VALUE, autonomous get KEY, \
    autonomous put KEY VALUE, race KEY, abandon KEY, close-pool, resolve SERVICE, override SERVICE, restore, invalidate SERVICE, warm-up, fork, replace, crash, extra …";

impl fmt::Display for Storage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Wal => "wal",
            Self::Journal => "journal",
            Self::Memory => "memory",
            Self::Postgres => "postgres",
            Self::Sim => "sim",
            Self::SimOrdered => "sim-ordered",
            Self::SimOnly => "sim-only",
        })
    }
}

impl FromStr for Storage {
    type Err = TextError;

    fn from_str(text: &str) -> Result<Self, TextError> {
        Self::ALL.into_iter().find(|it| it.to_string() == text).ok_or_else(|| TextError {
            at: 0,
            expected: "a storage: wal, journal, memory, postgres, sim, sim-ordered or sim-only".into(),
            found: format!("`{text}`"),
        })
    }
}

impl fmt::Display for Tasks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Prompt => "prompt",
            Self::Late => "late",
        })
    }
}

impl FromStr for Tasks {
    type Err = TextError;

    fn from_str(text: &str) -> Result<Self, TextError> {
        Self::ALL.into_iter().find(|tasks| tasks.to_string() == text).ok_or_else(|| TextError {
            at: 0,
            expected: "when tasks run: prompt or late".into(),
            found: format!("`{text}`"),
        })
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, turn) in self.0.iter().enumerate() {
            let space = if at == 0 { "" } else { " " };
            let gate = if turn.until == Gate::Reply { "/" } else { "" };
            write!(f, "{space}{}{gate}", turn.actor)?;
        }
        Ok(())
    }
}

impl FromStr for Schedule {
    type Err = TextError;

    fn from_str(text: &str) -> Result<Self, TextError> {
        let mut words = Words::new(text);
        let mut turns = Vec::new();
        while let Some((at, word)) = words.next() {
            let (name, until) = match word.strip_suffix('/') {
                Some(name) => (name, Gate::Reply),
                None => (word, Gate::Boundary),
            };
            match name.as_bytes() {
                [letter @ b'a'..=b'z'] => {
                    turns.push(Turn { actor: ActorId::new(usize::from(letter - b'a')), until });
                }
                _ => {
                    return Err(unexpected(at, word, "an actor's letter, `a`, or `a/` to stop at its reply"));
                }
            }
        }
        Ok(Self(turns))
    }
}

impl FromStr for Step {
    type Err = TextError;

    fn from_str(text: &str) -> Result<Self, TextError> {
        let mut words = Words::new(text);
        let command = command(&mut words)?;
        let mut step = Self::from(command);
        while let Some((at, word)) = words.next() {
            if word == "with" && step.fault.is_none() && step.cancel.is_none() {
                let (at, name) = words.need(&expected())?;
                step.fault = Some(name.parse().map_err(|NoFault(why)| unexpected(at, name, &why))?);
            } else if let Some(phase) = word.strip_prefix("cancel@").filter(|_| step.cancel.is_none()) {
                let expected = "a phase: before-send, sent, before-reply or poll:NUMBER";
                step.cancel = Some(match phase.strip_prefix("poll:").map(str::parse) {
                    Some(Ok(polls)) if polls > 0 => Phase::Poll(polls),
                    _ => one_of(&Phase::ALL, at + "cancel@".len(), phase, expected)?,
                });
            } else {
                return Err(unexpected(at, word, "the end of the step, `with FAULT` or `cancel@PHASE`"));
            }
        }
        Ok(step)
    }
}

fn command(words: &mut Words<'_>) -> Result<Command, TextError> {
    let (at, verb) = words.need(COMMANDS)?;
    Ok(match verb {
        "open" => Command::Open,
        "close" => Command::Close,
        "begin" => Command::Begin(if words.take("immediate") {
            BeginMode::Immediate
        } else if words.take("exclusive") {
            BeginMode::Exclusive
        } else if words.take("read-only") {
            BeginMode::ReadOnly
        } else {
            BeginMode::Plain
        }),
        "commit" => Command::Commit,
        "rollback" => Command::Rollback,
        "drop" => Command::Drop,
        "put" => Command::Put(key(words)?, value(words)?),
        "swap" => Command::Swap(key(words)?, value(words)?),
        "insert" => Command::Insert(key(words)?, value(words)?, conflict(words)?),
        "get" => Command::Get(key(words)?),
        "delete" => Command::Delete(key(words)?),
        "scan" => Command::Scan,
        "stream" => {
            let expected = "a number of rows from 0 to 255";
            let (at, word) = words.need(expected)?;
            Command::Stream(word.parse().map_err(|_| unexpected(at, word, expected))?)
        }
        "fail" => Command::Fail,
        "slow" => Command::Slow,
        "wait" => {
            let expected = "1s, 1m or 1h";
            let (at, word) = words.need(expected)?;
            Command::Wait(one_of(&Pause::ALL, at, word, expected)?)
        }
        "raw" => {
            let expected = "begin, setting, temp-table, lock, channel, cursor, prepared or attached";
            let (at, word) = words.need(expected)?;
            Command::Raw(one_of(&Residue::ALL, at, word, expected)?, spelling(words)?)
        }
        "inspect" => Command::Inspect,
        "retain" => Command::Retain,
        "stale" => Command::Stale(usage(words)?),
        "use" => {
            let (at, word) = words.need("rows")?;
            if word != "rows" {
                return Err(unexpected(at, word, "rows, the service that has a session behind it"));
            }
            Command::Use(usage(words)?)
        }
        "autonomous" => Command::Autonomous(usage(words)?),
        "race" => Command::Race(key(words)?),
        "abandon" => Command::Abandon(key(words)?),
        "close-pool" => Command::ClosePool,
        "resolve" => {
            let expected = "settings, mailer, pager, rows, report or channels";
            let (at, word) = words.need(expected)?;
            Command::Resolve(one_of(&Wanted::ALL, at, word, expected)?)
        }
        "override" => {
            let expected = "settings, mailer or report";
            let (at, word) = words.need(expected)?;
            Command::Override(one_of(&Service::REPLACEABLE, at, word, expected)?)
        }
        "restore" => Command::Restore,
        "invalidate" => {
            let expected = "settings, mailer, pager, rows or report";
            let (at, word) = words.need(expected)?;
            Command::Invalidate(one_of(&Service::ALL, at, word, expected)?)
        }
        "warm-up" => Command::WarmUp,
        "fork" => Command::Fork,
        "replace" => Command::Replace,
        "crash" => Command::Crash,
        "extra" => Command::Extra(words.rest_before_suffix()?.into()),
        _ => return Err(unexpected(at, verb, COMMANDS)),
    })
}

fn usage(words: &mut Words<'_>) -> Result<Usage, TextError> {
    let (at, word) = words.need("get or put")?;
    match word {
        "get" => Ok(Usage::Get(key(words)?)),
        "put" => Ok(Usage::Put(key(words)?, value(words)?)),
        _ => Err(unexpected(at, word, "get or put")),
    }
}

fn key(words: &mut Words<'_>) -> Result<Key, TextError> {
    let expected = "a key from k0 to k255";
    let (at, word) = words.need(expected)?;
    let number = word.strip_prefix('k').and_then(|it| it.parse().ok());
    number.map(Key).ok_or_else(|| unexpected(at, word, expected))
}

fn value(words: &mut Words<'_>) -> Result<u32, TextError> {
    let expected = "a value from 0 to 4294967295";
    let (at, word) = words.need(expected)?;
    word.parse().map_err(|_| unexpected(at, word, expected))
}

fn spelling(words: &mut Words<'_>) -> Result<Spelling, TextError> {
    if !words.take("spelled") {
        return Ok(Spelling::PLAIN);
    }
    let expected = "the number of a statement, or of a statement and of what is around it: 3 or 3.5";
    let (at, word) = words.need(expected)?;
    let (core, around) = word.split_once('.').unwrap_or((word, "0"));
    match (core.parse(), around.parse()) {
        (Ok(core), Ok(around)) => Ok(Spelling { core, around }),
        _ => Err(unexpected(at, word, expected)),
    }
}

fn conflict(words: &mut Words<'_>) -> Result<Conflict, TextError> {
    if !words.take("or") {
        return Ok(Conflict::Abort);
    }
    let expected = "ignore, replace or rollback";
    let (at, word) = words.need(expected)?;
    match word {
        "ignore" => Ok(Conflict::Ignore),
        "replace" => Ok(Conflict::Replace),
        "rollback" => Ok(Conflict::Rollback),
        _ => Err(unexpected(at, word, expected)),
    }
}

fn one_of<T: Copy + fmt::Display>(all: &[T], at: usize, word: &str, expected: &str) -> Result<T, TextError> {
    all.iter().copied().find(|it| it.to_string() == word).ok_or_else(|| unexpected(at, word, expected))
}

fn unexpected(at: usize, word: &str, expected: &str) -> TextError {
    TextError { at, expected: expected.into(), found: format!("`{word}`") }
}

/// The words of a line, each with its place in characters.
struct Words<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Words<'a> {
    fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    fn next(&mut self) -> Option<(usize, &'a str)> {
        let rest = &self.text[self.at..];
        let start = self.at + rest.find(|it: char| !it.is_whitespace())?;
        let end = self.text[start..].find(char::is_whitespace).map_or(self.text.len(), |it| start + it);
        self.at = end;
        Some((self.text[..start].chars().count(), &self.text[start..end]))
    }

    fn need(&mut self, expected: &str) -> Result<(usize, &'a str), TextError> {
        self.next().ok_or_else(|| TextError {
            at: self.text.trim_end().chars().count(),
            expected: expected.into(),
            found: "the end of the text".into(),
        })
    }

    fn take(&mut self, word: &str) -> bool {
        let before = self.at;
        if self.next().is_some_and(|(_, it)| it == word) {
            return true;
        }
        self.at = before;
        false
    }

    /// The words of an extension: all up to a fault or a cancel.
    fn rest_before_suffix(&mut self) -> Result<String, TextError> {
        let mut words = vec![self.need("the words of an extension's command")?.1];
        loop {
            let before = self.at;
            match self.next() {
                Some((_, word)) if word != "with" && !word.starts_with("cancel@") => words.push(word),
                _ => {
                    self.at = before;
                    return Ok(words.join(" "));
                }
            }
        }
    }
}
