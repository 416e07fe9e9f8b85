//! Hazard: SQLite sets a pragma while it prepares the statement, whether or not anybody runs it.

use sqlx::{Executor, SqlSafeStr};
use unstale::{Begin, Reset, SqliteOptions};

use crate::bed::{Fresh, put};
use crate::hazards::bed::only_one;

#[tokio::test]
async fn pragma_that_was_only_prepared_does_not_reach_the_next_borrower() {
    let fresh = Fresh::with(only_one()).await;
    let asked = "select recursive_triggers from pragma_recursive_triggers";
    for is_described in [false, true] {
        let scope = fresh.sessions.scope("first");
        let sql = "pragma recursive_triggers = on".into_sql_str();
        if is_described {
            (&scope).describe(sql).await.map(drop).expect("described");
        } else {
            (&scope).prepare(sql).await.map(drop).expect("prepared");
        }
        let seen: i64 = sqlx::query_scalar(asked).fetch_one(&scope).await.expect("seen");
        assert_eq!(seen, 1, "it is set by that alone");
        scope.end().await.expect("end");
        let scope = fresh.sessions.scope("second");
        let seen: i64 = sqlx::query_scalar(asked).fetch_one(&scope).await.expect("seen");
        assert_eq!(seen, 0, "described: {is_described}");
    }
}

#[tokio::test]
async fn trigger_in_the_temporary_schema_does_not_reach_the_next_borrower() {
    for name in ["temp.spy", "\"temp\".spy", "if not exists temp.spy"] {
        let fresh = Fresh::with(only_one()).await;
        let scope = fresh.sessions.scope("first");
        let sql = format!("create trigger {name} after insert on kv begin update kv set v = 666 where k = new.k; end");
        sqlx::query(sqlx::AssertSqlSafe(sql)).execute(&scope).await.expect(name);
        scope.end().await.expect("end");
        put(&fresh.sessions.scope("second"), 1, 1).await.expect("put");
        assert_eq!(fresh.rows().await, [(1, 1)], "{name}");
    }
}

/// A pool that the application has made read-only stays so, whatever the library sets for transactions of its own.
#[tokio::test]
async fn what_the_application_has_forbidden_is_never_allowed_by_the_library() {
    let fresh = Fresh::new().await;
    for read_only in [false, true] {
        let options = SqliteOptions::from_url(&fresh.url()).expect("a URL").on_open(|connection| {
            Box::pin(async move { connection.execute("pragma query_only = on").await.map(drop) })
        });
        let sessions = options.open(only_one()).await.expect("sessions");
        let begin = Begin { read_only, ..Begin::default() };
        for ends in 0..3 {
            let scope = sessions.scope("reads");
            scope.begin_with(begin).await.expect("begin");
            match ends {
                0 => scope.commit().await.expect("commit"),
                1 => scope.rollback().await.expect("rollback"),
                _ => {}
            }
            drop(scope);
            put(&sessions.scope("writes"), 1, 1).await.expect_err("it is read-only");
        }
    }
    assert_eq!(fresh.rows().await, []);
}

#[tokio::test]
async fn connection_is_closed_after_each_borrower_where_the_policy_says_so() {
    let mut policy = only_one();
    policy.reset = Reset::Always;
    let fresh = Fresh::with(policy).await;
    let before = fresh.sessions.health().discarded;
    for k in 0..3 {
        put(&fresh.sessions.scope("request"), k, k).await.expect("put");
    }
    assert_eq!(fresh.sessions.health().discarded - before, 3);
}
