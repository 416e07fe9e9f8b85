//! What a statement of PostgreSQL leaves behind.
//!
//! One pass without an allocation: the first words of each statement, and the names that stand before a parenthesis. A function
//! that is not known to be harmless may leave anything.

use super::harmless::is_harmless;
use super::tokens::{Token, Tokens};
use crate::statement::effect::Effect;
use crate::statement::words::listed;

const CONTROL: [&str; 8] = ["begin", "commit", "end", "rollback", "savepoint", "release", "start", "abort"];

/// First words of statements that leave nothing on the connection, as far as their functions do not.
const PLAIN: [&str; 30] = [
    "select",
    "insert",
    "update",
    "delete",
    "merge",
    "with",
    "values",
    "table",
    "truncate",
    "show",
    "explain",
    "analyze",
    "vacuum",
    "reindex",
    "cluster",
    "comment",
    "grant",
    "revoke",
    "notify",
    "lock",
    "refresh",
    "create",
    "drop",
    "alter",
    "fetch",
    "move",
    "checkpoint",
    "import",
    "reassign",
    "security",
];

/// First words of statements that may run anything.
const MAY_LEAVE_RESIDUE: [&str; 7] = ["call", "do", "execute", "copy", "declare", "close", "unlisten"];

const RESIDUE: [&str; 4] = ["set", "reset", "listen", "discard"];

/// Only closing the connection undoes these: all prepared statements cannot be dropped, because sqlx keeps its own, and a library
/// stays loaded.
const PERMANENT: [&str; 3] = ["prepare", "deallocate", "load"];

/// What this SQL does besides its work; the strongest effect of its statements.
pub(crate) fn effect(sql: &str) -> Effect {
    let mut strongest = Effect::Nothing;
    let mut statement = Statement::default();
    for token in Tokens::of(sql) {
        if token == Token::Symbol(b';') && statement.body == 0 {
            strongest = strongest.max(std::mem::take(&mut statement).effect);
        } else {
            statement.take(token);
        }
    }
    strongest.max(statement.effect)
}

/// One statement, as far as it has been read.
#[derive(Default)]
struct Statement<'a> {
    effect: Effect,
    first: &'a str,
    words: u32,
    /// The name that was just read.
    name: Option<Name<'a>>,
    after_dot: bool,
    /// How many parentheses are open.
    open: u32,
    /// How many parentheses were open where the arguments of a `set_config` begin.
    setting: Option<u32>,
    /// The word that was read last.
    last: &'a str,
    /// How many `begin`s and `case`s are open in the body of a function.
    body: u32,
}

#[derive(Clone, Copy)]
struct Name<'a> {
    text: &'a str,
    schema: Option<&'a str>,
    quoted: bool,
    /// The word before it, if one stands right there.
    before: &'a str,
}

impl<'a> Statement<'a> {
    fn take(&mut self, token: Token<'a>) {
        match token {
            Token::Word(word) => self.word(word, false),
            Token::Quoted(name) => self.word(name, true),
            Token::Symbol(b'.') => self.after_dot = true,
            Token::Symbol(b'(') => {
                if let Some(name) = self.name.take() {
                    self.call(name);
                }
                self.open += 1;
            }
            Token::Symbol(b')') => {
                self.open = self.open.saturating_sub(1);
                if self.setting == Some(self.open) {
                    self.setting = None;
                    // With `true` it lasts as long as its transaction.
                    if !self.last.eq_ignore_ascii_case("true") {
                        self.add(Effect::Residue("set_config"));
                    }
                }
                self.name = None;
            }
            Token::Symbol(_) | Token::Text => {
                self.name = None;
                self.last = "";
            }
        }
        self.after_dot &= token == Token::Symbol(b'.');
    }

    fn add(&mut self, effect: Effect) {
        self.effect = self.effect.max(effect);
    }

    fn word(&mut self, word: &'a str, quoted: bool) {
        self.name = match self.name {
            Some(name) if self.after_dot => Some(Name { text: word, schema: Some(name.text), quoted, ..name }),
            before => {
                let before = before.filter(|name| !name.quoted).map_or("", |name| name.text);
                Some(Name { text: word, schema: None, quoted, before })
            }
        };
        self.last = word;
        if quoted {
            return;
        }
        self.words += 1;
        match self.words {
            1 => {
                self.first = word;
                self.add(first(word));
            }
            2 => self.second(word),
            _ => {}
        }
        let is = |it: &str| word.eq_ignore_ascii_case(it);
        let begins = |it: &str| self.first.eq_ignore_ascii_case(it);
        let temporary = is("temp") || is("temporary");
        if temporary && (begins("create") && self.words <= 5 || self.before("into")) || is("pg_temp") {
            self.add(Effect::Residue("a temporary table"));
        } else if begins("declare") && is("hold") {
            self.add(Effect::Residue("declare"));
        } else if begins("create")
            && (is("atomic") && self.before("begin") || self.body > 0 && (is("case") || is("begin")))
        {
            self.body += 1;
        } else if self.body > 0 && is("end") {
            self.body -= 1;
        }
    }

    fn before(&self, word: &str) -> bool {
        self.name.is_some_and(|it| it.before.eq_ignore_ascii_case(word))
    }

