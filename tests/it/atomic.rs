//! Hazard: several statements belong together, and one of them fails, is cancelled, or meets a call that does not belong to them.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::Poll;
use std::time::Duration;

use futures_util::StreamExt;
use sqlx::{Connection, Executor, SqliteConnection};
use tokio::sync::Notify;
use tokio::task::yield_now;
use unstale::{Ended, Error, ErrorClass, Handle, Repository, Scope, SqliteSource};

use crate::bed::{Fresh, cancel_after, deferred_child, policy, put, within};
use crate::hazards::bed::SOON;

fn rows(scope: &Scope<SqliteSource>) -> Repository<SqliteSource> {
    Repository::new("Rows", scope.handle("Rows"))
}

/// Puts two rows; the second cannot be put if it is the first.
async fn two(db: Handle<SqliteSource>, first: i64, second: i64) -> sqlx::Result<()> {
    put(&db, first, 1).await?;
    put(&db, second, 2).await
}

#[tokio::test]
async fn everything_is_kept_or_nothing() {
    let fresh = Fresh::new().await;
    let scope = fresh.sessions.scope("request");
    let rows = rows(&scope);
    rows.atomic("two", |db| two(db, 1, 2)).await.expect("both");
    let error = rows.atomic("two", |db| two(db, 3, 3)).await.expect_err("a row of this key is there");
    assert_eq!((error.operation, error.class, error.attempts), ("two", ErrorClass::Rejected, 1));
    put(&scope, 4, 4).await.expect("in autocommit again");
    assert_eq!(fresh.rows().await, [(1, 1), (2, 2), (4, 4)]);
}

#[tokio::test]
async fn inside_a_transaction_it_is_a_savepoint() {
    let fresh = Fresh::new().await;
    let scope = fresh.sessions.scope("request");
    let rows = rows(&scope);
    scope.begin().await.expect("begin");
    rows.atomic("two", |db| two(db, 1, 2)).await.expect("both");
    rows.atomic("two", |db| two(db, 3, 3)).await.expect_err("a row of this key is there");
    put(&scope, 4, 4).await.expect("the transaction goes on");
    assert_eq!(fresh.rows().await, []);
    scope.commit().await.expect("commit");
    assert_eq!(fresh.rows().await, [(1, 1), (2, 2), (4, 4)]);
}

#[tokio::test]
async fn one_inside_another_is_undone_alone() {
    let fresh = Fresh::new().await;
    let scope = fresh.sessions.scope("request");
    let outer = rows(&scope);
    let done = outer.atomic("outer", |db| async move {
        let inner = Repository::new("Inner", db.clone());
        inner.atomic("two", |db| two(db, 1, 1)).await.expect_err("a row of this key is there");
        inner.atomic("two", |db| two(db, 2, 3)).await.expect("both");
        put(&db, 4, 4).await
    });
    done.await.expect("the outer one goes on");
    assert_eq!(fresh.rows().await, [(2, 1), (3, 2), (4, 4)]);
}

/// Two rows, as [`two`], with a poll's end before, between and after them, whenever the driver answers.
async fn two_slowly(db: Handle<SqliteSource>) -> sqlx::Result<()> {
    yield_now().await;
    put(&db, 1, 1).await?;
    yield_now().await;
    put(&db, 2, 2).await?;
    yield_now().await;
    Ok(())
}

