//! What the database's hooks and the wire show has to agree with what was answered. Beside each history that is condemned
//! stands one that a sloppier check would condemn too.

use unstale_harness::history::{ConnectionId, FailureClass, History, Outcome, Reply, Report, What};
use unstale_harness::oracle::Invariant;
use unstale_harness::plan::{Build, IsolationModel, Key, Phase, Service, Step};

use crate::script::{C1, Script, autocommit, condemned, only_broken};

const C2: ConnectionId = ConnectionId(2);
const WROTE: [What; 2] = [What::Served(C1), What::Wrote(C1)];

#[test]
fn end_of_a_transaction_is_answered_before_it_is_there() {
    for (end, evidence, rows) in
        [("commit", What::Committed(C1), &[(1, 1)][..]), ("rollback", What::RolledBack(C1), &[])]
    {
        for fixture in [false, true] {
            let write = |broken: bool| {
                let mut script = Script::default();
                script.done(0, "open", &[]).done(0, "begin", &[]).done(0, "put k1 1", &WROTE);
                if broken {
                    script.done(0, end, &[]).note(evidence.clone());
                } else {
                    script.done(0, end, std::slice::from_ref(&evidence));
                }
                script.done(0, "close", &[]);
                // Inside a fixture the test's own transaction goes on.
                History { fixture, ..script.finish(if fixture { &[] } else { rows }) }
            };
            assert_eq!(condemned(&write(false)), None, "{end}");
            let expected = (!fixture).then_some(Invariant::TransactionAgreement);
            assert_eq!(condemned(&write(true)), expected, "{end}, fixture: {fixture}");
        }
    }
}

#[test]
fn inner_end_is_not_the_end_of_the_transaction() {
    let mut script = Script::default();
    script.done(0, "open", &[]).done(0, "begin", &[]).done(0, "begin", &[]).done(0, "put k1 1", &WROTE);
    script.done(0, "commit", &[]).done(0, "commit", &[What::Committed(C1)]);
    assert_eq!(condemned(&script.finish(&[(1, 1)])), None);
}

#[test]
fn connection_in_doubt_ends_its_transaction_with_itself() {
    let mut script = Script::default();
    script.done(0, "open", &[]).done(0, "begin", &[]).done(0, "put k1 1", &WROTE);
    script.command(0, "get k1", &[What::Served(C1)], Outcome::Cancelled(Phase::Sent));
    script.done(0, "rollback", &[]).note(What::Disconnected(C1));
    assert_eq!(condemned(&script.finish(&[])), None);
}

#[test]
fn lock_of_an_immediate_transaction_is_kept() {
    for begin in ["begin immediate", "begin exclusive"] {
        only_broken(Invariant::TransactionAgreement, |s, broken| {
            s.done(0, "open", &[]).done(1, "open", &[]);
            s.done(0, if broken { begin } else { "begin" }, &[What::Served(C1)]);
            s.done(1, "put k2 2", &[What::Served(C2), What::Wrote(C2), What::Committed(C2)]);
            s.done(0, "commit", &[]);
            s.finish(&[(2, 2)])
        });
    }
}

