//! Causes: what went wrong first in a minimal history, by which the many faces of one defect stand together.
//!
//! A defect shows itself in many ways: what one bad begin does to its transaction is seen by a reader, by the next borrower, or at
//! the end. Two accounts are kept of each history. By the replies, an actor is in so many transactions; by the evidence, its
//! connection has rolled back or committed. The cause is the first command at which they part, and without such a one the
//! first command that did not simply succeed.
//!
//! A cause prints as its signature, a sentence that is parsed back: by it, files say which causes are known.
//!
//! Not checked: whether two findings of one cause are one defect. A defect of a registry has no account here, so its cause is
//! the kind of the first command that is out of the ordinary.

use std::fmt;
use std::str::FromStr;

use crate::generate::Kind;
use crate::history::{By, ByCommand, FailureClass, History, Outcome, Span, What};
use crate::model::{Operation, depth_after, ends_session};
use crate::plan::{Command, Fault, Moment};
use crate::verdict::{Invariant, Violation};

/// What went wrong first.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cause {
    /// The connection has rolled a transaction back whose owner had not ended it: after an operation of the system's own that did
    /// not succeed, or because the database has ended it by itself.
    Ended {
        /// Whether it was a begin inside it.
        by_nested_begin: bool,
    },
    /// The connection has committed what belongs to a transaction that goes on.
    CommittedEarly,
    /// A session has left something on its connection.
    Left,
    /// Nothing of these: the first command that is out of the ordinary.
    Command {
        /// What it is, in a word.
        what: String,
        /// What was out of the ordinary.
        how: How,
    },
    /// Nothing is out of the ordinary. What a system says or keeps count of is a cause for itself.
    Ordinary(Option<Invariant>),
}

/// What is out of the ordinary in a command.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum How {
    /// It was cancelled.
    Cancelled,
    /// This fault was done to it.
    Faulted(String),
    /// It failed.
    Failed,
    /// What it is.
    Itself,
}

impl Cause {
    /// What went wrong first in a history that ends with this violation.
    pub fn of(history: &History, violation: &Violation) -> Self {
        let spans = history.commands();
        let depths = depths(&spans);
        if let Some((_, cause)) = first_parting(history, &spans, &depths) {
            return cause;
        }
        let ours = || spans.iter().filter(|(by, _)| !history.is_observer(by.actor));
        if ours().any(|(_, span)| matches!(span.step.command, Command::Raw(..)) && span.is_done()) {
            return Self::Left;
        }
        let mut odd: Vec<_> =
            ours().filter_map(|(by, span)| Some((span.invoked, by, how(history, by, span)?))).collect();
        odd.sort_by_key(|(invoked, ..)| *invoked);
        let Some((span, by, how)) = odd.into_iter().find_map(|(_, by, how)| Some((spans.get(by)?, by, how))) else {
            return Self::Ordinary(Some(violation.invariant).filter(|invariant| is_account(*invariant)));
        };
        let (command, depth) = (&span.step.command, depths.get(by).copied().unwrap_or(0));
        let what = match how {
            How::Itself => Kind::of(command, depth).to_string(),
            _ => Operation::of(command, depth).to_string(),
        };
        Self::Command { what, how }
    }
}

/// The event at which the accounts part first, and the cause that it is. It holds in a plan of any size: what breaks behind it needs
/// no smaller plan to be told apart.
pub fn parts_at(history: &History) -> Option<(usize, Cause)> {
    let spans = history.commands();
    first_parting(history, &spans, &depths(&spans))
}

fn first_parting(history: &History, spans: &ByCommand<Span<'_>>, depths: &ByCommand<u32>) -> Option<(usize, Cause)> {
    history.events.iter().enumerate().find_map(|(at, event)| {
        let by = event.by.filter(|by| !history.is_observer(by.actor))?;
        Some((at, parting(&event.what, &spans.get(by)?.step.command, *depths.get(by)?)?))
    })
}

/// Whether it is about what a system says, or keeps count of.
fn is_account(invariant: Invariant) -> bool {
    matches!(
        invariant,
        Invariant::ListenersBalanced
            | Invariant::HealthAgrees
            | Invariant::ReconnectsBounded
            | Invariant::LimitKept
            | Invariant::RegistryFresh
            | Invariant::Extension
    )
}

/// How many transactions the actor of each command was in when it asked, by the replies that it had had.
fn depths(spans: &ByCommand<Span<'_>>) -> ByCommand<u32> {
    let mut depths = spans.emptied();
    let mut so_far = None;
    for (by, span) in spans.iter() {
        let depth = so_far.filter(|(actor, _)| *actor == by.actor).map_or(0, |(_, depth)| depth);
        if let Some(entry) = depths.entry(by) {
            *entry = Some(depth);
        }
        so_far = Some((by.actor, depth_after(depth, span)));
    }
    depths
}

