//! Whether a statement of PostgreSQL may be retried.
//!
//! Decided by its text alone. What an error says about the first attempt is the connection's to know.

use super::effect::effect;
use super::tokens::{Token, Tokens};
use crate::statement::effect::Effect;
use crate::statement::words::listed;

/// When a statement may be retried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RetrySafety {
    /// Never, even if it seems not to have been done.
    Never,
    /// If it was not committed: a rollback undoes all that it does.
    Undone,
    /// Always: it only reads.
    Reads,
}

/// When this SQL may be retried; never, if in doubt. Statements that commit by themselves (`call`, `do`, `vacuum`, `create index
/// concurrently`, `create database` …) are not among those that may.
pub(crate) fn retry_safety(sql: &str) -> RetrySafety {
    if effect(sql) != Effect::Nothing {
        return RetrySafety::Never;
    }
    let mut first = None;
    let mut reads = true;
    for token in Tokens::of(sql) {
        match token {
            Token::Symbol(b';') if first.is_some() => return RetrySafety::Never,
            Token::Word(word) => {
                first.get_or_insert(word);
                // A lock, or a table that is made.
                reads &= listed(word, &["for", "into"]).is_none();
            }
            _ => {}
        }
    }
    match first {
        Some(word) if listed(word, &["select", "values", "table", "show"]).is_some() && reads => RetrySafety::Reads,
        Some(word) if listed(word, &["select", "insert", "update", "delete", "merge", "with"]).is_some() => {
            RetrySafety::Undone
        }
        _ => RetrySafety::Never,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_undone_or_reads_is_retried() {
        for (sql, expected) in [
            ("select v from t where k = $1", RetrySafety::Reads),
            ("(select 1)", RetrySafety::Reads),
            ("select 1 from t for update", RetrySafety::Undone),
            ("with x as (insert into t values (1) returning k) select * from x", RetrySafety::Undone),
            ("insert into t values ($1)", RetrySafety::Undone),
            ("select nextval('s')", RetrySafety::Never),
            ("select pg_terminate_backend(pg_backend_pid())", RetrySafety::Never),
            ("select 1; select 2", RetrySafety::Never),
            ("call p()", RetrySafety::Never),
            ("vacuum t", RetrySafety::Never),
            ("create index concurrently i on t (k)", RetrySafety::Never),
            ("create database d", RetrySafety::Never),
            ("alter table t detach partition p concurrently", RetrySafety::Never),
            ("notify a", RetrySafety::Never),
        ] {
            assert_eq!(retry_safety(sql), expected, "{sql}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read_without_a_panic(sql in "\\PC{0,60}") {
            retry_safety(&sql);
        }
    }
}