#[test]
fn lock_lasts_from_its_answer_to_the_end_that_is_asked_for() {
    let other = [What::Served(C2), What::Wrote(C2), What::Committed(C2)];
    let begin = [What::Served(C1)];
    let mut script = Script::default();
    // While it begins, and while it ends, somebody else may have the lock.
    script.done(0, "open", &[]).done(1, "open", &[]).invoke(0, "begin immediate").done(1, "put k2 2", &other);
    script.push(0, begin[0].clone()).push(0, What::Returned(Outcome::Done(Reply::Done))).invoke(0, "commit");
    script.done(1, "put k3 3", &other).push(0, What::Returned(Outcome::Done(Reply::Done)));
    assert_eq!(condemned(&script.finish(&[(2, 2), (3, 3)])), None);
    // After a failure the database may have ended it.
    let mut script = Script::default();
    script.done(0, "open", &[]).done(1, "open", &[]).done(0, "begin immediate", &begin);
    script.failed(0, "fail", FailureClass::Mistake).done(1, "put k2 2", &other);
    assert_eq!(condemned(&script.finish(&[(2, 2)])), None);
    // Where rows are locked, one writer does not exclude the others.
    let mut script = Script::default();
    script.done(0, "open", &[]).done(1, "open", &[]).done(0, "begin immediate", &begin).done(1, "put k2 2", &other);
    let history = History { isolation: IsolationModel::Postgres, ..script.finish(&[(2, 2)]) };
    assert_eq!(condemned(&history), None);
    // A temporary table of somebody else is in a database of its own.
    let mut script = Script::default();
    script.done(0, "open", &[]).done(1, "open", &[]).done(0, "begin immediate", &begin);
    script.done(1, "raw temp-table", &[What::Served(C2), What::Committed(C2)]);
    assert_eq!(condemned(&script.finish(&[])), None);
    // A connection does not exclude itself.
    let mut script = Script::default();
    script.done(0, "open", &[]).done(1, "open", &[]).done(0, "begin immediate", &begin);
    script.push(1, What::Committed(C1));
    assert_eq!(condemned(&script.finish(&[])), None);
}

#[test]
fn connection_that_is_being_closed_does_not_count() {
    for serves_later in [false, true] {
        let mut script = Script::default();
        script.done(0, "open", &[What::Connected(C1)]);
        script.command(0, "get k1", &[What::Served(C1)], Outcome::Done(Reply::Value(None)));
        script.done(0, "raw setting", &[]).done(0, "close", &[]).done(0, "open", &[What::Connected(C2)]);
        if serves_later {
            script.done(1, "open", &[]);
            script.command(1, "get k1", &[What::Served(C1)], Outcome::Done(Reply::Value(None))).done(1, "close", &[]);
        }
        script.command(0, "get k2", &[What::Served(C2)], Outcome::Done(Reply::Value(None)));
        script.note(What::Disconnected(C1)).note(What::Disconnected(C2));
        let history = History { connections_max: Some(1), ..script.finish(&[]) };
        assert_eq!(condemned(&history), serves_later.then_some(Invariant::LimitKept));
    }
}

#[test]
fn connection_beyond_the_limit_is_open_when_all_is_over() {
    for isolation in [IsolationModel::Simulation, IsolationModel::Sqlite] {
        let mut script = Script::default();
        script.done(0, "open", &[What::Connected(C1)]).done(0, "raw setting", &[]).done(0, "close", &[]);
        script.done(0, "open", &[What::Connected(C2)]).done(0, "close", &[]).note(What::PlanOver);
        script.note(What::Disconnected(C1)).note(What::Disconnected(C2));
        let history = History { connections_max: Some(1), isolation, ..script.finish(&[]) };
        // A thread that closes may be late; in the simulation none is.
        let expected = (isolation == IsolationModel::Simulation).then_some(Invariant::LimitKept);
        assert_eq!(condemned(&history), expected);
    }
}

#[test]
fn row_that_nobody_has_committed() {
    only_broken(Invariant::RolledBackInvisible, |s, broken| {
        s.done(0, "open", &[]).done(0, "put k1 1", &autocommit());
        s.finish(if broken { &[(1, 1), (2, 9)] } else { &[(1, 1)] })
    });
    // An extension's commands write what they like.
    let mut script = Script::default();
    script.done(0, "extra move", &[]);
    assert_eq!(condemned(&script.finish(&[(2, 9)])), None);
}

