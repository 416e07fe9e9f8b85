//! The progress of a run: a spinner on a terminal, a line now and then elsewhere.
//!
//! Owns how often progress is shown. It prints nothing if the output is JSON.

use std::cell::Cell;
use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use crate::console::{Console, say};

/// Where there is no terminal, a line is printed this often.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// Shows the progress of one run; its spinner disappears with it.
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
    /// Starts to show progress, unless the output is JSON.
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

    /// Shows the progress; it may be called as often as needed.
    pub(crate) fn tell(&self, text: &str) {
        match &self.show {
            Show::Lines(last) if self.begun.elapsed() >= last.get() + LINE_EVERY => self.tell_news(text),
            Show::Spinner(bar) => bar.set_message(text.to_owned()),
            Show::Nothing | Show::Lines(_) => {}
        }
    }

    /// Shows a message at once.
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
