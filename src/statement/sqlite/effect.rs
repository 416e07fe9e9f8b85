//! Statements of SQLite.
//!
//! Reads the first words of each statement, the schema of what is created and the values of pragmas, and ignores what functions
//! do.

use super::tokens::{Token, Tokens};
use crate::statement::effect::Effect;
use crate::statement::words::{CONTROL, listed};

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
    let mut strongest = Effect::Nothing;
    let mut statement = Statement::default();
    // Most texts are one statement, and of most statements the first word says it all.
    let is_one = !sql.contains(';');
    for token in Tokens::of(sql) {
        if token == Token::Symbol(b';') && statement.ends_here() {
            strongest = strongest.max(std::mem::take(&mut statement).effect);
        } else {
            statement.take(token);
        }
        if is_one && statement.is_known() {
            break;
        }
    }
    strongest.max(statement.effect)
}

/// One statement, as far as it has been read.
#[derive(Default)]
struct Statement<'a> {
    effect: Effect,
    words: u32,
    /// The first word, behind an `explain`.
    first: &'a str,
    /// What it creates is temporary.
    temporary: bool,
    /// The name that was just read.
    name: &'a str,
    body: Body,
}

/// Where in the body of a trigger the text is: it has statements of its own, and ends with `; end ;`, as in
/// <https://sqlite.org/c3ref/complete.html>.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Body {
    /// There is none.
    #[default]
    None,
    /// Before its BEGIN, where the trigger is named.
    Ahead,
    Within,
    BehindSemicolon,
    BehindEnd,
}

impl<'a> Statement<'a> {
    /// Whether nothing behind what has been read changes its effect.
    fn is_known(&self) -> bool {
        self.words > 0 && !["create", "pragma"].iter().any(|it| self.first.eq_ignore_ascii_case(it))
    }

    /// Whether a semicolon ends it; in a trigger's body it may end one of the statements there.
    fn ends_here(&self) -> bool {
        matches!(self.body, Body::None | Body::Ahead | Body::BehindEnd)
    }

    fn take(&mut self, token: Token<'a>) {
        if !matches!(self.body, Body::None | Body::Ahead) {
            self.body = match (self.body, token) {
                (_, Token::Symbol(b';')) => Body::BehindSemicolon,
                (Body::BehindSemicolon, Token::Word(word)) if word.eq_ignore_ascii_case("end") => Body::BehindEnd,
                _ => Body::Within,
            };
            return;
        }
        match token {
            Token::Word(word) => self.word(word),
            Token::Quoted(name) => self.name = name,
            Token::Symbol(symbol) => self.symbol(symbol),
            Token::Other => {}
        }
    }

    fn word(&mut self, word: &'a str) {
        let is = |it: &str| word.eq_ignore_ascii_case(it);
        self.name = word;
        if self.words == 0 && (is("explain") || is("query") || is("plan")) {
            return;
        }
        self.words += 1;
        if self.words == 1 {
            self.first = word;
            self.effect = first(word);
        } else if self.body == Body::Ahead && is("begin") {
            self.body = Body::Within;
        } else if self.first.eq_ignore_ascii_case("create") {
            self.temporary |= self.words == 2 && (is("temp") || is("temporary"));
            if self.temporary {
                self.effect = Effect::Residue("create temp");
            }
            if is("trigger") && (self.words == 2 || self.words == 3 && self.temporary) {
                self.body = Body::Ahead;
            }
        }
    }

    fn symbol(&mut self, symbol: u8) {
        let begins = |it: &str| self.first.eq_ignore_ascii_case(it);
        if begins("create") && symbol == b'.' && self.name.eq_ignore_ascii_case("temp") {
            self.effect = Effect::Residue("create temp");
        } else if begins("pragma") && (symbol == b'=' || symbol == b'(' && listed(self.name, &ANSWERING).is_none()) {
            // One with a value may be a setting.
            self.effect = Effect::Residue("pragma");
        }
    }
}

/// The effect of a statement that begins with this word.
fn first(word: &str) -> Effect {
    if let Some(found) = listed(word, &CONTROL) {
        Effect::Control(found)
    } else if listed(word, &PLAIN).is_some() || word.eq_ignore_ascii_case("pragma") {
        Effect::Nothing
    } else {
        Effect::Residue("a statement that is not known to leave nothing")
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
            "select $tag$; release a",
            "select 'it''s'; abort",
            "select $a$; begin; select $a$",
            "select 1 /*/ ; */; begin",
            "create trigger t after insert on a begin select 1; select case when 1 then 2 end; end; begin",
            "explain create trigger t after insert on a begin select 1; end; commit",
            "create temp trigger if not exists t after insert on a begin select 1 as [end]; end /**/ ; commit",
            "create table trigger (x); commit",
            "create view trigger as select 1; commit",
            "create unique index trigger on a (x); commit",
            "create trigger begin after insert on begin begin select 1; end; commit",
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
            "explain select 1",
            "create trigger t after insert on a begin select case when 1 then 2 end; delete from b; end;",
            "create table weather (temp real, place text)",
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
            "create table temp.t (x)",
            "create table if not exists \"TEMP\" . t (x)",
            "create view [temp].v as select 1",
            "create/**/temp/**/table t (x)",
            "explain pragma recursive_triggers = on",
            "create trigger t after insert on a begin select 1; end; pragma recursive_triggers = on",
            "pragma \"recursive_triggers\"(1)",
            "set search_path to x",
            "select 1; pragma query_only = 1",
            "create temp trigger t after insert on a begin select 1; end",
            "create trigger temp.t after insert on a begin select 1; end",
            "create trigger if not exists \"temp\" . t after insert on a begin select 1; end",
            "create table 'temp'.t (x)",
            "create view 'TEMP' . v as select 1",
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
