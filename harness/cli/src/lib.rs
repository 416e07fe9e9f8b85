//! The command `unstale` as a library: arguments in, exit status out.
//!
//! Owns what is printed and the exit statuses: 0 pass, 1 usage or I/O, 2 violation, 3 inconclusive. What is found, and
//! whether it is believed, is [`unstale_harness`]'s business.

pub mod args;
mod compare;
mod explore;
mod output;
mod pinned;
mod shrink;
mod storm;
pub mod systems;
mod zoo;

use std::process::ExitCode;

use args::{Arguments, Verb};
use clap::Parser;

/// How a run of the command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Nothing broke, and enough was tried.
    Pass,
    /// Something broke.
    Violation,
    /// Nothing can be said.
    Inconclusive,
}

impl Status {
    /// Of several: a violation anywhere is one, and a pass is one only if all are.
    fn worst(all: impl IntoIterator<Item = Self>) -> Self {
        let severity = |it: &Self| match it {
            Self::Pass => 0,
            Self::Inconclusive => 1,
            Self::Violation => 2,
        };
        all.into_iter().max_by_key(severity).unwrap_or(Self::Inconclusive)
    }
}

/// What ends the command with status 1: wrong usage, or input and output that failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CommandError {
    /// A plan or scenario file cannot be read.
    #[error(transparent)]
    Plan(#[from] unstale_harness::plan::PlanError),
    /// The file's plan makes no sense for the system.
    #[error("{file}: {why}")]
    Inadmissible {
        /// Which file.
        file: String,
        /// What is wrong with it.
        why: unstale_harness::model::Inadmissible,
    },
    /// There is no system of this name.
    #[error("no system is called `{name}`; there are: {known}")]
    UnknownSystem {
        /// The name that was given.
        name: String,
        /// Those that exist.
        known: String,
    },
    /// The server that was given cannot be used.
    #[error(transparent)]
    Server(unstale_wire::fleet::GivenError),
    /// No private server can be started.
    #[error(transparent)]
    NoServer(unstale_wire::server::ServerError),
    /// There is no server to let it rain on.
    #[error(transparent)]
    Storm(#[from] unstale_lab::storm::StormError),
    /// Something else was asked for in a wrong way.
    #[error("{0}")]
    Usage(String),
    /// A file cannot be written.
    #[error("cannot write {path}: {source}")]
    Write {
        /// Which one.
        path: String,
        /// Why.
        source: std::io::Error,
    },
}

/// Runs the command with the arguments of this process.
pub fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // A broken pipe is all that can go wrong here, and there is nobody left to tell.
            let _ = error.print();
            return ExitCode::from(u8::from(error.use_stderr()));
        }
    };
    match run(arguments) {
        Ok(Status::Pass) => ExitCode::SUCCESS,
        Ok(Status::Violation) => ExitCode::from(2),
        Ok(Status::Inconclusive) => ExitCode::from(3),
        Err(error) => {
            eprintln!("unstale: {error}");
            ExitCode::from(1)
        }
    }
}

/// Runs the command with these arguments.
///
/// # Errors
/// [`CommandError`]: usage, input or output.
pub fn run(arguments: Arguments) -> Result<Status, CommandError> {
    let verb = arguments.verb.unwrap_or_else(|| Verb::Explore(args::Explore::default()));
    match verb {
        Verb::Explore(options) => explore::explore(&options),
        Verb::Replay(options) => pinned::replay(&options),
        Verb::Shrink(options) => shrink::shrink(&options),
        Verb::Run(options) => pinned::run(&options),
        Verb::Zoo(options) => zoo::zoo(&options),
        Verb::Compare(options) => compare::compare(&options),
        Verb::Storm(options) => storm::storm(&options),
        Verb::Systems(options) => systems::list(&options),
    }
}
