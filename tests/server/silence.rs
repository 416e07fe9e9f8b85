//! Hazard: a connection is silent, since it is dead, since the server stands still for a while, or since it is far away.

use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use unstale::{PgOptions, Policy};
use unstale_wire::proxy::{Moment, NetworkFault, Proxy, Scope as Whom};
use unstale_wire::server::{Server, Signal};
use unstale_wire::trials::Trial;

use crate::bed::{Fresh, Nobody, SOON, pid, policy, put, within};
use crate::tests;

pub(crate) fn trials() -> Vec<Trial> {
    tests![
        frozen_idle_connection_costs_its_probe_and_no_place,
        frozen_connections_are_replaced_and_no_more_are_open_than_there_may_be,
        server_that_stands_still_loses_no_connection,
        distance_costs_no_connection,
    ]
}

async fn frozen_idle_connection_costs_its_probe_and_no_place() {
    let mut policy = policy();
    policy.probe_idle_after = Duration::ZERO;
    // A second probe would show, also on a busy machine.
    policy.probe_timeout = Duration::from_secs(2);
    let server = Server::start().expect("a server");
    let fresh = Fresh::on(&server, policy.clone()).await;
    for begins in [false, true] {
        fresh.fill(3).await;
        let scope = fresh.sessions.scope("to know which is first");
        let frozen = pid(&scope).await.expect("a pid");
        scope.end().await.expect("end");
        server.signal_backend(frozen, Signal::Stop).expect("frozen");
        let began = Instant::now();
        for k in 0..3 {
            let scope = fresh.sessions.scope("request");
            if begins {
                scope.begin().await.expect("begin");
            }
            let served_by = pid(&scope).await.expect("an answer");
            assert_ne!(served_by, frozen, "{k}");
            scope.end().await.expect("end");
        }
        let took = began.elapsed();
        assert!(took >= policy.probe_timeout && took < policy.probe_timeout * 2, "{took:?}");
        assert_eq!(fresh.sessions.health().usage.in_use, 0);
        server.signal_backend(frozen, Signal::Continue).expect("woken");
        within(SOON, "the frozen one to go", async || !fresh.pids().await.contains(&frozen)).await;
    }
}

/// Whatever is idle is probed, and is silent soon.
fn impatient(connections: u32) -> Policy {
    let mut policy = policy();
    policy.sessions_max = connections;
    policy.probe_idle_after = Duration::ZERO;
    policy.probe_timeout = Duration::from_millis(20);
    policy
}

/// Writes on all connections at once: half of them in a transaction, which is a probe by itself.
async fn write_on_all(fresh: &Fresh, round: i64) {
    let write = async |k: i64| {
        let scope = fresh.sessions.scope("writer");
        if k % 2 == 0 {
            scope.begin().await.expect("begin");
        }
        put(&scope, round * 10 + k, 0).await.expect("put");
        if k % 2 == 0 {
            scope.commit().await.expect("commit");
        }
        scope.end().await.expect("end");
    };
    futures_util::future::join_all((0..4).map(write)).await;
}

async fn frozen_connections_are_replaced_and_no_more_are_open_than_there_may_be() {
    let server = Server::start().expect("a server");
    let fresh = Fresh::on(&server, impatient(4)).await;
    fresh.fill(4).await;
    let frozen = fresh.pids().await;
    for pid in &frozen {
        server.signal_backend(*pid, Signal::Stop).expect("frozen");
    }
    write_on_all(&fresh, 0).await;
    let health = fresh.sessions.health();
    assert_eq!((health.discarded, health.lost, health.usage.size), (4, 0, 4), "{health:?}");
    for pid in &frozen {
        server.signal_backend(*pid, Signal::Continue).expect("woken");
    }
    within(SOON, "the frozen ones to go", async || fresh.pids().await.iter().all(|pid| !frozen.contains(pid))).await;
    assert_eq!(fresh.rows().await.len(), 4);
}

async fn server_that_stands_still_loses_no_connection() {
    let server = Server::start().expect("a server");
    let fresh = Fresh::on(&server, impatient(4)).await;
    fresh.fill(4).await;
    let before = fresh.pids().await;
    for (round, still) in (0..).zip([200, 1000]) {
        let began = Instant::now();
        signal_all(&server, "-STOP");
        let going_on = async {
            tokio::time::sleep(Duration::from_millis(still)).await;
            signal_all(&server, "-CONT");
        };
        tokio::join!(going_on, write_on_all(&fresh, round));
        assert!(began.elapsed() >= Duration::from_millis(still));
    }
    let health = fresh.sessions.health();
    assert_eq!((health.discarded, health.lost), (0, 0), "{health:?}");
    assert_eq!(fresh.pids().await, before, "the same connections");
    assert_eq!(fresh.rows().await.len(), 8);
}

/// Signals every process of the server, the one that lets new connections in among them. One that serves nobody may have ended.
fn signal_all(server: &Server, signal: &str) {
    let pids = server.processes().expect("processes");
    Command::new("kill").arg(signal).args(pids.iter().map(i32::to_string)).output().expect("kill");
}

/// Each answer takes longer than a probe may where the server is near.
async fn distance_costs_no_connection() {
    let fresh = Fresh::new().await;
    let proxy = Proxy::start(Server::shared().expect("a server").address(), Arc::new(Nobody)).expect("a proxy");
    proxy.arm(NetworkFault::Latency(60), Moment::Connect, Whom::All).expect("armed");
    let mut policy = policy();
    policy.probe_timeout = Duration::from_millis(100);
    policy.probe_writes_after = Duration::ZERO;
    policy.probe_idle_after = Duration::ZERO;
    let options = fresh.options.clone().port(proxy.address().port());
    let sessions = PgOptions::new(options).open(policy).await.expect("sessions");
    for k in 0..3 {
        put(&sessions.scope("write"), k, k).await.expect("written");
        let scope = sessions.scope("begin");
        scope.begin().await.expect("begun");
        scope.rollback().await.expect("rolled back");
    }
    let health = sessions.health();
    assert_eq!((health.discarded, health.usage.size), (0, 1), "{health:?}");
}
