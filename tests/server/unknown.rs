//! Hazard: a commit whose answer is lost, told as committed when it was not, or the reverse.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use unstale::source::Begin;
use unstale::{Error, PgOptions, PgSource, Policy, Resolver, Scope, Sessions};
use unstale_wire::proxy::{Moment, NetworkFault, Proxy, Scope as Whom};
use unstale_wire::server::{Server, Shutdown};
use unstale_wire::trials::Trial;

use crate::bed::{Fresh, Nobody, SOON, cancel_after, own, pid, policy, put, within};
use crate::tests;

pub(crate) fn trials() -> Vec<Trial> {
    tests![
        without_a_resolver_it_is_unknown,
        answer_that_is_lost_is_found_out,
        commit_that_never_arrived_is_rolled_back,
        commit_that_stands_still_is_stopped_and_told,
        restart_in_a_commit_is_found_out,
        number_that_was_given_away_after_a_crash_proves_nothing,
        commit_cancelled_by_its_caller_is_told_by_the_next on 2 threads,
        resolution_cancelled_leaves_the_commit_unknown,
        server_that_stays_away_leaves_it_unknown,
        whole_transaction_is_tried_again_only_if_it_was_rolled_back,
        read_only_transaction_has_no_number,
        question_that_fails_leaves_it_unknown,
        begin_with_a_number_costs_no_round_trip,
        begin_whose_number_is_refused_begins_nothing,
    ]
}

/// Sessions behind a proxy, and a look past it.
pub(crate) struct World {
    pub(crate) fresh: Fresh,
    proxy: Arc<Proxy>,
    pub(crate) sessions: Sessions<PgSource>,
}

impl World {
    async fn new() -> Self {
        Self::before(Server::shared().expect("a server"), policy()).await
    }

    pub(crate) async fn before(server: &Server, policy: Policy) -> Self {
        let fresh = Fresh::on(server, policy.clone()).await;
        let proxy = Arc::new(Proxy::start(server.address(), Arc::new(Nobody)).expect("a proxy"));
        let options = fresh.options.clone().port(proxy.address().port());
        let sessions = PgOptions::new(options).open(policy).await.expect("sessions");
        Self { fresh, proxy, sessions }
    }

    /// Both ways to resolve.
    pub(crate) fn resolving(&self) -> [Sessions<PgSource>; 2] {
        [Resolver::transaction_id(), Resolver::asking(is_there)].map(|it| self.sessions.resolving(it))
    }

    fn arm(&self, fault: NetworkFault, moment: Moment) {
        self.proxy.arm(fault, moment, Whom::Next).expect("armed");
    }

    /// A scope whose transaction has written this key.
    pub(crate) async fn begun(sessions: &Sessions<PgSource>, k: i64) -> Scope<PgSource> {
        let scope = sessions.scope("pay");
        scope.begin().await.expect("begin");
        put(&scope, k, k).await.expect("put");
        scope
    }
}

/// The application's own question: it knows its key.
async fn is_there(scope: Scope<PgSource>) -> sqlx::Result<Option<bool>> {
    let there = sqlx::query_scalar("select exists (select from kv where k = $1)").bind(7_i64).fetch_one(&scope).await?;
    Ok(Some(there))
}

fn is_rolled_back(result: &Result<(), Error>) -> bool {
    matches!(result, Err(Error::RolledBack { .. }))
}

async fn without_a_resolver_it_is_unknown() {
    let world = World::new().await;
    let scope = World::begun(&world.sessions, 7).await;
    world.arm(NetworkFault::Reset, Moment::BeforeReply);
    let committed = scope.commit().await;
    assert!(matches!(committed, Err(Error::CommitUnknown { .. })), "{committed:?}");
    assert_eq!(world.fresh.rows().await, [(7, 7)]);
}

async fn answer_that_is_lost_is_found_out() {
    for (fault, moment) in [
        (NetworkFault::Reset, Moment::BeforeReply),
        (NetworkFault::Fin, Moment::BeforeReply),
        (NetworkFault::CutAfter(3), Moment::MidReply),
    ] {
        for way in 0..2 {
            let world = World::new().await;
            let sessions = &world.resolving()[way];
            let scope = World::begun(sessions, 7).await;
            world.arm(fault, moment);
            scope.commit().await.expect("it was committed");
            assert_eq!(world.fresh.rows().await, [(7, 7)]);
            put(&scope, 8, 8).await.expect("the scope goes on");
            assert_eq!(scope.generation(), 2);
        }
    }
}

