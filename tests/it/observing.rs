//! What is told to listeners, to logs and to whoever asks for health.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use unstale::{Event, ListenerError};

use crate::bed::{Fresh, policy, put};

#[tokio::test]
async fn each_event_is_told_once() {
    let fresh = Fresh::new().await;
    let told = Arc::new(Mutex::new(Vec::new()));
    let listener = Arc::clone(&told);
    let listening = fresh.sessions.listen(move |event| {
        let text = match event {
            Event::Opened { scope } => format!("opened {scope}"),
            Event::Closed { scope } => format!("closed {scope}"),
            other => format!("{other:?}"),
        };
        listener.lock().expect("no panic").push(text);
    });
    let scope = fresh.sessions.scope("a");
    put(&scope, 1, 1).await.expect("put");
    put(&scope, 2, 2).await.expect("put");
    scope.end().await.expect("end");
    drop(listening);
    fresh.sessions.scope("b").end().await.expect("end");
    assert_eq!(*told.lock().expect("no panic"), ["opened a", "closed a"]);
}

#[tokio::test]
async fn listener_that_panics_or_blocks_harms_no_session() {
    let mut policy = policy();
    policy.listener_limit = Duration::from_millis(1);
    let fresh = Fresh::with(policy).await;
    let panics = fresh.sessions.listen(|_| panic!("a listener's own"));
    let blocks = fresh.sessions.listen(|_| std::thread::sleep(Duration::from_millis(5)));
    let scope = fresh.sessions.scope("a");
    put(&scope, 1, 1).await.expect("put");
    scope.end().await.expect("end");
    assert!(blocks.status().is_ok(), "late twice");
    put(&fresh.sessions.scope("b"), 2, 2).await.expect("put");
    assert!(matches!(panics.status(), Err(ListenerError::Panicked(_))));
    assert!(matches!(blocks.status(), Err(ListenerError::Blocked { .. })));
    assert_eq!(fresh.sessions.health().listeners_removed, 2);
}

#[tokio::test]
async fn scope_that_lives_too_long_is_named_with_its_place() {
    let mut policy = policy();
    policy.leak_after = Duration::ZERO;
    let fresh = Fresh::with(policy).await;
    let scope = fresh.sessions.scope("forgotten");
    let leaks = fresh.sessions.health().leaks;
    assert_eq!(leaks.len(), 1);
    assert!(leaks[0].to_string().contains("`forgotten`") && leaks[0].to_string().contains(concat!(file!(), ":")));
    drop(scope);
    assert!(fresh.sessions.health().leaks.is_empty());
}

#[tracing_test::traced_test]
#[tokio::test]
async fn stale_use_is_logged_with_its_owner() {
    let fresh = Fresh::new().await;
    let scope = fresh.sessions.scope("request");
    let handle = scope.handle("CampaignRepository");
    drop(scope);
    assert!(put(&handle, 1, 1).await.is_err());
    assert!(logs_contain("a stale handle was used"));
    assert!(logs_contain("CampaignRepository"));
}
