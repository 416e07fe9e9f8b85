//! Statements of SQLite.
//!
//! Reads the first words of each statement, and ignores what functions do.

use super::effect::Effect;
use super::words::listed;

const CONTROL: [&str; 8] = ["begin", "commit", "end", "rollback", "savepoint", "release", "start", "abort"];

/// Statements that work on data or on the schema, and leave nothing on the connection.
const PLAIN: [&str; 17] = [
    "select", "insert", "update", "delete", "replace", "with", "values", "explain", "create", "drop", "alter",
    "analyze", "reindex", "vacuum", "merge", "truncate", "table",
];

/// The pragmas that only read, whatever is in their parentheses.
const ANSWERING: [&str; 14] = [
    "table_info",
    "table_xinfo",
    "table_list",
    "index_list",
    "index_info",
    "index_xinfo",
    "foreign_key_list",
    "foreign_key_check",
    "integrity_check",
    "quick_check",
    "database_list",
    "wal_checkpoint",
    "optimize",
    "incremental_vacuum",
];

/// What this SQL does besides its work; the strongest effect of its statements.
pub(crate) fn effect(sql: &str) -> Effect {
    let mut rest = sql;
    let mut strongest = Effect::Nothing;
    loop {
        rest = skip_blank(rest);
        if rest.is_empty() {
            return strongest;
        }
        match one(rest) {
            control @ Effect::Control(_) => return control,
            effect => strongest = strongest.max(effect),
        }
        if is_trigger(rest) {
            // Its body has semicolons and an END of its own.
            return strongest;
        }
        rest = match end_of_statement(rest) {
            Some(at) => &rest[at + 1..],
            None => return strongest,
        };
    }
}

/// The effect of the statement that begins here.
fn one(sql: &str) -> Effect {
    let (word, rest) = first_word(sql);
    if let Some(found) = listed(word, &CONTROL) {
        return Effect::Control(found);
    }
    let Some(found) = listed(word, &PLAIN) else {
        return match word {
            _ if word.eq_ignore_ascii_case("pragma") => pragma(rest),
            "" => Effect::Nothing,
            _ => Effect::Residue("a statement that is not known to leave nothing"),
        };
    };
    let (second, _) = first_word(skip_blank(rest));
    let temporary = ["temp", "temporary"].iter().any(|it| second.eq_ignore_ascii_case(it));
    if found == "create" && temporary { Effect::Residue("create temp") } else { Effect::Nothing }
}

/// The effect of a pragma: one with a value may be a setting.
fn pragma(rest: &str) -> Effect {
    let rest = skip_blank(rest);
    let until = end_of_statement(rest).unwrap_or(rest.len());
    let text = &rest[..until];
    let assigned = text.contains('=');
    let name = text.split(['(', '=']).next().unwrap_or_default().trim();
    let name = name.rsplit('.').next().unwrap_or_default();
    let answers = listed(name, &ANSWERING).is_some();
    if assigned || text.contains('(') && !answers { Effect::Residue("pragma") } else { Effect::Nothing }
}

fn is_trigger(sql: &str) -> bool {
    let mut rest = sql;
    for expected in [&["create"][..], &["temp", "temporary", "trigger"], &["trigger"]] {
        let (word, after) = first_word(skip_blank(rest));
        if !expected.iter().any(|it| word.eq_ignore_ascii_case(it)) {
            return false;
        }
        if word.eq_ignore_ascii_case("trigger") {
            return true;
        }
        rest = after;
    }
    false
}

fn first_word(sql: &str) -> (&str, &str) {
    let end = sql.find(|it: char| !it.is_ascii_alphanumeric() && it != '_').unwrap_or(sql.len());
    sql.split_at(end)
}

