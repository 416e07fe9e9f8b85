//! The ways to write what leaves residue on a connection: a small grammar for each database.
//!
//! A library that reads out of a statement's text what it leaves behind has to understand SQL as the database does. So raw SQL
//! of one meaning is written in many ways: each *core* leaves the residue, each *setting* puts something around it that a reader
//! may stumble over, and changes nothing. Every text can be run again in the same session, but for those that give
//! something a name. New ones come last: plans name them by
//! number.
//!
//! Pure. That each text leaves what it says is tried on the databases themselves (`harness/lab/tests/it/spelling.rs`,
//! `tests/server/spelling.rs`).

use crate::plan::{Backend, Residue, Spelling};

/// How many statements leave it there, and in how many ways each can be written; none where the database has no such thing.
pub fn spellings(backend: Backend, residue: Residue) -> (u8, u8) {
    let count = |all: usize| u8::try_from(all).unwrap_or(u8::MAX);
    (count(cores(backend, residue).len()), count(around(backend).len()))
}

/// Each way to write it there.
pub fn every(backend: Backend, residue: Residue) -> impl Iterator<Item = Spelling> {
    let (cores, around) = spellings(backend, residue);
    (0..around).flat_map(move |around| (0..cores).map(move |core| Spelling { core, around }))
}

/// The statement, or none where it cannot be written so.
pub fn text(backend: Backend, residue: Residue, spelling: Spelling) -> Option<String> {
    let core = cores(backend, residue).get(usize::from(spelling.core))?;
    let (before, after) = around(backend).get(usize::from(spelling.around))?;
    Some(format!("{before}{core}{after}"))
}

/// The functions that some of the statements call, as an application has its own: what they do cannot be read out of a call.
pub const FUNCTIONS_POSTGRES: &str = "\
    create function leave_setting() returns text language sql as \
        $$ select set_config('default_statistics_target', '77', false) $$; \
    create function leave_lock() returns void language sql as $$ select pg_advisory_lock_shared(77) $$; \
    create function leave_table() returns void language plpgsql as \
        $$ begin create temp table if not exists leftover (x int); end $$";

/// What stands around a statement, and means nothing.
fn around(backend: Backend) -> &'static [(&'static str, &'static str)] {
    match backend {
        Backend::Sqlite => &AROUND_SQLITE,
        Backend::Postgres => &AROUND_POSTGRES,
        Backend::Sim => &[("", "")],
    }
}

fn cores(backend: Backend, residue: Residue) -> &'static [&'static str] {
    match (backend, residue) {
        (Backend::Sqlite, Residue::Transaction) => &["begin", "begin deferred transaction", "savepoint leftover"],
        (Backend::Sqlite, Residue::Setting) => &[
            "pragma recursive_triggers = on",
            "PRAGMA main.recursive_triggers(1)",
            "pragma \"recursive_triggers\" = yes",
            "pragma/**/recursive_triggers\n= true",
        ],
        (Backend::Sqlite, Residue::TempTable) => &[
            "create temp table if not exists leftover (x int)",
            "CREATE TEMPORARY TABLE IF NOT EXISTS leftover AS SELECT 1",
            "create table if not exists temp.leftover (x int)",
            "create table if not exists \"temp\".leftover (x int)",
            "create table if not exists [temp] . leftover (x int)",
            "create view if not exists temp.leftover as select 1",
            "create/**/temp/**/view if not exists leftover as select 1",
        ],
        (Backend::Sqlite, Residue::Attached) => &[
            "attach ':memory:' as leftover",
            "ATTACH DATABASE ':memory:' AS \"leftover\"",
            "attach/**/'' as [leftover]",
        ],
        // It has none of these.
        (Backend::Sqlite, Residue::Lock | Residue::Channel | Residue::Cursor | Residue::Prepared) => &[],
        (Backend::Postgres, Residue::Transaction) => {
            &["begin", "START TRANSACTION", "begin work isolation level read committed"]
        }
        (Backend::Postgres, Residue::Setting) => &[
            "set default_statistics_target = 77",
            "SET SESSION default_statistics_target TO '77'",
            "select set_config('default_statistics_target', '77', false)",
            "select set_config('default_statistics_target', '77', not true)",
            "select pg_catalog.\"set_config\"('default_statistics_target', '77', false)",
            "select set_config/**/('default_statistics_target', set_config('default_statistics_target', '77', true), 1 > 2)",
            "select 1 from (select 1) a join (select 1) b on set_config('default_statistics_target', '77', false) is not null",
            "values (set_config('default_statistics_target', '77', false))",
            "with a as (select set_config('default_statistics_target', '77', false)) select * from a",
            "explain (analyze) select set_config('default_statistics_target', '77', false)",
            "do $$ begin perform set_config('default_statistics_target', '77', false); end $$",
            "select leave_setting()",
            "select * from generate_series(1, 1), leave_setting()",
        ],
        (Backend::Postgres, Residue::TempTable) => &[
            "create temp table if not exists leftover (x int)",
            "CREATE LOCAL TEMPORARY TABLE IF NOT EXISTS leftover (x int)",
            "create table if not exists pg_temp.leftover (x int)",
            "create table if not exists \"pg_temp\".\"leftover\" (x int)",
            "create temp table if not exists leftover as select 1 as x",
            "explain analyze create temp table if not exists leftover as select 1 as x",
            "drop table if exists leftover_2; select 1 as x into temp leftover_2",
            "drop table if exists leftover_3; select 1 as x into table \"pg_temp\".leftover_3",
            "do $$ begin create temp table if not exists leftover (x int); end $$",
            "select leave_table()",
        ],
        (Backend::Postgres, Residue::Lock) => &[
            "select pg_advisory_lock_shared(77)",
            "select pg_catalog.pg_advisory_lock_shared(77)",
            "select \"pg_advisory_lock_shared\" (77)",
            "select pg_try_advisory_lock_shared/**/(77)",
            "select 1 from (select 1) a join (select 1) b on pg_advisory_lock_shared(77) is not null",
            "select a from generate_series(1, 1) a, lateral pg_advisory_lock_shared(77)",
            "explain analyze select pg_advisory_lock_shared(77)",
            "do $$ begin perform pg_advisory_lock_shared(77); end $$",
            "select leave_lock()",
        ],
        (Backend::Postgres, Residue::Channel) => {
            &["listen leftover", "LISTEN \"leftover\"", "do $$ begin listen leftover; end $$"]
        }
        (Backend::Postgres, Residue::Cursor) => &[
            "declare leftover cursor with hold for select 1",
            "DECLARE leftover INSENSITIVE NO SCROLL CURSOR WITH HOLD FOR VALUES (1)",
            "declare/**/\"leftover\" scroll cursor with hold for select generate_series(1, 9)",
        ],
        (Backend::Postgres, Residue::Prepared) => &[
            "prepare leftover as select 1",
            "PREPARE \"leftover\" (int) AS SELECT $1",
            "do $$ begin execute 'prepare leftover as select 1'; end $$",
        ],
        // It has none.
        (Backend::Postgres, Residue::Attached) => &[],
        (Backend::Sim, Residue::Transaction | Residue::Setting | Residue::TempTable | Residue::Lock) => &[""],
        (Backend::Sim, _) => &[],
    }
}

