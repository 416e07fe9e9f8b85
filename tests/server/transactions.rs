//! Hazard: what PostgreSQL answers to the end of a transaction is not what it seems.

use std::sync::atomic::{AtomicU32, Ordering};

use futures_util::TryStreamExt;
use sqlx::{Connection, Executor, SqlSafeStr};
use unstale::{Begin, Error, ErrorClass, Isolation, PgSource, Repository, Scope};
use unstale_wire::trials::Trial;

use crate::bed::{Fresh, put};
use crate::tests;

pub(crate) fn trials() -> Vec<Trial> {
    tests![
        commit_of_an_aborted_transaction_is_rolled_back,
        commit_remembers_whatever_was_refused,
        release_of_a_savepoint_in_an_aborted_transaction_undoes_it,
        transaction_is_begun_as_asked_for,
        serialization_failure_is_tried_again_as_a_whole,
        serialization_failure_inside_a_level_is_tried_again_as_a_whole,
        statement_in_an_aborted_transaction_is_not_tried_again,
    ]
}

async fn commit_of_an_aborted_transaction_is_rolled_back() {
    let fresh = Fresh::new().await;
    let scope = fresh.sessions.scope("request");
    scope.begin().await.expect("begin");
    put(&scope, 1, 1).await.expect("put");
    assert!(put(&scope, 1, 2).await.is_err(), "the key is there");
    let after = put(&scope, 2, 2).await.expect_err("the transaction failed");
    assert_eq!(after.as_database_error().and_then(|it| it.code()).as_deref(), Some("25P02"));
    assert!(matches!(scope.commit().await, Err(Error::RolledBack { .. })));
    put(&scope, 3, 3).await.expect("in autocommit, on the same session");
    assert_eq!((fresh.rows().await, scope.generation()), (vec![(3, 3)], 1));
}

/// PostgreSQL answers the plain COMMIT of a failed transaction as if all was well.
async fn commit_remembers_whatever_was_refused() {
    let fresh = Fresh::new().await;
    const LATER: &str = "select 1 / (2 - k) from generate_series(1, 3) as k";
    for way in 0..6 {
        let scope = fresh.sessions.scope("request");
        scope.begin().await.expect("begin");
        put(&scope, 1, 1).await.expect("put");
        let answer = match way {
            0 => sqlx::query("select nothing").execute(&scope).await.map(drop),
            1 => sqlx::query(LATER).fetch_optional(&scope).await.map(drop),
            2 => sqlx::query(LATER).fetch(&scope).try_collect::<Vec<_>>().await.map(drop),
            3 => sqlx::raw_sql("select 1; select nothing").execute(&scope).await.map(drop),
            4 => scope.prepare("select nothing".into_sql_str()).await.map(drop),
            _ => {
                let mut rows = sqlx::query(LATER).fetch(&scope);
                rows.try_next().await.map(drop).expect("the first row");
                Err(sqlx::Error::RowNotFound)
            }
        };
        assert!(answer.is_err(), "way {way}");
        let committed = scope.commit().await;
        assert!(
            matches!(committed, Err(Error::RolledBack { .. } | Error::TransactionLost { .. })),
            "way {way}: {committed:?}"
        );
        let _ = scope.rollback().await;
        scope.end().await.expect("end");
        assert_eq!(fresh.rows().await, [], "way {way}");
    }
}

async fn release_of_a_savepoint_in_an_aborted_transaction_undoes_it() {
    let fresh = Fresh::new().await;
    let scope = fresh.sessions.scope("request");
    scope.begin().await.expect("begin");
    put(&scope, 1, 1).await.expect("put");
    scope.begin().await.expect("savepoint");
    put(&scope, 2, 2).await.expect("put");
    assert!(put(&scope, 1, 2).await.is_err());
    assert!(matches!(scope.commit().await, Err(Error::RolledBack { .. })));
    put(&scope, 3, 3).await.expect("the transaction around it goes on");
    scope.commit().await.expect("commit");
    assert_eq!(fresh.rows().await, [(1, 1), (3, 3)]);
}

