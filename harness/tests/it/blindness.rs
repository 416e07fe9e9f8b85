//! Each invariant has a history that only it condemns: an oracle without that check lets it pass.
//!
//! The histories are written by hand. A case is what happened on the way; the frame around it (plan over, stopped, final
//! state) is the same for all.

use unstale_harness::history::{ConnectionId, FailureClass, History, Leftovers, Outcome, Reply, Report, What};
use unstale_harness::oracle::{Invariant, Oracle, Verdict};
use unstale_harness::plan::{Build, Phase, Service};

use crate::script::{C1, DONE, Script, autocommit, only_broken};

/// The history that breaks the invariant, and a twin that differs in that point alone and passes.
fn case(invariant: Invariant) -> Option<(History, History)> {
    let script = Script::default;
    let build =
        |write: &dyn Fn(&mut Script, bool) -> History| (write(&mut script(), true), write(&mut script(), false));
    Some(match invariant {
        Invariant::NoStaleUse => build(&|s, broken| {
            s.done(0, "open", &[]).done(0, "retain", &[]).done(0, "close", &[]);
            if broken {
                s.get(0, "stale get k1", None)
            } else {
                s.failed(0, "stale get k1", FailureClass::Stale)
            };
            s.finish(&[])
        }),
        Invariant::StaleIsNamed => build(&|s, broken| {
            let class = if broken { FailureClass::Closed } else { FailureClass::Stale };
            s.done(0, "open", &[]).done(0, "retain", &[]).done(0, "close", &[]).failed(0, "stale get k1", class);
            s.finish(&[])
        }),
        Invariant::NoCrossScope => build(&|s, broken| {
            let other = ConnectionId(if broken { 1 } else { 2 });
            s.done(0, "open", &[]).done(1, "open", &[]);
            s.command(0, "get k1", &[What::Served(C1)], Outcome::Done(Reply::Value(None)));
            s.command(1, "get k1", &[What::Served(other)], Outcome::Done(Reply::Value(None)));
            s.finish(&[])
        }),
        Invariant::CommittedDurable => build(&|s, broken| {
            s.done(0, "open", &[]).done(0, "put k1 1", &autocommit());
            s.finish(if broken { &[] } else { &[(1, 1)] })
        }),
        Invariant::RolledBackInvisible => build(&|s, broken| {
            s.done(0, "open", &[]).done(0, "begin", &[]).done(0, "put k1 1", &[]).done(0, "rollback", &[]);
            s.finish(if broken { &[(1, 1)] } else { &[] })
        }),
        Invariant::ScopeAtomic => build(&|s, broken| {
            s.done(0, "open", &[]).done(0, "begin", &[]).done(0, "put k1 1", &[]).done(0, "put k2 2", &[]);
            s.command(0, "commit cancel@sent", &[], Outcome::Cancelled(Phase::Sent));
            s.finish(if broken { &[(1, 1)] } else { &[(1, 1), (2, 2)] })
        }),
        Invariant::Linearizable => build(&|s, broken| {
            let swapped = |found| Outcome::Done(Reply::Value(Some(found)));
            s.done(0, "open", &[]).done(1, "open", &[]).done(0, "put k1 1", &autocommit());
            s.command(0, "swap k1 2", &autocommit(), swapped(1));
            s.invoke(1, "swap k1 3");
            s.command(0, "swap k1 4", &autocommit(), swapped(2));
            s.push(1, What::Returned(swapped(if broken { 2 } else { 4 })));
            s.finish(&[(1, 3)])
        }),
        Invariant::NoDuplicateEffect => build(&|s, broken| {
            let evidence = if broken { [autocommit(), autocommit()].concat() } else { autocommit().to_vec() };
            s.done(0, "open", &[]).done(0, "put k1 1", &evidence);
            s.finish(&[(1, 1)])
        }),
        Invariant::NoResidue => build(&|s, broken| {
            let seen = Reply::Residue(Leftovers { setting: broken, ..Leftovers::default() });
            s.done(0, "open", &[]).command(0, "inspect", &[], Outcome::Done(seen));
            s.finish(&[])
        }),
        Invariant::TransactionAgreement => build(&|s, broken| {
            let evidence = autocommit();
            s.done(0, "open", &[]).done(0, "begin", &[]);
            s.done(0, "put k1 1", if broken { &evidence } else { &evidence[..2] });
            s.done(0, "commit", &[What::Committed(C1)]);
            s.finish(&[(1, 1)])
        }),
        Invariant::RegistryFresh => build(&|s, broken| {
            s.resolve(0, "resolve settings", Some((1, Service::Settings, &[])), 1).done(0, "invalidate settings", &[]);
            let new = (!broken).then_some((2, Service::Settings, &[][..]));
            s.resolve(0, "resolve settings", new, if broken { 1 } else { 2 });
            s.finish(&[])
        }),
        Invariant::ListenersBalanced => build(&|s, broken| {
            let listeners = u32::from(broken);
            s.note(What::PlanOver).note(What::Reported(Report { healthy: true, listeners, ..Report::default() }));
            s.finish(&[])
        }),
        Invariant::HealthAgrees => build(&|s, broken| {
            s.done(0, "close-pool", &[]).note(What::PlanOver);
            s.note(What::Reported(Report { healthy: broken, ..Report::default() }));
            s.finish(&[])
        }),
        Invariant::ReconnectsBounded => build(&|s, broken| {
            for at in [1, 2, 3] {
                s.done(0, "open", &[]);
                if at == 1 || broken {
                    s.note(What::Connected(ConnectionId(at)));
                }
                s.done(0, "close", &[]);
                if at == 3 || broken {
                    s.note(What::Disconnected(ConnectionId(at)));
                }
            }
            s.finish(&[])
        }),
        Invariant::LimitKept => build(&|s, broken| {
            for (actor, connection) in [(0, C1), (1, ConnectionId(2))] {
                s.done(actor, "open", &[What::Connected(connection)]);
            }
            for (actor, connection) in [(0, C1), (1, ConnectionId(2))] {
                s.command(actor, "get k1", &[What::Served(connection)], Outcome::Done(Reply::Value(None)));
                s.done(actor, "close", &[What::Disconnected(connection)]);
            }
            let connections_max = Some(if broken { 1 } else { 2 });
            History { connections_max, ..s.finish(&[]) }
        }),
        Invariant::NoLeak => build(&|s, broken| {
            s.note(What::Connected(C1));
            if !broken {
                s.note(What::Disconnected(C1));
            }
            s.finish(&[])
        }),
        Invariant::Recovers => build(&|s, broken| {
            s.note(What::PlanOver).done(2, "open", &[]);
            if broken {
                s.failed(2, "put k0 9", FailureClass::Busy)
            } else {
                s.done(2, "put k0 9", &[])
            };
            s.finish(if broken { &[] } else { &[(0, 9)] })
        }),
        Invariant::InnocentSucceeds => build(&|s, broken| {
            s.done(0, "open", &[]);
            if broken {
                s.failed(0, "begin", FailureClass::Mistake)
            } else {
                s.done(0, "begin", &[])
            };
            s.finish(&[])
        }),
        Invariant::CloseEnds => build(&|s, broken| {
            s.done(0, "close-pool", &[]);
            if broken {
                s.done(1, "open", &[])
            } else {
                s.failed(1, "open", FailureClass::Closed)
            };
            s.finish(&[])
        }),
        Invariant::NoPanic => build(&|s, broken| {
            s.invoke(0, "open");
            if broken {
                s.push(0, What::Panicked("a panic".into()));
            }
            s.finish(&[])
        }),
        Invariant::NoHang => build(&|s, broken| {
            s.invoke(0, "open");
            if broken {
                s.push(0, What::Hung);
            }
            s.finish(&[])
        }),
        // It is the extension's own; `tests/own_system.rs` has its case.
        Invariant::Extension => return None,
    })
}