/// How SQLite reads text: `/*/` begins a comment and does not end it, `$a$` is a parameter, a trigger has statements of its own.
const AROUND_SQLITE: [(&str, &str); 13] = [
    ("", ""),
    ("/* a; */ ", ""),
    ("-- a;\n", ";"),
    ("/*/ ; */ ", ""),
    ("select 1; ", "; select 1"),
    ("select ''';'; ", "; select ''';'"),
    ("select [a;'] from (select 1 as [a;']); ", ""),
    ("select `a;'` from (select 1 as `a;'`); ", "; select `a;'` from (select 1 as `a;'`)"),
    ("select \"a;\"\"b\" from (select 1 as \"a;\"\"b\"); ", ""),
    ("select $a$; ", "; select $a$"),
    ("explain select 1; ", ""),
    (";;", ";;"),
    (
        "create trigger if not exists leftover after delete on kv when 0 begin select 1; select case 1 when 1 then 2 end; end; ",
        "",
    ),
];

/// How PostgreSQL reads text: comments nest, a string goes on in the next line in the manner in which it began, dollars quote.
const AROUND_POSTGRES: [(&str, &str); 13] = [
    ("", ""),
    ("/* a; /* b; */ c; */ ", ""),
    ("-- a;\n", ";"),
    ("select 1; ", "; select 1"),
    ("select E'\\';'; ", "; select E'\\';'"),
    ("select '\\'; ", "; select '\\'"),
    ("select E'a'\n'\\''; ", "; select ''''"),
    ("select $$;$$; ", "; select $$;$$"),
    ("select $a$ $$ ; $a$; ", ""),
    ("select 1 as \"a;\"\"b\"; ", ""),
    ("select U&'\\0061;'; ", ""),
    ("select 1 /* ' */; ", "; select 1 /* ' */"),
    (";;", ";;"),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_way_is_written_once_and_no_further() {
        for backend in Backend::ALL {
            for residue in Residue::ALL {
                let texts: BTreeSet<_> = every(backend, residue).map(|it| text(backend, residue, it)).collect();
                assert!(!texts.contains(&None), "{backend}: {residue}");
                assert_eq!(texts.len(), every(backend, residue).count(), "{backend}: {residue}");
                let (core, around) = spellings(backend, residue);
                for beyond in [Spelling { core, around: 0 }, Spelling { core: 0, around }] {
                    assert_eq!(text(backend, residue, beyond), None, "{backend}: {residue}");
                }
            }
        }
    }
}
