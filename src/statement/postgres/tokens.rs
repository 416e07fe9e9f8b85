//! The tokens of PostgreSQL's SQL, without comments and blanks.
//!
//! Owns the lexical structure (<https://www.postgresql.org/docs/current/sql-syntax-lexical.html>): strings, quoted names, dollar
//! quotes, nested comments. What the tokens mean is not known here.

use crate::statement::words::quoted;

/// A token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Token<'a> {
    /// A keyword, a name or a number.
    Word(&'a str),
    /// A name in quotes.
    Quoted(&'a str),
    /// A string.
    Text,
    /// Any other character.
    Symbol(u8),
}

/// The tokens of a text, in order.
pub(super) struct Tokens<'a> {
    rest: &'a str,
}

impl<'a> Tokens<'a> {
    /// The tokens of this text.
    pub(super) fn of(sql: &'a str) -> Self {
        Self { rest: sql }
    }

    /// Takes this many bytes.
    fn cut(&mut self, length: usize) -> &'a str {
        let (cut, rest) = self.rest.split_at(length);
        self.rest = rest;
        cut
    }

    fn quoted(&mut self, quote: u8, escapes: bool) -> &'a str {
        let length = quoted(self.rest.as_bytes(), quote, escapes);
        self.cut(length)
    }

    /// A string, which goes on where another one begins in a later line, in the manner in which it began.
    fn string(&mut self, escapes: bool) -> Token<'a> {
        self.quoted(b'\'', escapes);
        while let Some(blank) = continuation(self.rest.as_bytes()) {
            self.cut(blank);
            self.quoted(b'\'', escapes);
        }
        Token::Text
    }
}

impl<'a> Iterator for Tokens<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        loop {
            let bytes = self.rest.as_bytes();
            let token = match *bytes.first()? {
                it if it.is_ascii_whitespace() => {
                    self.cut(1);
                    continue;
                }
                b'-' if bytes.starts_with(b"--") => {
                    let line = bytes.iter().position(|it| matches!(it, b'\n' | b'\r'));
                    self.cut(line.unwrap_or(bytes.len()));
                    continue;
                }
                b'/' if bytes.starts_with(b"/*") => {
                    self.cut(comment(bytes));
                    continue;
                }
                b'\'' => self.string(false),
                b'"' => Token::Quoted(self.quoted(b'"', false).trim_matches('"')),
                b'$' => match dollar_quoted(bytes) {
                    0 => Token::Symbol(self.cut(1).as_bytes()[0]),
                    length => {
                        self.cut(length);
                        Token::Text
                    }
                },
                it if is_word(it) => {
                    let end = bytes.iter().position(|it| !is_word(*it) && *it != b'$').unwrap_or(bytes.len());
                    let word = self.cut(end);
                    if word.eq_ignore_ascii_case("e") && self.rest.starts_with('\'') {
                        self.string(true)
                    } else {
                        Token::Word(word)
                    }
                }
                it => {
                    self.cut(1);
                    Token::Symbol(it)
                }
            };
            return Some(token);
        }
    }
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || !byte.is_ascii()
}

/// The length of what stands between a string and its continuation: blanks and comments to the end of a line, with the end of a
/// line among them.
fn continuation(bytes: &[u8]) -> Option<usize> {
    let (mut at, mut lines) = (0, 0);
    loop {
        match bytes.get(at)? {
            b'\n' | b'\r' => lines += 1,
            it if it.is_ascii_whitespace() || *it == 0x0b => {}
            b'-' if bytes[at..].starts_with(b"--") => {
                at += bytes[at..].iter().position(|it| matches!(it, b'\n' | b'\r'))?;
                continue;
            }
            b'\'' if lines > 0 => return Some(at),
            _ => return None,
        }
        at += 1;
    }
}

/// The length of a comment, and of those in it.
fn comment(bytes: &[u8]) -> usize {
    let (mut at, mut depth) = (0, 0);
    while at < bytes.len() {
        if bytes[at..].starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if bytes[at..].starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    bytes.len()
}

/// The length of a string in dollar quotes, or 0 if it is none.
fn dollar_quoted(bytes: &[u8]) -> usize {
    let tag = bytes[1..].iter().position(|it| !is_word(*it)).map(|at| at + 1);
    match tag {
        // A parameter is no tag.
        Some(end) if bytes[end] == b'$' && !bytes[1].is_ascii_digit() => {
            let (quote, body) = bytes.split_at(end + 1);
            let close = body.windows(quote.len()).position(|it| it == quote);
            close.map_or(bytes.len(), |at| quote.len() * 2 + at)
        }
        _ => 0,
    }
}
