//! A server turns read-only, disconnects nobody, and whoever connects later can write: what a system may not know of, and what it
//! has to. Beside each history that is condemned stands one that a sloppier check would condemn too.

use unstale_harness::history::{ConnectionId, Failure, FailureClass, Outcome, Reply, What};
use unstale_harness::oracle::Invariant;
use unstale_harness::plan::{Fault, Phase};

use crate::script::{C1, DONE, Script, condemned};

const C2: ConnectionId = ConnectionId(2);
const FAULT: &str = "read-only@idle";

fn landed() -> What {
    What::FaultLanded(FAULT.parse::<Fault>().expect("a fault"))
}

fn refusal(class: FailureClass) -> Outcome {
    Outcome::Failed(Failure::new(class, "cannot execute INSERT in a read-only transaction"))
}

/// A write that is the first to be refused.
fn meets(script: &mut Script, actor: usize, text: &str) {
    script.command(actor, text, &[What::RefusedWrite(C1), landed()], refusal(FailureClass::ReadOnly));
}

/// A write that is refused later.
fn meets_again(script: &mut Script, actor: usize, class: FailureClass) {
    script.command(actor, "put k2 2", &[What::RefusedWrite(C1)], refusal(class));
}

#[track_caller]
fn breaks(expected: Option<Invariant>, write: impl Fn(&mut Script)) {
    let mut script = Script::default();
    write(&mut script);
    assert_eq!(condemned(&script.finish(&[])), expected);
}

#[test]
fn first_write_that_is_refused_tells_the_system() {
    breaks(None, |s| {
        s.done(0, "open", &[]).done(0, "get k1", &[]);
        meets(s, 0, &format!("put k1 1 with {FAULT}"));
        s.done(0, "close", &[]).done(1, "open", &[]).done(1, "get k2", &[]);
    });
    // Whatever it calls the error.
    for class in [FailureClass::ReadOnly, FailureClass::Mistake, FailureClass::Dead] {
        breaks(Some(Invariant::InnocentSucceeds), |s| {
            s.done(0, "open", &[]);
            meets(s, 0, &format!("put k1 1 with {FAULT}"));
            s.done(0, "close", &[]).done(1, "open", &[]);
            meets_again(s, 1, class);
        });
    }
}

/// The server refuses the write, and its answer is lost on the way: the system sees a lost connection.
#[test]
fn refusal_whose_answer_is_lost_tells_nothing() {
    const CUT: &str = "cut-after-60@mid-reply";
    for (is_cut, expected) in [(true, None), (false, Some(Invariant::InnocentSucceeds))] {
        breaks(expected, |s| {
            s.done(0, "open", &[]).done(0, &format!("get k1 with {FAULT}"), &[landed()]);
            let mut evidence = vec![What::RefusedWrite(C2)];
            evidence.extend(is_cut.then(|| What::FaultLanded(CUT.parse().expect("a fault"))));
            s.command(0, &format!("put k1 1 with {CUT}"), &evidence, refusal(FailureClass::NoTransaction));
            s.done(0, "close", &[]).done(1, "open", &[]);
            meets_again(s, 1, FailureClass::ReadOnly);
        });
    }
}

#[test]
fn caller_after_the_plan_gets_no_connection_that_refused_a_write() {
    let observed = |is_known: bool| {
        move |s: &mut Script| {
            s.done(0, "open", &[]);
            if is_known {
                meets(s, 0, &format!("put k1 1 with {FAULT}"));
            } else {
                s.done(0, &format!("get k1 with {FAULT}"), &[]);
            }
            s.done(0, "close", &[]).note(What::PlanOver).done(2, "open", &[]);
            s.command(2, "put k0 9", &[What::RefusedWrite(C1)], refusal(FailureClass::ReadOnly));
            // The session may have been given up with its connection.
            s.failed(2, "get k0", FailureClass::Closed).done(2, "close", &[]);
        }
    };
    breaks(Some(Invariant::Recovers), observed(true));
    breaks(None, observed(false));
}

#[test]
fn read_that_succeeds_does_not_show_that_a_connection_can_write() {
    breaks(None, |s| {
        s.done(0, "open", &[]).done(0, &format!("get k1 with {FAULT}"), &[]).done(0, "get k1", &[]);
        s.command(0, "put k1 1", &[What::RefusedWrite(C1)], refusal(FailureClass::ReadOnly));
        s.failed(0, "get k1", FailureClass::Closed).done(0, "close", &[]);
    });
}

#[test]
fn session_that_was_opened_before_may_have_such_a_connection() {
    breaks(None, |s| {
        s.done(0, "open", &[]).done(1, "open", &[]);
        meets(s, 0, &format!("put k1 1 with {FAULT}"));
        meets_again(s, 1, FailureClass::ReadOnly);
    });
    // And keep it.
    breaks(None, |s| {
        s.done(0, "open", &[]);
        meets(s, 0, &format!("put k1 1 with {FAULT}"));
        meets_again(s, 0, FailureClass::ReadOnly);
    });
    // One that was asked for before and opened after may have got it in between.
    breaks(None, |s| {
        s.done(0, "open", &[]).invoke(1, "open");
        meets(s, 0, &format!("put k1 1 with {FAULT}"));
        s.push(1, What::Returned(DONE));
        meets_again(s, 1, FailureClass::ReadOnly);
    });
}

