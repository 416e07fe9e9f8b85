//! The cause of a finding is the command at which claim and evidence part, or the first that is out of the ordinary.

use unstale_harness::cause::{Cause, How};
use unstale_harness::history::{FailureClass, Outcome, Reply, What};
use unstale_harness::oracle::{Invariant, Violation};
use unstale_harness::plan::{Fault, Phase};

use crate::script::{C1, Script};

/// The cause of what the script does before it breaks at its end.
fn cause(write: impl Fn(&mut Script)) -> String {
    let mut script = Script::default();
    script.done(0, "open", &[]);
    write(&mut script);
    let history = script.finish(&[]);
    let violation = Violation {
        invariant: Invariant::CommittedDurable,
        at: history.events.len() - 1,
        by: None,
        expected: String::new(),
        observed: String::new(),
    };
    Cause::of(&history, &violation).to_string()
}

const CUT: Outcome = Outcome::Cancelled(Phase::Sent);
const BACK: [What; 1] = [What::RolledBack(C1)];

#[test]
fn begin_that_ends_the_outer_transaction_is_one_cause_however_it_ends() {
    let failed = cause(|s| {
        s.done(0, "begin", &[]).failed(0, "begin immediate", FailureClass::NoTransaction).push(0, BACK[0].clone());
        s.done(0, "put k1 1", &[]);
    });
    let cancelled = cause(|s| {
        s.done(0, "begin", &[]).done(0, "put k1 1", &[]).command(0, "begin cancel@sent", &BACK, CUT);
        s.failed(0, "commit", FailureClass::NoTransaction);
    });
    assert_eq!([failed, cancelled], ["a begin inside a transaction ended that transaction"; 2].map(str::to_owned));
}

#[test]
fn transaction_that_ends_by_itself_is_one_cause_whatever_ended_it() {
    for (command, class) in [("put k1 1", FailureClass::Interrupted), ("commit", FailureClass::Mistake)] {
        let found = cause(|s| {
            s.done(0, "begin", &[]).invoke(0, command).push(0, BACK[0].clone());
            s.push(0, What::Returned(Outcome::Failed(unstale_harness::history::Failure::new(class, "an error"))));
        });
        assert_eq!(found, "a transaction ended before its owner ended it", "{command}");
    }
    // Its owner has ended it.
    let ended = cause(|s| {
        s.done(0, "begin", &[]).done(0, "rollback", &BACK).command(0, "get k1 cancel@sent", &[], CUT);
    });
    assert_eq!(ended, "statement, cancelled");
}

#[test]
fn what_is_committed_inside_a_transaction_is_committed_early() {
    let wrote = [What::Wrote(C1), What::Committed(C1)];
    assert_eq!(
        cause(|s| {
            s.done(0, "begin", &[]).done(0, "put k1 1", &wrote);
        }),
        "something was committed before its transaction was"
    );
    assert_eq!(
        cause(|s| {
            s.done(0, "put k1 1", &wrote);
        }),
        "ordinary use"
    );
    // It has not begun.
    assert_eq!(
        cause(|s| {
            s.failed(0, "begin", FailureClass::Busy).done(0, "put k1 1", &wrote);
        }),
        "begin, failed"
    );
}

#[test]
fn without_a_parting_the_first_command_out_of_the_ordinary_counts() {
    assert_eq!(
        cause(|s| {
            s.done(0, "raw setting", &[]).done(0, "close", &[]);
        }),
        "a session left something on its connection"
    );
    let fault = [What::FaultLanded(Fault::Interrupt)];
    let faulted = cause(|s| {
        s.command(0, "get k1 with interrupt", &fault, Outcome::Done(Reply::Value(None))).done(0, "close", &[]);
    });
    assert_eq!(faulted, "statement, with interrupt");
    assert_eq!(
        cause(|s| {
            s.failed(0, "get k1", FailureClass::Dead);
        }),
        "statement, failed"
    );
    assert_eq!(
        cause(|s| {
            s.done(0, "wait 1m", &[]).done(0, "close", &[]);
        }),
        "wait"
    );
    assert_eq!(
        cause(|s| {
            s.failed(0, "fail", FailureClass::Mistake).done(0, "close", &[]);
        }),
        "ordinary use"
    );
}

fn command(what: &str, how: How) -> Cause {
    Cause::Command { what: what.to_owned(), how }
}

/// Files name causes by these sentences, so that none may change without a new version of the format.
#[test]
fn signature_of_each_sort_of_cause_is_stable_and_parses() {
    for (cause, signature) in [
        (Cause::Ended { by_nested_begin: true }, "a begin inside a transaction ended that transaction"),
        (Cause::Ended { by_nested_begin: false }, "a transaction ended before its owner ended it"),
        (Cause::CommittedEarly, "something was committed before its transaction was"),
        (Cause::Left, "a session left something on its connection"),
        (Cause::Ordinary(None), "ordinary use"),
        (Cause::Ordinary(Some(Invariant::LimitKept)), "ordinary use, by limit-kept"),
        (command("nested begin", How::Cancelled), "nested begin, cancelled"),
        (command("commit", How::Failed), "commit, failed"),
        (command("in transaction", How::Faulted("interrupt".into())), "in transaction, with interrupt"),
        (command("statement", How::Faulted("terminate".into())), "statement, with terminate"),
        (command("close-pool", How::Itself), "close-pool"),
    ] {
        assert_eq!(cause.to_string(), signature);
        assert_eq!(signature.parse(), Ok(cause));
    }
}

#[test]
fn what_no_cause_can_be_is_refused() {
    for text in [
        "",
        "a begin inside a transaction",
        "ordinary use, by committed-durable",
        "put, cancelled",
        "commit, burnt",
        "statement, with fire",
        "statement, with terminate@sent",
        "get",
        "commit, failed ",
    ] {
        let why = text.parse::<Cause>().expect_err(text).to_string();
        assert!(why.contains(&format!("`{text}`; copy one from the table of causes")), "{why}");
    }
}