/// Drops the operation after one to four polls, alone and inside a transaction. The driver may end further polls, when it is
/// slow.
#[tokio::test]
async fn cancelled_at_any_poll_it_is_undone_before_anything_else() {
    for in_transaction in [false, true] {
        let mut cut = 0;
        for k in (1..=4).cycle().take(40) {
            let fresh = Fresh::new().await;
            let scope = fresh.sessions.scope("request");
            put(&scope, 9, 9).await.expect("before");
            if in_transaction {
                scope.begin().await.expect("begin");
                put(&scope, 8, 8).await.expect("before");
            }
            let rows = rows(&scope);
            let done = cancel_after(k, rows.atomic("two", two_slowly)).await;
            cut += u32::from(done.is_none());
            let after = put(&scope, 4, 4).await;
            if in_transaction {
                let over = if after.is_ok() { scope.commit().await } else { scope.rollback().await };
                over.expect("the caller's transaction can be ended");
            } else {
                after.expect("a call after it is done");
            }
            let all = fresh.rows().await;
            let has = |key: i64| all.iter().any(|it| it.0 == key);
            assert_eq!(has(1), has(2), "half of it is kept after {k} polls: {all:?}");
            assert!(has(9), "{all:?}");
            if in_transaction {
                assert_eq!(has(8), has(4), "half of the caller's is kept after {k} polls: {all:?}");
            }
        }
        assert!(cut >= 30, "it was cancelled {cut} times only");
    }
}

#[tokio::test]
async fn nobody_has_to_call_for_it_to_be_undone() {
    let fresh = Fresh::new().await;
    let scope = fresh.sessions.scope("request");
    let rows = rows(&scope);
    let inside = &Notify::new();
    let work = rows.atomic::<(), _>("waits", |db| async move {
        put(&db, 1, 1).await?;
        inside.notify_one();
        std::future::pending().await
    });
    tokio::select! {
        _ = work => panic!("it waits for ever"),
        () = inside.notified() => {}
    }
    within(SOON, "its lock to be free", async || put(&fresh.sessions.scope("other"), 2, 2).await.is_ok()).await;
    assert_eq!(fresh.rows().await, [(2, 2)]);
}

#[tokio::test]
async fn panic_undoes_it() {
    let fresh = Fresh::new().await;
    let scope = fresh.sessions.scope("request");
    let rows = rows(&scope);
    let task = tokio::spawn(async move {
        let _scope_lives = rows
            .atomic::<(), _>("panics", |db| async move {
                put(&db, 1, 1).await?;
                panic!("on purpose")
            })
            .await;
    });
    assert!(task.await.expect_err("panic").is_panic());
    put(&scope, 4, 4).await.expect("after");
    assert_eq!(fresh.rows().await, [(4, 4)]);
}

#[tokio::test]
async fn call_beside_it_waits_and_is_kept() {
    let fresh = Fresh::new().await;
    let scope = fresh.sessions.scope("request");
    let rows = rows(&scope);
    let (inside, called) = (&Notify::new(), &Notify::new());
    let work = rows.atomic("slow", |db| async move {
        put(&db, 1, 1).await?;
        inside.notify_one();
        called.notified().await;
        put(&db, 1, 2).await
    });
    let beside = async {
        inside.notified().await;
        let mut call = pin!(put(&scope, 2, 2));
        let waits = poll_fn(|context| Poll::Ready(call.as_mut().poll(context).is_pending())).await;
        assert!(waits, "it is not its turn");
        called.notify_one();
        call.await
    };
    let (failed, kept) = tokio::join!(work, beside);
    failed.expect_err("a row of this key is there");
    kept.expect("it was not in the operation");
    assert_eq!(fresh.rows().await, [(2, 2)]);
}

#[tokio::test]
async fn call_inside_it_with_another_handle_is_refused_at_once() {
    let fresh = Fresh::new().await;
    let scope = fresh.sessions.scope("request");
    let outside = scope.handle("outside");
    let outside = &outside;
    let work = rows(&scope).atomic("two", |_| put(outside, 1, 1)).await;
    let error = work.expect_err("it would wait for itself");
    let own = Error::of(&error.source).expect("the library's");
    assert!(matches!(own, Error::SessionBusy { holder: "two", own_task: true, .. }), "{own}");
    assert!(error.to_string().contains("inside an atomic operation use its handle"), "{error}");
}