#[test]
fn observer_that_has_a_session_is_owed_its_statements() {
    only_broken(Invariant::Recovers, |s, broken| {
        s.note(What::PlanOver).done(2, "open", &[]);
        if broken {
            s.failed(2, "put k0 9", FailureClass::Exhausted)
        } else {
            s.done(2, "put k0 9", &[])
        };
        s.finish(if broken { &[] } else { &[(0, 9)] })
    });
    // Without a session it is a leak, and that has a name of its own.
    let mut script = Script::default();
    script.note(What::PlanOver).failed(2, "open", FailureClass::Exhausted);
    assert_eq!(condemned(&script.finish(&[])), Some(Invariant::NoLeak));
}

#[test]
fn outage_that_reaches_into_the_observers_is_not_over() {
    for is_cut in [false, true] {
        let mut script = Script::default();
        script.done(0, "open", &[]).done(0, "get k1 with kill-backend@sent", &[]).note(What::PlanOver);
        script.done(2, "open", &[What::Connected(C2)]);
        if is_cut {
            script.note(What::Lost(C2)).note(What::Disconnected(C2));
        }
        script.failed(2, "put k0 9", FailureClass::Dead);
        if !is_cut {
            script.note(What::Disconnected(C2));
        }
        assert_eq!(condemned(&script.finish(&[])), (!is_cut).then_some(Invariant::Recovers), "cut: {is_cut}");
    }
}

/// A history in which two sessions were opened, one open failed, and listeners were told of this many.
fn told(told: u32, fails: bool, extra: bool, fixture: bool) -> Option<Invariant> {
    let mut script = Script::default();
    script.done(0, "open", &[]).done(0, "replace", &[]).done(0, "close", &[]);
    if fails {
        script.command(0, "open", &[], Outcome::Cancelled(Phase::Sent));
    }
    if extra {
        script.done(1, "extra move", &[]);
    }
    let report = Report { healthy: true, told_opened: told, told_closed: told, ..Report::default() };
    script.note(What::PlanOver).note(What::Reported(report));
    condemned(&History { fixture, ..script.finish(&[]) })
}

#[test]
fn listeners_are_told_of_as_many_sessions_as_there_were() {
    let unbalanced = Some(Invariant::ListenersBalanced);
    assert_eq!(
        [0, 1, 2, 3, 4].map(|it| told(it, false, false, false)),
        [unbalanced, unbalanced, None, unbalanced, unbalanced]
    );
    // What was cancelled may have begun.
    assert_eq!([1, 2, 3, 4].map(|it| told(it, true, false, false)), [unbalanced, None, None, unbalanced]);
    assert_eq!(
        [1, 2, 9].map(|it| told(it, false, true, false)),
        [unbalanced, None, None],
        "an extension opens its own"
    );
    assert_eq!([0, 9].map(|it| told(it, false, false, true)), [None, None], "a fixture has sessions of its own");
}

#[test]
fn newest_override_wins() {
    for actor in [0, 1] {
        only_broken(Invariant::RegistryFresh, |s, broken| {
            s.resolve(0, "override settings", Some((1, Service::Settings, &[])), 1);
            s.resolve(actor, "override settings", Some((2, Service::Settings, &[])), 2);
            s.resolve(0, "resolve settings", None, if broken { 1 } else { 2 });
            s.finish(&[])
        });
    }
    // When it is given up the older one is back.
    let mut script = Script::default();
    script.resolve(0, "override settings", Some((1, Service::Settings, &[])), 1);
    script.resolve(1, "override settings", Some((2, Service::Settings, &[])), 2).done(1, "restore", &[]);
    script.resolve(0, "resolve settings", None, 1);
    assert_eq!(condemned(&script.finish(&[])), None);
    // Of two that begin at the same time either may be the newer one.
    for had in [1, 2] {
        let mut script = Script::default();
        let built = |build| What::Built { build: Build(build), service: Service::Settings, parts: vec![] };
        let services = |build| What::Returned(Outcome::Done(Reply::Services(vec![Build(build)])));
        script.invoke(0, "override settings").push(0, built(1)).invoke(1, "override settings").push(1, built(2));
        script.push(0, services(1)).push(1, services(2)).resolve(0, "resolve settings", None, had);
        assert_eq!(condemned(&script.finish(&[])), None, "{had}");
    }
}

