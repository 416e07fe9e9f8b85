//! A command that came to no end has an unknown outcome, and what looks after the plan goes by what happened.

use unstale_harness::history::{FailureClass, History, Outcome, Reply, Report, What};
use unstale_harness::model::observers;
use unstale_harness::oracle::Invariant;
use unstale_harness::plan::{Phase, Service};
use unstale_harness::system::{Capabilities, Capability};

use crate::script::{C1, Script, condemned};

/// The ways in which a command comes to no end.
fn no_ends() -> [(What, Invariant); 2] {
    [(What::Hung, Invariant::NoHang), (What::Panicked("a panic".into()), Invariant::NoPanic)]
}

#[track_caller]
fn breaks(expected: Option<Invariant>, write: impl Fn(&mut Script) -> History) {
    assert_eq!(condemned(&write(&mut Script::default())), expected);
}

#[test]
fn write_that_came_to_no_end_may_be_seen_or_not() {
    for (end, invariant) in no_ends() {
        for seen in [None, Some(1)] {
            for rows in [&[][..], &[(1, 1)]] {
                breaks(Some(invariant), |s| {
                    s.done(0, "open", &[]).done(1, "open", &[]).invoke(0, "put k1 1").get(1, "get k1", seen);
                    s.push(0, end.clone());
                    s.finish(rows)
                });
            }
        }
    }
}

#[test]
fn actor_that_is_dropped_beside_one_that_hangs_leaves_an_unknown_outcome_too() {
    breaks(Some(Invariant::NoHang), |s| {
        s.done(0, "open", &[]).invoke(0, "get k1").done(1, "open", &[]).invoke(1, "put k1 1");
        s.push(0, What::Hung).push(1, What::Ended);
        s.finish(&[(1, 1)])
    });
}

#[test]
fn command_of_a_thread_that_is_given_up_leaves_an_unknown_outcome_too() {
    breaks(Some(Invariant::NoHang), |s| {
        s.done(0, "open", &[]).invoke(0, "put k1 1").done(1, "open", &[]).get(1, "get k1", Some(1));
        s.invoke(1, "get k2").push(1, What::Hung).note(What::ThreadGivenUp);
        s.finish(&[(1, 1)])
    });
}

#[test]
fn commit_that_came_to_no_end_may_be_seen_or_not() {
    for (end, invariant) in no_ends() {
        for (seen, rows) in [(None, &[][..]), (None, &[(1, 1), (2, 2)]), (Some(2), &[(1, 1), (2, 2)])] {
            breaks(Some(invariant), |s| {
                s.done(0, "open", &[]).done(0, "begin", &[]).done(0, "put k1 1", &[]).done(0, "put k2 2", &[]);
                s.invoke(0, "commit").done(1, "open", &[]).get(1, "get k2", seen);
                s.push(0, end.clone());
                s.finish(rows)
            });
        }
    }
}

#[test]
fn what_nobody_committed_is_not_there_after_its_actor_has_ended() {
    for begin in ["begin", "raw begin"] {
        for rows in [&[][..], &[(1, 1)]] {
            breaks(rows.first().map(|_| Invariant::RolledBackInvisible), |s| {
                s.done(0, "open", &[]).done(0, begin, &[]).done(0, "put k1 1", &[]).push(0, What::Ended);
                s.finish(rows)
            });
        }
    }
}

/// PostgreSQL warns that a transaction is open, and the end of the swap's own ends that.
#[test]
fn swap_inside_a_raw_transaction_may_have_ended_it() {
    for rows in [&[][..], &[(1, 2)]] {
        breaks(None, |s| {
            s.done(0, "open", &[]).done(0, "raw begin", &[]).done(0, "put k1 1", &[What::Wrote(C1)]);
            let evidence = [What::Wrote(C1), What::Committed(C1)];
            s.command(0, "swap k1 2", &evidence, Outcome::Done(Reply::Value(Some(1)))).push(0, What::Ended);
            s.finish(rows)
        });
    }
}

#[test]
fn write_that_was_skipped_is_not_there() {
    for rows in [&[][..], &[(1, 1)]] {
        breaks(rows.first().map(|_| Invariant::RolledBackInvisible), |s| {
            s.invoke(0, "put k1 1").push(0, What::Skipped);
            s.finish(rows)
        });
    }
}

