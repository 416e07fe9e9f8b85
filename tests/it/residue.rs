//! Hazard: SQLite sets a pragma while it prepares the statement, whether or not anybody runs it.

use sqlx::{Executor, SqlSafeStr};

use crate::bed::Fresh;
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
