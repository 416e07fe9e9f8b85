//! What is done beside an actor's own session: in a second one, and through a service that was resolved earlier. Beside each
//! history that is condemned stands one that a sloppier check would condemn too.

use std::path::Path;

use unstale_harness::history::{ConnectionId, Failure, FailureClass, History, Outcome, Reply, Report, What};
use unstale_harness::model::admissible;
use unstale_harness::oracle::Invariant;
use unstale_harness::plan::{Phase, PlanFile, Service};
use unstale_harness::system::{Capabilities, Capability};

use crate::script::{C1, Script, condemned};

const C2: ConnectionId = ConnectionId(2);
const CHANGED: Outcome = Outcome::Done(Reply::Changed(true));

#[track_caller]
fn judged(expected: Option<Invariant>, write: impl FnOnce(&mut Script) -> History) {
    assert_eq!(condemned(&write(&mut Script::default())), expected);
}

fn committed_on(connection: ConnectionId) -> [What; 3] {
    [What::Served(connection), What::Wrote(connection), What::Committed(connection)]
}

#[test]
fn what_is_autonomous_survives_the_callers_rollback() {
    for (rows, expected) in [(&[(9, 1)][..], None), (&[][..], Some(Invariant::CommittedDurable))] {
        judged(expected, |s| {
            s.done(0, "open", &[]).done(0, "begin", &[]).command(0, "autonomous put k9 1", &[], CHANGED);
            s.done(0, "rollback", &[]).finish(rows)
        });
    }
}

#[test]
fn what_is_autonomous_and_was_given_up_may_be_there_or_not() {
    for rows in [&[(9, 1)][..], &[][..]] {
        judged(None, |s| {
            s.done(0, "open", &[]).done(0, "begin", &[]);
            s.command(0, "autonomous put k9 1 cancel@sent", &[], Outcome::Cancelled(Phase::Sent));
            s.done(0, "rollback", &[]).finish(rows)
        });
    }
}

#[test]
fn callers_own_work_goes_with_its_rollback_all_the_same() {
    judged(Some(Invariant::RolledBackInvisible), |s| {
        s.done(0, "open", &[]).done(0, "begin", &[]).command(0, "put k1 2", &[], CHANGED);
        s.command(0, "autonomous put k9 1", &[], CHANGED).done(0, "rollback", &[]).finish(&[(1, 2), (9, 1)])
    });
}

#[test]
fn second_session_is_on_a_connection_of_its_own() {
    let read = |connection| [What::Served(connection)];
    for (second, expected) in [(C1, Some(Invariant::NoCrossScope)), (C2, None)] {
        judged(expected, |s| {
            s.done(0, "open", &[]).command(0, "get k1", &read(C1), Outcome::Done(Reply::Value(None)));
            s.command(0, "autonomous get k1", &read(second), Outcome::Done(Reply::Value(None)));
            // Whoever is lent it next is on nobody's connection.
            s.done(1, "open", &[]).command(1, "get k1", &read(C2), Outcome::Done(Reply::Value(None)));
            s.finish(&[])
        });
    }
}

#[test]
fn what_is_autonomous_commits_by_itself() {
    for (seen, expected) in [(2, Some(Invariant::TransactionAgreement)), (3, None)] {
        judged(expected, |s| {
            s.done(0, "open", &[]).done(0, "begin", &[]);
            s.command(0, "autonomous put k9 1", &committed_on(C2)[..seen], CHANGED);
            s.done(0, "commit", &[]).finish(&[(9, 1)])
        });
    }
}

#[test]
fn who_has_the_only_connection_waits_for_itself_and_is_refused() {
    use Invariant::InnocentSucceeds;
    let cases = [
        (1, false, true, None),
        (1, false, false, Some(InnocentSucceeds)),
        (2, false, true, Some(InnocentSucceeds)),
        (2, true, true, None),
    ];
    for (connections, in_memory, waits, expected) in cases {
        judged(expected, |s| {
            s.done(0, "open", &[]).invoke(0, "autonomous get k1");
            if waits {
                s.push(0, What::Blocked);
            }
            let refused = Failure::new(FailureClass::Exhausted, "all are lent");
            s.push(0, What::Returned(Outcome::Failed(refused)));
            History { connections_max: Some(connections), in_memory, ..s.finish(&[]) }
        });
    }
}

#[test]
fn own_transaction_is_in_the_way_of_a_second_session_and_of_nothing_else() {
    for (begins, expected) in [(true, None), (false, Some(Invariant::InnocentSucceeds))] {
        judged(expected, |s| {
            s.done(0, "open", &[]);
            if begins {
                s.done(0, "begin", &[]);
            }
            s.failed(0, "autonomous put k9 1", FailureClass::Busy).finish(&[])
        });
    }
}

#[test]
fn failure_in_a_second_session_spoils_no_transaction() {
    judged(Some(Invariant::InnocentSucceeds), |s| {
        s.done(0, "open", &[]).done(0, "begin", &[]).failed(0, "autonomous put k9 1", FailureClass::Busy);
        s.failed(0, "get k1", FailureClass::NoTransaction).finish(&[])
    });
}