#[tokio::test]
async fn call_that_would_wait_for_its_own_stream_is_refused_also_behind_an_operation() {
    let fresh = Fresh::new().await;
    let scope = std::sync::Arc::new(fresh.sessions.scope("request"));
    put(&*scope, 1, 1).await.expect("put");
    put(&*scope, 2, 2).await.expect("put");
    let mut stream = sqlx::query("select k from kv").fetch(&*scope);
    stream.next().await.expect("a row").expect("read");
    let waiting = tokio::spawn({
        let rows = rows(&scope);
        async move { rows.atomic("waits", |db| async move { put(&db, 3, 3).await }).await }
    });
    yield_now().await;
    let error = put(&*scope, 4, 4).await.expect_err("it would wait for itself");
    let own = Error::of(&error).expect("the library's");
    assert!(matches!(own, Error::SessionBusy { holder: "fetch", own_task: true, .. }), "{own}");
    drop(stream);
    waiting.await.expect("no panic").expect("the stream is gone");
}

#[tokio::test]
async fn its_handle_is_stale_after_it() {
    let fresh = Fresh::new().await;
    let scope = fresh.sessions.scope("request");
    let escaped = rows(&scope).atomic("lends", |db| async move { Ok(db) }).await.expect("nothing to do");
    assert!(escaped.is_stale());
    let error = put(&escaped, 1, 1).await.expect_err("stale");
    let Some(Error::Stale(stale)) = Error::of(&error) else { panic!("{error}") };
    assert_eq!(stale.ended, Ended::Operation { operation: "lends" });
    assert_eq!(fresh.rows().await, []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn call_in_flight_at_its_end_belongs_to_it_or_is_refused() {
    for commit in [true, false].repeat(10) {
        let fresh = Fresh::new().await;
        let scope = fresh.sessions.scope("request");
        let (send, receive) = tokio::sync::oneshot::channel();
        let send = std::sync::Mutex::new(Some(send));
        let done = rows(&scope)
            .atomic("spawns", |db| {
                let send = send.lock().expect("lock").take().expect("once");
                async move {
                    put(&db, 1, 1).await?;
                    let late = tokio::spawn(async move {
                        let mut key = 10;
                        while put(&db, key, 0).await.is_ok() {
                            key += 1;
                            yield_now().await;
                        }
                        10..key
                    });
                    yield_now().await;
                    let _ = send.send(late);
                    if commit { Ok(()) } else { Err(sqlx::Error::RowNotFound) }
                }
            })
            .await;
        assert_eq!(done.is_ok(), commit);
        let answered = receive.await.expect("sent").await.expect("no panic");
        let kept: Vec<_> = fresh.rows().await.into_iter().map(|it| it.0).filter(|it| *it >= 10).collect();
        if commit {
            assert_eq!(kept, answered.collect::<Vec<_>>(), "what was answered belongs to it, the rest was refused");
        } else {
            assert!(kept.is_empty(), "{kept:?}");
        }
    }
}

#[tokio::test]
async fn refused_by_a_lock_it_is_tried_again_as_a_whole() {
    let fresh = Fresh::new().await;
    let mut holder = SqliteConnection::connect(&fresh.url()).await.expect("a second connection");
    holder.execute("begin immediate").await.expect("a lock");
    let scope = fresh.sessions.scope("request");
    let rows = rows(&scope);
    let tries = AtomicU32::new(0);
    let tries = &tries;
    let work = rows.atomic("reads, then writes", |db| async move {
        tries.fetch_add(1, Ordering::SeqCst);
        sqlx::query("select count(*) from kv").execute(&db).await?;
        put(&db, 1, 1).await
    });
    let (done, ()) = tokio::join!(work, async {
        within(SOON, "a second attempt", async || tries.load(Ordering::SeqCst) > 1).await;
        // What it has read is old then: the whole transaction has to be run anew.
        holder.execute("insert into kv values (5, 5)").await.expect("a row");
        holder.execute("commit").await.expect("unlocked");
    });
    done.expect("it is done once the lock is free");
    assert!(tries.load(Ordering::SeqCst) > 1);
    assert_eq!(fresh.rows().await, [(1, 1), (5, 5)]);
}

#[tokio::test]
async fn refused_commit_is_answered_and_not_repeated() {
    let fresh = Fresh::new().await;
    let scope = fresh.sessions.scope("request");
    deferred_child(&scope).await;
    let tries = AtomicU32::new(0);
    let tries = &tries;
    let rows = rows(&scope);
    let work = rows.atomic("orphan", |db| async move {
        tries.fetch_add(1, Ordering::SeqCst);
        put(&db, 1, 1).await?;
        sqlx::query("insert into child values (7)").execute(&db).await.map(drop)
    });
    let error = work.await.expect_err("no parent");
    assert!(matches!(Error::of(&error.source), Some(Error::RolledBack { .. })), "{error}");
    assert_eq!(tries.load(Ordering::SeqCst), 1);
    assert_eq!(fresh.rows().await, []);
    put(&scope, 4, 4).await.expect("in autocommit again");
}

#[tokio::test]
async fn scope_that_ended_meanwhile_keeps_nothing_of_it() {
    let fresh = Fresh::new().await;
    let scope = fresh.sessions.scope("request");
    let rows = rows(&scope);
    let scope = std::sync::Mutex::new(Some(scope));
    let scope = &scope;
    let done = rows.atomic("outlives", |db| async move {
        put(&db, 1, 1).await?;
        drop(scope.lock().expect("lock").take());
        Ok(())
    });
    let error = done.await.expect_err("the scope has ended");
    assert!(matches!(Error::of(&error.source), Some(Error::Stale(_))), "{error}");
    within(SOON, "its connection to come back", async || fresh.sessions.health().usage.in_use == 0).await;
    assert_eq!(fresh.rows().await, []);
}

/// Many tasks on one scope: pairs of rows, some inside others, some cancelled somewhere, and single rows beside them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn beside_each_other_each_is_kept_or_undone_as_it_was_answered() {
    const PAIRS: i64 = 60;
    let mut policy = policy();
    policy.queue_timeout = Duration::from_secs(30);
    let fresh = Fresh::with(policy).await;
    let scope = std::sync::Arc::new(fresh.sessions.scope("request"));
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..4 {
        let scope = std::sync::Arc::clone(&scope);
        tasks.spawn(async move {
            let rows = rows(&scope);
            let mut answers = Vec::new();
            for pair in 0..PAIRS {
                let key = (task * PAIRS + pair) * 10;
                let work = rows.atomic("pair", |db| async move {
                    put(&db, key, 0).await?;
                    let inner = Repository::new("Inner", db.clone());
                    // Fails, is undone, and the outer one goes on.
                    let _ = inner.atomic("fails", |db| two(db, key + 2, key + 2)).await;
                    inner.atomic("second", |db| async move { put(&db, key + 1, 0).await }).await.map_err(|it| it.source)
                });
                let patience = Duration::from_micros(u64::try_from(key * 7919 % 3000).expect("positive"));
                let answer = match pair % 3 {
                    0 => tokio::time::timeout(patience, work).await.ok().map(|it| it.is_ok()),
                    _ => Some(work.await.is_ok()),
                };
                let single = put(&*scope, key + 3, 0).await.is_ok();
                answers.push((key, answer, single));
            }
            answers
        });
    }
    let answers: Vec<_> = tasks.join_all().await.into_iter().flatten().collect();
    let kept: std::collections::BTreeSet<_> = fresh.rows().await.into_iter().map(|it| it.0).collect();
    for (key, answer, single) in &answers {
        let has = |offset: i64| kept.contains(&(key + offset));
        assert_eq!(has(0), has(1), "half of pair {key} is kept, which was answered {answer:?}");
        assert!(!has(2), "what was undone inside pair {key} is there");
        assert_eq!(has(3), *single, "the row beside pair {key}");
        assert!(answer.is_none_or(|it| it == has(0)), "pair {key} was answered {answer:?}");
        assert!(*single, "the row beside pair {key} was refused");
    }
    let cut = answers.iter().filter(|it| it.1.is_none()).count();
    assert!(cut > 0 && answers.iter().any(|it| it.1 == Some(true)), "{cut} were cancelled");
}