async fn commit_that_never_arrived_is_rolled_back() {
    for way in 0..2 {
        let world = World::new().await;
        let sessions = &world.resolving()[way];
        let scope = World::begun(sessions, 7).await;
        world.arm(NetworkFault::Reset, Moment::BeforeSend);
        let committed = scope.commit().await;
        assert!(is_rolled_back(&committed), "{committed:?}");
        assert_eq!(world.fresh.rows().await, []);
        scope.begin().await.expect("the scope goes on");
        put(&scope, 7, 1).await.expect("put");
        scope.commit().await.expect("commit");
        assert_eq!(world.fresh.rows().await, [(7, 1)]);
    }
}

/// The server holds an idle transaction open and hears nothing: it is in progress for ever, unless it is stopped.
async fn commit_that_stands_still_is_stopped_and_told() {
    for way in 0..2 {
        for (moment, kept) in [(Moment::BeforeSend, false), (Moment::BeforeReply, true)] {
            let mut policy = policy();
            policy.end_timeout = Duration::from_millis(200);
            let world = World::before(Server::shared().expect("a server"), policy.clone()).await;
            let sessions = &world.resolving()[way];
            let scope = World::begun(sessions, 7).await;
            world.arm(NetworkFault::BlackHole, moment);
            let began = Instant::now();
            let committed = scope.commit().await;
            assert_eq!((committed.is_ok(), is_rolled_back(&committed)), (kept, !kept), "{way} {moment} {committed:?}");
            assert!(began.elapsed() < policy.resolve_timeout, "{:?}", began.elapsed());
            assert_eq!(world.fresh.rows().await.len(), usize::from(kept));
            world.proxy.heal().expect("healed");
            assert_eq!(world.fresh.rows().await.len(), usize::from(kept));
        }
    }
}

async fn restart_in_a_commit_is_found_out() {
    let server = Server::start().expect("a server");
    for (how, moment) in [
        (Shutdown::Kill, Moment::BeforeSend),
        (Shutdown::Kill, Moment::BeforeReply),
        (Shutdown::Immediate, Moment::BeforeSend),
        (Shutdown::Immediate, Moment::BeforeReply),
        (Shutdown::Fast, Moment::BeforeSend),
        (Shutdown::Fast, Moment::BeforeReply),
    ] {
        for way in 0..2 {
            let mut policy = policy();
            policy.end_timeout = Duration::from_millis(200);
            // A server that starts up on a busy machine takes its time.
            policy.resolve_timeout = SOON;
            let world = World::before(&server, policy).await;
            let sessions = &world.resolving()[way];
            let scope = World::begun(sessions, 7).await;
            world.arm(NetworkFault::BlackHole, moment);
            let restart = async {
                within(SOON, "the commit", async || world.proxy.counters().landed > 0).await;
                server.restart(how).expect("restarted");
            };
            let (committed, ()) = tokio::join!(scope.commit(), restart);
            let kept = world.fresh.rows().await.len() == 1;
            if way == 0 && kept && how != Shutdown::Fast {
                // Its number may be another's after a crash.
                assert!(matches!(committed, Err(Error::CommitUnknown { .. })), "{way} {how:?} {moment} {committed:?}");
                continue;
            }
            assert_eq!(
                (committed.is_ok(), is_rolled_back(&committed)),
                (kept, !kept),
                "{way} {how:?} {moment} {committed:?}"
            );
        }
    }
}

