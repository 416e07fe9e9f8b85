//! Hazard: the connection dies under a scope.
//!
//! The loss is real: the file's header is overwritten, SQLite answers NOTADB, and the connection is given up.

mod support;

use std::path::PathBuf;
use std::time::Duration;

use support::{Fresh, own, put};
use unstale::{Error, Event, OnLoss, Policy, Validity};

/// The bytes of a database file while it is broken.
struct Broken {
    path: PathBuf,
    bytes: Vec<u8>,
}

impl Broken {
    fn file(fresh: &Fresh) -> Self {
        let path = fresh.folder.path().join("db");
        let bytes = std::fs::read(&path).expect("the file");
        std::fs::write(&path, vec![0x5a; bytes.len()]).expect("garbage");
        Self { path, bytes }
    }

    fn repair(self) {
        std::fs::write(&self.path, &self.bytes).expect("the old bytes");
    }
}

#[tokio::test]
async fn session_lost_outside_a_transaction_is_recovered_with_the_next_generation() {
    let fresh = Fresh::without_wal(support::policy()).await;
    let recovered = std::sync::Arc::new(std::sync::atomic::AtomicU64::new(0));
    let seen = std::sync::Arc::clone(&recovered);
    let _listening = fresh.sessions.listen(move |event| {
        if let Event::Recovered { generation, .. } = event {
            seen.store(*generation, std::sync::atomic::Ordering::SeqCst);
        }
    });
    let scope = fresh.sessions.scope("request");
    let handle = scope.handle("service");
    put(&handle, 1, 1).await.expect("put");
    let pinned = handle.pinned();

    let broken = Broken::file(&fresh);
    let error = put(&handle, 2, 2).await.expect_err("not a database");
    assert!(error.to_string().contains("not a database"), "{error}");
    broken.repair();

    put(&handle, 3, 3).await.expect("the scope goes on, and so does its handle");
    assert_eq!(scope.generation(), 2);
    assert!(own(put(&pinned, 4, 4).await).contains("pinned to session 1"));
    assert_eq!(fresh.rows().await, [(1, 1), (3, 3)]);
    assert_eq!(recovered.load(std::sync::atomic::Ordering::SeqCst), 2);
    let health = fresh.sessions.health();
    assert_eq!((health.lost, health.recovered, health.recovery.count), (1, 1, 1));
}

#[tokio::test]
async fn session_lost_inside_a_transaction_never_goes_on_in_autocommit() {
    let fresh = Fresh::without_wal(support::policy()).await;
    let scope = fresh.sessions.scope("request");
    scope.begin().await.expect("begin");
    let broken = Broken::file(&fresh);
    let error = own(put(&scope, 2, 2).await);
    assert!(error.contains("was lost") && error.contains("roll back"), "{error}");
    broken.repair();
    assert!(own(put(&scope, 3, 3).await).contains("was lost"));
    assert!(matches!(scope.commit().await, Err(Error::TransactionLost { .. })));
    put(&scope, 4, 4).await.expect("acknowledged");
    assert_eq!(fresh.rows().await, [(4, 4)]);
}

#[tokio::test]
async fn test_policy_reports_a_loss_instead_of_helping_over_it() {
    let mut policy = support::policy();
    policy.on_loss = OnLoss::Report;
    let fresh = Fresh::without_wal(policy).await;
    let scope = fresh.sessions.scope("request");
    put(&scope, 1, 1).await.expect("put");
    let broken = Broken::file(&fresh);
    assert!(put(&scope, 2, 2).await.is_err());
    broken.repair();
    assert!(own(put(&scope, 3, 3).await).contains("`renew()` accepts the loss"));
    scope.renew().await.expect("renew");
    put(&scope, 4, 4).await.expect("put");
    assert_eq!(fresh.rows().await, [(1, 1), (4, 4)]);
    assert_eq!(Policy::for_tests().on_loss, OnLoss::Report);
}

#[tokio::test]
async fn session_with_something_on_it_is_not_replaced_behind_the_callers_back() {
    let fresh = Fresh::without_wal(support::policy()).await;
    let scope = fresh.sessions.scope("request");
    sqlx::raw_sql("create temp table mine (x)").execute(&scope).await.expect("temp table");
    let broken = Broken::file(&fresh);
    assert!(put(&scope, 2, 2).await.is_err());
    broken.repair();
    assert!(own(put(&scope, 3, 3).await).contains("was lost"));
}

#[tokio::test]
async fn temp_table_does_not_reach_the_next_borrower() {
    let mut policy = support::policy();
    policy.sessions_max = 1;
    let fresh = Fresh::with(policy).await;
    let scope = fresh.sessions.scope("first");
    sqlx::raw_sql("create temp table mine (x)").execute(&scope).await.expect("temp table");
    scope.end().await.expect("end");
    let scope = fresh.sessions.scope("second");
    let count: i64 =
        sqlx::query_scalar("select count(*) from temp.sqlite_schema").fetch_one(&scope).await.expect("count");
    assert_eq!(count, 0);
}

#[tokio::test]
async fn replaced_file_is_noticed_after_the_connection_was_idle() {
    let mut policy = support::policy();
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
    let fresh = Fresh::without_wal(support::policy()).await;
    assert!(matches!(fresh.sessions.check().await, Validity::Valid { .. }));
    let broken = Broken::file(&fresh);
    assert!(matches!(fresh.sessions.check().await, Validity::Invalid { .. }));
    broken.repair();
    assert!(matches!(fresh.sessions.check().await, Validity::Valid { .. }));
    let scopes: Vec<_> = (0..3).map(|_| fresh.sessions.scope("holder")).collect();
    for scope in &scopes {
        scope.begin().await.expect("begin");
    }
    assert!(matches!(fresh.sessions.check().await, Validity::Exhausted(_)));
    fresh.sessions.close();
    assert_eq!(fresh.sessions.check().await, Validity::Closed);
}