fn is_blind_to(invariant: Invariant) {
    let (broken, sound) = case(invariant).expect("the invariant has a case");
    let found = |oracle: Oracle, history: &History| match oracle.judge(history).verdict {
        Verdict::Violation(it) => Some(it.invariant),
        Verdict::Pass => None,
        Verdict::Inconclusive(why) => panic!("inconclusive: {why}"),
    };
    assert_eq!(found(Oracle::default(), &broken), Some(invariant), "the whole oracle");
    assert_ne!(found(Oracle::default().without(invariant), &broken), Some(invariant), "the blind oracle");
    assert_eq!(found(Oracle::default(), &sound), None, "the sound twin");
}

macro_rules! blindness {
    ($($name:ident => $invariant:ident),* $(,)?) => {
        $(#[test] fn $name() { is_blind_to(Invariant::$invariant); })*

        #[test]
        fn every_invariant_has_a_case() {
            let named = [$(Invariant::$invariant),*];
            for invariant in Invariant::ALL {
                assert!(invariant == Invariant::Extension || named.contains(&invariant), "{invariant} has no case");
            }
        }
    };
}

blindness! {
    stale_use_that_is_served => NoStaleUse,
    two_sessions_on_one_connection => NoCrossScope,
    committed_work_that_is_missing => CommittedDurable,
    rolled_back_work_that_is_there => RolledBackInvisible,
    half_of_an_unknown_commit => ScopeAtomic,
    update_that_is_lost => Linearizable,
    write_that_took_effect_twice => NoDuplicateEffect,
    setting_of_the_last_borrower => NoResidue,
    write_that_committed_by_itself => TransactionAgreement,
    service_that_is_older_than_its_invalidation => RegistryFresh,
    stale_use_with_a_wrong_error => StaleIsNamed,
    listener_that_stays => ListenersBalanced,
    health_that_is_claimed => HealthAgrees,
    connection_for_every_session => ReconnectsBounded,
    connection_that_stays_open => NoLeak,
    next_caller_that_fails => Recovers,
    connection_beyond_the_limit => LimitKept,
    innocent_begin_that_fails => InnocentSucceeds,
    session_of_a_closed_pool => CloseEnds,
    panic_of_the_system => NoPanic,
    command_that_never_ends => NoHang,
}

const SETTINGS: Option<(u16, Service, &[u16])> = Some((1, Service::Settings, &[]));

#[test]
fn original_while_something_stands_in() {
    only_broken(Invariant::RegistryFresh, |s, broken| {
        s.resolve(0, "resolve settings", SETTINGS, 1);
        s.resolve(0, "override settings", Some((2, Service::Settings, &[])), 2);
        s.resolve(1, "resolve settings", None, if broken { 1 } else { 2 });
        s.finish(&[])
    });
}

#[test]
fn stand_in_after_its_guard() {
    for end in ["restore", "crash"] {
        only_broken(Invariant::RegistryFresh, |s, broken| {
            s.resolve(0, "override settings", SETTINGS, 1).done(0, end, &[]);
            let original = (!broken).then_some((2, Service::Settings, &[][..]));
            s.resolve(0, "resolve settings", original, if broken { 1 } else { 2 });
            s.finish(&[])
        });
    }
}

#[test]
fn stand_in_of_another_registry() {
    only_broken(Invariant::RegistryFresh, |s, broken| {
        if broken {
            s.done(0, "fork", &[]);
        }
        s.resolve(0, "override settings", SETTINGS, 1);
        s.resolve(1, "resolve settings", None, 1);
        s.finish(&[])
    });
}

#[test]
fn whole_that_is_made_from_the_original_while_something_stands_in() {
    only_broken(Invariant::RegistryFresh, |s, broken| {
        s.resolve(0, "resolve settings", SETTINGS, 1);
        s.resolve(0, "override settings", Some((2, Service::Settings, &[])), 2);
        s.resolve(1, "resolve mailer", Some((3, Service::Mailer, &[if broken { 1 } else { 2 }])), 3);
        s.finish(&[])
    });
}

#[test]
fn whole_that_is_older_than_the_change_of_a_part_of_a_part() {
    only_broken(Invariant::RegistryFresh, |s, broken| {
        s.done(0, "open", &[]).resolve(0, "resolve settings", SETTINGS, 1);
        s.resolve(0, "resolve mailer", Some((2, Service::Mailer, &[1])), 2);
        s.resolve(0, "resolve report", Some((3, Service::Report, &[2])), 3);
        s.done(1, if broken { "invalidate settings" } else { "invalidate pager" }, &[]);
        s.resolve(0, "resolve report", None, 3);
        s.finish(&[])
    });
}

#[test]
fn scoped_service_of_another_session() {
    only_broken(Invariant::RegistryFresh, |s, broken| {
        s.done(0, "open", &[]).resolve(0, "resolve rows", Some((1, Service::Rows, &[])), 1);
        s.done(0, if broken { "replace" } else { "begin" }, &[]).resolve(0, "resolve rows", None, 1);
        s.finish(&[])
    });
}

#[test]
fn two_of_one_service_in_one_session() {
    only_broken(Invariant::RegistryFresh, |s, broken| {
        s.done(0, "open", &[]).resolve(0, "resolve rows", Some((1, Service::Rows, &[])), 1);
        s.done(0, if broken { "begin" } else { "invalidate rows" }, &[]);
        s.resolve(0, "resolve rows", Some((2, Service::Rows, &[])), 2);
        s.finish(&[])
    });
}

#[test]
fn singleton_that_is_built_twice() {
    only_broken(Invariant::RegistryFresh, |s, broken| {
        s.resolve(0, "resolve pager", Some((1, Service::Pager, &[])), 1);
        if !broken {
            s.done(1, "invalidate pager", &[]);
        }
        s.command(1, "warm-up", &[What::Built { build: Build(2), service: Service::Pager, parts: Vec::new() }], DONE);
        s.finish(&[])
    });
}

#[test]
fn row_that_outlives_its_fixture() {
    only_broken(Invariant::NoResidue, |s, broken| {
        s.done(0, "open", &[]).done(0, "put k1 1", &[]);
        let history = s.finish(if broken { &[(1, 1)] } else { &[] });
        History { fixture: true, ..history }
    });
}