#[test]
fn system_whose_caller_is_gone_may_not_have_been_told() {
    breaks(None, |s| {
        s.done(0, "open", &[]);
        let evidence = [What::RefusedWrite(C1), landed()];
        s.command(0, &format!("put k1 1 with {FAULT}"), &evidence, Outcome::Cancelled(Phase::Sent));
        s.done(0, "close", &[]).done(1, "open", &[]);
        meets_again(s, 1, FailureClass::ReadOnly);
    });
}

#[test]
fn connections_of_before_are_known_and_later_ones_are_not() {
    let refused_by = |first: ConnectionId, second: ConnectionId| {
        let mut script = Script::default();
        script.done(0, "open", &[]);
        let evidence = [What::RefusedWrite(first), landed()];
        script.command(0, &format!("put k1 1 with {FAULT}"), &evidence, refusal(FailureClass::ReadOnly));
        script.done(0, "close", &[]).done(1, "open", &[]).done(1, &format!("get k1 with {FAULT}"), &[]);
        script.command(1, "put k2 2", &[What::RefusedWrite(second)], refusal(FailureClass::ReadOnly));
        condemned(&script.finish(&[]))
    };
    let broken = Some(Invariant::InnocentSucceeds);
    // A later one may have turned read-only since, by the second fault.
    assert_eq!([refused_by(C1, C1), refused_by(C2, C1), refused_by(C1, C2)], [broken, broken, None]);
}

#[test]
fn whatever_is_connected_may_be_replaced() {
    let replaced = |fault: &str| {
        let mut script = Script::default();
        for (actor, connection) in [(0, C1), (1, C2)] {
            script.done(actor, "open", &[What::Connected(connection)]);
        }
        script.done(0, &format!("get k1{fault}"), &[]);
        for actor in [0, 1] {
            let evidence = [What::Disconnected(C1), What::Connected(C2)];
            script.done(actor, "close", &[]).done(actor, "open", &evidence);
        }
        script.note(What::Disconnected(C1)).note(What::Disconnected(C2));
        condemned(&script.finish(&[]))
    };
    assert_eq!(replaced(&format!(" with {FAULT}")), None);
    assert_eq!(replaced(""), Some(Invariant::ReconnectsBounded));
}

/// Its caller has begun it so, which says nothing of the connection.
#[test]
fn write_in_a_transaction_that_was_begun_read_only_is_refused_and_none_after_it() {
    let changed = || Outcome::Done(Reply::Changed(true));
    let writes = |s: &mut Script, inside: Outcome, after: Outcome| {
        s.done(0, "open", &[]).done(0, "begin read-only", &[]);
        s.command(0, "put k1 1", &[What::RefusedWrite(C1)], inside).done(0, "rollback", &[]);
        s.command(0, "delete k2", &[], after);
    };
    for class in [FailureClass::ReadOnly, FailureClass::Mistake] {
        breaks(None, |s| writes(s, refusal(class), Outcome::Done(Reply::Changed(false))));
        breaks(Some(Invariant::InnocentSucceeds), |s| writes(s, refusal(class), refusal(class)));
    }
    breaks(Some(Invariant::InnocentSucceeds), |s| writes(s, changed(), Outcome::Done(Reply::Changed(false))));
}

/// A begin inside it that fails is no level, so one rollback ends it.
#[test]
fn write_after_a_read_only_transaction_tells_the_system() {
    breaks(Some(Invariant::InnocentSucceeds), |s| {
        s.done(0, "open", &[]).done(0, &format!("get k1 with {FAULT}"), &[landed()]).done(0, "begin read-only", &[]);
        s.failed(0, "begin", FailureClass::Mistake).done(0, "rollback", &[]);
        meets_again(s, 0, FailureClass::ReadOnly);
        s.done(0, "close", &[]).done(1, "open", &[]);
        meets_again(s, 1, FailureClass::ReadOnly);
    });
}

/// Another actor's command ends while the read-only begin is under way.
#[test]
fn refusal_in_a_read_only_transaction_tells_nothing_whoever_goes_on_meanwhile() {
    for (mode, expected) in [("begin read-only", None), ("begin", Some(Invariant::Recovers))] {
        breaks(expected, |s| {
            s.done(0, "open", &[]).invoke(1, "open");
            s.done(0, &format!("get k1 with {FAULT}"), &[]).invoke(0, mode).push(1, What::Returned(DONE));
            s.push(0, What::Returned(DONE));
            s.command(0, "put k1 1", &[What::RefusedWrite(C1)], refusal(FailureClass::ReadOnly));
            s.done(0, "rollback", &[]).done(0, "close", &[]).done(1, "close", &[]);
            s.note(What::PlanOver).done(2, "open", &[]);
            s.command(2, "put k0 9", &[What::RefusedWrite(C1)], refusal(FailureClass::ReadOnly));
        });
    }
}
