//! The one writer to standard output and standard error.
//!
//! Owns the handling of failed output: the first failure is kept and ends the run early, and later output is discarded.
//! No verb handles such an error; [`crate::main`] turns it into the exit status. It does not decide what is printed.

use std::cell::RefCell;
use std::fmt;
use std::io::{self, Write};

use serde::Serialize;

use crate::error::CommandError;
use crate::interrupt;

/// Prints a line, as `println!` does.
macro_rules! say {
    ($console:expr, $($text:tt)+) => { $console.line(format_args!($($text)+)) };
}
pub(crate) use say;

/// Standard output and standard error.
#[derive(Default)]
pub struct Console {
    failure: RefCell<Option<CommandError>>,
}

impl Console {
    /// Prints a line.
    pub(crate) fn line(&self, text: fmt::Arguments<'_>) {
        self.write(|out| writeln!(out, "{text}"));
    }

    /// Prints a text whose lines are ended already.
    pub(crate) fn text(&self, text: impl fmt::Display) {
        self.write(|out| write!(out, "{text}"));
    }

    /// Prints one JSON value.
    pub(crate) fn json(&self, value: &impl Serialize) {
        let text = serde_json::to_string_pretty(value).expect("plain structs with string keys always serialize");
        self.line(format_args!("{text}"));
    }

    /// Prints clap's output: help, the version, or an error in the arguments.
    pub(crate) fn usage(&self, usage: &clap::Error) {
        if usage.use_stderr() {
            // If standard error is gone as well, the exit status is all that is left to tell it.
            let _ = usage.print();
        } else {
            self.write(|_| usage.print());
        }
    }

    /// Prints one line on standard error.
    pub(crate) fn note(&self, text: impl fmt::Display) {
        // If standard error is gone as well, the exit status is all that is left to tell it.
        let _ = writeln!(io::stderr(), "unstale: {text}");
    }

    /// Reports a failure and keeps the first one. The run goes on, since its verdict matters more.
    pub(crate) fn fail(&self, error: CommandError) {
        if !matches!(error, CommandError::ReaderGone) {
            self.note(&error);
        }
        self.failure.borrow_mut().get_or_insert(error);
    }

    /// Writes out what is buffered and returns the first failure.
    pub(crate) fn end(self) -> Option<CommandError> {
        self.write(|out| out.flush());
        self.failure.into_inner()
    }

    fn write(&self, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) {
        if matches!(*self.failure.borrow(), Some(CommandError::Output(_) | CommandError::ReaderGone)) {
            return;
        }
        if let Err(error) = write(&mut io::stdout()) {
            interrupt::request();
            self.fail(error.into());
        }
    }
}
