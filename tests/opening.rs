//! Hazard: a database or a policy that cannot be used.

mod support;

use std::time::Duration;

use support::{Fresh, policy, put};
use unstale::{Error, OpenError, Policy, SqliteOptions};

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
    assert!(refusal("db.sqlite").await.contains("no SQLite URL"));
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
async fn policy_that_contradicts_itself_is_refused() {
    let mut policy = Policy::default();
    policy.sessions_max = 0;
    let options = SqliteOptions::from_url("sqlite::memory:").expect("a URL");
    let error = options.open(policy).await.err().expect("an error");
    assert!(matches!(error, OpenError::Policy(_)) && error.to_string().contains("sessions_max is 0"), "{error}");
}

#[tokio::test]
async fn file_deleted_under_the_sessions_is_unavailable_and_not_silently_another_one() {
    let mut policy = policy();
    policy.probe_idle_after = Duration::ZERO;
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

#[tokio::test]
async fn exhausted_says_how_many_are_lent() {
    let mut policy = policy();
    policy.sessions_max = 1;
    policy.acquire_timeout = Duration::from_millis(20);
    policy.probe_timeout = Duration::from_millis(20);
    let fresh = Fresh::with(policy).await;
    let holder = fresh.sessions.open("holder").await.expect("the only one");
    let error = fresh.sessions.open("next").await.expect_err("none left");
    assert!(error.to_string().contains("1 of 1 are lent"), "{error}");
    drop(holder);
    drop(fresh.sessions.open("next").await.expect("it is back"));
}

#[tokio::test]
async fn drain_waits_for_scopes_and_names_who_stays() {
    let fresh = Fresh::new().await;
    let scope = fresh.sessions.scope("who stays");
    put(&scope, 1, 1).await.expect("put");
    let error = fresh.sessions.drain(Duration::from_millis(5)).await.expect_err("one is open");
    assert!(error.to_string().contains("`who stays`") && error.to_string().contains("tests/opening.rs:"), "{error}");
    put(&scope, 2, 2).await.expect("what is lent stays usable");
    let (drained, ended) = tokio::join!(fresh.sessions.drain(Duration::from_secs(5)), scope.end());
    drained.expect("drained");
    ended.expect("ended");
    assert!(matches!(fresh.sessions.open("late").await, Err(Error::Closed)));
}
