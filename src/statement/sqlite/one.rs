//! Whether SQL is one statement: several are done one after the other, and each is kept by itself.

use super::tokens::{Token, Tokens};

/// Whether this SQL is one statement; not, if in doubt, as with a trigger, which has statements of its own.
pub(crate) fn is_one(sql: &str) -> bool {
    // Most texts are.
    if !sql.contains(';') {
        return true;
    }
    let mut tokens = Tokens::of(sql);
    let is_end = |token| token == Token::Symbol(b';');
    // What comes before the first statement and behind its end is nothing.
    let Some(_) = tokens.find(|token| !is_end(*token)) else { return true };
    let Some(_) = tokens.find(|token| is_end(*token)) else { return true };
    tokens.all(is_end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_statements_are_seen() {
        for sql in ["select 1", "select 1;", ";;select ';';;", "select 1 -- ; select 2", "select 1; /* a; */ ", "", ";"]
        {
            assert!(is_one(sql), "{sql}");
        }
        for sql in
            ["select 1; select 2", "select ';'; 2", "/*/ ; */ insert into t values (1); insert into t values (2);"]
        {
            assert!(!is_one(sql), "{sql}");
        }
    }
}