#[test]
fn change_of_a_registry_that_came_to_no_end_may_have_happened() {
    let settings = |build| Some((build, Service::Settings, &[][..]));
    breaks(Some(Invariant::NoHang), |s| {
        s.resolve(0, "resolve settings", settings(1), 1).invoke(1, "invalidate settings");
        s.resolve(0, "resolve settings", settings(2), 2).push(1, What::Hung);
        s.finish(&[])
    });
}

#[test]
fn observers_look_in_full_unless_the_pool_may_have_been_closed() {
    let capabilities = Capabilities::of([Capability::ClosePool]);
    let count = |write: &dyn Fn(&mut Script)| {
        let mut script = Script::default();
        write(&mut script);
        observers(&script.finish(&[]), 3, capabilities).len()
    };
    let cancelled = |phase| Outcome::Cancelled(phase);
    assert_eq!(count(&|_| {}), 3);
    assert_eq!(
        count(&|s| {
            s.command(0, "close-pool", &[], cancelled(Phase::BeforeSend));
        }),
        3
    );
    assert_eq!(
        count(&|s| {
            s.invoke(0, "close-pool").push(0, What::Skipped);
        }),
        3
    );
    assert_eq!(
        count(&|s| {
            s.done(0, "close-pool", &[]);
        }),
        1
    );
    assert_eq!(
        count(&|s| {
            s.command(0, "close-pool", &[], cancelled(Phase::Sent));
        }),
        1
    );
    assert_eq!(
        count(&|s| {
            s.failed(0, "close-pool", FailureClass::Dead);
        }),
        1
    );
    assert_eq!(
        count(&|s| {
            s.invoke(0, "close-pool").push(0, What::Panicked("a panic".into()));
        }),
        1
    );
}

#[test]
fn caller_after_a_close_that_never_began_is_owed_a_session() {
    for phase in [Phase::BeforeSend, Phase::Sent] {
        breaks((phase == Phase::BeforeSend).then_some(Invariant::Recovers), |s| {
            s.command(0, "close-pool", &[], Outcome::Cancelled(phase)).note(What::PlanOver);
            s.failed(2, "open", FailureClass::Closed);
            s.finish(&[])
        });
    }
}

#[test]
fn connection_that_was_cut_while_it_was_idle_is_unknown_to_a_pool_that_one_observer_looks_at() {
    let history = |close: &str, outcome: Outcome, connections: u32| {
        let mut script = Script::default();
        script.done(0, "open", &[What::Connected(C1)]).done(0, "close", &[What::Lost(C1), What::Disconnected(C1)]);
        script.command(0, close, &[], outcome).note(What::PlanOver);
        let report = Report { healthy: true, connections, told_opened: 1, told_closed: 1, ..Report::default() };
        script.note(What::Reported(report));
        script.finish(&[])
    };
    let sent = || Outcome::Cancelled(Phase::Sent);
    assert_eq!(condemned(&history("close-pool", sent(), 1)), None);
    assert_eq!(condemned(&history("close-pool", sent(), 2)), Some(Invariant::HealthAgrees));
    let unsent = Outcome::Cancelled(Phase::BeforeSend);
    assert_eq!(condemned(&history("close-pool", unsent, 1)), Some(Invariant::HealthAgrees));
}

#[test]
fn evidence_from_before_a_straying_command_counts() {
    for (cancelled, expected) in [(false, true), (true, false)] {
        let twice = [What::Served(C1), What::Wrote(C1), What::Committed(C1), What::Wrote(C1), What::Committed(C1)];
        let write = |s: &mut Script| {
            s.done(0, "open", &[]).done(1, "open", &[]);
            if cancelled {
                s.command(1, "put k2 2 cancel@sent", &[], Outcome::Cancelled(Phase::Sent));
            }
            s.done(0, "put k1 1", &twice);
            if !cancelled {
                s.command(1, "put k2 2 cancel@sent", &[], Outcome::Cancelled(Phase::Sent));
            }
            s.finish(&[(1, 1)])
        };
        breaks(expected.then_some(Invariant::NoDuplicateEffect), write);
    }
}

#[test]
fn evidence_beside_a_command_that_came_to_no_end_may_be_its_own() {
    let twice = [What::Served(C1), What::Wrote(C1), What::Committed(C1), What::Wrote(C1), What::Committed(C1)];
    breaks(None, |s| {
        s.done(0, "open", &[]).done(1, "open", &[]).invoke(1, "put k2 2").done(0, "put k1 1", &twice);
        s.push(1, What::Ended);
        s.finish(&[(1, 1), (2, 2)])
    });
}