    /// Corrects the effect by the second word.
    fn second(&mut self, word: &str) {
        let is = |list: &[&'static str]| listed(word, list).is_some();
        let begins = |it: &str| self.first.eq_ignore_ascii_case(it);
        if begins("set") && is(&["local", "constraints", "transaction"]) {
            // It lasts as long as its transaction.
            self.effect = Effect::Nothing;
        } else if begins("prepare") && is(&["transaction"]) {
            self.effect = Effect::Control("prepare transaction");
        } else if begins("discard") && !is(&["temp", "temporary", "sequences", "plans"]) {
            self.effect = Effect::Permanent("discard all");
        }
    }

    /// Adds the effect of calling this name, which stands before a parenthesis.
    fn call(&mut self, name: Name<'a>) {
        let built_in = name.schema.is_none_or(|it| it.eq_ignore_ascii_case("pg_catalog")) && !name.quoted;
        let listing = [
            "into",
            "table",
            "as",
            "on",
            "index",
            "references",
            "with",
            "recursive",
            "update",
            "view",
            "function",
            "procedure",
        ];
        let word = name.text;
        let starts = |with: &str| word.get(..with.len()).is_some_and(|it| it.eq_ignore_ascii_case(with));
        if listed(name.before, &listing).is_some() || built_in && is_harmless(word) {
            // A list of columns, or a function that leaves nothing.
        } else if word.eq_ignore_ascii_case("set_config") {
            self.setting = Some(self.open);
        } else if starts("pg_advisory") || starts("pg_try_advisory") {
            self.add(Effect::Lock("pg_advisory_lock"));
        } else {
            self.add(Effect::MayLeaveResidue);
        }
    }
}

/// The effect of a statement that begins with this word.
fn first(word: &str) -> Effect {
    if listed(word, &PLAIN).is_some() {
        return Effect::Nothing;
    }
    if let Some(found) = listed(word, &CONTROL) {
        return Effect::Control(found);
    }
    if let Some(found) = listed(word, &PERMANENT) {
        return Effect::Permanent(found);
    }
    match listed(word, &RESIDUE) {
        Some(found) => Effect::Residue(found),
        None if listed(word, &MAY_LEAVE_RESIDUE).is_some() => Effect::MayLeaveResidue,
        None => Effect::Residue("a statement that is not known to leave nothing"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transaction_control_is_seen_wherever_a_statement_begins() {
        for sql in [
            "begin",
            "/* a /* nested */ */ -- b\n COMMIT",
            "select E'\\''; commit; --'",
            "select '\\'; commit; --'",
            "select a[1]; rollback",
            "select $tag$ ; $tag$; release a",
            "select $1; abort",
            "prepare transaction 'x'",
            "create function f() returns int begin atomic select 1; select case when true then 1 end; end; commit",
        ] {
            assert!(matches!(effect(sql), Effect::Control(_)), "{sql}: {:?}", effect(sql));
        }
    }

    #[test]
    fn ordinary_work_leaves_nothing() {
        for sql in [
            "insert into t (a, b) values ($1, $2) on conflict (a) do update set b = excluded.b returning id",
            "insert into \"t\" (\"a\") values ($1)",
            "select \"t\".\"a\", count(*) from \"t\" where \"t\".\"a\" in ($1) group by (a) limit $2 offset $3",
            "with x (a) as (select coalesce(max(b), 0) from t) select * from x where exists (select 1)",
            "update t set v = v + 1 where k = any($1)",
            "select '; begin', $$ ; set_config( $$, E'it\\'s set_config('",
            "select 1 -- ; set x",
            "set local statement_timeout = 5",
            "set transaction isolation level serializable",
            "select set_config('app.tenant', $1, true)",
            "select pg_catalog.lower(x), numeric(10, 2) '1' from t for update",
            "create table t (k int primary key, v varchar(20))",
            "create function f() returns int begin atomic select 1; select case when true then 1 end; end",
            "",
            " ; ",
        ] {
            assert_eq!(effect(sql), Effect::Nothing, "{sql}");
        }
    }

    #[test]
    fn what_stays_on_the_connection_is_residue() {
        for sql in [
            "SET search_path to x",
            "select 1; listen a",
            "create temp table t (x int)",
            "create or replace temporary view v as select 1",
            "select 1 into temp t",
            "insert into pg_temp.t values (1)",
            "select pg_catalog.set_config('a', 'true', false)",
            "select set_config('a', $1, $2)",
            "declare c cursor with hold for select 1",
        ] {
            assert!(matches!(effect(sql), Effect::Residue(_)), "{sql}: {:?}", effect(sql));
        }
        for sql in ["select mine(1)", "select public.lower('x')", "select \"now\"()", "call p()", "do $$ begin end $$"]
        {
            assert_eq!(effect(sql), Effect::MayLeaveResidue, "{sql}");
        }
        for sql in ["select pg_advisory_lock(1)", "select pg_catalog.pg_try_advisory_lock(1)"] {
            assert!(matches!(effect(sql), Effect::Lock(_)), "{sql}");
        }
        for sql in ["prepare p as select 1", "deallocate all", "discard all", "load 'x'"] {
            assert!(matches!(effect(sql), Effect::Permanent(_)), "{sql}");
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
