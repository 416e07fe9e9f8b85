//! How far a run has got: a spinner on a terminal, now and then a line elsewhere.
//!
//! Owns how often it is told. It prints nothing where the output is JSON.

use std::cell::Cell;
use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use crate::console::{Console, say};

/// Where there is no terminal, a line is printed this often.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// Tells how far one run has got; what it shows on a terminal disappears with it.
pub(crate) struct ProgressLine<'a> {
    console: &'a Console,
    show: Show,
    begun: Instant,
}

enum Show {
    Nothing,
    Spinner(ProgressBar),
    /// When the last line was printed.
    Lines(Cell<Duration>),
}

impl<'a> ProgressLine<'a> {
    /// Begins to tell, unless the output is JSON.
    pub(crate) fn begin(console: &'a Console, json: bool) -> Self {
        let show = if json {
            Show::Nothing
        } else if std::io::stderr().is_terminal() {
            let style = ProgressStyle::with_template("{spinner} {msg}");
            let style = style.expect("the template is a constant that parses");
            let bar = ProgressBar::new_spinner().with_style(style);
            bar.enable_steady_tick(Duration::from_millis(100));
            Show::Spinner(bar)
        } else {
            Show::Lines(Cell::default())
        };
        Self { console, show, begun: Instant::now() }
    }

    /// Tells how far it has got; it is called as often as anybody likes.
    pub(crate) fn tell(&self, text: &str) {
        match &self.show {
            Show::Lines(last) if self.begun.elapsed() >= last.get() + LINE_EVERY => self.tell_news(text),
            Show::Spinner(bar) => bar.set_message(text.to_owned()),
            Show::Nothing | Show::Lines(_) => {}
        }
    }

    /// Tells what must not wait.
    pub(crate) fn tell_news(&self, text: &str) {
        match &self.show {
            Show::Nothing => {}
            Show::Spinner(bar) => bar.set_message(text.to_owned()),
            Show::Lines(last) => {
                last.set(self.begun.elapsed());
                say!(self.console, "  {text}");
            }
        }
    }
}

impl Drop for ProgressLine<'_> {
    fn drop(&mut self) {
        if let Show::Spinner(bar) = &self.show {
            bar.finish_and_clear();
        }
    }
}
