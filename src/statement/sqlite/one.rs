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

/// Whether this SQL is one statement that only reads, as its first word has it; not, if in doubt.
pub(crate) fn only_reads(sql: &str) -> bool {
    let reads = |word: &str| ["select", "values", "explain"].iter().any(|it| word.eq_ignore_ascii_case(it));
    matches!(Tokens::of(sql).next(), Some(Token::Word(word)) if reads(word)) && is_one(sql)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_write_is_not_left_at_its_first_row() {
        for sql in ["select 1", " /* a */ SELECT 1;", "values (1)", "explain delete from t"] {
            assert!(only_reads(sql), "{sql}");
        }
        for sql in [
            "insert into t values (1) returning x",
            "with a as (select 1) delete from t",
            "select 1; delete from t",
            "",
        ] {
            assert!(!only_reads(sql), "{sql}");
        }
    }

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
