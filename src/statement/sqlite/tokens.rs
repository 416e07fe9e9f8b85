//! The tokens of SQLite's SQL, without comments and blanks.
//!
//! Owns the lexical structure, as SQLite's `tokenize.c` and <https://sqlite.org/lang_comment.html> have it: strings, names in
//! three kinds of quotes, parameters, comments. What the tokens mean is not known here.

use crate::statement::words::quoted;

/// A token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Token<'a> {
    /// A keyword, a name or a number.
    Word(&'a str),
    /// A name in quotes, without them; a string may be one.
    Quoted(&'a str),
    /// A parameter.
    Other,
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

    /// A name of this length, with its quotes.
    fn name(&mut self, length: usize) -> Token<'a> {
        let name = self.cut(length);
        let inner = name.get(1..name.len().saturating_sub(1)).unwrap_or_default();
        Token::Quoted(inner)
    }
}

impl<'a> Iterator for Tokens<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        loop {
            let bytes = self.rest.as_bytes();
            let token = match *bytes.first()? {
                it if it.is_ascii_whitespace() || it == 0x0b => {
                    self.cut(1);
                    continue;
                }
                _ if self.rest.starts_with('\u{feff}') => {
                    self.cut('\u{feff}'.len_utf8());
                    continue;
                }
                b'-' if bytes.starts_with(b"--") => {
                    self.cut(bytes.iter().position(|it| *it == b'\n').unwrap_or(bytes.len()));
                    continue;
                }
                b'/' if bytes.starts_with(b"/*") => {
                    // `/*/` begins a comment and does not end it.
                    let close = bytes[2..].windows(2).position(|it| it == b"*/");
                    self.cut(close.map_or(bytes.len(), |at| at + 4));
                    continue;
                }
                quote @ (b'"' | b'`' | b'\'') => self.name(quoted(bytes, quote, false)),
                b'[' => self.name(bytes.iter().position(|it| *it == b']').map_or(bytes.len(), |at| at + 1)),
                b'$' | b'@' | b':' | b'#' | b'?' => {
                    let end = bytes[1..].iter().position(|it| !is_word(*it)).map_or(bytes.len(), |at| at + 1);
                    self.cut(end);
                    Token::Other
                }
                it if is_word(it) => {
                    let end = bytes.iter().position(|it| !is_word(*it)).unwrap_or(bytes.len());
                    Token::Word(self.cut(end))
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
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$') || !byte.is_ascii()
}
