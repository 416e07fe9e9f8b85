//! The command as its users meet it: the built binary, what it prints and how it ends.

mod command;
mod coverage;
#[cfg(unix)]
mod interrupts;
mod known;
mod listing;
mod nightly;
#[cfg(unix)]
mod output;
mod refusals;
mod screen;
mod verdicts;
mod zoo;