/// What was not written to the disk before a crash is given to others after it, its number too.
async fn number_that_was_given_away_after_a_crash_proves_nothing() {
    let server = Server::start().expect("a server");
    let world = World::before(&server, policy()).await;
    let scope = World::begun(&world.resolving()[0], 7).await;
    let number = "select pg_current_xact_id()::text";
    let mine: String = sqlx::query_scalar(number).fetch_one(&scope).await.expect("a number");
    server.restart(Shutdown::Kill).expect("restarted");
    let mut outside = world.fresh.outside().await;
    let mut given = Vec::<String>::new();
    for _ in 0..20 {
        given.push(sqlx::query_scalar(number).fetch_one(&mut outside).await.expect("a number"));
    }
    assert!(given.contains(&mine), "this server has kept {mine}: it gave {given:?}");
    let committed = scope.commit().await;
    assert!(matches!(committed, Err(Error::CommitUnknown { .. })), "{committed:?}");
    assert_eq!(world.fresh.rows().await, []);
}

async fn commit_cancelled_by_its_caller_is_told_by_the_next() {
    let mut told = [0, 0];
    for polls in 0..12 {
        for way in 0..2 {
            for rolls_back in [false, true] {
                let world = World::new().await;
                let sessions = &world.resolving()[way];
                let scope = World::begun(sessions, 7).await;
                if cancel_after(polls % 4, scope.commit()).await.is_some() {
                    continue;
                }
                if polls % 4 > 0 {
                    // Time for the server, or none.
                    tokio::time::sleep(Duration::from_millis(u64::from(polls / 4) * 2)).await;
                    assert!(own(put(&scope, 8, 8).await).contains("is unknown"));
                }
                let answer = if rolls_back { scope.rollback().await } else { scope.commit().await };
                let kept = world.fresh.rows().await.len() == 1;
                match (&answer, rolls_back) {
                    (Ok(()), false) => assert!(kept, "{polls}"),
                    (Err(Error::RolledBack { .. }), false) | (Ok(()), true) => assert!(!kept, "{polls}"),
                    (Err(Error::AlreadyCommitted { .. }), true) => assert!(kept, "{polls}"),
                    _ => panic!("{polls} {answer:?}"),
                }
                told[usize::from(kept)] += 1;
                put(&scope, 9, 9).await.expect("the scope goes on");
            }
        }
    }
    println!("rolled back {}, committed {}", told[0], told[1]);
    assert!(told[0] > 0 && told[1] > 0, "{told:?}");
}

async fn resolution_cancelled_leaves_the_commit_unknown() {
    for way in 0..2 {
        for polls in [1, 3, 6, 12] {
            let world = World::new().await;
            let sessions = &world.resolving()[way];
            let scope = World::begun(sessions, 7).await;
            world.arm(NetworkFault::Reset, Moment::BeforeReply);
            if cancel_after(polls, scope.commit()).await.is_none() {
                assert!(own(put(&scope, 8, 8).await).contains("is unknown"));
                scope.commit().await.expect("it was committed");
            }
            put(&scope, 9, 9).await.expect("the scope goes on");
            assert_eq!(world.fresh.rows().await, [(7, 7), (9, 9)]);
        }
    }
}

async fn server_that_stays_away_leaves_it_unknown() {
    let server = Server::start().expect("a server");
    let mut policy = policy();
    policy.resolve_timeout = Duration::from_secs(1);
    for way in 0..2 {
        let world = World::before(&server, policy.clone()).await;
        let sessions = &world.resolving()[way];
        let scope = World::begun(sessions, 7).await;
        server.stop(Shutdown::Kill).expect("stopped");
        let began = Instant::now();
        let committed = scope.commit().await;
        assert!(matches!(committed, Err(Error::CommitUnknown { .. })), "{committed:?}");
        assert!(began.elapsed() < policy.resolve_timeout * 2, "{:?}", began.elapsed());
        server.start_again().expect("started");
        put(&scope, 8, 8).await.expect("the caller was told, and the scope goes on");
        assert_eq!(world.fresh.rows().await, [(8, 8)]);
    }
}

async fn whole_transaction_is_tried_again_only_if_it_was_rolled_back() {
    for (moment, runs) in [(Moment::BeforeSend, 2), (Moment::BeforeReply, 1)] {
        let world = World::new().await;
        let sessions = &world.resolving()[0];
        let ran = AtomicU32::new(0);
        let work = async |scope: &Scope<PgSource>| {
            put(scope, 7, 7).await.map_err(Failed::from)?;
            if ran.fetch_add(1, Ordering::SeqCst) == 0 {
                world.arm(NetworkFault::Reset, moment);
            }
            Ok::<_, Failed>(())
        };
        sessions.run("pay", work).await.expect("paid");
        assert_eq!((ran.load(Ordering::SeqCst), world.fresh.rows().await), (runs, vec![(7, 7)]));
    }
}

