//! Words, and the lines that they fill.
//!
//! Owns wrapping, cutting, notes and emphasis. It knows nothing of histories.

use std::fmt::{self, Write as _};

/// The margin on the left, for the mark.
pub(super) const MARGIN: usize = 2;
/// Between two columns, and between two things in one.
pub(super) const GAP: usize = 2;
/// Less of a message than this says nothing.
pub(super) const MESSAGE_MIN: usize = 30;

/// Fills lines with words.
pub(super) struct Flow<'n> {
    pub(super) line: Line,
    /// How a further line begins.
    pub(super) rest: Line,
    /// Where the text of a further line begins.
    pub(super) hang: usize,
    pub(super) edge: usize,
    pub(super) lines: Vec<Line>,
    pub(super) notes: &'n mut Vec<String>,
}

impl Flow<'_> {
    /// Puts the word here, or at this distance from what is there already, or on a further line; if it is too long, cuts
    /// it and makes the whole a note.
    pub(super) fn put(&mut self, at: usize, gap: usize, word: &Word) {
        let at = if self.line.has_text { at.max(self.line.width + gap) } else { at };
        let room = self.edge.saturating_sub(at);
        if let Some(text) = self.fitting(word, room) {
            return self.line.push_at(at, word.style, &text);
        }
        if self.line.has_text && self.line.width > self.hang {
            self.lines.push(std::mem::replace(&mut self.line, self.rest.clone()));
        }
        let at = self.hang.max(self.line.width + usize::from(self.line.has_text));
        let room = self.edge.saturating_sub(at);
        let text = self.fitting(word, room).unwrap_or_else(|| {
            let tag = self.note(word.whole().trim_start_matches("→ "));
            cut(&word.head, room.saturating_sub(length(&tag))) + &tag
        });
        self.line.push_at(at, word.style, &text);
    }

    /// Puts the word at this place, on a further line if something stands there already.
    pub(super) fn put_in_column(&mut self, at: usize, word: &Word) {
        if self.line.has_text && self.line.width + GAP > at {
            self.lines.push(std::mem::replace(&mut self.line, self.rest.clone()));
        }
        self.put(at, GAP, word);
    }

    pub(super) fn fitting(&mut self, word: &Word, room: usize) -> Option<String> {
        if word.len() <= room {
            return Some(word.whole());
        }
        // Room for a note's number of two digits.
        let left = room.checked_sub(length(&word.head) + 5)?;
        if word.tail.is_empty() {
            return None;
        }
        let tag = self.note(&word.tail);
        let some = if left < MESSAGE_MIN + 2 { String::new() } else { format!(": {}", cut(&word.tail, left - 2)) };
        Some(format!("{}{some}{tag}", word.head))
    }

    pub(super) fn note(&mut self, text: &str) -> String {
        let at = self.notes.iter().position(|it| it == text).unwrap_or_else(|| {
            self.notes.push(text.to_owned());
            self.notes.len() - 1
        });
        format!(" [{}]", at + 1)
    }

    pub(super) fn end(mut self) -> Vec<Line> {
        self.lines.push(self.line);
        self.lines
    }
}

/// Text that is kept together: a head, and a tail (a message) of which as much is shown as fits.
#[derive(Clone, Debug, Default)]
pub(super) struct Word {
    pub(super) style: Style,
    pub(super) head: String,
    pub(super) tail: String,
}

impl Word {
    pub(super) fn new(style: Style, head: impl AsRef<str>) -> Self {
        Self { style, head: one_line(head.as_ref()), tail: String::new() }
    }

    pub(super) fn with_tail(style: Style, head: &str, tail: &str) -> Self {
        Self { tail: one_line(tail), ..Self::new(style, head) }
    }

    pub(super) fn whole(&self) -> String {
        if self.tail.is_empty() { self.head.clone() } else { format!("{}: {}", self.head, self.tail) }
    }

    pub(super) fn len(&self) -> usize {
        length(&self.whole())
    }
}

/// Without line breaks and other control characters, which could paint over the rest.
pub(super) fn one_line(text: &str) -> String {
    let text: String = text.chars().map(|it| if it.is_control() { ' ' } else { it }).collect();
    text.trim().to_owned()
}

pub(super) fn length(text: &str) -> usize {
    text.chars().count()
}

/// At most so many characters; what is missing is a `…`.
pub(super) fn cut(text: &str, room: usize) -> String {
    if length(text) <= room {
        return text.to_owned();
    }
    let some: String = text.chars().take(room.saturating_sub(1)).collect();
    format!("{}…", some.trim_end())
}

/// Broken between words, and within one that is longer than a line.
pub(super) fn wrapped(text: &str, room: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let mut word: Vec<char> = word.chars().collect();
        loop {
            let line = lines.last_mut().expect("there is at least one line");
            let used = length(line) + usize::from(!line.is_empty());
            if used + word.len() <= room {
                line.extend((!line.is_empty()).then_some(' '));
                line.extend(word);
                break;
            }
            if line.is_empty() {
                line.extend(word.drain(..room));
            }
            lines.push(String::new());
        }
    }
    lines
}

const BOLD: &str = "\x1b[1m";
const DIM: &str = "\x1b[2m";
const RED: &str = "\x1b[31m";
const RESET: &str = "\x1b[0m";

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Style {
    #[default]
    Plain,
    Bold,
    Dim,
    Red,
}

/// One line of the page, filled from left to right.
#[derive(Clone, Debug, Default)]
pub(super) struct Line {
    pub(super) pieces: Vec<(Style, String)>,
    pub(super) width: usize,
    /// Whether there is more in it than margins and lanes.
    pub(super) has_text: bool,
    pub(super) marked: bool,
}

impl Line {
    pub(super) fn push_at(&mut self, at: usize, style: Style, text: &str) {
        if text.is_empty() {
            return;
        }
        let gap = at.saturating_sub(self.width);
        self.pieces.push((Style::Plain, " ".repeat(gap)));
        self.pieces.push((style, text.to_owned()));
        self.width += gap + length(text);
        self.has_text |= !matches!(text, "│" | "┌" | "├" | "└");
    }

    /// Puts the mark of the violation into the margin.
    pub(super) fn mark(&mut self) {
        self.marked = true;
    }

    pub(super) fn write(&self, f: &mut fmt::Formatter<'_>, color: bool) -> fmt::Result {
        let mut pieces = self.pieces.clone();
        if let (true, Some((_, margin))) = (self.marked, pieces.first_mut()) {
            margin.drain(..MARGIN);
            pieces.insert(0, (Style::Red, "▶ ".into()));
        }
        for (style, text) in pieces {
            let code = match style {
                Style::Bold => BOLD,
                Style::Dim => DIM,
                Style::Red => RED,
                Style::Plain => "",
            };
            if color && !code.is_empty() {
                write!(f, "{code}{text}{RESET}")?;
            } else {
                f.write_str(&text)?;
            }
        }
        f.write_char('\n')
    }
}
