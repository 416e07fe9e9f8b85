//! Hazard: a file that is no database, or is not there any more.

use std::time::Duration;

use unstale::{Error, SqliteOptions};

use crate::bed::{Fresh, policy, put};

async fn refusal(url: &str) -> String {
    match SqliteOptions::from_url(url) {
        Ok(options) => options.open(policy()).await.err().expect("an error").to_string(),
        Err(error) => error.to_string(),
    }
}

#[tokio::test]
async fn what_cannot_be_opened_is_named_with_what_to_do() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path();
    let at = |name: &str| format!("sqlite://{}", path.join(name).display());
    std::fs::write(
        path.join("text"),
        "This is no database, it is a text that is long enough to be read as a header. ".repeat(20),
    )
    .expect("a text");

    assert!(refusal("postgres://localhost/x").await.contains("no SQLite URL: write `sqlite://"));
    assert!(refusal("db.sqlite").await.contains("`db.sqlite` is no SQLite URL"));
    for url in ["postgres://app:geheim@localhost/x", "app:geheim@localhost", "geheim@localhost"] {
        let shown = refusal(url).await;
        assert!(shown.contains("no SQLite URL") && !shown.contains("geheim"), "{shown}");
    }
    assert!(refusal("sqlite://x?mode=sideways").await.contains("options"));
    assert!(refusal(&at("")).await.contains("is a folder"));
    assert!(refusal(&at("text")).await.contains("is not a SQLite database"));
    assert!(refusal(&at("missing")).await.contains("add `?mode=rwc`"));
    assert!(refusal(&at("no/such/folder?mode=rwc")).await.contains("there is no database"));
}

#[tokio::test]
async fn read_only_file_is_refused_unless_it_was_asked_for() {
    let fresh = Fresh::without_wal(policy()).await;
    let path = fresh.folder.path().join("db");
    let mut permissions = std::fs::metadata(&path).expect("metadata").permissions();
    permissions.set_readonly(true);
    std::fs::set_permissions(&path, permissions).expect("read-only");
    let url = format!("sqlite://{}", path.display());
    assert!(refusal(&url).await.contains("is read-only"));
    let sessions = SqliteOptions::from_url(&format!("{url}?mode=ro")).expect("a URL").open(policy()).await;
    let scope = sessions.expect("it was asked for").scope("reader");
    assert!(put(&scope, 1, 1).await.expect_err("a write").to_string().contains("readonly"));
}

#[tokio::test]
async fn file_deleted_under_the_sessions_is_unavailable_and_not_silently_another_one() {
    let mut policy = policy();
    policy.probe_idle_after = Duration::ZERO;
    policy.acquire_timeout = Duration::from_millis(500);
    policy.probe_timeout = Duration::from_millis(500);
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("db");
    std::fs::write(&path, "").expect("an empty database");
    let sessions = SqliteOptions::from_url(&format!("sqlite://{}", path.display())).expect("a URL").open(policy).await;
    let sessions = sessions.expect("open");
    std::fs::remove_file(&path).expect("deleted");
    let scope = sessions.scope("request");
    let error = scope.begin().await.expect_err("there is no file");
    assert!(matches!(error, Error::Unavailable { .. }), "{error}");
}
