//! The arguments of a `set_config`, as far as they have been read.

use super::tokens::Token;

/// A call of `set_config` whose arguments are being read.
#[derive(Clone, Copy)]
pub(super) struct SetConfig {
    /// How many parentheses were open where they begin.
    open: u32,
    /// Whether the last one is `true` alone, as far as it has been read.
    last_is_true: bool,
    /// Whether nothing of the last one has been read.
    last_is_empty: bool,
}

impl SetConfig {
    /// The call that begins where so many parentheses are open.
    pub(super) fn new(open: u32) -> Self {
        Self { open, last_is_true: false, last_is_empty: true }
    }

    /// Reads on. At the end of the call returns whether the setting outlasts its transaction: it does unless the last argument is
    /// `true`.
    pub(super) fn read(&mut self, token: Token<'_>, open: u32) -> Option<bool> {
        let is_own = open == self.open + 1;
        match token {
            Token::Symbol(b')') if is_own => return Some(!self.last_is_true),
            Token::Symbol(b',') if is_own => (self.last_is_true, self.last_is_empty) = (false, true),
            token => {
                let is_true = matches!(token, Token::Word(word) if word.eq_ignore_ascii_case("true"));
                self.last_is_true = self.last_is_empty && is_true;
                self.last_is_empty = false;
            }
        }
        None
    }
}