#[derive(Debug)]
#[expect(dead_code, reason = "it is printed")]
struct Failed(Box<dyn std::error::Error + Send + Sync>);

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Self(error.into())
    }
}

impl From<sqlx::Error> for Failed {
    fn from(error: sqlx::Error) -> Self {
        Self(error.into())
    }
}

async fn read_only_transaction_has_no_number() {
    let world = World::new().await;
    let scope = world.resolving()[0].scope("report");
    scope.begin_with(Begin { read_only: true, ..Begin::default() }).await.expect("begin");
    pid(&scope).await.expect("a pid");
    let number = sqlx::query_scalar::<_, Option<String>>("select pg_current_xact_id_if_assigned()::text");
    assert_eq!(number.fetch_one(&scope).await.expect("an answer"), None);
    world.arm(NetworkFault::Reset, Moment::BeforeReply);
    assert!(matches!(scope.commit().await, Err(Error::CommitUnknown { .. })));
}

async fn question_that_fails_leaves_it_unknown() {
    let mut policy = policy();
    policy.resolve_timeout = Duration::from_secs(2);
    let world = World::before(Server::shared().expect("a server"), policy).await;
    let asked = Arc::new(AtomicU32::new(0));
    let question = {
        let asked = Arc::clone(&asked);
        move |scope: Scope<PgSource>| {
            let asked = Arc::clone(&asked);
            async move {
                asked.fetch_add(1, Ordering::SeqCst);
                sqlx::query("select from nowhere").execute(&scope).await.map(|_| None)
            }
        }
    };
    let scope = World::begun(&world.sessions.resolving(Resolver::asking(question)), 7).await;
    world.arm(NetworkFault::Reset, Moment::BeforeReply);
    assert!(matches!(scope.commit().await, Err(Error::CommitUnknown { .. })));
    assert!(asked.load(Ordering::SeqCst) > 1, "it was asked again");
    drop(scope);
    within(SOON, "connections to come back", async || world.sessions.health().usage.in_use == 0).await;
}

async fn begin_with_a_number_costs_no_round_trip() {
    let world = World::new().await;
    let mut requests = Vec::new();
    for sessions in [&world.sessions, &world.resolving()[0]] {
        let scope = sessions.scope("pay");
        let before = world.proxy.counters().requests;
        scope.begin().await.expect("begin");
        scope.commit().await.expect("commit");
        requests.push(world.proxy.counters().requests - before);
    }
    assert_eq!(requests, [2, 2]);
}

/// A role that may not ask for the number: BEGIN is done, and what comes behind it in the same message is refused.
async fn begin_whose_number_is_refused_begins_nothing() {
    let fresh = Fresh::new().await;
    let mut outside = fresh.outside().await;
    let limited = "create role limited login password 'limited'; grant all on kv to limited; \
        revoke execute on function pg_current_xact_id() from public; \
        do $$ begin execute format('grant usage on schema %I to limited', current_schema()); end $$";
    sqlx::raw_sql(limited).execute(&mut outside).await.expect("a role");
    let mut only_one = policy();
    only_one.sessions_max = 1;
    let limited = fresh.options.clone().username("limited").password("limited");
    let sessions = PgOptions::new(limited).open(only_one).await.expect("sessions");
    for k in 1..4 {
        let scope = sessions.resolving(Resolver::transaction_id()).scope("numbered");
        assert!(scope.begin().await.is_err(), "it may not ask for the number");
        put(&scope, k, 1).await.expect("in autocommit");
        scope.end().await.expect("nothing is open");
        let next = sessions.scope("next");
        put(&next, -k, 1).await.expect("in autocommit");
        next.begin().await.expect("without a number");
        next.rollback().await.expect("rollback");
    }
    assert_eq!(fresh.rows().await.len(), 6);
}
