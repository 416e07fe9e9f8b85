//! What can go wrong in the command itself, each with what to do about it.
//!
//! Owns the texts that are printed behind `unstale: `, and which exit status each has. What a plan breaks is no error.

use std::io;

use unstale_harness::model::Inadmissible;
use unstale_harness::plan::PlanError;
use unstale_lab::storm::StormError;
use unstale_wire::fleet::GivenError;
use unstale_wire::server::ServerError;

use crate::status::{FAILED, READER_GONE};

/// What ends the command without a verdict, or fails once there is one.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CommandError {
    /// A plan, a scenario or a profile cannot be read.
    #[error("{path}: cannot read the {what}: {source}; {}", advice(.source))]
    Read {
        /// The kind of content that was expected.
        what: &'static str,
        /// Which file.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// A file's text is not what it must be.
    #[error(transparent)]
    Text(PlanError),
    /// The file's plan makes no sense for the system.
    #[error("{file}: {why}; correct the plan, or give another system with --system")]
    Inadmissible {
        /// Which file.
        file: String,
        /// What is wrong with it.
        why: Inadmissible,
    },
    /// A file names a system that does not exist.
    #[error("{file}: no system is called `{name}`; there are: {known}")]
    UnknownSystem {
        /// The file that names it.
        file: String,
        /// The name.
        name: String,
        /// Those that exist.
        known: String,
    },
    /// The given server cannot be used.
    #[error(transparent)]
    Server(GivenError),
    /// No private server can be started.
    #[error(transparent)]
    NoServer(ServerError),
    /// The storm cannot be started.
    #[error(transparent)]
    Storm(#[from] StormError),
    /// Another mistake in the arguments.
    #[error("{0}")]
    Usage(String),
    /// A file or a folder cannot be written.
    #[error("cannot write {path}: {source}; {advice}")]
    Write {
        /// Which one.
        path: String,
        /// Why.
        source: io::Error,
        /// What to do about it.
        advice: &'static str,
    },
    /// Standard output cannot be written.
    #[error("cannot write to standard output: {0}; free some space, or redirect the output")]
    Output(io::Error),
    /// The reader of standard output has closed it.
    #[error("standard output was closed by its reader")]
    ReaderGone,
}

impl CommandError {
    /// The exit status of the process, unless a violation was found before.
    #[must_use]
    pub fn code(&self) -> u8 {
        match self {
            Self::ReaderGone => READER_GONE,
            _ => FAILED,
        }
    }
}

impl From<io::Error> for CommandError {
    /// An error of standard output.
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::ReaderGone,
            _ => Self::Output(error),
        }
    }
}

/// What to do about a file that cannot be read.
fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::NotFound => "check the path",
        io::ErrorKind::IsADirectory => "give the path of a file in it",
        io::ErrorKind::PermissionDenied => "make it readable",
        io::ErrorKind::InvalidData => "it must be a text in UTF-8",
        _ => "give the path of another file",
    }
}