async fn transaction_is_begun_as_asked_for() {
    let fresh = Fresh::new().await;
    let scope = fresh.sessions.scope("request");
    let shown = async |what: &'static str| -> String {
        sqlx::query_scalar(sqlx::AssertSqlSafe(format!("show transaction_{what}")))
            .fetch_one(&scope)
            .await
            .expect("shown")
    };
    for (isolation, read_only) in [(Isolation::Serializable, true), (Isolation::RepeatableRead, false)] {
        let begin = Begin { isolation: Some(isolation), read_only, ..Begin::default() };
        scope.begin_with(begin).await.expect("begin");
        let expected = if isolation == Isolation::Serializable { "serializable" } else { "repeatable read" };
        assert_eq!(shown("isolation").await, expected);
        assert_eq!(put(&scope, 1, 1).await.is_err(), read_only);
        scope.rollback().await.expect("rollback");
    }
    assert_eq!((shown("isolation").await.as_str(), shown("read_only").await.as_str()), ("read committed", "off"));
}

async fn serialization_failure_is_tried_again_as_a_whole() {
    let fresh = Fresh::new().await;
    let setup = fresh.sessions.scope("setup");
    put(&setup, 1, 0).await.expect("put");
    let mut outside = fresh.outside().await;
    let attempts = AtomicU32::new(0);
    let outside = &tokio::sync::Mutex::new(&mut outside);
    fresh
        .sessions
        .run("count", async |scope| {
            sqlx::query("set transaction isolation level repeatable read").execute(scope).await?;
            let before: i64 = sqlx::query_scalar("select v from kv where k = 1").fetch_one(scope).await?;
            if attempts.fetch_add(1, Ordering::SeqCst) == 0 {
                let mut outside = outside.lock().await;
                sqlx::query("update kv set v = 10 where k = 1").execute(&mut **outside).await?;
            }
            sqlx::query("update kv set v = $1 where k = 1").bind(before + 1).execute(scope).await?;
            Ok::<_, Wrapped>(())
        })
        .await
        .expect("the second attempt");
    assert_eq!((attempts.load(Ordering::SeqCst), fresh.rows().await), (2, vec![(1, 11)]));
}

/// The level is rolled back before its error reaches whoever has begun the transaction.
async fn serialization_failure_inside_a_level_is_tried_again_as_a_whole() {
    let fresh = Fresh::new().await;
    let attempts = &AtomicU32::new(0);
    let work = async |scope: &Scope<PgSource>| {
        let rows = Repository::new("Rows", scope.handle("Rows"));
        let put = rows.atomic("put", |db| async move {
            if attempts.fetch_add(1, Ordering::SeqCst) == 0 {
                let refused = "do $$ begin raise exception 'not serializable' using errcode = '40001'; end $$";
                sqlx::raw_sql(refused).execute(&db).await?;
            }
            put(&db, 1, 1).await
        });
        put.await.map_err(|error| Wrapped(error.to_string()))
    };
    fresh.sessions.run("put", work).await.expect("the second attempt");
    assert_eq!((attempts.load(Ordering::SeqCst), fresh.rows().await), (2, vec![(1, 1)]));
}

#[derive(Debug)]
struct Wrapped(#[expect(dead_code, reason = "shown when the test fails")] String);

impl From<sqlx::Error> for Wrapped {
    fn from(error: sqlx::Error) -> Self {
        Self(error.to_string())
    }
}

impl From<Error> for Wrapped {
    fn from(error: Error) -> Self {
        Self(error.to_string())
    }
}

async fn statement_in_an_aborted_transaction_is_not_tried_again() {
    let fresh = Fresh::new().await;
    let setup = fresh.sessions.scope("setup");
    put(&setup, 1, 0).await.expect("put");
    let mut outside = fresh.outside().await;
    let mut lock = outside.begin().await.expect("begin");
    sqlx::query("select * from kv for update").execute(&mut *lock).await.expect("locked");
    let scope = fresh.sessions.scope("request");
    let accounts = Repository::new("Accounts", scope.handle("Accounts"));
    let take = || {
        accounts.call("take", |db| async move {
            sqlx::query("select * from kv for update nowait").execute(db).await.map(drop)
        })
    };
    scope.begin().await.expect("begin");
    let error = take().await.expect_err("somebody else has it");
    assert_eq!((error.class, error.attempts), (ErrorClass::RetryStatement, 1), "{error}");
    scope.rollback().await.expect("rollback");
    lock.rollback().await.expect("unlocked");
    take().await.expect("nobody else has it");
}
