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
    if effect(sql) > Effect::UntilEnd {
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

/// First words of statements that are done as a whole or not at all, unless they are to work `concurrently`.
const WHOLE: [&str; 24] = [
    "select", "insert", "update", "delete", "merge", "with", "values", "table", "show", "set", "reset", "truncate",
    "lock", "create", "alter", "drop", "comment", "grant", "revoke", "copy", "explain", "listen", "notify", "fetch",
];

/// Whether SQL that is refused has done nothing. Several statements in one message are one transaction, but a procedure or a
/// block of code can commit in its middle, and so can some that maintain tables.
pub(crate) fn is_all_or_nothing(sql: &str) -> bool {
    let is_one = !sql.contains(';');
    let (mut begins, mut may_be_concurrent) = (true, false);
    for token in Tokens::of(sql) {
        match token {
            Token::Symbol(b';') => begins = true,
            Token::Word(word) if begins => {
                if listed(word, &WHOLE).is_none() {
                    return false;
                }
                may_be_concurrent |= listed(word, &["create", "drop", "alter"]).is_some();
                if is_one && !may_be_concurrent {
                    return true;
                }
                begins = false;
            }
            Token::Word(word) if may_be_concurrent && word.eq_ignore_ascii_case("concurrently") => return false,
            _ => {}
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_done_in_part_is_known() {
        for sql in [
            "select leave()",
            "(select 1)",
            "insert into t values (1); update t set v = 2;",
            "create index i on t (k)",
            "select 'call p()'; select 1 -- ; call p()",
            "with x as (insert into t values (1) returning k) select * from x",
        ] {
            assert!(is_all_or_nothing(sql), "{sql}");
        }
        for sql in [
            "call p()",
            "select 1; CALL p()",
            "do $$ begin commit; end $$",
            "/* a; */ do $$ begin end $$",
            "vacuum",
            "create index concurrently i on t (k)",
            "drop index Concurrently i",
            "reindex table t",
            "select 1;do $$ begin end $$",
        ] {
            assert!(!is_all_or_nothing(sql), "{sql}");
        }
    }

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
