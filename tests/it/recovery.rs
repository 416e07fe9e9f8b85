//! Hazard: the database's file is replaced, or damaged, under the sessions.

use std::time::Duration;

use unstale::Validity;

use crate::bed::{Fresh, policy, put};

#[tokio::test]
async fn replaced_file_is_noticed_after_the_connection_was_idle() {
    let mut policy = policy();
    policy.probe_idle_after = Duration::ZERO;
    let fresh = Fresh::without_wal(policy).await;
    let path = fresh.folder.path().join("db");
    let copy = fresh.folder.path().join("copy");
    std::fs::copy(&path, &copy).expect("a copy");
    std::fs::rename(&copy, &path).expect("replaced");
    let scope = fresh.sessions.scope("request");
    put(&scope, 1, 1).await.expect("put");
    assert_eq!(fresh.rows().await, [(1, 1)], "written to the file that is there");
}

#[tokio::test]
async fn health_check_says_what_a_query_says() {
    let mut policy = policy();
    policy.acquire_timeout = Duration::from_millis(500);
    policy.probe_timeout = Duration::from_millis(500);
    let fresh = Fresh::without_wal(policy).await;
    assert!(matches!(fresh.sessions.check().await, Validity::Valid { .. }));
    fresh.break_file();
    assert!(matches!(fresh.sessions.check().await, Validity::Invalid { .. }));
    fresh.repair_file();
    assert!(matches!(fresh.sessions.check().await, Validity::Valid { .. }));
    let scopes: Vec<_> = (0..3).map(|_| fresh.sessions.scope("holder")).collect();
    for scope in &scopes {
        scope.begin().await.expect("begin");
    }
    assert!(matches!(fresh.sessions.check().await, Validity::Exhausted(_)));
    fresh.sessions.close();
    assert_eq!(fresh.sessions.check().await, Validity::Closed);
}