/// Whether the accounts part with this event.
fn parting(what: &What, command: &Command, depth: u32) -> Option<Cause> {
    let ends = match command {
        Command::Rollback | Command::Drop => depth == 1,
        command => ends_session(command),
    };
    match what {
        What::RolledBack(_) if depth > 0 && !ends => {
            Some(Cause::Ended { by_nested_begin: matches!(command, Command::Begin(_)) })
        }
        What::Committed(_) if depth > 1 || depth == 1 && *command != Command::Commit => Some(Cause::CommittedEarly),
        _ => None,
    }
}

fn how(history: &History, by: By, span: &Span<'_>) -> Option<How> {
    let landed = history.events.iter().find_map(|event| match event.what {
        What::FaultLanded(fault) if event.by == Some(by) => Some(fault.word()),
        _ => None,
    });
    let is_asked_to_fail = span.step.command == Command::Fail;
    match (landed, &span.outcome) {
        (Some(fault), _) => Some(How::Faulted(fault)),
        (None, Some(Outcome::Cancelled(_))) => Some(How::Cancelled),
        (None, Some(Outcome::Failed(failure))) if !(is_asked_to_fail && failure.class == FailureClass::Mistake) => {
            Some(How::Failed)
        }
        _ => is_special(&span.step.command).then_some(How::Itself),
    }
}

/// The kinds of the commands that are out of the ordinary by being there.
const SPECIAL: [Kind; 9] = [
    Kind::ClosePool,
    Kind::Override,
    Kind::Invalidate,
    Kind::Fork,
    Kind::Replace,
    Kind::Crash,
    Kind::Stale,
    Kind::Extra,
    Kind::Wait,
];

/// Whether it is out of the ordinary by being there.
fn is_special(command: &Command) -> bool {
    SPECIAL.contains(&Kind::of(command, 0))
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ended { by_nested_begin: true } => f.write_str("a begin inside a transaction ended that transaction"),
            Self::Ended { by_nested_begin: false } => f.write_str("a transaction ended before its owner ended it"),
            Self::CommittedEarly => f.write_str("something was committed before its transaction was"),
            Self::Left => f.write_str("a session left something on its connection"),
            Self::Ordinary(None) => f.write_str("ordinary use"),
            Self::Ordinary(Some(invariant)) => write!(f, "ordinary use, by {invariant}"),
            Self::Command { what, how: How::Itself } => f.write_str(what),
            Self::Command { what, how: How::Cancelled } => write!(f, "{what}, cancelled"),
            Self::Command { what, how: How::Failed } => write!(f, "{what}, failed"),
            Self::Command { what, how: How::Faulted(fault) } => write!(f, "{what}, with {fault}"),
        }
    }
}

/// A text that is the signature of no cause.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "no cause has the signature `{0}`; copy one from the table of causes of `unstale explore`, such as `{example}`",
    example = Cause::Ended { by_nested_begin: true }
)]
pub struct NoCause(pub String);

impl FromStr for Cause {
    type Err = NoCause;

    fn from_str(text: &str) -> Result<Self, NoCause> {
        let plain = [true, false].map(|by_nested_begin| Self::Ended { by_nested_begin }).into_iter();
        let plain = plain.chain([Self::CommittedEarly, Self::Left, Self::Ordinary(None)]);
        let accounts = Invariant::ALL.into_iter().filter(|invariant| is_account(*invariant));
        let accounts = accounts.map(|invariant| Self::Ordinary(Some(invariant)));
        let itself = SPECIAL.map(|kind| Self::Command { what: kind.to_string(), how: How::Itself });
        let fixed = plain.chain(accounts).chain(itself).find(|cause| cause.to_string() == text);
        fixed.or_else(|| disturbed(text)).ok_or_else(|| NoCause(text.to_owned()))
    }
}

/// The cause that is a command with something done to it, as it is written.
fn disturbed(text: &str) -> Option<Cause> {
    let (what, how) = text.split_once(", ")?;
    let how = match how {
        "cancelled" => How::Cancelled,
        "failed" => How::Failed,
        how => How::Faulted(how.strip_prefix("with ").filter(|word| is_fault(word))?.to_owned()),
    };
    let is_operation = Operation::ALL.into_iter().any(|operation| operation.to_string() == what);
    is_operation.then(|| Cause::Command { what: what.to_owned(), how })
}

/// Whether some fault is written with this word, at whatever moment.
fn is_fault(word: &str) -> bool {
    let at_a_moment = Moment::ALL.into_iter().map(|moment| format!("{word}@{moment}"));
    at_a_moment.chain([word.to_owned()]).any(|text| text.parse::<Fault>().is_ok_and(|fault| fault.word() == word))
}