#[test]
fn who_waits_for_a_second_session_keeps_others_waiting() {
    for (beside, expected) in [("autonomous get k1", None), ("get k1", Some(Invariant::InnocentSucceeds))] {
        judged(expected, |s| {
            s.done(0, "open", &[]).done(0, "begin", &[]).done(1, "open", &[]);
            s.invoke(1, "put k2 2").invoke(0, beside);
            let late = Failure::new(FailureClass::Dead, "no answer within 4s");
            s.push(1, What::Returned(Outcome::Failed(late)));
            s.push(0, What::Returned(Outcome::Done(Reply::Value(None)))).finish(&[])
        });
    }
}

#[test]
fn what_a_session_has_proved_says_nothing_of_a_second_one() {
    for (text, expected) in [("autonomous get k1", None), ("get k1", Some(Invariant::InnocentSucceeds))] {
        judged(expected, |s| {
            s.done(0, "open", &[]).done(1, "open with lost-idle", &[]).done(1, "close", &[]);
            s.get(0, "get k1", None).failed(0, text, FailureClass::Dead).finish(&[])
        });
    }
}

#[test]
fn listener_is_told_of_a_second_session() {
    for (told, expected) in [(2, None), (1, Some(Invariant::ListenersBalanced))] {
        judged(expected, |s| {
            s.done(0, "open", &[]).command(0, "autonomous get k1", &[], Outcome::Done(Reply::Value(None)));
            s.done(0, "close", &[]).note(What::PlanOver);
            let report = Report { healthy: true, told_opened: told, told_closed: told, ..Report::default() };
            s.note(What::Reported(report)).finish(&[])
        });
    }
}

#[test]
fn service_serves_as_long_as_the_session_it_was_resolved_in() {
    use Invariant::{InnocentSucceeds, NoStaleUse, StaleIsNamed};
    let refused = |class| {
        move |s: &mut Script| {
            s.failed(0, "use rows get k1", class);
        }
    };
    let served = |s: &mut Script| {
        s.get(0, "use rows get k1", None);
    };
    type Use = Box<dyn Fn(&mut Script)>;
    let cases: [(&[&str], Use, Option<Invariant>); 6] = [
        (&[], Box::new(served), None),
        (&[], Box::new(refused(FailureClass::Stale)), Some(InnocentSucceeds)),
        (&["close"], Box::new(served), Some(NoStaleUse)),
        (&["close"], Box::new(refused(FailureClass::Stale)), None),
        (&["close"], Box::new(refused(FailureClass::Closed)), Some(StaleIsNamed)),
        (&["replace"], Box::new(served), Some(NoStaleUse)),
    ];
    for (between, use_rows, expected) in cases {
        judged(expected, |s| {
            s.done(0, "open", &[]).resolve(0, "resolve rows", Some((1, Service::Rows, &[])), 1);
            for text in between {
                s.done(0, text, &[]);
            }
            use_rows(s);
            s.finish(&[])
        });
    }
    // Resolved again, it is the new session's.
    judged(None, |s| {
        s.done(0, "open", &[]).resolve(0, "resolve rows", Some((1, Service::Rows, &[])), 1).done(0, "replace", &[]);
        s.resolve(0, "resolve rows", Some((2, Service::Rows, &[])), 2).get(0, "use rows get k1", None).finish(&[])
    });
}

#[test]
fn plan_that_would_wait_for_itself_is_refused() {
    let further = [Capability::Autonomous, Capability::ServiceUse];
    let able = Capabilities::sqlite().and(Capabilities::services()).and(Capabilities::of(further));
    let own_key = "`put k1 2` of `b` changes k1 too, so the two could wait for each other";
    let fixture = "`autonomous get k1` would wait for the fixture's one connection, which its own session has";
    for (settings, a, b, expected) in [
        ("", r#""open", "autonomous put k1 1""#, r#""open", "put k1 2""#, own_key),
        ("fixture = true\n", r#""open", "autonomous get k1""#, "", fixture),
        ("", r#""autonomous get k1""#, "", "the actor has no session: `open` comes first"),
        ("", r#""use rows get k1""#, "", "`rows` was not resolved before"),
    ] {
        let text = format!("version = 1\n{settings}[actors]\na = [{a}]\nb = [{b}]");
        let plan = PlanFile::parse(&text, Path::new("p.toml")).expect("it parses").plan;
        let why = admissible(&plan, able).expect_err("refused").to_string();
        assert!(why.ends_with(expected), "{why}");
    }
    let text = "version = 1\n[actors]\na = [\"open\", \"use report get k1\"]";
    let error = PlanFile::parse(text, Path::new("p.toml")).expect_err("it has no session behind it").to_string();
    assert!(error.starts_with("p.toml:3:19: expected rows, the service that has a session behind it"), "{error}");
}