#[test]
fn whole_is_made_from_the_newest_override_of_its_part() {
    only_broken(Invariant::RegistryFresh, |s, broken| {
        s.resolve(0, "override settings", Some((1, Service::Settings, &[])), 1);
        s.resolve(1, "override settings", Some((2, Service::Settings, &[])), 2);
        s.resolve(0, "resolve mailer", Some((3, Service::Mailer, &[if broken { 1 } else { 2 }])), 3);
        s.finish(&[])
    });
}

#[test]
fn stream_that_ends_early_is_all_there_is() {
    for (rows, expected) in [(&[][..], Some(Invariant::CommittedDurable)), (&[(1, 1)], None)] {
        let mut script = Script::default();
        script.done(0, "open", &[]).done(0, "put k1 1", &autocommit());
        let rows = rows.iter().map(|(key, value)| (Key(*key), *value)).collect();
        script.command(0, "stream 2", &[], Outcome::Done(Reply::FirstRows(rows)));
        assert_eq!(condemned(&script.finish(&[(1, 1)])), expected);
    }
    // One that was dropped before its end says nothing of what comes after.
    let mut script = Script::default();
    script.done(0, "open", &[]).done(0, "put k1 1", &autocommit());
    script.command(0, "stream 0", &[], Outcome::Done(Reply::FirstRows(Vec::new())));
    assert_eq!(condemned(&script.finish(&[(1, 1)])), None);
}

#[test]
fn mistake_and_ended_transaction_are_no_reason_to_reconnect() {
    for (steps, allowed) in [
        (&["begin", "commit"][..], false),
        (&["slow"], false),
        (&["begin"], true),
        (&["begin", "drop"], true),
        (&["raw setting"], true),
        (&["wait 1h"], true),
    ] {
        let mut script = Script::default();
        script.done(0, "open", &[What::Connected(C1)]);
        for text in steps {
            script.done(0, text, &[]);
        }
        script.done(0, "close", &[What::Disconnected(C1)]);
        script.done(0, "open", &[What::Connected(C2)]).done(0, "close", &[What::Disconnected(C2)]);
        let expected = (!allowed).then_some(Invariant::ReconnectsBounded);
        assert_eq!(condemned(&script.finish(&[])), expected, "{steps:?}");
    }
}

/// A cancelled call is answered when its session has ended, and the connection is lent again.
fn answered_late(call: &str, evidence: &[What], fixture: bool) -> Option<Invariant> {
    let mut script = Script::default();
    script.done(0, "open", &[]).command(0, call, evidence, Outcome::Cancelled(Phase::Sent));
    script.push(0, What::Ended).push(0, What::Late(C1));
    script.done(1, "open", &[]).command(1, "get k2", &[What::Served(C1)], Outcome::Done(Reply::Value(None)));
    condemned(&History { isolation: IsolationModel::Postgres, fixture, ..script.finish(&[]) })
}

#[test]
fn cancelled_call_is_under_way_on_a_connection_that_is_lent_again() {
    for call in ["begin cancel@sent", "put k1 1 cancel@sent", "slow cancel@sent"] {
        assert_eq!(answered_late(call, &[What::Served(C1)], false), Some(Invariant::NoResidue));
        // Everybody in a fixture is on one connection, and waits for it.
        assert_eq!(answered_late(call, &[What::Served(C1)], true), None);
        // It ran on another connection; on this one a task of the system's was at work meanwhile.
        assert_eq!(answered_late(call, &[What::Served(C2), What::Served(C1)], false), None);
    }
}