/// Skips white space, comments and empty statements.
fn skip_blank(sql: &str) -> &str {
    let mut rest = sql;
    loop {
        rest = rest.trim_start_matches(|it: char| it.is_whitespace() || it == ';' || it == '\u{feff}');
        rest = if let Some(comment) = rest.strip_prefix("--") {
            comment.find('\n').map_or("", |at| &comment[at..])
        } else if let Some(comment) = rest.strip_prefix("/*") {
            comment.find("*/").map_or("", |at| &comment[at + 2..])
        } else {
            return rest;
        };
    }
}

/// Where the semicolon is that ends the statement, outside of strings, names and comments.
fn end_of_statement(sql: &str) -> Option<usize> {
    // Most statements have none at all.
    sql.find(';')?;
    let bytes = sql.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        let rest = &sql.as_bytes()[at..];
        at += match rest[0] {
            b';' => return Some(at),
            quote @ (b'\'' | b'"' | b'`') => 2 + rest[1..].iter().position(|it| *it == quote).unwrap_or(rest.len()),
            b'[' => 1 + rest.iter().position(|it| *it == b']').unwrap_or(rest.len()),
            b'-' if rest.starts_with(b"--") => 1 + rest.iter().position(|it| *it == b'\n').unwrap_or(rest.len()),
            b'/' if rest.starts_with(b"/*") => 2 + rest.windows(2).position(|it| it == b"*/").unwrap_or(rest.len()),
            b'$' => dollar_quoted(rest),
            _ => 1,
        };
    }
    None
}

/// The length of a string in PostgreSQL's dollar quotes, or 1 if it is none.
fn dollar_quoted(rest: &[u8]) -> usize {
    let tag = rest[1..].iter().position(|it| !it.is_ascii_alphanumeric() && *it != b'_').map(|at| at + 1);
    match tag {
        Some(end) if rest[end] == b'$' => {
            let (quote, body) = rest.split_at(end + 1);
            let close = body.windows(quote.len()).position(|it| it == quote);
            close.map_or(rest.len(), |at| quote.len() * 2 + at)
        }
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transaction_control_is_seen_wherever_a_statement_begins() {
        for sql in [
            "begin",
            "  BEGIN immediate",
            "/* a */ -- b\n commit",
            "insert into t values ('x;y'); rollback",
            "select 1;;\n/**/ savepoint a",
            "select \"a;b\", [c;d], `e;f`; end",
            "select $tag$ ; $tag$; release a",
            "select 'it''s'; abort",
        ] {
            assert!(matches!(effect(sql), Effect::Control(_)), "{sql}");
        }
    }

    #[test]
    fn words_inside_strings_names_and_comments_do_not_count() {
        for sql in [
            "select '; begin'",
            "select 1 -- ; begin",
            "select 1 /* ; begin */",
            "select \"; commit\" from t",
            "insert into t values ('it''s; commit')",
            "create trigger t after insert on a begin delete from b; end",
            "create temp_thing (x)",
            "select $$ ; begin $$",
            "",
            " ; ",
            "select 'é; begin' , 'ü'",
        ] {
            assert_eq!(effect(sql), Effect::Nothing, "{sql}");
        }
    }

    #[test]
    fn what_stays_on_the_connection_is_residue() {
        for sql in [
            "pragma recursive_triggers = on",
            "PRAGMA cache_size(100)",
            "create temp table t (x)",
            "CREATE TEMPORARY VIEW v as select 1",
            "attach 'x' as y",
            "set search_path to x",
            "select 1; pragma query_only = 1",
            "create temp trigger t after insert on a begin select 1; end",
        ] {
            assert!(matches!(effect(sql), Effect::Residue(_)), "{sql}");
        }
        for sql in ["pragma table_info(t)", "pragma main.table_info('t')", "pragma user_version"] {
            assert_eq!(effect(sql), Effect::Nothing, "{sql}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read_without_a_panic(sql in "\\PC{0,60}") {
            effect(&sql);
        }

        #[test]
        fn a_control_statement_is_found_behind_any_literal(text in "[^']{0,20}") {
            let sql = format!("insert into t values ('{text}'); begin");
            proptest::prop_assert_eq!(effect(&sql), Effect::Control("begin"));
        }
    }
}
