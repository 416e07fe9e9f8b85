//! Hazard: what is done to the server in our name hits somebody else, or a commit.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sqlx::Connection;
use sqlx::postgres::PgConnection;
use tokio::net::{TcpListener, TcpStream};
use unstale::source::{Source, Trace};
use unstale::{Error, PgOptions, PgSource};
use unstale_wire::server::Server;
use unstale_wire::trials::Trial;

use crate::bed::{SOON, pid, policy, within};
use crate::tests;
use crate::unknown::World;

pub(crate) fn trials() -> Vec<Trial> {
    tests![
        another_server_behind_the_name_proves_nothing,
        commit_that_waits_for_a_standby_is_never_ended,
        autocommit_that_waits_for_a_standby_is_never_ended,
        commit_whose_wait_somebody_ended_is_there,
    ]
}

/// Two servers behind one name: what the other one does not know says nothing of ours, and none of its sessions is ended.
async fn another_server_behind_the_name_proves_nothing() {
    let (one, other) = (Server::start().expect("a server"), Server::start().expect("a server"));
    let name = Arc::new(Mutex::new(one.address()));
    let address = forward(Arc::clone(&name)).await;
    let source = PgSource::new(PgOptions::new(one.tcp().port(address.port())), &policy());
    let lease = source.acquire().await.expect("a connection").lease;
    let trace = source.trace(&lease).expect("a server has processes");
    assert!(!source.is_over(trace).await.expect("asked"));
    *name.lock().expect("nobody panics") = other.address();
    let elsewhere = source.is_over(trace).await;
    assert!(elsewhere.is_err(), "{elsewhere:?}");
    // A process with this number is a session of the other server's.
    let mut stranger = PgConnection::connect_with(&other.tcp()).await.expect("a session");
    let ours = Trace { process: pid(&mut stranger).await.expect("asked"), ..trace };
    let elsewhere = source.is_over(ours).await;
    assert!(elsewhere.is_err(), "{elsewhere:?}");
    *name.lock().expect("nobody panics") = one.address();
    assert!(!source.is_over(trace).await.expect("asked"));
    source.discard(lease);
    within(SOON, "its end", async || source.is_over(trace).await.expect("asked")).await;
}

/// Where connections go is decided when each is opened.
async fn forward(to: Arc<Mutex<SocketAddr>>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("a port");
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let to = *to.lock().expect("nobody panics");
            tokio::spawn(async move {
                let mut server = TcpStream::connect(to).await?;
                tokio::io::copy_bidirectional(&mut client, &mut server).await
            });
        }
    });
    address
}

/// A server whose commits wait for a standby that is not there, where they are told to wait.
fn without_its_standby() -> Server {
    let settings = [
        ("wal_level", "replica"),
        ("max_wal_senders", "2"),
        ("synchronous_standby_names", "nobody"),
        ("synchronous_commit", "local"),
    ];
    Server::start_with(&settings).expect("a server")
}

/// Whether a commit of these sessions waits for the standby.
async fn waits_for_a_standby(world: &World) -> bool {
    let mut outside = world.fresh.outside().await;
    let waits = "select exists (select from pg_stat_activity where application_name = $1 and wait_event = 'SyncRep')";
    sqlx::query_scalar(waits).bind(&world.fresh.name).fetch_one(&mut outside).await.expect("asked")
}

/// A backend that is told to end, or its statement to stop, makes visible what no standby has: nobody is told that it is safe.
async fn commit_that_waits_for_a_standby_is_never_ended() {
    let server = without_its_standby();
    for way in 0..2 {
        let mut policy = policy();
        policy.end_timeout = Duration::from_millis(200);
        policy.resolve_timeout = Duration::from_millis(600);
        let world = World::before(&server, policy).await;
        let sessions = &world.resolving()[way];
        let scope = World::begun(sessions, 7).await;
        sqlx::query("set local synchronous_commit = on").execute(&scope).await.expect("set");
        // A sign that stands for a crash, and is none.
        let young = sqlx::raw_sql("select pg_stat_reset_shared('bgwriter')");
        young.execute(&mut world.fresh.outside().await).await.expect("reset");
        let committed = scope.commit().await;
        assert!(matches!(committed, Err(Error::CommitUnknown { .. })), "{way} {committed:?}");
        assert!(waits_for_a_standby(&world).await);
        assert_eq!(world.fresh.rows().await, []);
        world.fresh.terminate().await;
        within(SOON, "the row", async || world.fresh.rows().await == [(7, 7)]).await;
    }
}

async fn autocommit_that_waits_for_a_standby_is_never_ended() {
    let server = without_its_standby();
    let world = World::before(&server, policy()).await;
    let scope = world.sessions.scope("pay");
    let waiting = sqlx::raw_sql("set synchronous_commit = on; insert into kv values (7, 7)").execute(&scope);
    tokio::time::timeout(Duration::from_millis(300), waiting).await.expect_err("it waits");
    assert!(waits_for_a_standby(&world).await);
    drop(scope);
    // Longer than until somebody is told to stop.
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(waits_for_a_standby(&world).await);
    assert_eq!(world.fresh.rows().await, []);
}

async fn commit_whose_wait_somebody_ended_is_there() {
    let server = without_its_standby();
    for way in 0..2 {
        let mut policy = policy();
        policy.end_timeout = SOON;
        let world = World::before(&server, policy).await;
        let sessions = &world.resolving()[way];
        let scope = World::begun(sessions, 7).await;
        sqlx::query("set local synchronous_commit = on").execute(&scope).await.expect("set");
        let end = async {
            within(SOON, "a commit that waits", async || waits_for_a_standby(&world).await).await;
            world.fresh.terminate().await;
        };
        let (committed, ()) = tokio::join!(scope.commit(), end);
        committed.expect("it is kept here, if not by the standby");
        assert_eq!(world.fresh.rows().await, [(7, 7)]);
    }
}
