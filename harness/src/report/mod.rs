//! The report of one run, for a terminal: what everybody did, in order, and where it went wrong.
//!
//! Owns the picture: first a history becomes rows (`story`), then rows become lines that fit the width (`page`, `text`, put
//! together in `print`). The command and `check!` print it. It judges nothing: the violation is given. It does no I/O and does not look at the
//! terminal: width and colors are given too.
//!
//! A row reads from left to right in the order of events: the command, what the database was seen to do for it, what
//! the system answered, and what the database did `then`.

mod html;
mod page;
mod print;
mod run;
mod story;
mod text;

pub use html::html;
pub use run::Report;
