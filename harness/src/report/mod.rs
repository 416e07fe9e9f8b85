//! The report of one run, for a terminal: the commands of all actors in order, and the violation.
//!
//! Owns the picture: first a history becomes rows (`story`), then rows become lines that fit the width (`page`, `text`, put
//! together in `print`). For a browser it becomes a `chart`, which is drawn as `svg`, on a page (`html`). The command and
//! `check!` print it. It judges nothing: the violation is given. It does no I/O and does not look at the terminal: width and
//! colors are given too.
//!
//! A row reads from left to right in the order of events: the command, the evidence of what the database did for it,
//! the system's answer, and what the database did `then`.

mod causes;
mod chart;
mod html;
mod page;
mod print;
mod run;
mod story;
mod svg;
mod text;

pub use causes::{CauseRow, causes_table};
pub use html::{Section, html};
pub use run::Report;
pub use svg::timeline;
