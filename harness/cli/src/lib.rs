//! The command `unstale` as a library: arguments in, exit status out.
//!
//! | file | owns |
//! | --- | --- |
//! | `status`, `error` | how a run ends, and the exit statuses |
//! | `interrupt` | Ctrl-C |
//! | `console`, `progress`, `text`, `coverage` | the output, and the handling of failed output |
//! | `files` | input and output files, and what is refused before a run |
//! | `systems`, `pinned`, `args`, `values` | systems by name, the plan of a file, and the command line |
//! | `exhibits` | which broken systems can run here, and the search in one |
//! | `figures` | what many searches in one system come to |
//! | `explore` (and `explored`, `explored_json`), `replay`, `scenarios`, `shrink`, `zoo`, `nightly`, `compare`, `storm`, `list` | the verbs |
//!
//! Whether a plan breaks something, and whether that is believed, is [`unstale_harness`]'s business.

// All output goes through `console`, where it may fail.
#![warn(clippy::print_stdout, clippy::print_stderr)]

pub mod args;
mod compare;
mod console;
mod coverage;
mod error;
mod exhibits;
mod explore;
mod explored;
mod explored_json;
mod figures;
mod files;
mod interrupt;
mod list;
mod nightly;
mod pinned;
mod progress;
mod replay;
mod scenarios;
mod shrink;
mod status;
mod storm;
mod systems;
mod text;
mod values;
mod zoo;

use std::process::ExitCode;

use args::{Arguments, Explore, Verb};
use clap::Parser;

pub use console::Console;
pub use error::CommandError;
pub use status::Status;

/// Runs the command with the arguments of this process.
pub fn main() -> ExitCode {
    interrupt::listen();
    let console = Console::default();
    let status = match Arguments::try_parse() {
        Ok(arguments) => run(arguments, &console).unwrap_or_else(|error| {
            console.fail(error);
            Status::Inconclusive
        }),
        Err(usage) => {
            console.usage(&usage);
            if usage.use_stderr() {
                return ExitCode::from(status::FAILED);
            }
            Status::Pass
        }
    };
    // A later failure does not hide a violation.
    match console.end() {
        Some(failure) if status != Status::Violation => ExitCode::from(failure.code()),
        _ => ExitCode::from(status.code()),
    }
}

/// Runs the command with these arguments.
///
/// # Errors
/// [`CommandError`]: usage, input or output.
pub fn run(arguments: Arguments, console: &Console) -> Result<Status, CommandError> {
    let verb = arguments.verb.unwrap_or_else(|| {
        console::say!(
            console,
            "no command given: exploring the library for 30 s (`unstale --help` lists the commands)"
        );
        Verb::Explore(Explore::default())
    });
    match verb {
        Verb::Explore(options) => explore::explore(&options, console),
        Verb::Replay(options) => replay::replay(&options, console),
        Verb::Shrink(options) => shrink::shrink(&options, console),
        Verb::Run(options) => scenarios::run(&options, console),
        Verb::Zoo(options) => zoo::zoo(&options, console),
        Verb::Nightly(options) => nightly::nightly(&options, console),
        Verb::Compare(options) => compare::compare(&options, console),
        Verb::Storm(options) => storm::storm(&options, console),
        Verb::Systems(options) => Ok(list::list(&options, console)),
    }
}
