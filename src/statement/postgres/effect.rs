//! What a statement of PostgreSQL leaves behind.
//!
//! One pass without an allocation: the first words of each statement, and the names that stand before a parenthesis. A function
//! that is not known to be harmless may leave anything.

use super::first_word::first;
use super::harmless::is_harmless;
use super::places::is_in_its_place;
use super::set_config::SetConfig;
use super::tokens::{Token, Tokens};
use crate::statement::effect::Effect;
use crate::statement::words::listed;

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
    /// The call of `set_config` whose arguments are being read.
    setting: Option<SetConfig>,
    /// Whether the last token was a closing parenthesis.
    closed: bool,
    /// Whether a query has begun in it.
    selects: bool,
    /// Whether it creates a function or a procedure.
    routine: bool,
    /// How many `case`s are open in the body of a function, itself included.
    body: u32,
}

#[derive(Clone, Copy)]
struct Name<'a> {
    text: &'a str,
    schema: Option<&'a str>,
    quoted: bool,
    /// The word before it, if one stands right there.
    before: &'a str,
    /// Whether it stands right behind a closing parenthesis.
    behind_parenthesis: bool,
}

impl<'a> Statement<'a> {
    fn take(&mut self, token: Token<'a>) {
        if let Some(lasts) = self.setting.as_mut().and_then(|it| it.read(token, self.open)) {
            self.setting = None;
            self.add(if lasts { Effect::Residue("set_config") } else { Effect::UntilEnd });
        }
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
                self.name = None;
            }
            Token::Symbol(_) | Token::Text => self.name = None,
        }
        self.after_dot &= token == Token::Symbol(b'.');
        self.closed = token == Token::Symbol(b')');
    }

    fn add(&mut self, effect: Effect) {
        self.effect = self.effect.max(effect);
    }

    fn word(&mut self, word: &'a str, quoted: bool) {
        self.name = match self.name {
            Some(name) if self.after_dot => Some(Name { text: word, schema: Some(name.text), quoted, ..name }),
            before => {
                let before = before.filter(|name| !name.quoted).map_or("", |name| name.text);
                Some(Name { text: word, schema: None, quoted, before, behind_parenthesis: self.closed })
            }
        };
        if is_temporary_schema(word, quoted) {
            self.add(Effect::Residue("a temporary table"));
        }
        if quoted {
            return;
        }
        if self.first.eq_ignore_ascii_case("explain") && self.open == 0 && is_explained(word) {
            // With `analyze` it is run.
            (self.first, self.words) = (word, 1);
            self.add(first(word));
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
        self.selects |= is("select");
        let begins = |it: &str| self.first.eq_ignore_ascii_case(it);
        let temporary = is("temp") || is("temporary");
        if (is("local") || is("global")) && self.before("into") {
            // An old spelling, which says nothing.
            self.name = self.name.map(|name| Name { text: "into", ..name });
        } else if temporary && (begins("create") && self.words <= 5 || self.before("into")) {
            self.add(Effect::Residue("a temporary table"));
        } else if begins("declare") && is("hold") {
            self.add(Effect::Residue("declare"));
        } else if begins("create") && self.words <= 4 && (is("function") || is("procedure")) {
            self.routine = true;
        } else if self.routine && self.body == 0 {
            self.body = u32::from(is("atomic") && self.before("begin"));
        } else if self.body > 0 && !self.after_dot && !self.before("as") {
            // Elsewhere these are names.
            self.body += u32::from(is("case"));
            self.body -= u32::from(is("end"));
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
            self.effect = if is(&["local"]) { Effect::UntilEnd } else { Effect::Nothing };
        } else if begins("prepare") && is(&["transaction"]) {
            self.effect = Effect::Control("prepare transaction");
        } else if (begins("commit") || begins("rollback")) && is(&["prepared"]) {
            // Somebody else's transaction, which is on no connection any more.
            self.effect = Effect::Nothing;
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
        let in_its_place = is_in_its_place(word, name.before, name.behind_parenthesis, self.first);
        // Behind the `on` of a join stands a condition.
        let is_listed = listed(name.before, &listing).is_some()
            || name.before.eq_ignore_ascii_case("on") && self.first.eq_ignore_ascii_case("create") && !self.selects;
        let is_explain = self.words == 1 && word.eq_ignore_ascii_case("explain");
        if is_listed || is_explain || built_in && in_its_place && is_harmless(word) {
            // A list of columns, or a function that leaves nothing.
        } else if word.eq_ignore_ascii_case("set_config") {
            if self.setting.replace(SetConfig::new(self.open)).is_some() {
                self.add(Effect::Residue("set_config"));
            }
        } else if starts("pg_advisory") || starts("pg_try_advisory") {
            self.add(Effect::Lock("pg_advisory_lock"));
        } else {
            self.add(Effect::MayLeaveResidue);
        }
    }
}

/// Whether it is the schema of temporary tables, or a name that is written so that it cannot be told.
fn is_temporary_schema(name: &str, quoted: bool) -> bool {
    let is_prefix = name.as_bytes().get(..7).is_some_and(|it| it.eq_ignore_ascii_case(b"pg_temp"));
    is_prefix || quoted && name.contains('\\')
}

/// Whether this word begins the statement that an `explain` is about.
fn is_explained(word: &str) -> bool {
    let begins = [
        "select", "insert", "update", "delete", "merge", "values", "with", "table", "execute", "declare", "create",
        "refresh",
    ];
    listed(word, &begins).is_some()
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
            "commit prepared 'x'; commit",
            "rollback /* prepared */ to prepared",
            "create function f() returns int begin atomic select 1; select case when true then 1 end; end; commit",
            "select E'a'\n'\\''; commit; select ''",
            "select E'a' -- b\n  '\\''; commit; select ''",
            "create table if not exists t (begin atomic, x int); commit",
            "create function f() returns int begin atomic select begin from t; end; commit",
            "create function f() returns int begin atomic select t.case, 1 as case from t; end; commit",
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
            "commit prepared 'x'",
            "ROLLBACK PREPARED 'x'",
            "set transaction isolation level serializable",
            "update t set (a, b) = ($1, $2)",
            "insert into t (a) values (1) on conflict (a) do update set (b) = (2)",
            "select count(*) filter (where a) over (partition by b order by (c)) from t group by (d)",
            "create index i on t (a)",
            "create unique index if not exists i on s.t (a)",
            "create table t (k int, primary key (k), foreign key (k) references u (k))",
            "with x as not materialized (select 1) select 1 from a join x on (a.k = x.k)",
            "explain (analyze) select 1",
            "select 'a'\n'b; commit'",
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
    fn what_is_set_for_a_transaction_ends_with_it() {
        for sql in [
            "set local statement_timeout = 5",
            "select set_config('app.tenant', $1, true)",
            "select set_config('app.tenant', coalesce($1, 'true'), true)",
        ] {
            assert_eq!(effect(sql), Effect::UntilEnd, "{sql}");
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
            "create table \"pg_temp\".t (x int)",
            "create table pg_temp_3.t (x int)",
            "select 1 as x into table \"pg_temp\".t",
            "create table U&\"\\0070g_temp\".t (x int)",
            "explain analyze create temp table t as select 1",
            "explain (analyze, verbose) create temporary table t as select 1",
            "select set_config('a', 'b', not true)",
            "select set_config('a', 'b', true and false)",
            "select set_config('a', set_config('a', 'b', true), 1 > 2)",
            "select set_config('a', set_config('a', 'b', false), true)",
        ] {
            assert!(matches!(effect(sql), Effect::Residue(_)), "{sql}: {:?}", effect(sql));
        }
        for sql in [
            "select mine(1)",
            "select public.lower('x')",
            "select \"now\"()",
            "call p()",
            "do $$ begin end $$",
            "select 1 from a join b on mine(1)",
            "create table c as select 1 from a join b on mine(1)",
            "explain analyze execute p",
            "select key(1)",
            "select over(1), filter(1)",
            "select set(1)",
            "select partition(1)",
        ] {
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