#[test]
fn what_strikes_the_idle_is_a_reason_for_each_of_them() {
    let opened_after = |fault: &str, count: u16| {
        let mut script = Script::default();
        script.done(0, "open", &[What::Connected(C1)]).done(1, "open", &[What::Connected(C2)]);
        script.done(0, "close", &[]).done(1, "close", &[]);
        let step = format!("open with {fault}");
        let landed = step.parse::<Step>().expect("a step").fault.expect("a fault");
        let mut evidence = vec![What::FaultLanded(landed)];
        evidence.extend((3..3 + count).map(|number| What::Connected(ConnectionId(number))));
        script.done(0, &step, &evidence);
        script.done(0, "close", &[]);
        for number in 1..3 + count {
            script.note(What::Disconnected(ConnectionId(number)));
        }
        condemned(&History { isolation: IsolationModel::Postgres, ..script.finish(&[]) })
    };
    // One in place of each, and one each to tell the server.
    assert_eq!(opened_after("stop@idle", 4), None);
    assert_eq!(opened_after("stop@idle", 5), Some(Invariant::ReconnectsBounded));
    assert_eq!(opened_after("stop@before-send", 2), None);
    assert_eq!(opened_after("stop@before-send", 3), Some(Invariant::ReconnectsBounded));
}

#[test]
fn statement_of_a_transaction_is_served_where_that_is_open() {
    only_broken(Invariant::TransactionAgreement, |s, broken| {
        s.done(0, "open", &[]).done(1, "open", &[]).done(1, "close", &[]);
        s.done(0, "begin", &[What::Served(C1)]);
        s.command(0, "get k1", &[What::Served(C1)], Outcome::Done(Reply::Value(None)));
        let server = What::Served(if broken { C2 } else { C1 });
        s.command(0, "get k1", &[server], Outcome::Done(Reply::Value(None)));
        s.done(0, "commit", &[]).finish(&[])
    });
}

/// Between two transactions a session may be given another connection, and a fixture's transaction is everybody's.
#[test]
fn next_transaction_may_be_on_another_connection() {
    let mut script = Script::default();
    script.done(0, "open", &[]);
    for connection in [C1, C2] {
        script.done(0, "begin", &[What::Served(connection)]);
        script.command(0, "get k1", &[What::Served(connection)], Outcome::Done(Reply::Value(None)));
        script.done(0, "commit", &[]);
    }
    assert_eq!(condemned(&script.finish(&[])), None);
}

#[test]
fn closed_pool_keeps_no_connection() {
    for (isolation, fixture) in
        [(IsolationModel::Simulation, false), (IsolationModel::Simulation, true), (IsolationModel::Sqlite, false)]
    {
        let write = |broken: bool| {
            let mut script = Script::default();
            script.done(0, "open", &[What::Connected(C1)]).done(1, "close-pool", &[]);
            let (before, after) = if broken { (None, Some(C1)) } else { (Some(C1), None) };
            script.done(0, "close", &before.map(What::Disconnected).into_iter().collect::<Vec<_>>());
            script.note(What::PlanOver);
            if let Some(connection) = after {
                script.note(What::Disconnected(connection));
            }
            History { isolation, fixture, ..script.finish(&[]) }
        };
        assert_eq!(condemned(&write(false)), None);
        // Elsewhere a thread may be late to close it, and the connection of a test is its fixture's.
        let is_judged = isolation == IsolationModel::Simulation && !fixture;
        assert_eq!(condemned(&write(true)), is_judged.then_some(Invariant::CloseEnds), "{isolation:?}, {fixture}");
    }
}

/// Until its end is answered a session needs its connection.
#[test]
fn session_that_is_being_closed_has_its_connection() {
    for end in ["close", "abandon k1"] {
        only_broken(Invariant::ReconnectsBounded, |s, broken| {
            s.done(0, "open", &[What::Connected(C1)]);
            if broken {
                s.done(0, end, &[]).done(1, "open", &[What::Connected(C2)]);
            } else {
                s.invoke(0, end).done(1, "open", &[What::Connected(C2)]);
                s.push(0, What::Returned(Outcome::Done(Reply::Done)));
            }
            s.done(1, "close", &[]).note(What::Disconnected(C1)).note(What::Disconnected(C2)).finish(&[])
        });
    }
}
