//! Hazard: the connection dies under a scope.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use unstale::{Error, Event, OnLoss, Policy};

use super::bed::{Bed, SOON, own, policy, within};

pub(crate) async fn session_lost_outside_a_transaction_is_recovered_with_the_next_generation<B: Bed>() {
    let bed = B::fragile(policy()).await;
    let recovered = Arc::new(AtomicU64::new(0));
    let seen = Arc::clone(&recovered);
    let _listening = bed.sessions().listen(move |event| {
        if let Event::Recovered { generation, .. } = event {
            seen.store(*generation, Ordering::SeqCst);
        }
    });
    let scope = bed.sessions().scope("request");
    let handle = scope.handle("service");
    B::put_by(&handle, 1, 1).await.expect("put");
    let pinned = handle.pinned();

    bed.lose().await;
    let error = B::put_by(&handle, 2, 2).await.expect_err("something was done on this session");
    assert!(B::is_loss(&error), "{error}");
    bed.repair();

    B::put_by(&handle, 3, 3).await.expect("the scope goes on, and so does its handle");
    assert_eq!(scope.generation(), 2);
    assert!(own(B::put_by(&pinned, 4, 4).await).contains("pinned to session 1"));
    assert_eq!(bed.rows().await, [(1, 1), (3, 3)]);
    assert_eq!(recovered.load(Ordering::SeqCst), 2);
    let health = bed.sessions().health();
    assert_eq!((health.lost, health.recovered, health.recovery.count), (1, 1, 1));
}

pub(crate) async fn session_lost_inside_a_transaction_never_goes_on_in_autocommit<B: Bed>() {
    let bed = B::fragile(policy()).await;
    let scope = bed.sessions().scope("request");
    scope.begin().await.expect("begin");
    bed.lose().await;
    let error = own(B::put(&scope, 2, 2).await);
    assert!(error.contains("was lost") && error.contains("roll back"), "{error}");
    bed.repair();
    assert!(own(B::put(&scope, 3, 3).await).contains("was lost"));
    assert!(matches!(scope.commit().await, Err(Error::TransactionLost { .. })));
    B::put(&scope, 4, 4).await.expect("acknowledged");
    assert_eq!((bed.rows().await, scope.generation()), (vec![(4, 4)], 2));
}

pub(crate) async fn test_policy_reports_a_loss_instead_of_recovering<B: Bed>() {
    let mut policy = policy();
    policy.on_loss = OnLoss::Report;
    let bed = B::fragile(policy).await;
    let scope = bed.sessions().scope("request");
    B::put(&scope, 1, 1).await.expect("put");
    bed.lose().await;
    assert!(B::put(&scope, 2, 2).await.is_err());
    bed.repair();
    assert!(own(B::put(&scope, 3, 3).await).contains("`renew()` accepts the loss"));
    scope.renew().await.expect("renew");
    B::put(&scope, 4, 4).await.expect("put");
    assert_eq!(bed.rows().await, [(1, 1), (4, 4)]);
    assert_eq!(Policy::for_tests().on_loss, OnLoss::Report);
}

pub(crate) async fn session_with_something_on_it_is_not_replaced_behind_the_callers_back<B: Bed>() {
    for residue in B::RESIDUE {
        let bed = B::fragile(policy()).await;
        let scope = bed.sessions().scope("request");
        B::run(&scope, residue).await.expect(residue);
        bed.lose().await;
        assert!(B::put(&scope, 2, 2).await.is_err(), "{residue}");
        bed.repair();
        let error = own(B::put(&scope, 3, 3).await);
        assert!(error.contains("was lost") && error.contains("`renew()`"), "{residue}: {error}");
        assert_eq!(bed.rows().await, [], "{residue}");
    }
}

pub(crate) async fn session_with_something_on_it_is_not_replaced_after_a_lost_transaction<B: Bed>() {
    for residue in B::RESIDUE {
        let bed = B::fragile(policy()).await;
        let scope = bed.sessions().scope("request");
        B::run(&scope, residue).await.expect(residue);
        scope.begin().await.expect("begin");
        bed.lose().await;
        assert!(B::put(&scope, 2, 2).await.is_err(), "{residue}");
        bed.repair();
        scope.rollback().await.expect("the loss of the transaction is accepted");
        let error = own(B::put(&scope, 3, 3).await);
        assert!(error.contains("was lost") && error.contains("`renew()`"), "{residue}: {error}");
        scope.renew().await.expect("so is that of the session");
        B::put(&scope, 4, 4).await.expect("another one");
        assert_eq!(bed.rows().await, [(4, 4)], "{residue}");
    }
}

pub(crate) async fn scope_dropped_outside_of_a_runtime_leaves_nothing_open<B: Bed>() {
    let bed = B::new().await;
    let open = bed.sessions().scope("in a transaction");
    open.begin().await.expect("begin");
    B::put(&open, 1, 1).await.expect("put");
    let ready = bed.sessions().scope("in autocommit");
    B::keys(&ready).await;
    std::thread::spawn(move || drop((open, ready))).join().expect("no panic");
    assert_eq!(bed.sessions().health().usage.in_use, 0);
    assert_eq!(bed.rows().await, []);
    // What is closed without a runtime may take its time.
    within(SOON, "its lock to be free", async || B::put(&bed.sessions().scope("next"), 2, 2).await.is_ok()).await;
}
