//! Hazard: the PostgreSQL server restarts under open scopes.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use sqlx::{Connection, PgConnection};
use unstale::{Error, ErrorClass};
use unstale_wire::server::{Server, Shutdown};
use unstale_wire::trials::Trial;

use crate::bed::{Fresh, own, policy, put};
use crate::tests;

pub(crate) fn trials() -> Vec<Trial> {
    tests![
        restart_costs_only_what_was_in_flight on 2 threads,
        first_success_comes_soon_after_the_server_accepts_again on 2 threads,
        nothing_acknowledged_is_lost_and_nothing_applied_twice_over_restarts on 2 threads,
    ]
}

const HOW: [Shutdown; 3] = [Shutdown::Fast, Shutdown::Immediate, Shutdown::Kill];

async fn restart(server: &Arc<Server>, how: Shutdown) {
    let server = Arc::clone(server);
    tokio::task::spawn_blocking(move || server.restart(how)).await.expect("no panic").expect("restarted");
}

async fn restart_costs_only_what_was_in_flight() {
    let server = Arc::new(Server::start().expect("a server"));
    let fresh = Fresh::on(&server, policy()).await;
    for (k, how) in (0..).zip(HOW) {
        fresh.sessions.scope("warm").end().await.expect("end");
        let open = fresh.sessions.scope("in a transaction");
        open.begin().await.expect("begin");
        put(&open, 100 + k, 1).await.expect("put");
        let idle = fresh.sessions.scope("idle");
        let idle_handle = idle.handle("idle");
        restart(&server, how).await;
        // A session on which nothing was done yet, and idle connections.
        idle.begin().await.unwrap_or_else(|error| panic!("{how:?}: {error}"));
        put(&idle_handle, k, 1).await.expect("put");
        idle.commit().await.expect("commit");
        assert!(own(put(&open, 200 + k, 1).await).contains("was lost"), "{how:?}");
        open.rollback().await.expect("acknowledged");
        put(&open, 300 + k, 1).await.expect("put");
    }
    assert_eq!(fresh.rows().await.iter().map(|it| it.0).collect::<Vec<_>>(), [0, 1, 2, 300, 301, 302]);
}

async fn first_success_comes_soon_after_the_server_accepts_again() {
    let server = Arc::new(Server::start().expect("a server"));
    let mut policy = policy();
    // Waits that double until then would be longer than what is allowed below.
    policy.backoff_max = Duration::from_secs(60);
    policy.acquire_timeout = Duration::from_secs(120);
    let fresh = Fresh::on(&server, policy).await;
    for (k, how) in (0..).zip(HOW) {
        fresh.fill(2).await;
        let stopping = Arc::clone(&server);
        tokio::task::spawn_blocking(move || stopping.stop(how)).await.expect("no panic").expect("stopped");
        let sessions = fresh.sessions.clone();
        let caller = tokio::spawn(async move {
            let scope = sessions.scope("caller");
            scope.begin().await.expect("begin");
            put(&scope, k, 1).await.expect("put");
            scope.commit().await.expect("commit");
            Instant::now()
        });
        let knocking = server.tcp();
        let accepts = tokio::spawn(async move {
            loop {
                if let Ok(connection) = PgConnection::connect_with(&knocking).await {
                    connection.close().await.expect("closed");
                    return Instant::now();
                }
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        });
        tokio::time::sleep(Duration::from_secs(2)).await;
        let starting = Arc::clone(&server);
        tokio::task::spawn_blocking(move || starting.start_again()).await.expect("no panic").expect("started");
        let (accepts, success) = (accepts.await.expect("no panic"), caller.await.expect("no panic"));
        let late = success.saturating_duration_since(accepts);
        println!("{how:?}: first success {late:?} after the server accepted");
        assert!(late < Duration::from_secs(1), "{how:?}: {late:?}");
    }
    assert_eq!(fresh.sessions.health().usage.in_use, 0);
}

async fn nothing_acknowledged_is_lost_and_nothing_applied_twice_over_restarts() {
    let server = Arc::new(Server::start().expect("a server"));
    let mut policy = policy();
    policy.sessions_max = 5;
    policy.acquire_timeout = Duration::from_secs(20);
    let fresh = Fresh::on(&server, policy).await;
    let over = Arc::new(AtomicBool::new(false));
    let next = Arc::new(AtomicU64::new(1));
    let actors = (0..10).map(|actor| {
        let (sessions, over, next) = (fresh.sessions.clone(), Arc::clone(&over), Arc::clone(&next));
        tokio::spawn(async move {
            let (mut kept, mut unknown) = (BTreeSet::new(), BTreeSet::new());
            while !over.load(Ordering::SeqCst) {
                let k = i64::try_from(next.fetch_add(1, Ordering::SeqCst)).expect("few");
                let scope = sessions.scope("actor");
                let result = if actor % 2 == 0 {
                    put(&scope, k, actor).await.map_err(|error| match Error::of(&error) {
                        Some(own) => own.class(),
                        None => ErrorClass::OutcomeUnknown,
                    })
                } else {
                    let work = async {
                        scope.begin().await?;
                        put(&scope, k, actor).await.map_err(|error| Error::Database {
                            class: ErrorClass::RetryTransaction,
                            source: Box::new(error),
                        })?;
                        scope.commit().await
                    };
                    work.await.map_err(|error| error.class())
                };
                match result {
                    Ok(()) => _ = kept.insert(k),
                    Err(ErrorClass::OutcomeUnknown) => _ = unknown.insert(k),
                    Err(_) => {}
                }
                // Somebody who holds nothing while the server goes sees nothing of it.
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            (kept, unknown)
        })
    });
    let actors: Vec<_> = actors.collect();
    for how in HOW.into_iter().cycle().take(6) {
        tokio::time::sleep(Duration::from_millis(100)).await;
        restart(&server, how).await;
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    over.store(true, Ordering::SeqCst);
    let (mut kept, mut unknown) = (BTreeSet::new(), BTreeSet::new());
    for actor in actors {
        let (some, others) = actor.await.expect("no panic");
        kept.extend(some);
        unknown.extend(others);
    }
    // The key is unique, so what was applied twice would have been refused, and reported.
    let rows: BTreeSet<_> = fresh.rows().await.into_iter().map(|it| it.0).collect();
    println!("{} kept, {} unknown", kept.len(), unknown.len());
    assert!(kept.is_subset(&rows), "lost: {:?}", kept.difference(&rows).collect::<Vec<_>>());
    let surplus: Vec<_> = rows.iter().filter(|it| !kept.contains(it) && !unknown.contains(it)).collect();
    assert_eq!(surplus, Vec::<&i64>::new(), "reported as not done");
    assert_eq!(fresh.sessions.health().usage.in_use, 0);
}
